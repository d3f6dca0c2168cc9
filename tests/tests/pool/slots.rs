//! Which runner gets the work, slots kept ahead of it, and how many may wait for one.

use std::collections::HashMap;
use std::time::Duration;

use flame_actors::ractor::call;
use flame_actors::{Candidate, Error, MostLoaded, Pool};
use flame_tests::{Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::work::{Child, ChildMsg, finish, hold, holders, idle_runners, let_go, started, status, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        work_is_spread_over_the_least_loaded_runners,
        most_loaded_concentrates_the_work_so_that_the_others_go,
        a_placement_of_ones_own_decides,
        free_slots_are_kept_ahead_of_demand,
        a_placed_child_keeps_its_runner,
        one_caller_more_than_may_wait_is_refused,
    ];
    trials.extend(trials![
        a_placement_that_panics_harms_nobody,
        as_many_spare_slots_as_max_allows,
        as_many_slots_as_one_can_say,
        a_child_on_a_lost_runner_gives_its_slot_back,
    ]);
    trials
}

async fn warm(on: Runners, pool: impl FnOnce(flame_actors::PoolBuilder) -> flame_actors::PoolBuilder) -> Pool {
    let pool = pool(on.pool().max_concurrency(4)).start(&node()).await.unwrap();
    let min = pool.status().min;
    idle_runners(&pool, min).await;
    pool
}

/// How many of these calls run where.
async fn loads(pool: &Pool, journal: &Journal, calls: usize) -> Vec<usize> {
    until("all run", || started(journal) == calls).await;
    let mut loads: Vec<_> = pool.status().runners.iter().map(|runner| runner.slots_used).collect();
    loads.sort_unstable();
    loads
}

async fn work_is_spread_over_the_least_loaded_runners(on: Runners) {
    let pool = warm(on, |pool| pool.min(3).max(3)).await;
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 7);
    assert_eq!(loads(&pool, &journal, 7).await, [2, 2, 3]);
    finish(&journal, calls).await;
    pool.shutdown().await;
}

async fn most_loaded_concentrates_the_work_so_that_the_others_go(on: Runners) {
    let pool = warm(on, |pool| pool.min(3).max(3).placement(MostLoaded)).await;
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 5);
    assert_eq!(loads(&pool, &journal, 5).await, [0, 1, 4]);
    finish(&journal, calls).await;
    pool.shutdown().await;
}

/// The runner of the last name, as long as that has less than three calls.
async fn a_placement_of_ones_own_decides(on: Runners) {
    let last = |runner: &Candidate<'_>| {
        assert_eq!(runner.slots(), 4);
        if runner.used() >= 3 {
            return u64::MAX;
        }
        let digits = runner.node().bytes().rev().take(7).enumerate();
        u64::MAX - digits.map(|(place, byte)| u64::from(byte) << (8 * place)).sum::<u64>() - 1
    };
    let pool = warm(on, |pool| pool.min(3).max(3).placement(last)).await;
    let mut names: Vec<_> = pool.status().runners.into_iter().map(|runner| runner.node).collect();
    names.sort_by_key(|name| name.as_bytes()[name.len() - 7..].to_vec());
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 5);
    until("all run", || started(&journal) == 5).await;
    let used: HashMap<_, _> =
        pool.status().runners.into_iter().map(|runner| (runner.node, runner.slots_used)).collect();
    assert_eq!(names.iter().map(|name| used[name]).collect::<Vec<_>>(), [0, 2, 3]);
    finish(&journal, calls).await;
    pool.shutdown().await;
}

async fn a_placement_that_panics_harms_nobody() {
    let panics = |_: &Candidate<'_>| -> u64 { std::panic::resume_unwind(Box::new("no rank")) };
    let pool = warm(Runners::InProcess, |pool| pool.max(2).placement(panics)).await;
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 5);
    until("all run", || started(&journal) == 5).await;
    finish(&journal, calls).await;
    idle_runners(&pool, 2).await;
    pool.shutdown().await;
}

async fn free_slots_are_kept_ahead_of_demand(on: Runners) {
    let idle = Duration::from_millis(50);
    let pool = on.pool().max(3).max_concurrency(2).buffer(2).idle_shutdown_after(idle).start(&node()).await.unwrap();
    idle_runners(&pool, 1).await;
    let journal = Journal::new();
    let mut calls = holders(&pool, &journal, 1);
    status(&pool, "a second runner, ahead of demand", |status| status.runners.len() == 2).await;
    calls.extend(holders(&pool, &journal, 2));
    status(&pool, "a third", |status| status.runners.len() == 3).await;
    until("all run", || started(&journal) == 3).await;
    calls.extend(holders(&pool, &journal, 3));
    until("all run, as max allows", || started(&journal) == 6).await;
    finish(&journal, calls).await;
    // The others go for being idle, this one stays.
    idle_runners(&pool, 1).await;
    tokio::time::sleep(5 * idle).await;
    idle_runners(&pool, 1).await;
    pool.shutdown().await;
}

