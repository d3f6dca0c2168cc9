//! Timeouts, dropped calls, and the slots that they give back.

use std::time::{Duration, Instant};

use flame_actors::{Error, Event, Events, Leave, Pool, Stage, task};
use flame_tests::{Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::tasks::{block, hang, take, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_task_past_its_deadline_is_aborted,
        the_pools_timeout_bounds_a_call,
        a_call_without_a_slot_times_out_waiting,
        the_boot_timeout_bounds_waiting,
        a_dropped_call_is_aborted,
        a_dropped_call_that_waits_takes_no_slot,
        an_unlinked_call_survives_its_caller,
        a_cast_has_no_deadline_unless_given,
        the_longest_timeout_is_no_timeout,
        a_slot_comes_back_after_each_kind_of_end,
        slots_survive_a_storm_of_dropped_calls,
    ];
    trials.extend(trials![
        a_task_that_never_yields_costs_its_runner,
        a_task_that_never_yields_costs_its_runner_when_its_caller_has_gone,
        an_unlinked_task_that_never_yields_costs_its_runner_after_its_deadline,
    ]);
    trials
}

/// Its own timeout is longer than any patience here, so that it ends nothing in place of what is tried.
async fn one_slot(on: Runners) -> Pool {
    on.pool().max_concurrency(1).timeout(Duration::from_secs(300)).start(&node()).await.unwrap()
}

fn assert_ran_out(err: &Error, stage: Stage, after: Duration) {
    match err {
        Error::Timeout { stage: found, after: bound, .. } => assert_eq!((*found, *bound), (stage, after), "{err}"),
        other => panic!("{other}"),
    }
}

async fn a_task_past_its_deadline_is_aborted(on: Runners) {
    let pool = one_slot(on).await;
    pool.call(whereabouts()).await.unwrap();
    let journal = Journal::new();
    let limit = Duration::from_millis(300);
    let err = pool.call(hang(journal.entry())).timeout(limit).await.unwrap_err();
    assert_ran_out(&err, Stage::Running, limit);
    journal.wait_for("dropped").await;
    pool.call(whereabouts()).await.expect("the slot is free again");
    pool.shutdown().await;
}

async fn the_pools_timeout_bounds_a_call(on: Runners) {
    let limit = Duration::from_millis(400);
    let pool = on.pool().timeout(limit).start(&node()).await.unwrap();
    let journal = Journal::new();
    let err = pool.call(hang(journal.entry())).await.unwrap_err();
    assert_ran_out(&err, Stage::Running, limit);
    journal.wait_for("dropped").await;
    pool.shutdown().await;
}

async fn a_call_without_a_slot_times_out_waiting(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let holder = tokio::spawn(pool.call(hang(journal.entry())));
    journal.value("started").await;
    let limit = Duration::from_millis(200);
    let err = pool.call(whereabouts()).timeout(limit).await.unwrap_err();
    assert_ran_out(&err, Stage::Waiting, limit);
    assert!(err.to_string().contains(pool.name()) && err.to_string().contains("1 of 1"), "{err}");
    holder.abort();
    pool.call(whereabouts()).await.unwrap();
    pool.shutdown().await;
}

async fn the_boot_timeout_bounds_waiting(on: Runners) {
    let limit = Duration::from_secs(3);
    let pool = on.pool().max_concurrency(1).boot_timeout(limit).start(&node()).await.unwrap();
    let journal = Journal::new();
    let holder = tokio::spawn(pool.call(hang(journal.entry())));
    journal.value("started").await;
    let start = Instant::now();
    assert_ran_out(&pool.call(whereabouts()).await.unwrap_err(), Stage::Waiting, limit);
    assert!(start.elapsed() >= limit);
    holder.abort();
    pool.shutdown().await;
}

async fn a_dropped_call_is_aborted(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hang(journal.entry())));
    journal.value("started").await;
    call.abort();
    journal.wait_for("dropped").await;
    pool.call(whereabouts()).await.expect("the slot is free again");
    pool.shutdown().await;
}

async fn a_dropped_call_that_waits_takes_no_slot(on: Runners) {
    let pool = one_slot(on).await;
    let (first, waiting) = (Journal::new(), Journal::new());
    let holder = tokio::spawn(pool.call(hang(first.entry())));
    first.value("started").await;
    let mut call = Box::pin(pool.call(hang(waiting.entry())));
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    holder.abort();
    pool.call(whereabouts()).await.unwrap();
    assert_eq!(waiting.lines(), [""; 0]);
    pool.shutdown().await;
}

async fn an_unlinked_call_survives_its_caller(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(take(Duration::from_millis(300), journal.entry())).link(false));
    journal.value("started").await;
    call.abort();
    journal.wait_for("done").await;
    pool.call(whereabouts()).await.expect("the slot is free again");
    pool.shutdown().await;
}

async fn a_cast_has_no_deadline_unless_given(on: Runners) {
    let pool = on.pool().timeout(Duration::from_millis(100)).start(&node()).await.unwrap();
    let (without, with) = (Journal::new(), Journal::new());
    pool.cast(take(Duration::from_secs(1), without.entry())).await.unwrap();
    without.value("started").await;
    pool.cast(hang(with.entry())).timeout(Duration::from_millis(500)).await.unwrap();
    with.wait_for("dropped").await;
    without.wait_for("done").await;
    pool.shutdown().await;
}

