//! Runners that have too little of their core, and those that have nothing.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use flame_actors::{Cause, Error, Pool, remote};
use flame_tests::process::{Signal, is_alive, signal};
use flame_tests::{Entry, Journal, Runners, eventually, trials, until};
use libtest_mimic::Trial;
use tokio::task::JoinHandle;

use crate::harm::{LEASE, pid};
use crate::spinners::Spinners;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_runner_that_is_starved_of_its_core_is_not_lost,
        a_runner_that_is_stopped_again_and_again_for_less_than_its_lease_is_not_lost,
        a_runner_that_is_stopped_for_good_is_lost_on_time,
        a_runner_that_is_stopped_for_good_is_lost_on_time_on_a_busy_machine,
    ]
}

const SPINNERS: usize = 3;
/// What a loaded machine may add.
const SLACK: Duration = Duration::from_secs(3);

#[remote]
async fn stay(journal: Entry) {
    journal.note(format_args!("pid={}", std::process::id()));
    std::future::pending::<()>().await;
}

async fn staying(pool: &Pool) -> (u32, JoinHandle<Result<(), Error>>) {
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(stay(journal.entry())).timeout(Duration::from_secs(600)).into_future());
    (journal.pid("pid").await, call)
}

async fn a_runner_that_is_starved_of_its_core_is_not_lost() {
    let pool = Runners::Processes.start().await;
    let (runner, call) = staying(&pool).await;
    let spinners = Spinners::start(SPINNERS);
    spinners.starve(runner);
    tokio::time::sleep(5 * LEASE).await;
    assert!(spinners.are_alive());
    drop(spinners);
    assert!(!call.is_finished(), "{:?}", call.await);
    assert_eq!(pid(&pool).await, runner);
    call.abort();
    pool.shutdown().await;
}

/// In between it answers, and so is alive.
async fn a_runner_that_is_stopped_again_and_again_for_less_than_its_lease_is_not_lost() {
    let pool = Runners::Processes.start().await;
    let (runner, call) = staying(&pool).await;
    for round in 0..6 {
        signal(runner, Signal::SIGSTOP);
        tokio::time::sleep(3 * LEASE / 4).await;
        signal(runner, Signal::SIGCONT);
        assert_eq!(pid(&pool).await, runner, "in round {round}");
    }
    assert!(!call.is_finished(), "{:?}", call.await);
    call.abort();
    pool.shutdown().await;
}

async fn is_lost_on_time() {
    let pool = Runners::Processes.start().await;
    let (runner, call) = staying(&pool).await;
    let start = Instant::now();
    signal(runner, Signal::SIGSTOP);
    let err = eventually("the loss", call).await.unwrap().unwrap_err();
    let after = start.elapsed();
    assert!(matches!(err, Error::RunnerLost { cause: Cause::LeaseExpired, .. }), "{err}");
    assert!((LEASE / 2..LEASE + SLACK).contains(&after), "after {after:?}");
    until("the stopped process is killed", || !is_alive(runner)).await;
    pool.shutdown().await;
}

async fn a_runner_that_is_stopped_for_good_is_lost_on_time() {
    is_lost_on_time().await;
}

async fn a_runner_that_is_stopped_for_good_is_lost_on_time_on_a_busy_machine() {
    let _spinners = Spinners::on_all_cores();
    is_lost_on_time().await;
}