async fn as_many_spare_slots_as_max_allows() {
    let pool = Runners::InProcess.pool().max(2).max_concurrency(1).buffer(usize::MAX);
    let pool = pool.start(&node()).await.unwrap();
    idle_runners(&pool, 2).await;
    let (calls, more) = (Journal::new(), Journal::new());
    let holders = holders(&pool, &calls, 2);
    let waits = tokio::spawn(pool.call(hold(more.entry(), "waits".to_owned())));
    status(&pool, "one waits", |status| status.waiting == 1).await;
    finish(&calls, holders).await;
    let_go(&more.entry());
    eventually("the one that waits", waits).await.unwrap().unwrap();
    pool.shutdown().await;
}

/// No bound, in other words.
async fn as_many_slots_as_one_can_say() {
    let pool = Runners::InProcess.pool().min(3).max(usize::MAX).max_concurrency(usize::MAX).buffer(1);
    let pool = pool.start(&node()).await.unwrap();
    idle_runners(&pool, 3).await;
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 9);
    assert_eq!(loads(&pool, &journal, 9).await, [3, 3, 3]);
    finish(&journal, calls).await;
    idle_runners(&pool, 3).await;
    pool.shutdown().await;
}

async fn one_caller_more_than_may_wait_is_refused(on: Runners) {
    let pool = on.pool().max_concurrency(1).max_waiting(2).start(&node()).await.unwrap();
    let journal = Journal::new();
    // Two wait for the boot.
    let calls = holders(&pool, &journal, 2);
    status(&pool, "two wait or run", |status| status.waiting + status.runners.len() >= 2).await;
    until("one runs", || started(&journal) == 1).await;
    let waits = tokio::spawn(pool.call(hold(journal.entry(), "waits".to_owned())));
    status(&pool, "two wait", |status| status.waiting == 2).await;
    let full = Error::PoolFull { pool: pool.name().to_owned(), waiting: 2 };
    assert_eq!(pool.call(whereabouts()).await.unwrap_err(), full);
    assert_eq!(pool.cast(whereabouts()).await.unwrap_err(), full);
    assert_eq!(pool.place_child(Child, journal.entry()).await.map(drop).unwrap_err(), full);
    assert_eq!(pool.status().waiting, 2);
    waits.abort();
    status(&pool, "one wait", |status| status.waiting == 1).await;
    pool.cast(whereabouts()).await.expect("there is a place again");
    finish(&journal, calls).await;
    idle_runners(&pool, 1).await;
    pool.shutdown().await;
}

/// One slot for each: there is a runner for the child and one for the call.
async fn a_placed_child_keeps_its_runner(on: Runners) {
    let idle = Duration::from_millis(50);
    let pool = on.pool().max(2).max_concurrency(1).idle_shutdown_after(idle).start(&node()).await.unwrap();
    let journal = Journal::new();
    let child = pool.place_child(Child, journal.entry()).await.unwrap();
    let its = call!(child, ChildMsg::Runner).unwrap();
    let (_, other) = pool.call(whereabouts()).await.unwrap();
    assert_ne!(other, its);
    status(&pool, "the other one goes", |status| status.runners.len() == 1).await;
    tokio::time::sleep(5 * idle).await;
    assert_eq!(call!(child, ChildMsg::Runner).unwrap(), its);
    child.stop(None);
    idle_runners(&pool, 0).await;
    pool.shutdown().await;
}

async fn a_child_on_a_lost_runner_gives_its_slot_back() {
    let pool = Runners::Processes.pool().max_concurrency(2).start(&node()).await.unwrap();
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    let child = pool.place_child(Child, Journal::new().entry()).await.unwrap();
    assert_eq!(pool.status().runners[0].slots_used, 1);
    process::kill(pid);
    eventually("the end of its ref", child.wait(None)).await.unwrap();
    idle_runners(&pool, 0).await;
    pool.call(whereabouts()).await.unwrap();
    idle_runners(&pool, 1).await;
    pool.shutdown().await;
}
