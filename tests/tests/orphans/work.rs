//! What the roles have run.

use std::process::Command;
use std::time::{Duration, Instant};

use flame_actors::remote;
use flame_tests::Entry;

/// Never ends by itself, and notes when it is ended.
#[remote]
pub(crate) async fn hang(journal: Entry) {
    let _dropped = journal.on_drop("dropped");
    journal.note(format_args!("pid={}", std::process::id()));
    std::future::pending::<()>().await;
}

/// Blocks its thread for ever.
#[remote]
pub(crate) async fn block(journal: Entry) {
    journal.note(format_args!("pid={}", std::process::id()));
    loop {
        std::thread::sleep(Duration::from_secs(600));
    }
}

/// Takes a while, and notes that it was not interrupted.
#[remote]
pub(crate) async fn take(time: Duration, journal: Entry) {
    journal.note(format_args!("pid={}", std::process::id()));
    tokio::time::sleep(time).await;
    journal.note("done");
}

/// Starts a process that outlives it, and gives both ids.
#[remote]
#[expect(clippy::zombie_processes, reason = "it is to be left behind")]
pub(crate) async fn start_sleeper() -> (u32, u32) {
    let sleeper = Command::new("sleep").arg("1000").spawn().expect("there is a sleep");
    (std::process::id(), sleeper.id())
}

/// Prints more than a pipe holds, for so long.
#[remote]
pub(crate) async fn print(time: Duration, journal: Entry) {
    let start = Instant::now();
    journal.note(format_args!("pid={}", std::process::id()));
    let mut printed = 0;
    while start.elapsed() < time || printed < 1024 {
        eprintln!("{}", "x".repeat(1023));
        printed += 1;
        if printed % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    journal.note("done");
}