async fn the_longest_timeout_is_no_timeout(on: Runners) {
    let pool = on.pool().timeout(Duration::MAX).boot_timeout(Duration::MAX).start(&node()).await.unwrap();
    eventually("a call", pool.call(whereabouts())).await.unwrap();
    eventually("a call", pool.call(whereabouts()).timeout(Duration::MAX)).await.unwrap();
    eventually("a call", pool.call(whereabouts()).timeout(Duration::from_secs(u64::MAX / 3))).await.unwrap();
    pool.shutdown().await;
}

/// One runner with one slot: a slot that is lost stops everything.
async fn a_slot_comes_back_after_each_kind_of_end(on: Runners) {
    let pool = one_slot(on).await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    pool.call(task!([] -> u32 { panic!("oh") })).await.unwrap_err();
    pool.call(hang(Journal::new().entry())).timeout(Duration::from_millis(50)).await.unwrap_err();
    drop(pool.call(whereabouts()).timeout(Duration::from_nanos(1)).await);
    pool.cast(task!([] -> u32 { panic!("oh") })).await.unwrap();
    pool.cast(hang(Journal::new().entry())).timeout(Duration::from_millis(50)).await.unwrap();
    for polls in 0..6 {
        let mut call = Box::pin(pool.call(task!([] { tokio::task::yield_now().await })));
        for _ in 0..polls {
            if futures_util::poll!(&mut call).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let (_, now) = eventually("a slot", pool.call(whereabouts())).await.unwrap();
    assert_eq!(now, runner);
    pool.shutdown().await;
}

/// Calls that end at every moment, by every means, from many tasks: all slots are there afterwards.
async fn slots_survive_a_storm_of_dropped_calls(on: Runners) {
    let pool = on.pool().max_concurrency(3).start(&node()).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    let storm: Vec<_> = (0..400_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let work = task!([n: u64] { tokio::time::sleep(Duration::from_micros(n * 37 % 900)).await });
                let patience = Duration::from_micros(n * 101 % 3000);
                if n % 3 == 0 {
                    drop(pool.call(work).timeout(patience + Duration::from_micros(1)).await);
                } else {
                    drop(tokio::time::timeout(patience, pool.call(work)).await);
                }
            })
        })
        .collect();
    for one in storm {
        one.await.unwrap();
    }
    // All three slots at once.
    let journal = Journal::new();
    let holders: Vec<_> = (0..3).map(|_| tokio::spawn(pool.call(hang(journal.entry())))).collect();
    let started = || journal.lines().iter().filter(|line| line.starts_with("started")).count();
    until("three tasks run at once", || started() == 3).await;
    holders.iter().for_each(tokio::task::JoinHandle::abort);
    pool.shutdown().await;
}

/// The caller has its timeout at once, the runner goes after `shutdown_timeout` more, and the next call has another.
async fn a_task_that_never_yields_costs_its_runner() {
    let grace = Duration::from_secs(1);
    let pool = Runners::Processes.pool().max_concurrency(1).shutdown_timeout(grace).start(&node()).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    let (journal, events) = (Journal::new(), pool.events());
    let limit = Duration::from_millis(300);
    let start = Instant::now();
    let err = pool.call(block(Duration::from_secs(600), journal.entry())).timeout(limit).await.unwrap_err();
    assert_ran_out(&err, Stage::Running, limit);
    assert!(start.elapsed() < limit + Duration::from_secs(1), "the caller waited {:?}", start.elapsed());
    let stuck = journal.pid("started").await;
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    assert_ne!(pid, stuck);
    assert!(start.elapsed() >= limit + grace, "the runner had no grace: {:?}", start.elapsed());
    until("the runner is gone", || !process::is_alive(stuck)).await;
    pool.shutdown().await;
    assert_eq!(left(events).await, [Leave::Stuck], "that is told");
}

/// Why runners were sent away, up to the end of the pool.
async fn left(mut events: Events) -> Vec<Leave> {
    let mut left = Vec::new();
    while let Some(event) = events.next().await {
        left.extend(if let Event::Shrunk { why, .. } = event { Some(why) } else { None });
    }
    left
}

/// Blocks a runner by a call with this link, whose caller then goes; returns when the runner has gone.
async fn abandon(linked: bool, limit: Duration) -> Duration {
    let grace = Duration::from_millis(500);
    let pool = Runners::Processes.pool().max_concurrency(1).shutdown_timeout(grace).start(&node()).await.unwrap();
    let (journal, events) = (Journal::new(), pool.events());
    let start = Instant::now();
    let call = pool.call(block(Duration::from_secs(600), journal.entry())).link(linked).timeout(limit);
    let call = tokio::spawn(call);
    let stuck = journal.pid("started").await;
    call.abort();
    until("the runner is gone", || !process::is_alive(stuck)).await;
    let took = start.elapsed();
    assert_ne!(pool.call(whereabouts()).await.unwrap().0, stuck);
    pool.shutdown().await;
    assert_eq!(left(events).await, [Leave::Stuck]);
    took
}

async fn a_task_that_never_yields_costs_its_runner_when_its_caller_has_gone() {
    abandon(true, Duration::from_secs(600)).await;
}

async fn an_unlinked_task_that_never_yields_costs_its_runner_after_its_deadline() {
    let limit = Duration::from_secs(3);
    let took = abandon(false, limit).await;
    assert!(took >= limit, "it had {took:?}");
}
