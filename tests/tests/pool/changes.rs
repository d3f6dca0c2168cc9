//! Live changes: new bounds, growth that is paused, runners that are drained.

use std::time::Duration;

use flame_actors::{Error, Pool, PoolStatus, RunnerState, task};
use flame_tests::{Journal, Runners, Spy, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::scripted::{Scripted, Verdict};
use crate::work::{finish, holders, holding, idle_runners, let_go, started, status, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_greater_min_is_booted_at_once,
        a_greater_max_lets_those_in_who_wait,
        a_smaller_max_drains_the_least_busy_runners_and_harms_no_work,
        a_paused_pool_boots_nothing_until_growth_is_resumed,
        a_drained_runner_ends_its_work_and_gets_no_more,
        a_drained_runner_of_the_minimum_is_replaced,
        a_drain_that_is_dropped_goes_on,
    ];
    trials.extend(trials![
        runners_that_boot_while_max_shrinks_leave_when_they_are_up,
        bounds_that_cannot_work_change_nothing,
        boots_under_way_come_up_while_growth_is_paused,
        min_is_not_repaired_while_growth_is_paused,
        a_runner_that_nobody_has_cannot_be_drained,
        a_drained_process_is_gone_when_the_drain_returns,
        a_closed_pool_cannot_be_changed,
    ]);
    trials
}

fn used(status: &PoolStatus, node: &str) -> usize {
    status.runners.iter().find(|runner| runner.node == node).expect("the pool has it").slots_used
}

async fn a_greater_min_is_booted_at_once(on: Runners) {
    let pool = on.start().await;
    pool.resize(2, 3).unwrap();
    let now = idle_runners(&pool, 2).await;
    assert_eq!((now.min, now.max), (2, 3));
    pool.shutdown().await;
}

async fn a_greater_max_lets_those_in_who_wait(on: Runners) {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 3);
    status(&pool, "two wait", |status| status.waiting == 2 && status.runners.len() == 1).await;
    pool.resize(0, 3).unwrap();
    until("three run", || started(&journal) == 3).await;
    finish(&journal, calls).await;
    pool.shutdown().await;
}

/// Three runners with two, one and no calls.
async fn a_smaller_max_drains_the_least_busy_runners_and_harms_no_work(on: Runners) {
    let fill = |runner: &flame_actors::Candidate<'_>| (runner.slots() - runner.used()) as u64;
    let pool = on.pool().min(3).max(3).max_concurrency(2).placement(fill).start(&node()).await.unwrap();
    idle_runners(&pool, 3).await;
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 3);
    until("three calls run", || started(&journal) == 3).await;
    let before = pool.status();
    let mut loads: Vec<_> = before.runners.iter().map(|runner| (runner.slots_used, runner.node.clone())).collect();
    loads.sort();
    let [(0, idle), (1, busy), (2, busiest)] = &loads[..] else { panic!("{before:?}") };
    pool.resize(1, 1).unwrap();
    let now = status(&pool, "the idle one is gone", |status| status.runners.len() == 2).await;
    assert!(!now.runners.iter().any(|runner| runner.node == *idle), "{now:?}");
    let state = |node: &str| now.runners.iter().find(|runner| runner.node == node).unwrap().state;
    assert_eq!((state(busy), state(busiest)), (RunnerState::Draining, RunnerState::Busy));
    // There is no room for a fifth call on the one that is left.
    let more = tokio::spawn(pool.call(whereabouts()));
    status(&pool, "it waits", |status| status.waiting == 1).await;
    finish(&journal, calls).await;
    let (_, there) = eventually("the one that waits", more).await.unwrap().unwrap();
    assert_eq!(there, *busiest);
    idle_runners(&pool, 1).await;
    pool.shutdown().await;
}

async fn runners_that_boot_while_max_shrinks_leave_when_they_are_up() {
    let backend = Scripted::new([]);
    let pool = Runners::InProcess.pool().max(3).max_concurrency(1).backend(backend.clone());
    let pool = pool.start(&node()).await.unwrap();
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(pool.call(whereabouts()))).collect();
    until("three boots", || backend.boots() == 3).await;
    pool.resize(0, 1).unwrap();
    backend.say([Verdict::Up; 3]);
    for call in calls {
        eventually("a call", call).await.unwrap().unwrap();
    }
    idle_runners(&pool, 1).await;
    until("two are gone", || backend.destroyed() == 2).await;
    assert_eq!(backend.boots(), 3);
    pool.shutdown().await;
}

