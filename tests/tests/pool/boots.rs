//! Boots that fail.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flame_actors::{Error, Pool, task};
use flame_local::ProcessBackend;
use flame_tests::{
    BEFORE_START, BEHAVIOUR, Broken, Journal, Runners, Spy, WORDS, eventually, node, process, trials, until,
};
use libtest_mimic::Trial;

use crate::work::take;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        callers_learn_why_a_backend_cannot_boot,
        a_backend_that_fails_is_not_asked_all_the_time,
        a_runner_that_exits_before_it_joins_is_named_with_its_code,
        a_runner_that_exits_well_before_it_joins_is_an_error_too,
        what_a_runner_printed_before_it_exited_is_told,
        what_a_runner_printed_that_never_joins_is_told,
        what_a_runner_printed_that_joins_and_never_serves_is_told,
        a_runner_that_joins_and_never_serves_is_destroyed,
        a_runner_that_forgets_to_serve_boots_nothing_and_says_why,
        a_runner_that_never_joins_is_destroyed,
        a_cast_waits_for_a_boot_that_succeeds_later,
        a_pool_that_shuts_down_while_it_boots_leaves_nothing_behind,
        a_pool_that_shuts_down_at_any_moment_of_a_boot_leaves_nothing_behind,
    ]
}

const PATIENCE: Duration = Duration::from_secs(2);

fn misbehaving(behaviour: &str) -> ProcessBackend {
    ProcessBackend::new().env(BEHAVIOUR, behaviour)
}

async fn reason_of(pool: &Pool) -> String {
    match pool.call(task!([] {})).timeout(PATIENCE).await.unwrap_err() {
        Error::Boot { pool: name, attempts, reason } => {
            assert_eq!(name, pool.name());
            assert!(attempts >= 1);
            reason
        }
        other => panic!("{other}"),
    }
}

async fn callers_learn_why_a_backend_cannot_boot() {
    let pool = Runners::Processes.pool().backend(Broken::new("the quota is used up")).start(&node()).await.unwrap();
    let start = Instant::now();
    let reasons = futures_util::future::join_all((0..3).map(|_| reason_of(&pool))).await;
    assert!(reasons.iter().all(|reason| reason.contains("the quota is used up")), "{reasons:?}");
    assert!(start.elapsed() >= PATIENCE, "it may still have succeeded");
    pool.shutdown().await;
}

async fn a_backend_that_fails_is_not_asked_all_the_time() {
    let broken = Broken::new("no");
    let pool =
        Runners::Processes.pool().max(10).max_concurrency(1).backend(broken.clone()).start(&node()).await.unwrap();
    reason_of(&pool).await;
    let boots = broken.boots.load(Ordering::Relaxed);
    assert!((2..10).contains(&boots), "{boots} boots in {PATIENCE:?}");
    pool.shutdown().await;
}

async fn a_runner_that_exits_before_it_joins_is_named_with_its_code() {
    let pool = Runners::Processes.pool().backend(misbehaving("exit-3")).start(&node()).await.unwrap();
    let reason = reason_of(&pool).await;
    assert!(reason.contains("code 3"), "{reason}");
    pool.shutdown().await;
}

async fn a_runner_that_exits_well_before_it_joins_is_an_error_too() {
    let pool = Runners::Processes.pool().backend(misbehaving("exit-0")).start(&node()).await.unwrap();
    let reason = reason_of(&pool).await;
    assert!(reason.contains("code 0"), "{reason}");
    pool.shutdown().await;
}

async fn what_a_runner_printed_before_it_exited_is_told() {
    let backend = misbehaving("exit-3").env(WORDS, "the database\nis not there");
    let pool = Runners::Processes.pool().backend(backend).start(&node()).await.unwrap();
    let reason = reason_of(&pool).await;
    assert!(reason.contains("exited with code 3"), "{reason}");
    assert!(reason.ends_with("standard error ended with:\nthe database\nis not there"), "{reason}");
    pool.shutdown().await;
}

