//! What runners print to standard error comes out of the parent.

use std::fs::File;
use std::process::Stdio;

use flame_actors::{Cause, Error, remote};
use flame_tests::{Entry, Journal, Role, Runners, eventually, node, process, told, trials};
use libtest_mimic::Trial;

use crate::work::whereabouts;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        what_runners_print_comes_out_of_the_parent_whole_and_in_order,
        a_parent_whose_standard_error_is_stuck_works_on,
        who_keeps_a_lost_runners_standard_error_delays_nothing,
    ]
}

const RUNNERS: usize = 3;
/// Together more than any pipe holds.
const LINES: usize = 2000;
const JOURNAL: &str = "FLAME_TEST_JOURNAL";

/// Prints numbered lines, and ends its runner with the last one.
#[remote]
async fn recite() {
    let me = std::process::id();
    for n in 0..LINES {
        eprintln!("runner {me} line {n} {}", "x".repeat(50 + n % 50));
    }
    eprint!("runner {me} line {LINES} x");
    std::process::exit(0);
}

pub(crate) async fn reciting() {
    let pool = Runners::Processes.pool().max(RUNNERS).max_concurrency(1).start(&node()).await.unwrap();
    let recitals = (0..RUNNERS).map(|_| tokio::spawn(pool.call(recite())));
    futures_util::future::join_all(recitals.collect::<Vec<_>>()).await;
    pool.shutdown().await;
}

/// To the last one, which has no end, and before the shutdown has returned.
async fn what_runners_print_comes_out_of_the_parent_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stderr");
    let mut role = Role::start_with_stderr("reciting", &[], File::create(&path).unwrap());
    assert_eq!(role.ended().await, Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut runners: Vec<(&str, usize)> = Vec::new();
    // The last lines have no end, so others may follow on the same line.
    for line in text.split("runner ").skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [pid, "line", n, xs] = words[..] else { panic!("a torn line: {line:?}") };
        let n: usize = n.parse().unwrap();
        assert_eq!(xs.len(), if n == LINES { 1 } else { 50 + n % 50 }, "a torn line: {line:?}");
        match runners.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, next)) => {
                assert_eq!(n, *next, "of runner {pid}");
                *next += 1;
            }
            None => {
                assert_eq!(n, 0, "of runner {pid}");
                runners.push((pid, 1));
            }
        }
    }
    assert_eq!(runners.len(), RUNNERS);
    assert!(runners.iter().all(|(_, next)| *next == LINES + 1), "lines are lost: {runners:?}");
}

/// Prints far more than the pipes hold, and so is stuck when nobody reads.
#[remote]
async fn flood(journal: Entry) {
    journal.note("floods");
    loop {
        eprintln!("{}", "x".repeat(4096));
    }
}

pub(crate) async fn stuck() {
    let journal = Entry::at(std::env::var_os(JOURNAL).expect("the trial gives one"));
    let pool = Runners::Processes.pool().max(2).max_concurrency(1).start(&node()).await.unwrap();
    pool.cast(flood(journal)).await.unwrap();
    told("goes on");
    // As long as the trial likes: until the pipe is full, and beyond.
    for _ in 0..40 {
        pool.call(whereabouts()).await.expect("the parent is not stuck itself");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    pool.shutdown().await;
    told("down");
}

async fn a_parent_whose_standard_error_is_stuck_works_on() {
    let journal = Journal::new();
    let path = journal.entry().path().to_str().expect("plain letters").to_owned();
    // Its other end is open, and nobody reads.
    let mut role = Role::start_with_stderr("stuck", &[(JOURNAL, &path)], Stdio::piped());
    assert_eq!(role.next().await, "goes on");
    journal.wait_for("floods").await;
    assert_eq!(role.next().await, "down");
    assert_eq!(role.ended().await, Some(0));
}

/// Leaves a process behind that has left the process group, and ends its runner.
#[remote]
async fn leave_a_daemon(journal: Entry) {
    let script = "echo pid=$$ >> \"$0\"; exec sleep 1000";
    let mut daemon = std::process::Command::new("setsid");
    daemon.args(["sh", "-c", script]).arg(journal.path()).spawn().expect("there is a setsid");
    while !std::fs::read_to_string(journal.path()).is_ok_and(|text| text.contains("pid=")) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    std::process::exit(4);
}

async fn who_keeps_a_lost_runners_standard_error_delays_nothing() {
    let journal = Journal::new();
    let pool = Runners::Processes.start().await;
    let err = eventually("the loss", pool.call(leave_a_daemon(journal.entry()))).await.unwrap_err();
    assert!(matches!(err, Error::RunnerLost { cause: Cause::Exited(4), .. }), "{err}");
    eventually("the shutdown", pool.shutdown()).await;
    let daemon = journal.pid("pid").await;
    assert!(process::is_alive(daemon), "then it had the pipe all the time");
    process::kill(daemon);
}