async fn bounds_that_cannot_work_change_nothing() {
    let pool = Runners::InProcess.pool().min(1).max(2).start(&node()).await.unwrap();
    let before = idle_runners(&pool, 1).await;
    for (min, max, option) in [(0, 0, "max"), (3, 2, "min")] {
        match pool.resize(min, max).unwrap_err() {
            Error::Config { option: named, .. } => {
                assert_eq!(named, format!("pool \"{}\": {option}", pool.name()));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(pool.status(), before);
    pool.shutdown().await;
}

async fn a_paused_pool_boots_nothing_until_growth_is_resumed(on: Runners) {
    let pool = on.start().await;
    pool.pause_growth().unwrap();
    let err = pool.call(whereabouts()).timeout(Duration::from_millis(200)).await.unwrap_err();
    assert!(err.to_string().contains("growth is paused"), "{err}");
    let waits = tokio::spawn(pool.call(whereabouts()));
    let now = status(&pool, "one waits", |status| status.waiting == 1).await;
    assert!(now.paused && now.runners.is_empty() && now.booting == 0, "{now:?}");
    pool.resume_growth().unwrap();
    assert!(!pool.status().paused);
    eventually("the one that waits", waits).await.unwrap().unwrap();
    pool.shutdown().await;
}

async fn boots_under_way_come_up_while_growth_is_paused() {
    let backend = Scripted::new([]);
    let pool = Runners::InProcess.pool().max(2).max_concurrency(1).backend(backend.clone());
    let pool = pool.start(&node()).await.unwrap();
    let call = tokio::spawn(pool.call(whereabouts()));
    until("a boot", || backend.boots() == 1).await;
    pool.pause_growth().unwrap();
    backend.say([Verdict::Up]);
    eventually("the call", call).await.unwrap().unwrap();
    pool.shutdown().await;
}

async fn min_is_not_repaired_while_growth_is_paused() {
    let spy = Spy::default();
    let pool = Runners::Processes.pool().min(1).backend(spy.clone()).start(&node()).await.unwrap();
    idle_runners(&pool, 1).await;
    pool.pause_growth().unwrap();
    process::kill(spy.pids()[0]);
    idle_runners(&pool, 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(spy.invitations().len(), 1);
    pool.resume_growth().unwrap();
    idle_runners(&pool, 1).await;
    pool.shutdown().await;
}

/// The only runner there may be: its successor comes when it is gone.
async fn a_drained_runner_ends_its_work_and_gets_no_more(on: Runners) {
    let pool = on.pool().max_concurrency(5).start(&node()).await.unwrap();
    let journal = Journal::new();
    let (runner, call) = holding(&pool, &journal).await;
    let drain = tokio::spawn({
        let (pool, runner) = (pool.clone(), runner.clone());
        async move { pool.drain(&runner).await }
    });
    let now = status(&pool, "it is drained", |status| status.runners[0].state == RunnerState::Draining).await;
    assert_eq!(used(&now, &runner), 1);
    let next = tokio::spawn(pool.call(whereabouts()));
    status(&pool, "the next call waits", |status| status.waiting == 1).await;
    assert!(!drain.is_finished());
    let_go(&journal.entry());
    assert_eq!(call.await.unwrap().unwrap(), runner);
    eventually("the drain", drain).await.unwrap().unwrap();
    let (_, other) = eventually("the next call", next).await.unwrap().unwrap();
    assert_ne!(other, runner);
    pool.shutdown().await;
}

async fn a_drained_runner_of_the_minimum_is_replaced(on: Runners) {
    let pool = on.pool().min(1).start(&node()).await.unwrap();
    let before = idle_runners(&pool, 1).await;
    eventually("the drain", pool.drain(&before.runners[0].node)).await.unwrap();
    assert!(!pool.status().runners.iter().any(|runner| runner.node == before.runners[0].node));
    let after = idle_runners(&pool, 1).await;
    assert_ne!(after.runners[0].node, before.runners[0].node);
    pool.shutdown().await;
}

async fn a_drain_that_is_dropped_goes_on(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let (runner, call) = holding(&pool, &journal).await;
    let mut drain = Box::pin(pool.drain(&runner));
    assert!(futures_util::poll!(&mut drain).is_pending());
    drop(drain);
    let_go(&journal.entry());
    call.await.unwrap().unwrap();
    idle_runners(&pool, 0).await;
    pool.shutdown().await;
}

async fn a_runner_that_nobody_has_cannot_be_drained() {
    let pool = Runners::InProcess.start().await;
    pool.call(whereabouts()).await.unwrap();
    let err = pool.drain("tests.nobody").await.unwrap_err();
    assert_eq!(err, Error::NoRunner { pool: pool.name().to_owned(), node: "tests.nobody".to_owned() });
    idle_runners(&pool, 1).await;
    pool.shutdown().await;
}

async fn a_drained_process_is_gone_when_the_drain_returns() {
    let pool = Runners::Processes.pool().max(2).max_concurrency(1).start(&node()).await.unwrap();
    let (pid, runner) = pool.call(whereabouts()).await.unwrap();
    // Two at once, and both wait for the end.
    let (one, two) = eventually("the drains", async { tokio::join!(pool.drain(&runner), pool.drain(&runner)) }).await;
    assert!(!process::is_alive(pid));
    assert_eq!(pool.status().runners, []);
    one.unwrap();
    two.unwrap();
    pool.shutdown().await;
}

async fn a_closed_pool_cannot_be_changed() {
    let pool: Pool = Runners::InProcess.start().await;
    pool.call(task!([] {})).await.unwrap();
    pool.shutdown().await;
    let closed = Err(Error::PoolClosed { pool: pool.name().to_owned() });
    assert_eq!(pool.resize(1, 1), closed);
    assert_eq!(pool.pause_growth(), closed);
    assert_eq!(pool.resume_growth(), closed);
    let status = pool.status();
    assert!(status.closed && status.runners.is_empty() && status.booting == 0 && status.waiting == 0, "{status:?}");
}
