//! Parents that are killed, and what is left of them: nothing, at the latest when they start again.

use std::future::pending;
use std::time::Duration;

use flame_actors::{Pool, remote};
use flame_fly::FlyBackend;
use flame_fly_sim::{Fault, MachineInfo};
use flame_tests::process::Signal;
use flame_tests::{Entry, Journal, LEASE, Role, node, trials, until};
use libtest_mimic::Trial;

use crate::sim::Sim;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        the_machines_of_a_parent_that_was_killed_end_by_themselves,
        a_parent_that_is_deployed_anew_takes_its_machines_with_it,
        what_a_former_life_left_behind_is_destroyed_and_a_strangers_machine_stays,
    ]
}

const GRACE: Duration = Duration::from_secs(2);
const JOURNAL: &str = "FLAME_TEST_JOURNAL";

#[remote]
async fn hang(journal: Entry) {
    journal.note("started");
    pending::<()>().await;
}

/// Nothing is given to it but its environment, which is that of a machine.
async fn pool() -> Pool {
    let backend = FlyBackend::from_env().cpus(2);
    Pool::builder("role")
        .max(2)
        .max_concurrency(1)
        .shutdown_timeout(GRACE)
        .backend(backend)
        .start(&node())
        .await
        .unwrap()
}

pub(crate) async fn busy() {
    let (pool, journal) = (pool().await, Entry::at(std::env::var_os(JOURNAL).expect("the trial gives one")));
    for _ in 0..2 {
        pool.cast(hang(journal.clone())).await.unwrap();
    }
    pending().await
}

/// As `busy`, and waits for the signal of a deploy.
pub(crate) async fn deployed() {
    let (pool, journal) = (pool().await, Entry::at(std::env::var_os(JOURNAL).expect("the trial gives one")));
    pool.cast(hang(journal)).await.unwrap();
    node().shutdown_on_signal().await.unwrap();
}

/// A parent that is killed as long as its machines boot.
pub(crate) async fn booting() {
    let pool = pool().await;
    pool.resize(1, 1).unwrap();
    pending().await
}

/// Starts a role that is a machine of this id.
fn start(role: &str, sim: &Sim, machine: &str, more: &[(&str, &str)]) -> Role {
    let mut environment = sim.environment();
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment.push(("FLY_MACHINE_ID".to_owned(), machine.to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Role::start(role, &environment)
}

async fn kill(mut role: Role) {
    role.signal(Signal::SIGKILL);
    role.ended().await;
}

async fn the_machines_of_a_parent_that_was_killed_end_by_themselves() {
    let (sim, journal) = (Sim::start().await, Journal::new());
    let path = journal.entry().path().to_str().expect("plain letters").to_owned();
    let role = start("busy", &sim, "148parent", &[(JOURNAL, &path), (LEASE, "2000")]);
    until("both run", || journal.count("started") == 2).await;
    kill(role).await;
    // Nobody asks for that: it is what their own end leads to.
    until("every machine is gone", || sim.left().is_empty()).await;
    assert!(sim.requests().iter().all(|request| request.method != "DELETE"));
    sim.end().await;
}

/// Fly sends SIGINT.
async fn a_parent_that_is_deployed_anew_takes_its_machines_with_it() {
    let (sim, journal) = (Sim::start().await, Journal::new());
    let path = journal.entry().path().to_str().expect("plain letters").to_owned();
    let mut role = start("deployed", &sim, "148parent", &[(JOURNAL, &path)]);
    until("it runs", || journal.has("started")).await;
    role.signal(Signal::SIGINT);
    assert_eq!(role.ended().await, Some(0));
    assert_eq!(sim.left().len(), 0, "a machine is left when its parent has ended");
    sim.end().await;
}

fn of(machine: &str, sim: &Sim) -> Vec<MachineInfo> {
    let parent = "/config/metadata/flame_parent_machine";
    sim.left().into_iter().filter(|left| left.shown.pointer(parent).is_some_and(|id| id == machine)).collect()
}

async fn what_a_former_life_left_behind_is_destroyed_and_a_strangers_machine_stays() {
    let sim = Sim::start().await;
    // They never join, so they do not notice that their parents are gone.
    sim.fault(Fault::never_connect());
    let (mine, strangers) = (start("booting", &sim, "148mine", &[]), start("booting", &sim, "148other", &[]));
    until("both boot", || of("148mine", &sim).len() == 1 && of("148other", &sim).len() == 1).await;
    kill(mine).await;
    kill(strangers).await;
    let [left_behind, strangers] = ["148mine", "148other"].map(|parent| of(parent, &sim).remove(0).id);
    sim.clear_faults();

    let is_left = |id: &str| sim.left().iter().any(|machine| machine.id == id);
    let again = start("booting", &sim, "148mine", &[]);
    until("what was left behind is gone", || !is_left(&left_behind)).await;
    assert!(is_left(&strangers), "the stranger's machine is gone");
    let other = start("booting", &sim, "148other", &[]);
    until("the stranger's machine is gone, too", || !is_left(&strangers)).await;
    kill(again).await;
    kill(other).await;
    sim.end().await;
}
