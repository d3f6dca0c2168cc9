//! Runners that cannot be held up when their parent is gone, nor parents that are told to end twice.

use std::future::pending;
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use flame_actors::remote;
use flame_tests::process::{Signal, descendants, is_alive};
use flame_tests::{Entry, Journal, LEASE, Role, Runners, node, trials, until};
use futures_util::future::join_all;
use futures_util::poll;
use libtest_mimic::Trial;

use crate::harm::{JOURNAL, Tree, journal};
use crate::logged::LOG;
use crate::pipe::Unread;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        twenty_runners_that_print_and_log_warnings_are_gone_after_their_parents_were_killed,
        twenty_runners_that_print_and_log_everything_are_gone_after_their_parents_were_killed,
        a_runner_whose_standard_output_is_stuck_is_gone_after_its_parent_was_killed,
        a_runner_whose_threads_are_blocked_for_ever_is_gone_after_its_parent_was_killed,
        a_parent_whose_threads_are_blocked_ends_at_once_when_told_twice,
        a_parent_whose_runners_are_blocked_ends_at_once_when_told_twice,
        a_parent_whose_standard_error_is_stuck_ends_at_once_when_told_twice,
        a_parent_that_gets_two_signals_in_a_row_ends_at_once,
    ]
}

/// What the work of a role does.
const WORK: &str = "FLAME_TEST_WORK";
const RUNNERS: usize = 20;
const AT_A_TIME: usize = 5;
const PRINTERS: usize = 4;
const GRACE: Duration = Duration::from_secs(2);
/// As much as a pipe holds that nobody reads.
const MUCH: u64 = 64 << 10;
/// A lease, the grace, a second for the way out, and what a loaded machine may add.
const BOUND: Duration = Duration::from_secs(2 + 2 + 1 + 5);

/// Prints as fast as it can, on several threads, for ever.
#[remote]
async fn chatter(journal: Entry, to_stdout: bool) {
    for thread in 0..PRINTERS {
        std::thread::spawn(move || {
            loop {
                match (to_stdout, thread % 2) {
                    (true, _) => println!("{}", "x".repeat(100)),
                    (false, 0) => eprintln!("{}", "x".repeat(100)),
                    (false, _) => tracing::warn!("{}", "x".repeat(100)),
                }
            }
        });
    }
    journal.note(format_args!("pid={}", std::process::id()));
    pending::<()>().await;
}

#[remote]
async fn block(journal: Entry) {
    journal.note(format_args!("pid={}", std::process::id()));
    loop {
        std::thread::park();
    }
}

/// Has one runner that prints, to where [`WORK`] says.
pub(crate) async fn printing() {
    let pool = Runners::Processes.pool().shutdown_timeout(GRACE).start(&node()).await.unwrap();
    let to_stdout = std::env::var(WORK).is_ok_and(|work| work == "stdout");
    let node = node();
    let mut ended = pin!(node.shutdown_on_signal());
    assert!(poll!(&mut ended).is_pending());
    pool.cast(chatter(journal(), to_stdout)).await.unwrap();
    ended.await.unwrap();
}

/// Blocks all threads of its runner; its own, too, if [`WORK`] says so.
pub(crate) async fn blocked() {
    let patient = Duration::from_secs(600);
    let pool = Runners::Processes.pool().shutdown_timeout(patient).start(&node()).await.unwrap();
    let node = node();
    let mut ended = pin!(node.shutdown_on_signal());
    assert!(poll!(&mut ended).is_pending());
    for _ in 0..4 {
        pool.cast(block(journal())).await.unwrap();
    }
    let blocks = std::env::var(WORK).is_ok_and(|work| work == "both");
    for _ in 0..if blocks { 4 } else { 0 } {
        tokio::spawn(async {
            journal().note("blocked");
            loop {
                std::thread::park();
            }
        });
    }
    ended.await.unwrap();
}

fn start(role: &str, journal: &Journal, more: &[(&str, &str)], stderr: impl Into<Stdio>) -> Tree {
    let path = journal.entry().path().to_str().expect("plain letters").to_owned();
    let mut environment = vec![(JOURNAL, &*path), (LEASE, "2000")];
    environment.extend(more);
    Tree(Role::start_with_stderr(role, &environment, stderr))
}

/// Kills what it names.
struct Killed(Vec<u32>);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.iter().copied().for_each(flame_tests::process::kill);
    }
}

