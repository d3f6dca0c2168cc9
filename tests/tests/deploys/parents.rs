//! Signals to a parent.

use std::future::pending;
use std::pin::pin;
use std::time::{Duration, Instant};

use flame_actors::{Error, Pool, task};
use flame_local::ProcessBackend;
use flame_tests::process::{Signal, descendants, is_alive, signal};
use flame_tests::{BEFORE_START, Entry, Journal, Role, Runners, Spy, node, told, trials, until};
use futures_util::poll;
use libtest_mimic::Trial;

use crate::work::{block, take};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_terminated_parent_takes_no_new_work_and_finishes_what_runs,
        an_interrupted_parent_takes_no_new_work_and_finishes_what_runs,
        work_ends_well_when_parent_and_runners_are_terminated_together,
        work_that_takes_too_long_is_cut_at_the_shutdown_timeout,
        a_second_signal_ends_a_parent_at_once,
        a_second_signal_ends_a_parent_whose_threads_are_all_blocked,
        a_signal_while_runners_boot_leaves_none,
        a_signal_while_machines_boot_leaves_none,
        two_signals_at_once_while_runners_boot_leave_none,
        two_signals_at_once_while_machines_boot_leave_none,
        a_second_signal_ends_a_parent_that_does_not_leave_main,
        a_parent_that_waits_again_and_again_misses_no_signal,
    ]
}

const JOURNAL: &str = "FLAME_TEST_JOURNAL";
const WORK: &str = "FLAME_TEST_WORK";
const GRACE: &str = "FLAME_TEST_GRACE";

fn journal() -> Entry {
    Entry::at(std::env::var_os(JOURNAL).expect("the trial gives one"))
}

fn millis(variable: &str) -> Duration {
    let text = std::env::var(variable).expect("the trial gives one");
    Duration::from_millis(text.parse().expect("milliseconds"))
}

fn start(role: &str, journal: &Journal, more: &[(&str, &str)]) -> Role {
    let journal = journal.entry();
    let mut environment = vec![(JOURNAL, journal.path().to_str().expect("plain letters"))];
    environment.extend(more);
    Role::start(role, &environment)
}

/// Tells when the pool takes no more work.
async fn ask_until_closed(pool: Pool) {
    loop {
        match pool.call(task!([] {})).timeout(Duration::from_secs(600)).await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(Error::PoolClosed { .. }) => return told("closed"),
            Err(other) => return told(other),
        }
    }
}

/// Has one long piece of work and a stream of short ones, and ends as applications do.
pub(crate) async fn web() {
    let pool = Runners::Processes.pool().max_concurrency(2).shutdown_timeout(millis(GRACE));
    let pool = pool.start(&node()).await.unwrap();
    let node = node();
    let mut ended = pin!(node.shutdown_on_signal());
    assert!(poll!(&mut ended).is_pending());
    let work = tokio::spawn(pool.call(take(millis(WORK), journal())));
    let asking = tokio::spawn(ask_until_closed(pool));
    ended.await.unwrap();
    asking.await.unwrap();
    told(format_args!("{:?}", work.await.unwrap()));
}

async fn finishes_what_runs(ending: Signal) {
    let journal = Journal::new();
    let mut role = start("web", &journal, &[(WORK, "2500"), (GRACE, "60000")]);
    let runner = journal.pid("pid").await;
    role.signal(ending);
    assert_eq!(role.next().await, "closed");
    assert!(!journal.has("done"), "new work was taken as long as the old one ran");
    assert_eq!(role.next().await, format!("Ok({runner})"));
    assert_eq!(role.ended().await, Some(0));
    assert!(!is_alive(runner));
}

async fn a_terminated_parent_takes_no_new_work_and_finishes_what_runs() {
    finishes_what_runs(Signal::SIGTERM).await;
}

async fn an_interrupted_parent_takes_no_new_work_and_finishes_what_runs() {
    finishes_what_runs(Signal::SIGINT).await;
}

/// As systemd does it, which knows only that they belong together.
async fn work_ends_well_when_parent_and_runners_are_terminated_together() {
    let journal = Journal::new();
    let mut role = start("web", &journal, &[(WORK, "2500"), (GRACE, "60000")]);
    let runner = journal.pid("pid").await;
    signal(runner, Signal::SIGTERM);
    role.signal(Signal::SIGTERM);
    assert_eq!(role.next().await, "closed");
    assert_eq!(role.next().await, format!("Ok({runner})"));
    assert_eq!(role.ended().await, Some(0));
    assert!(!is_alive(runner));
}

async fn work_that_takes_too_long_is_cut_at_the_shutdown_timeout() {
    let journal = Journal::new();
    let mut role = start("web", &journal, &[(WORK, "600000"), (GRACE, "1000")]);
    let runner = journal.pid("pid").await;
    let start = Instant::now();
    role.signal(Signal::SIGTERM);
    assert_eq!(role.next().await, "closed");
    let ended = role.next().await;
    // The end of the work may be known before that of its runner.
    let (cut, lost) = (ended.contains("Cancelled"), ended.contains("RunnerLost") && ended.contains("Stopped"));
    assert!(cut || lost, "{ended}");
    assert!(start.elapsed() >= Duration::from_secs(1), "it had {:?}", start.elapsed());
    assert_eq!(role.ended().await, Some(0));
    assert!(!is_alive(runner));
}

