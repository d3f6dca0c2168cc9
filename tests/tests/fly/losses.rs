//! Runners whose machines end, and what their callers are told.

use std::time::Duration;

use flame_actors::{Backend as _, Cause, Error, Instance, remote};
use flame_tests::process::{Signal, kill, signal};
use flame_tests::{Entry, Journal, eventually, trials, until};
use libtest_mimic::Trial;

use crate::sim::Sim;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_machine_that_runs_out_of_memory_is_told_as_such,
        a_machine_whose_process_exits_is_told_with_its_code,
        a_machine_whose_process_is_killed_is_told_with_the_signal,
        a_machine_that_somebody_destroys_is_told_as_destroyed,
        a_machine_that_freezes_is_lost_after_its_lease_and_destroyed,
    ]
}

#[remote]
async fn hang(journal: Entry) {
    journal.note("started");
    std::future::pending::<()>().await;
}

#[remote]
async fn exit(code: i32) {
    std::process::exit(code);
}

/// What a caller is told when this happens to the machine that has its call.
async fn lost(what: impl AsyncFnOnce(&Sim, &str, u32)) -> Cause {
    let (sim, journal) = (Sim::start().await, Journal::new());
    let pool = sim.started().await;
    let call = tokio::spawn(pool.call(hang(journal.entry())).timeout(Duration::from_secs(60)));
    until("it runs", || journal.has("started")).await;
    let machine = sim.machines().remove(0);
    what(&sim, &machine.id, machine.pid.expect("it runs")).await;
    let err = eventually("the end of the call", call).await.unwrap().unwrap_err();
    let Error::RunnerLost { cause, .. } = err else { panic!("{err}") };
    pool.shutdown().await;
    sim.end().await;
    cause
}

async fn a_machine_that_runs_out_of_memory_is_told_as_such() {
    let cause = lost(async |sim, id, _| assert!(sim.kill_for_memory(id), "it runs nothing")).await;
    assert_eq!(cause, Cause::OutOfMemory);
}

async fn a_machine_whose_process_exits_is_told_with_its_code() {
    let sim = Sim::start().await;
    let pool = sim.started().await;
    let err = pool.call(exit(7)).await.unwrap_err();
    assert!(matches!(err, Error::RunnerLost { cause: Cause::Exited(7), .. }), "{err}");
    pool.shutdown().await;
    sim.end().await;
}

async fn a_machine_whose_process_is_killed_is_told_with_the_signal() {
    assert_eq!(lost(async |_, _, pid| kill(pid)).await, Cause::Signalled(9));
}

async fn a_machine_that_somebody_destroys_is_told_as_destroyed() {
    let cause = lost(async |sim, id, _| sim.backend().destroy(&Instance::new(id)).await.unwrap()).await;
    assert_eq!(cause, Cause::Destroyed);
}

async fn a_machine_that_freezes_is_lost_after_its_lease_and_destroyed() {
    let cause = lost(async |_, _, pid| signal(pid, Signal::SIGSTOP)).await;
    assert_eq!(cause, Cause::LeaseExpired);
}