/// How many bytes a process has written, wherever that was.
fn written(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.and_then(|written| written.parse().ok()).unwrap_or(0)
}

/// Kills the parent, and says whether its runner was gone within its bounds.
async fn leaves(role_name: &str, more: &[(&str, &str)]) -> bool {
    let journal = Journal::new();
    let mut role = start(role_name, &journal, more, Stdio::null());
    let runner = Killed(vec![journal.pid("pid").await]);
    if role_name == "printing" {
        until("it has printed a good deal", || written(runner.0[0]) > MUCH).await;
    }
    role.0.signal(Signal::SIGKILL);
    role.0.ended().await;
    let killed = Instant::now();
    while is_alive(runner.0[0]) && killed.elapsed() < BOUND {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    !is_alive(runner.0[0])
}

async fn twenty_runners_leave(level: &str) {
    let mut left = 0;
    for _ in 0..RUNNERS / AT_A_TIME {
        let environment = [(LOG, level), (WORK, "stderr")];
        let leaving = (0..AT_A_TIME).map(|_| leaves("printing", &environment));
        left += join_all(leaving).await.into_iter().filter(|gone| !gone).count();
    }
    assert_eq!(left, 0, "so many of {RUNNERS} runners are there {BOUND:?} after their parents were killed");
}

async fn twenty_runners_that_print_and_log_warnings_are_gone_after_their_parents_were_killed() {
    twenty_runners_leave("warn").await;
}

async fn twenty_runners_that_print_and_log_everything_are_gone_after_their_parents_were_killed() {
    twenty_runners_leave("debug").await;
}

/// The trial has its other end and does not read.
async fn a_runner_whose_standard_output_is_stuck_is_gone_after_its_parent_was_killed() {
    for level in ["warn", "debug"] {
        assert!(leaves("printing", &[(LOG, level), (WORK, "stdout")]).await, "with {level}");
    }
}

async fn a_runner_whose_threads_are_blocked_for_ever_is_gone_after_its_parent_was_killed() {
    assert!(leaves("blocked", &[(LOG, "warn")]).await);
}

/// Tells it to end until it does, as somebody would who is in a hurry.
async fn ends_when_told_twice(role: Tree) {
    ends_when_told(role, Signal::SIGTERM).await;
}

/// The first word is another.
async fn ends_when_told(mut role: Tree, first: Signal) {
    let runners = Killed(descendants(role.0.pid()));
    let start = Instant::now();
    let mut code = None;
    role.0.signal(first);
    while code.is_none() && start.elapsed() < Duration::from_secs(15) {
        role.0.signal(Signal::SIGTERM);
        code = tokio::time::timeout(Duration::from_millis(500), role.0.ended()).await.ok();
    }
    // Which of two signals comes second nobody knows.
    let second = code.flatten().is_some_and(|code| [128 + 15, 128 + first as i32].contains(&code));
    assert!(second, "after {:?}: {code:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(4), "after {:?}", start.elapsed());
    until("its runners are gone", || !runners.0.iter().any(|pid| is_alive(*pid))).await;
}

async fn blocked_role(work: &str, lines: usize) -> Tree {
    let journal = Journal::new();
    let role = start("blocked", &journal, &[(LOG, "warn"), (WORK, work)], Stdio::inherit());
    journal.pid("pid").await;
    until("what blocks has begun", || journal.lines().len() >= lines).await;
    role
}

async fn a_parent_whose_threads_are_blocked_ends_at_once_when_told_twice() {
    // Both threads of either side.
    ends_when_told_twice(blocked_role("both", 4).await).await;
}

async fn a_parent_whose_runners_are_blocked_ends_at_once_when_told_twice() {
    ends_when_told_twice(blocked_role("runner", 2).await).await;
}

async fn a_parent_whose_standard_error_is_stuck_ends_at_once_when_told_twice() {
    let (unread, journal) = (Unread::new(), Journal::new());
    let role = start("printing", &journal, &[(LOG, "debug"), (WORK, "stderr")], unread.stdio());
    journal.pid("pid").await;
    unread.fill();
    ends_when_told_twice(role).await;
}

/// The second one comes before anything is done about the first.
async fn a_parent_that_gets_two_signals_in_a_row_ends_at_once() {
    for _ in 0..3 {
        ends_when_told(blocked_role("runner", 2).await, Signal::SIGINT).await;
    }
}
