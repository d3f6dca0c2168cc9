//! What the trials have run.

use std::time::Duration;

use flame_actors::{remote, runner};
use flame_tests::Entry;

/// The process and the node that it runs on.
#[remote]
pub(crate) async fn whereabouts() -> (u32, String) {
    (std::process::id(), runner().as_deref().unwrap_or_default().to_owned())
}

/// Starts, and never ends by itself.
#[remote]
pub(crate) async fn hang(journal: Entry) {
    let _dropped = journal.on_drop("dropped");
    journal.note(format_args!("started={}", std::process::id()));
    std::future::pending::<()>().await;
}

/// Takes a while, and notes that it was not interrupted.
#[remote]
pub(crate) async fn take(time: Duration, journal: Entry) -> u32 {
    journal.note(format_args!("started={}", std::process::id()));
    tokio::time::sleep(time).await;
    journal.note("done");
    std::process::id()
}

/// Blocks its thread.
#[remote]
pub(crate) async fn block(time: Duration, journal: Entry) -> u32 {
    journal.note(format_args!("started={}", std::process::id()));
    std::thread::sleep(time);
    std::process::id()
}
