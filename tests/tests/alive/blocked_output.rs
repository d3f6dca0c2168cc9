//! Standard error and standard output that nobody reads, and that are full.

use std::process::Stdio;
use std::time::{Duration, Instant};

use flame_actors::{Pool, remote, task};
use flame_tests::process::kill;
use flame_tests::{Entry, Journal, Role, Runners, node, trials};
use libtest_mimic::Trial;

use crate::harm::{JOURNAL, LEASE, Tree, end_of};
use crate::logged::LOG;
use crate::pipe::Unread;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        calls_go_on_after_a_loss_where_warnings_cannot_be_written,
        calls_go_on_after_a_loss_where_nothing_logged_can_be_written,
        calls_go_on_where_runners_print_what_cannot_be_written,
        calls_go_on_where_runners_log_what_cannot_be_written,
        calls_go_on_where_standard_output_cannot_be_written,
    ]
}

const WORK: &str = "FLAME_TEST_WORK";
/// As long as calls have to go on.
const LONG: Duration = Duration::from_secs(6);
/// What one call may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a line of the trial.
async fn wait_for(journal: &Entry, line: &str) {
    while !std::fs::read_to_string(journal.path()).is_ok_and(|text| text.lines().any(|known| known == line)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Fills its own standard error or output.
#[remote]
async fn print(to: String, journal: Entry) {
    std::thread::spawn(move || {
        loop {
            match &*to {
                "stdout" => println!("{}", "x".repeat(4000)),
                "log" => tracing::warn!("{}", "x".repeat(4000)),
                _ => eprintln!("{}", "x".repeat(4000)),
            }
        }
    });
    journal.note("prints");
}

/// Once its output is stuck, it loses a runner of one pool, or has one that prints, and calls in two others.
pub(crate) async fn play() {
    let journal = Entry::at(std::env::var_os(JOURNAL).expect("the trial gives one"));
    let (lossy, one, other) =
        (Runners::Processes.start().await, Runners::Processes.start().await, Runners::Processes.start().await);
    let mut pids = Vec::new();
    for pool in [&lossy, &one, &other] {
        pids.push(pool.call(task!([] -> u32 { std::process::id() })).await.expect("nothing is stuck yet"));
    }
    journal.note("up");
    wait_for(&journal, "stuck").await;
    match &*std::env::var(WORK).unwrap_or_default() {
        "loss" => kill(pids[0]),
        // Its own runner prints beside its work.
        to => drop(one.call(print(to.to_owned(), journal.clone())).await),
    }
    let end = match calls(&[(&one, pids[1]), (&other, pids[2])]).await {
        Ok(()) => tokio::time::timeout(PATIENCE, node().shutdown()).await.map_err(|_| "no shutdown".to_owned()),
        Err(err) => Err(err),
    };
    journal.note(format_args!("end={end:?}"));
    // What is left in `main` may be stuck, as that of any application.
    std::process::exit(0);
}

async fn calls(pools: &[(&Pool, u32)]) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < LONG {
        for (pool, pid) in pools {
            let call = pool.call(task!([] -> u32 { std::process::id() })).timeout(PATIENCE).await;
            match call {
                Ok(known) if known == *pid => {}
                other => return Err(format!("after {:?}: {other:?} in place of {pid}", start.elapsed())),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn calls_go_on(level: &str, work: &str, stderr: impl FnOnce(&Unread) -> Stdio, fills: bool) {
    assert!(LONG >= 3 * LEASE);
    let (unread, journal) = (Unread::new(), Journal::new());
    let path = journal.entry().path().to_str().expect("plain letters").to_owned();
    let environment = [(JOURNAL, &*path), (LOG, level), (WORK, work)];
    let role = Tree(Role::start_with_stderr("stuck", &environment, stderr(&unread)));
    journal.wait_for("up").await;
    if fills {
        unread.fill();
    }
    journal.entry().note("stuck");
    assert_eq!(end_of(&journal, 3 * PATIENCE).await, "Ok(())", "with {level}");
    drop(role);
}

async fn calls_go_on_after_a_loss_where_warnings_cannot_be_written() {
    calls_go_on("warn", "loss", Unread::stdio, true).await;
}

async fn calls_go_on_after_a_loss_where_nothing_logged_can_be_written() {
    calls_go_on("debug", "loss", Unread::stdio, true).await;
}

/// Into the pipe of their own standard error, which the parent reads only while it can write.
async fn calls_go_on_where_runners_print_what_cannot_be_written() {
    for level in ["warn", "debug"] {
        calls_go_on(level, "stderr", Unread::stdio, true).await;
    }
}

async fn calls_go_on_where_runners_log_what_cannot_be_written() {
    calls_go_on("warn", "log", Unread::stdio, true).await;
}

/// The parent's, which its runners have too; the trial does not read it.
async fn calls_go_on_where_standard_output_cannot_be_written() {
    calls_go_on("warn", "stdout", |_| Stdio::null(), false).await;
}
