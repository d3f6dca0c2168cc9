//! What the trials have run.

use std::time::Duration;

use flame_actors::{remote, runner};
use flame_tests::Entry;

/// The process and the node that it runs on.
#[remote]
pub(crate) async fn whereabouts() -> (u32, String) {
    (std::process::id(), runner().as_deref().unwrap_or_default().to_owned())
}

/// Notes where it runs, and goes on until it is let go by a file of this name.
#[remote]
pub(crate) async fn hold(journal: Entry, name: String) -> String {
    let here = runner().as_deref().unwrap_or_default().to_owned();
    journal.note(&name);
    journal.note(format_args!("on={here}"));
    journal.note(format_args!("pid={}", std::process::id()));
    while !journal.path().with_file_name("go").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    here
}

/// Lets everything go that holds with this journal.
pub(crate) fn let_go(journal: &Entry) {
    std::fs::write(journal.path().with_file_name("go"), "").expect("the directory is there");
}

/// Takes a while, and notes that it was not interrupted.
#[remote]
pub(crate) async fn take(time: Duration, journal: Entry) {
    journal.note(format_args!("started={}", std::process::id()));
    let _dropped = journal.on_drop("dropped");
    tokio::time::sleep(time).await;
    journal.note("done");
}