async fn told_when_the_time_is_up(backend: ProcessBackend, what: &str) {
    let backend = backend.env(WORDS, "waiting for the database");
    let pool = Runners::Processes.pool().boot_timeout(Duration::from_millis(1500)).backend(backend);
    let pool = pool.start(&node()).await.unwrap();
    let reason = reason_of(&pool).await;
    for part in [what, "within 1.5s", "is running", "waiting for the database"] {
        assert!(reason.contains(part), "\"{part}\" is not in: {reason}");
    }
    pool.shutdown().await;
}

async fn what_a_runner_printed_that_never_joins_is_told() {
    told_when_the_time_is_up(ProcessBackend::new().env(BEFORE_START, "600000"), "did not join").await;
}

async fn what_a_runner_printed_that_joins_and_never_serves_is_told() {
    told_when_the_time_is_up(misbehaving("never-serve"), "joined and did not serve").await;
}

async fn destroyed_in_time(spy: Spy, what: &str) {
    let pool = Runners::Processes.pool().boot_timeout(Duration::from_secs(2)).backend(spy.clone());
    let pool = pool.start(&node()).await.unwrap();
    let call = tokio::spawn(pool.call(task!([] {})).timeout(Duration::from_secs(4)));
    until("the process is there", || !spy.pids().is_empty()).await;
    let pid = spy.pids()[0];
    until("the process is gone", || !process::is_alive(pid)).await;
    let err = call.await.unwrap().unwrap_err();
    assert!(matches!(&err, Error::Boot { reason, .. } if reason.contains("2s") && reason.contains(what)), "{err}");
    pool.shutdown().await;
}

async fn a_runner_that_forgets_to_serve_boots_nothing_and_says_why() {
    let pool = Runners::Processes.pool().backend(misbehaving("forget-to-serve")).max(1).start(&node()).await.unwrap();
    let reason = reason_of(&pool).await;
    for words in ["serve: this process is a runner of pool", "node.is_runner()", "code 9"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }
    pool.shutdown().await;
}

async fn a_runner_that_joins_and_never_serves_is_destroyed() {
    destroyed_in_time(Spy::new(&[(BEHAVIOUR, "never-serve")]), "joined and did not serve").await;
}

async fn a_runner_that_never_joins_is_destroyed() {
    destroyed_in_time(Spy::new(&[(BEFORE_START, "600000")]), "did not join").await;
}

async fn a_cast_waits_for_a_boot_that_succeeds_later() {
    let backend = ProcessBackend::new().env(BEFORE_START, "500");
    let pool = Runners::Processes.pool().backend(backend).start(&node()).await.unwrap();
    let journal = Journal::new();
    pool.cast(take(Duration::ZERO, journal.entry())).await.unwrap();
    journal.wait_for("done").await;
    pool.shutdown().await;
}

/// When the shutdown has returned they are gone: this process could end now.
async fn a_pool_that_shuts_down_while_it_boots_leaves_nothing_behind() {
    let spy = Spy::new(&[(BEFORE_START, "600000")]);
    let pool = Runners::Processes.pool().max(3).max_concurrency(1).backend(spy.clone()).start(&node()).await.unwrap();
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(pool.call(task!([] {})))).collect();
    until("three processes boot", || spy.pids().len() == 3).await;
    let pids = spy.pids();
    eventually("the shutdown", pool.shutdown()).await;
    let left: Vec<_> = pids.iter().filter(|pid| process::is_alive(**pid)).collect();
    for call in calls {
        let err = eventually("the end of a call", call).await.unwrap().unwrap_err();
        assert!(matches!(err, Error::PoolClosed { .. }), "{err}");
    }
    assert!(left.is_empty(), "{} of {} processes outlive the shutdown", left.len(), pids.len());
}

/// Also when a runner comes up just then.
async fn a_pool_that_shuts_down_at_any_moment_of_a_boot_leaves_nothing_behind() {
    for pause in 0..40 {
        let spy = Spy::default();
        let pool = Runners::Processes.pool().min(2).max(2).backend(spy.clone()).start(&node()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2 * pause)).await;
        eventually("the shutdown", pool.shutdown()).await;
        let left = spy.pids();
        assert!(left.is_empty(), "{left:?} outlive a shutdown after {} ms", 2 * pause);
    }
}