/// Has unlinked work, work that blocks, and all the time in the world.
pub(crate) async fn stubborn() {
    let long = Duration::from_secs(600);
    let pool = Runners::Processes.pool().max(3).max_concurrency(2).shutdown_timeout(long);
    let pool = pool.start(&node()).await.unwrap();
    for _ in 0..3 {
        pool.cast(take(long, journal())).link(false).await.unwrap();
        pool.cast(block(journal())).await.unwrap();
    }
    let node = node();
    let mut ended = pin!(node.shutdown_on_signal());
    assert!(poll!(&mut ended).is_pending());
    tokio::spawn(async move {
        ask_until_closed(pool).await;
        if std::env::var_os("FLAME_TEST_BLOCK").is_some() {
            for _ in 0..4 {
                tokio::spawn(async move { std::thread::sleep(long) });
            }
        }
    });
    ended.await.unwrap();
}

async fn ends_at_once(more: &[(&str, &str)], second: Signal) -> Option<i32> {
    let journal = Journal::new();
    let mut role = start("stubborn", &journal, more);
    until("all work has started", || journal.lines().len() == 6).await;
    let runners = descendants(role.pid());
    assert_eq!(runners.len(), 3);
    role.signal(Signal::SIGTERM);
    assert_eq!(role.next().await, "closed");
    assert_eq!(runners.iter().filter(|pid| is_alive(**pid)).count(), 3);
    role.signal(second);
    let code = role.ended().await;
    let left: Vec<_> = runners.into_iter().filter(|pid| is_alive(*pid)).collect();
    assert_eq!(left, [0; 0], "they outlive their parent");
    code
}

async fn a_second_signal_ends_a_parent_at_once() {
    assert_eq!(ends_at_once(&[], Signal::SIGTERM).await, Some(128 + 15));
}

async fn a_second_signal_ends_a_parent_whose_threads_are_all_blocked() {
    assert_eq!(ends_at_once(&[("FLAME_TEST_BLOCK", "")], Signal::SIGINT).await, Some(128 + 2));
}

const MACHINES: &str = "FLAME_TEST_MACHINES";

/// Boots three runners that take their time, as processes or as machines that nothing else ties to their parent.
pub(crate) async fn booting() {
    let pool = Runners::Processes.pool().min(3).max(3);
    let pool = match std::env::var_os(MACHINES) {
        None => pool.backend(ProcessBackend::new().env(BEFORE_START, "600000")),
        Some(_) => pool.backend(Spy::new(&[(BEFORE_START, "600000")])),
    };
    let _pool = pool.start(&node()).await.unwrap();
    let node = node();
    let mut ended = pin!(node.shutdown_on_signal());
    assert!(poll!(&mut ended).is_pending());
    told("up");
    ended.await.unwrap();
}

async fn leaves_none(more: &[(&str, &str)], signals: &[Signal]) -> Option<i32> {
    let mut role = Role::start("booting", more);
    assert_eq!(role.next().await, "up");
    until("three runners boot", || descendants(role.pid()).len() == 3).await;
    let runners = descendants(role.pid());
    signals.iter().for_each(|signal| role.signal(*signal));
    let code = role.ended().await;
    let left: Vec<_> = runners.into_iter().filter(|pid| is_alive(*pid)).collect();
    assert_eq!(left, [0; 0], "they outlive their parent");
    code
}

async fn a_signal_while_runners_boot_leaves_none() {
    assert_eq!(leaves_none(&[], &[Signal::SIGTERM]).await, Some(0));
}

async fn a_signal_while_machines_boot_leaves_none() {
    assert_eq!(leaves_none(&[(MACHINES, "")], &[Signal::SIGTERM]).await, Some(0));
}

/// Either of them may be the first, and the shutdown over before the second.
async fn two_signals_at_once_while_runners_boot_leave_none() {
    let code = leaves_none(&[], &[Signal::SIGTERM, Signal::SIGINT]).await;
    assert!(matches!(code, Some(0 | 130 | 143)), "{code:?}");
}

async fn two_signals_at_once_while_machines_boot_leave_none() {
    let code = leaves_none(&[(MACHINES, "")], &[Signal::SIGTERM, Signal::SIGINT]).await;
    assert!(matches!(code, Some(0 | 130 | 143)), "{code:?}");
}

/// Its pools have ended, and it goes on.
pub(crate) async fn lingering() {
    let _pool = Runners::Processes.start().await;
    let node = node();
    let mut ended = pin!(node.shutdown_on_signal());
    assert!(poll!(&mut ended).is_pending());
    told("up");
    ended.await.unwrap();
    told("down");
    pending().await
}

async fn a_second_signal_ends_a_parent_that_does_not_leave_main() {
    let mut role = Role::start("lingering", &[]);
    assert_eq!(role.next().await, "up");
    role.signal(Signal::SIGTERM);
    assert_eq!(role.next().await, "down");
    role.signal(Signal::SIGTERM);
    assert_eq!(role.ended().await, Some(128 + 15));
}

/// Waits in a loop, as those do who have more to wait for.
pub(crate) async fn looping() {
    let (node, pool) = (node(), Runners::Processes.pool().shutdown_timeout(Duration::from_secs(600)));
    let pool = pool.start(&node).await.unwrap();
    let work = tokio::spawn(pool.call(take(Duration::from_secs(2), journal())));
    loop {
        tokio::select! {
            ended = node.shutdown_on_signal() => break ended.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    told(format_args!("{:?}", work.await.unwrap()));
}

async fn a_parent_that_waits_again_and_again_misses_no_signal() {
    let journal = Journal::new();
    let mut role = start("looping", &journal, &[]);
    let runner = journal.pid("pid").await;
    role.signal(Signal::SIGTERM);
    assert_eq!(role.next().await, format!("Ok({runner})"));
    assert_eq!(role.ended().await, Some(0));
    assert!(!is_alive(runner));
}
