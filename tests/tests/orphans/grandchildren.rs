//! Processes that tasks start: they end with their runner, however that ends.

use std::future::pending;

use flame_actors::{Pool, task};
use flame_tests::process::{Signal, is_alive, kill};
use flame_tests::{Role, Runners, told, trials, until};
use libtest_mimic::Trial;

use crate::work::start_sleeper;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_grandchild_is_gone_after_the_shutdown,
        a_grandchild_is_gone_after_its_runner_was_killed,
        a_grandchild_is_gone_after_its_runner_has_exited,
        a_grandchild_is_gone_after_the_parent_was_killed,
        a_grandchild_is_gone_after_the_parent_has_left,
    ]
}

async fn with_sleeper() -> (Pool, u32, u32) {
    let pool = Runners::Processes.start().await;
    let (runner, sleeper) = pool.call(start_sleeper()).await.unwrap();
    assert!(is_alive(runner) && is_alive(sleeper));
    (pool, runner, sleeper)
}

async fn gone(pid: u32) {
    until("the grandchild is gone", || !is_alive(pid)).await;
}

async fn a_grandchild_is_gone_after_the_shutdown() {
    let (pool, _, sleeper) = with_sleeper().await;
    pool.shutdown().await;
    gone(sleeper).await;
}

async fn a_grandchild_is_gone_after_its_runner_was_killed() {
    let (pool, runner, sleeper) = with_sleeper().await;
    kill(runner);
    gone(sleeper).await;
    pool.shutdown().await;
}

async fn a_grandchild_is_gone_after_its_runner_has_exited() {
    let (pool, _, sleeper) = with_sleeper().await;
    pool.call(task!([] { std::process::exit(4) })).await.unwrap_err();
    gone(sleeper).await;
    pool.shutdown().await;
}

/// Has a runner with a sleeper, tells both ids, and leaves or stays.
pub(crate) async fn grandparent() {
    let (_pool, runner, sleeper) = with_sleeper().await;
    told(runner);
    told(sleeper);
    if std::env::var_os("FLAME_TEST_STAY").is_some() {
        pending().await
    }
}

async fn a_grandchild_is_gone_after_the_parent_was_killed() {
    let mut role = Role::start("grandparent", &[("FLAME_TEST_STAY", "")]);
    let (runner, sleeper) = (role.next_pid().await, role.next_pid().await);
    role.signal(Signal::SIGKILL);
    gone(runner).await;
    gone(sleeper).await;
}

async fn a_grandchild_is_gone_after_the_parent_has_left() {
    let mut role = Role::start("grandparent", &[]);
    let (runner, sleeper) = (role.next_pid().await, role.next_pid().await);
    assert_eq!(role.ended().await, Some(0));
    gone(runner).await;
    gone(sleeper).await;
}
