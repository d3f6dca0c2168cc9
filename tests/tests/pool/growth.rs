//! Growth on demand, reuse, order, shrinking, `min`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use flame_actors::task;
use flame_tests::{Journal, Runners, eventually, everywhere, node, process, trials, until, within};
use libtest_mimic::Trial;

use crate::work::{distinct, finish, holders, started, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        it_grows_on_demand_up_to_max,
        slots_are_filled_before_it_grows,
        warm_runners_are_used_again,
        waiting_calls_start_in_the_order_in_which_they_came,
        it_grows_again_after_it_has_shrunk,
        a_pool_that_never_shrinks_works,
        a_pool_that_shrinks_at_once_works,
    ];
    trials.extend(trials![
        nothing_boots_before_it_is_needed,
        it_shrinks_to_nothing_when_idle,
        it_shrinks_to_min_when_idle,
        busy_runners_do_not_shrink,
        min_is_booted_at_the_start,
        min_is_repaired_after_a_loss,
    ]);
    trials
}

async fn it_grows_on_demand_up_to_max(on: Runners) {
    let pool = on.pool().max(3).max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 5);
    until("three run", || started(&journal) == 3).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(started(&journal), 3, "two wait");
    assert_eq!(distinct(&journal, "on=").len(), 3);
    if on != Runners::InProcess {
        assert_eq!(distinct(&journal, "pid=").len(), 3);
    }
    finish(&journal, calls).await;
    assert_eq!(distinct(&journal, "on=").len(), 3, "the two that waited ran on warm runners");
    pool.shutdown().await;
}

async fn slots_are_filled_before_it_grows(on: Runners) {
    let pool = on.pool().max(3).max_concurrency(2).start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 4);
    until("four run", || started(&journal) == 4).await;
    assert_eq!(distinct(&journal, "on=").len(), 2);
    finish(&journal, calls).await;
    pool.shutdown().await;
}

async fn warm_runners_are_used_again(on: Runners) {
    let pool = on.pool().max(5).start(&node()).await.unwrap();
    let first = pool.call(whereabouts()).await.unwrap();
    for _ in 0..20 {
        assert_eq!(pool.call(whereabouts()).await.unwrap(), first);
    }
    pool.shutdown().await;
}

async fn waiting_calls_start_in_the_order_in_which_they_came(on: Runners) {
    const CALLS: usize = 30;
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let mut calls: Vec<_> = (0..CALLS)
        .map(|n| {
            let (journal, name) = (journal.entry(), format!("call {n}"));
            let work = task!([journal: flame_tests::Entry, name: String] { journal.note(&name) });
            Box::pin(pool.call(work))
        })
        .collect();
    // Each takes its place in the queue at its first poll.
    for call in &mut calls {
        assert!(futures_util::poll!(call).is_pending());
    }
    for call in futures_util::future::join_all(calls).await {
        call.unwrap();
    }
    assert_eq!(journal.lines(), (0..CALLS).map(|n| format!("call {n}")).collect::<Vec<_>>());
    pool.shutdown().await;
}

async fn nothing_boots_before_it_is_needed() {
    let spy = flame_tests::Spy::default();
    let pool = Runners::Processes.pool().backend(spy.clone()).start(&node()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(spy.invitations().len(), 0);
    pool.call(whereabouts()).await.unwrap();
    assert_eq!(spy.invitations().len(), 1);
    pool.shutdown().await;
}

async fn it_shrinks_to_nothing_when_idle() {
    let idle = Duration::from_millis(500);
    let pool = Runners::Processes.pool().idle_shutdown_after(idle).start(&node()).await.unwrap();
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    let start = Instant::now();
    until("the process is gone", || !process::is_alive(pid)).await;
    assert!(start.elapsed() + Duration::from_millis(100) >= idle, "after {:?} only", start.elapsed());
    pool.shutdown().await;
}

async fn it_shrinks_to_min_when_idle() {
    let idle = Duration::from_millis(300);
    let pool = Runners::Processes.pool().min(1).max(3).max_concurrency(1).idle_shutdown_after(idle);
    let pool = pool.start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 3);
    until("three run", || started(&journal) == 3).await;
    let pids: Vec<u32> = distinct(&journal, "pid=").iter().map(|pid| pid.parse().unwrap()).collect();
    finish(&journal, calls).await;
    let alive = || pids.iter().filter(|pid| process::is_alive(**pid)).count();
    until("one is left", || alive() == 1).await;
    tokio::time::sleep(3 * idle).await;
    assert_eq!(alive(), 1);
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    assert!(pids.contains(&pid) && process::is_alive(pid));
    pool.shutdown().await;
}

