//! The end of a pool.

use std::time::{Duration, Instant};

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use flame_actors::{Error, LocalMessage, Pool, task};
use flame_local::ProcessBackend;
use flame_tests::{AFTER_SERVE, Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::work::{take, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_shutdown_of_an_idle_pool_does_not_take_long,
        a_shutdown_lets_running_work_end,
        a_shutdown_aborts_what_takes_too_long,
        who_waits_for_a_slot_learns_that_the_pool_is_closed,
        a_closed_pool_takes_no_work,
        two_shutdowns_at_once_both_end,
        a_pool_ends_with_its_supervisor,
        a_shutdown_that_the_end_of_the_supervisor_overtakes_leaves_nothing_behind,
        a_shutdown_after_the_end_of_the_supervisor_waits_for_the_runners,
        a_pool_under_a_dead_supervisor_is_refused_or_ends,
        the_longest_shutdown_timeout_works,
    ];
    trials.extend(trials![
        after_the_shutdown_the_processes_are_gone,
        a_shutdown_ends_a_runner_that_is_blocked,
        the_application_has_time_after_it_has_served,
        what_a_task_started_is_gone_after_the_shutdown,
    ]);
    trials
}

/// There is nothing to wait for, so it does not wait for `shutdown_timeout`.
async fn a_shutdown_of_an_idle_pool_does_not_take_long(on: Runners) {
    let pool = on.pool().shutdown_timeout(Duration::from_secs(20)).start(&node()).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    let start = Instant::now();
    pool.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
}

async fn a_shutdown_lets_running_work_end(on: Runners) {
    let pool = on.pool().shutdown_timeout(Duration::from_secs(10)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(take(Duration::from_millis(700), journal.entry())));
    journal.value("started").await;
    pool.shutdown().await;
    assert!(journal.has("done"), "{:?}", journal.lines());
    call.await.unwrap().expect("its result came back");
}

async fn a_shutdown_aborts_what_takes_too_long(on: Runners) {
    let grace = Duration::from_millis(500);
    let pool = on.pool().shutdown_timeout(grace).start(&node()).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(take(Duration::from_secs(600), journal.entry())));
    journal.value("started").await;
    let start = Instant::now();
    pool.shutdown().await;
    assert!(start.elapsed() >= grace, "the work had {:?}", start.elapsed());
    let err = eventually("the end of the call", call).await.unwrap().unwrap_err();
    assert!(matches!(err, Error::RunnerLost { .. } | Error::Cancelled(_)), "{err}");
    if on == Runners::InProcess {
        journal.wait_for("dropped").await;
    }
    assert!(!journal.has("done"));
}

async fn who_waits_for_a_slot_learns_that_the_pool_is_closed(on: Runners) {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let running = tokio::spawn(pool.call(take(Duration::from_millis(500), journal.entry())));
    journal.value("started").await;
    let mut waiting = Box::pin(pool.call(whereabouts()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let shutdown = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown().await }
    });
    let err = eventually("the one that waits is told", waiting).await.unwrap_err();
    assert!(matches!(&err, Error::PoolClosed { pool: name } if name == pool.name()), "{err}");
    running.await.unwrap().expect("it had the time");
    shutdown.await.unwrap();
}

async fn a_closed_pool_takes_no_work(on: Runners) {
    let pool = on.start().await;
    pool.shutdown().await;
    let closed = |err: Error| matches!(&err, Error::PoolClosed { .. });
    assert!(closed(pool.call(whereabouts()).await.unwrap_err()));
    assert!(closed(pool.cast(whereabouts()).await.unwrap_err()));
    eventually("a second shutdown", pool.shutdown()).await;
}

async fn two_shutdowns_at_once_both_end(on: Runners) {
    let pool = on.start().await;
    pool.call(whereabouts()).await.unwrap();
    eventually("both", async { tokio::join!(pool.shutdown(), pool.shutdown()) }).await;
}

async fn after_the_shutdown_the_processes_are_gone() {
    let pool = Runners::Processes.pool().max(3).max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls: Vec<_> =
        (0..3).map(|_| tokio::spawn(pool.call(take(Duration::from_millis(500), journal.entry())))).collect();
    let pids = || -> Vec<u32> {
        journal
            .lines()
            .iter()
            .filter_map(|line| line.strip_prefix("started="))
            .map(|pid| pid.parse().unwrap())
            .collect()
    };
    until("three run", || pids().len() == 3).await;
    pool.shutdown().await;
    assert_eq!(pids().iter().filter(|pid| process::is_alive(**pid)).count(), 0);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

async fn a_shutdown_ends_a_runner_that_is_blocked() {
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_secs(1)).start(&node()).await.unwrap();
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    for _ in 0..4 {
        pool.cast(task!([] { std::thread::sleep(Duration::from_secs(600)) })).await.unwrap();
    }
    eventually("the shutdown", pool.shutdown()).await;
    assert!(!process::is_alive(pid));
}

