//! Parents that are frozen or cut off, and what they have run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flame_actors::{PoolBuilder, remote, task};
use flame_local::ProcessBackend;
use flame_tests::{Entry, Journal, LEASE, Role, Runners, Spy, eventually, node, told, until};
use serde_bytes::ByteBuf;

const JOURNAL: &str = "FLAME_TEST_JOURNAL";
const BACKEND: &str = "FLAME_TEST_BACKEND";

/// What boots the runners of a role.
#[derive(Clone, Copy)]
pub(crate) enum Boots {
    Processes,
    /// Processes that are not destroyed: whatever ends, ends by itself.
    Undestroyed,
}

/// Starts a role with a journal, and with more in its environment.
pub(crate) fn start(role: &str, journal: &Journal, boots: Boots, more: &[(&str, String)]) -> Role {
    let journal = journal.entry();
    let mut environment = vec![(JOURNAL, journal.path().to_str().expect("plain letters"))];
    if let Boots::Undestroyed = boots {
        environment.push((BACKEND, "undestroyed"));
    }
    environment.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
    Role::start(role, &environment)
}

fn journal() -> Entry {
    Entry::at(std::env::var_os(JOURNAL).expect("the trial gives one"))
}

fn pool() -> PoolBuilder {
    let pool = Runners::Processes.pool();
    match std::env::var_os(BACKEND) {
        None => pool.backend(ProcessBackend::new()),
        Some(_) => pool.backend(Spy::idle()),
    }
}

/// The clock that all processes here have in common, in microseconds.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_micros()
}

struct DroppedAt(Entry);

impl Drop for DroppedAt {
    fn drop(&mut self) {
        self.0.note(format_args!("dropped_at={}", now()));
    }
}

/// Never ends by itself, and notes when it is ended.
#[remote]
pub(crate) async fn hang(journal: Entry) {
    let _dropped = DroppedAt(journal.clone());
    journal.note(format_args!("pid={}", std::process::id()));
    std::future::pending::<()>().await;
}

/// Takes a while, and gives its process.
#[remote]
pub(crate) async fn take(time: Duration, journal: Entry) -> u32 {
    journal.note(format_args!("pid={}", std::process::id()));
    tokio::time::sleep(time).await;
    std::process::id()
}

/// Notes that it ran.
#[remote]
pub(crate) async fn note(journal: Entry) {
    journal.note(format_args!("ran={}", std::process::id()));
}

#[remote]
pub(crate) async fn swallow(_: ByteBuf) {}

/// Tells how a call ends, and calls again when it may.
pub(crate) async fn parent() {
    let pool = pool().start(&node()).await.unwrap();
    let ended = pool.call(hang(journal())).await;
    journal().note(format_args!("lost_at={}", now()));
    told(format_args!("{ended:?}"));
    let go = journal().path().with_file_name("go");
    until("the trial lets it go on", || go.exists()).await;
    told(format_args!("{:?}", pool.call(task!([] -> u32 { 6 * 7 })).await));
    eventually("the shutdown", pool.shutdown()).await;
}

pub(crate) fn go_on(journal: &Journal) {
    std::fs::write(journal.entry().path().with_file_name("go"), "").expect("the directory is there");
}

const PATIENCE: &str = "FLAME_TEST_PATIENCE";

pub(crate) fn patience(time: Duration) -> (&'static str, String) {
    (PATIENCE, time.as_millis().to_string())
}

/// Tells how a call ends that has so much time.
pub(crate) async fn impatient() {
    let pool = pool().start(&node()).await.unwrap();
    let patience = std::env::var(PATIENCE).expect("the trial gives one").parse().expect("milliseconds");
    let ended = pool.call(hang(journal())).timeout(Duration::from_millis(patience)).await;
    told(format_args!("{ended:?}"));
}

/// A lease that ends nothing in a trial.
pub(crate) fn long_lease() -> (&'static str, String) {
    (LEASE, "60000".to_owned())
}

/// Waits for a runner that does not come up.
pub(crate) async fn booting() {
    let pool = pool().start(&node()).await.unwrap();
    told(format_args!("{:?}", pool.call(task!([] {})).await));
}