async fn busy_runners_do_not_shrink() {
    let idle = Duration::from_millis(100);
    let pool = Runners::Processes.pool().idle_shutdown_after(idle).start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 1);
    let pid = journal.pid("pid").await;
    tokio::time::sleep(10 * idle).await;
    assert!(process::is_alive(pid));
    finish(&journal, calls).await;
    pool.shutdown().await;
}

async fn it_grows_again_after_it_has_shrunk(on: Runners) {
    let idle = Duration::from_millis(50);
    let pool = on.pool().shutdown_timeout(Duration::from_millis(200)).idle_shutdown_after(idle);
    let pool = pool.start(&node()).await.unwrap();
    let (_, first) = pool.call(whereabouts()).await.unwrap();
    // Calls all the while: some meet a runner that is just leaving, and none may fail.
    let start = Instant::now();
    let mut seen = HashSet::from([first]);
    while seen.len() < 3 {
        let (_, now) =
            eventually("a call", pool.call(whereabouts())).await.expect("a call that meets a leaving runner");
        seen.insert(now);
        assert!(start.elapsed() < Duration::from_secs(30), "it does not shrink");
        tokio::time::sleep(Duration::from_millis(seen.len() as u64 * 10 + 40)).await;
    }
    pool.shutdown().await;
}

async fn a_pool_that_never_shrinks_works(on: Runners) {
    let pool = on.pool().idle_shutdown_after(Duration::MAX).start(&node()).await.unwrap();
    let first = eventually("a call", pool.call(whereabouts())).await.unwrap();
    assert_eq!(eventually("a call", pool.call(whereabouts())).await.unwrap(), first);
    eventually("the shutdown", pool.shutdown()).await;
}

/// Or it is refused, with the option's name.
async fn a_pool_that_shrinks_at_once_works(on: Runners) {
    match on.pool().idle_shutdown_after(Duration::ZERO).start(&node()).await {
        Ok(pool) => {
            for _ in 0..3 {
                eventually("a call", pool.call(whereabouts())).await.unwrap();
            }
            pool.shutdown().await;
        }
        Err(err) => assert!(err.to_string().contains("idle_shutdown_after"), "{err}"),
    }
}

async fn min_is_booted_at_the_start() {
    let spy = flame_tests::Spy::default();
    let pool = Runners::Processes.pool().min(2).max(3).backend(spy.clone()).start(&node()).await.unwrap();
    until("two processes", || spy.pids().len() == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(spy.invitations().len(), 2);
    pool.shutdown().await;
}

async fn min_is_repaired_after_a_loss() {
    let spy = flame_tests::Spy::default();
    let pool = Runners::Processes.pool().min(1).backend(spy.clone()).start(&node()).await.unwrap();
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    process::kill(pid);
    // Nobody calls: the loss alone boots another, and that one then serves. (Other trials of this process boot
    // runners meanwhile, so only the pool's own backend can tell.)
    within(Duration::from_secs(30), "a new runner", || spy.invitations().len() == 2).await;
    let (now, _) = pool.call(whereabouts()).await.unwrap();
    assert_ne!(now, pid);
    pool.shutdown().await;
}