/// It may have buffers to flush: `serve` returns, and `main` goes on within `shutdown_timeout`.
async fn the_application_has_time_after_it_has_served() {
    let journal = Journal::new();
    let backend = ProcessBackend::new().env(AFTER_SERVE, journal.entry().path());
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_secs(5)).backend(backend);
    let pool = pool.start(&node()).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    pool.shutdown().await;
    assert!(journal.has("left"), "it was killed right after `serve`");
}

async fn what_a_task_started_is_gone_after_the_shutdown() {
    let pool = Runners::Processes.start().await;
    let sleeper = pool
        .call(task!([] -> u32 {
            std::process::Command::new("sleep").arg("1000").spawn().expect("there is a sleep").id()
        }))
        .await
        .unwrap();
    assert!(process::is_alive(sleeper));
    pool.shutdown().await;
    until("what the task started is gone", || !process::is_alive(sleeper)).await;
}

struct Supervisor;

#[derive(LocalMessage)]
struct Nothing;

impl Actor for Supervisor {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

async fn a_pool_ends_with_its_supervisor(on: Runners) {
    let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await.unwrap();
    let pool = on.pool().linked_to(&supervisor).start(&node()).await.unwrap();
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    supervisor.stop_and_wait(None, None).await.unwrap();
    until("the pool is closed", || Pool::named(pool.name()).is_none()).await;
    let err = pool.call(whereabouts()).await.unwrap_err();
    assert!(matches!(err, Error::PoolClosed { .. }), "{err}");
    if on != Runners::InProcess {
        until("its process is gone", || !process::is_alive(pid)).await;
    }
}

/// Killed in the middle of it, the pool's actor leaves the rest to others.
async fn a_shutdown_that_the_end_of_the_supervisor_overtakes_leaves_nothing_behind(on: Runners) {
    let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await.unwrap();
    let pool = on.pool().shutdown_timeout(Duration::from_millis(500)).linked_to(&supervisor);
    let pool = pool.start(&node()).await.unwrap();
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    let journal = Journal::new();
    pool.cast(take(Duration::from_secs(600), journal.entry())).await.unwrap();
    journal.value("started").await;
    let mut events = pool.events();
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(futures_util::poll!(&mut shutdown).is_pending());
    until("the shutdown is under way", || pool.status().closed).await;
    supervisor.kill();
    eventually("the shutdown", shutdown).await;
    assert_eq!(pool.status().runners, []);
    while eventually("the end of its events", events.next()).await.is_some() {}
    assert!(on == Runners::InProcess || !process::is_alive(pid));
}

async fn a_shutdown_after_the_end_of_the_supervisor_waits_for_the_runners(on: Runners) {
    let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await.unwrap();
    let pool = on.pool().linked_to(&supervisor).start(&node()).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(take(Duration::from_millis(500), journal.entry())));
    journal.value("started").await;
    supervisor.stop_and_wait(None, None).await.unwrap();
    eventually("the shutdown", pool.shutdown()).await;
    assert!(journal.has("done"), "its work had the time that a shutdown gives");
    assert_eq!(pool.status().runners, []);
    call.await.unwrap().unwrap();
}

async fn a_pool_under_a_dead_supervisor_is_refused_or_ends(on: Runners) {
    let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await.unwrap();
    supervisor.stop_and_wait(None, None).await.unwrap();
    match eventually("the start", on.pool().min(1).linked_to(&supervisor).start(&node())).await {
        Err(err) => assert!(err.to_string().contains("linked_to"), "{err}"),
        Ok(pool) => {
            until("the pool is closed", || pool.status().closed).await;
            eventually("the shutdown", pool.shutdown()).await;
        }
    }
}

async fn the_longest_shutdown_timeout_works(on: Runners) {
    let pool = on.pool().shutdown_timeout(Duration::MAX).start(&node()).await.unwrap();
    let (pid, _) = eventually("a call", pool.call(whereabouts())).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(take(Duration::from_millis(500), journal.entry())));
    journal.value("started").await;
    eventually("the shutdown", pool.shutdown()).await;
    call.await.unwrap().expect("the work had its time");
    assert!(on == Runners::InProcess || !process::is_alive(pid), "its process is still there");
}
