//! Signals to a runner: its platform wants it away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use flame_actors::{Cause, Error, Event, Events, Leave, Node, Pool, PoolStatus, RunnerState, task};
use flame_local::ProcessBackend;
use flame_tests::process::{Signal, is_alive, signal};
use flame_tests::{BEHAVIOUR, Journal, Runners, eventually, node, trials, until};
use libtest_mimic::Trial;

use crate::work::{Child, ChildMsg, block, make, take};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        no_call_fails_while_one_runner_after_the_other_is_asked_to_leave,
        a_runner_that_is_terminated_finishes_what_runs,
        a_runner_that_is_interrupted_finishes_what_runs,
        a_runner_of_min_that_leaves_is_replaced,
        a_child_may_end_before_its_runner_leaves,
        a_child_has_the_shutdown_timeout_of_a_runner_that_leaves,
        a_second_signal_ends_a_runner_at_once,
        a_second_signal_ends_a_runner_that_is_blocked_at_once,
        an_application_that_handles_signals_itself_is_left_in_charge,
        a_task_can_have_its_runner_leave,
        a_node_that_is_no_runner_does_not_leave,
        a_large_result_is_not_lost_when_its_runner_leaves,
        a_large_result_is_not_lost_when_its_pool_ends,
    ]
}

const LONG: Duration = Duration::from_secs(600);

fn pids(status: &PoolStatus) -> Vec<u32> {
    let takes_work = |state| matches!(state, RunnerState::Idle | RunnerState::Busy);
    status
        .runners
        .iter()
        .filter(|runner| takes_work(runner.state))
        .map(|runner| runner.instance.parse().expect("a process id"))
        .collect()
}

/// What became of runners, up to the end of the pool.
async fn ends(mut events: Events) -> (Vec<Leave>, Vec<Cause>) {
    let (mut left, mut lost) = (Vec::new(), Vec::new());
    while let Some(event) = eventually("the next event, or the last", events.next()).await {
        match event {
            Event::Shrunk { why, .. } => left.push(why),
            Event::Lost { cause, .. } => lost.push(cause),
            Event::Missed(some) => panic!("{some} events were missed"),
            _ => {}
        }
    }
    (left, lost)
}

async fn gone(pid: u32) {
    until("the runner is gone", || !is_alive(pid)).await;
}

async fn no_call_fails_while_one_runner_after_the_other_is_asked_to_leave() {
    let pool = Runners::Processes.pool().min(3).max(4).max_concurrency(2).shutdown_timeout(LONG);
    let pool = pool.start(&node()).await.unwrap();
    until("three serve", || pids(&pool.status()).len() == 3).await;
    let (over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (pool, over, made) = (pool.clone(), Arc::clone(&over), Arc::clone(&made));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    pool.call(task!([] { tokio::time::sleep(std::time::Duration::from_millis(1)).await })).await?;
                    made.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for pid in pids(&pool.status()) {
        let (before, served) = (made.load(Ordering::Relaxed), || pids(&pool.status()));
        until("calls go on", || made.load(Ordering::Relaxed) > before + 20).await;
        signal(pid, Signal::SIGTERM);
        gone(pid).await;
        until("three serve again", || served().len() >= 3 && !served().contains(&pid)).await;
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap().expect("not one call fails");
    }
    pool.shutdown().await;
}

async fn finishes_what_runs(ending: Signal) {
    let pool = Runners::Processes.pool().max(2).shutdown_timeout(LONG).start(&node()).await.unwrap();
    let (events, journal) = (pool.events(), Journal::new());
    let work = tokio::spawn(pool.call(take(Duration::from_secs(2), journal.entry())));
    let pid = journal.pid("pid").await;
    signal(pid, ending);
    until("it gets no more work", || pids(&pool.status()).is_empty()).await;
    assert_ne!(pool.call(task!([] -> u32 { std::process::id() })).await.unwrap(), pid);
    assert!(is_alive(pid) && !journal.has("done"), "it has time for what it has");
    assert_eq!(work.await.unwrap().expect("it had the time"), pid);
    gone(pid).await;
    pool.shutdown().await;
    assert_eq!(ends(events).await, (vec![Leave::Asked], vec![]));
}

async fn a_runner_that_is_terminated_finishes_what_runs() {
    finishes_what_runs(Signal::SIGTERM).await;
}

async fn a_runner_that_is_interrupted_finishes_what_runs() {
    finishes_what_runs(Signal::SIGINT).await;
}

async fn a_runner_of_min_that_leaves_is_replaced() {
    let pool = Runners::Processes.pool().min(1).shutdown_timeout(LONG).start(&node()).await.unwrap();
    until("it serves", || pids(&pool.status()).len() == 1).await;
    let (events, pid) = (pool.events(), pids(&pool.status())[0]);
    signal(pid, Signal::SIGTERM);
    gone(pid).await;
    until("another one serves, though nobody asks", || matches!(*pids(&pool.status()), [other] if other != pid)).await;
    pool.shutdown().await;
    assert_eq!(ends(events).await, (vec![Leave::Asked], vec![]));
}

async fn a_child_may_end_before_its_runner_leaves() {
    let pool = Runners::Processes.pool().shutdown_timeout(LONG).start(&node()).await.unwrap();
    let (events, journal) = (pool.events(), Journal::new());
    let child = pool.place_child(Child, journal.entry()).await.unwrap();
    let pid = journal.pid("pid").await;
    signal(pid, Signal::SIGTERM);
    until("it gets no more work", || pids(&pool.status()).is_empty()).await;
    assert!(is_alive(pid) && !journal.has("dropped"));
    child.cast(ChildMsg::Stop).unwrap();
    gone(pid).await;
    pool.shutdown().await;
    assert_eq!(ends(events).await, (vec![Leave::Asked], vec![]));
}

async fn a_child_has_the_shutdown_timeout_of_a_runner_that_leaves() {
    let grace = Duration::from_secs(1);
    let pool = Runners::Processes.pool().shutdown_timeout(grace).start(&node()).await.unwrap();
    let journal = Journal::new();
    let child = pool.place_child(Child, journal.entry()).await.unwrap();
    let (pid, start) = (journal.pid("pid").await, Instant::now());
    signal(pid, Signal::SIGTERM);
    eventually("the end of the child", child.wait(None)).await.unwrap();
    assert!(start.elapsed() >= grace, "it had {:?}", start.elapsed());
    gone(pid).await;
    pool.shutdown().await;
}

async fn stubborn() -> (Pool, u32, tokio::task::JoinHandle<Result<u32, Error>>, Journal) {
    let pool = Runners::Processes.pool().timeout(LONG).shutdown_timeout(LONG).start(&node()).await.unwrap();
    let journal = Journal::new();
    let work = tokio::spawn(pool.call(take(LONG, journal.entry())));
    (pool, journal.pid("pid").await, work, journal)
}

async fn ends_at_once(pool: Pool, pid: u32, work: tokio::task::JoinHandle<Result<u32, Error>>) {
    signal(pid, Signal::SIGTERM);
    until("it gets no more work", || pids(&pool.status()).is_empty()).await;
    assert!(is_alive(pid) && !work.is_finished());
    signal(pid, Signal::SIGTERM);
    let err = eventually("the loss", work).await.unwrap().unwrap_err();
    // Its end is reported or its runner's, whichever is heard first.
    assert!(matches!(err, Error::RunnerLost { .. } | Error::Cancelled(_)), "{err}");
    gone(pid).await;
    eventually("the shutdown", pool.shutdown()).await;
}

async fn a_second_signal_ends_a_runner_at_once() {
    let (pool, pid, work, _) = stubborn().await;
    ends_at_once(pool, pid, work).await;
}

async fn a_second_signal_ends_a_runner_that_is_blocked_at_once() {
    let (pool, pid, work, journal) = stubborn().await;
    for _ in 0..4 {
        pool.cast(block(journal.entry())).await.unwrap();
    }
    // A runner has two threads, and the one that blocks last may be the one that reads its timers.
    journal.wait_for(&format!("blocks={pid}")).await;
    ends_at_once(pool, pid, work).await;
}

async fn an_application_that_handles_signals_itself_is_left_in_charge() {
    let pool = Runners::Processes.pool().backend(ProcessBackend::new().env(BEHAVIOUR, "own-signals"));
    let pool = pool.start(&node()).await.unwrap();
    let journal = Journal::new();
    let work = tokio::spawn(pool.call(take(LONG, journal.entry())));
    // It has no handler, so this is what the system does.
    signal(journal.pid("pid").await, Signal::SIGTERM);
    match eventually("the loss", work).await.unwrap().unwrap_err() {
        Error::RunnerLost { cause, .. } => assert_eq!((cause.kind(), cause), ("signalled", Cause::Signalled(15))),
        other => panic!("{other}"),
    }
    pool.shutdown().await;
}

async fn a_task_can_have_its_runner_leave() {
    let pool = Runners::Processes.pool().backend(ProcessBackend::new().env(BEHAVIOUR, "own-signals"));
    let pool = pool.shutdown_timeout(LONG).start(&node()).await.unwrap();
    let events = pool.events();
    let leave = task!([] -> u32 {
        Node::current().expect("a runner is one").leave().expect("it is a runner");
        std::process::id()
    });
    let pid = pool.call(leave).await.expect("it has its result all the same");
    gone(pid).await;
    pool.shutdown().await;
    assert_eq!(ends(events).await, (vec![Leave::Asked], vec![]));
}

async fn a_node_that_is_no_runner_does_not_leave() {
    let err = node().leave().unwrap_err();
    assert!(matches!(err, Error::Config { .. }), "{err}");
}

/// Takes some time on its way, which a runner that has nothing else to do gives it.
const LARGE: usize = 15 << 20;

async fn a_large_result_is_not_lost_when_its_runner_leaves() {
    let pool = Runners::Processes.pool().shutdown_timeout(LONG).start(&node()).await.unwrap();
    let journal = Journal::new();
    let work = tokio::spawn(pool.call(make(LARGE, journal.entry())));
    signal(journal.pid("pid").await, Signal::SIGTERM);
    assert_eq!(work.await.unwrap().expect("it had the time").len(), LARGE);
    pool.shutdown().await;
}

async fn a_large_result_is_not_lost_when_its_pool_ends() {
    let pool = Runners::Processes.pool().shutdown_timeout(LONG).start(&node()).await.unwrap();
    let journal = Journal::new();
    let work: Vec<_> = (0..3).map(|_| tokio::spawn(pool.call(make(LARGE, journal.entry())))).collect();
    until("all run", || journal.lines().len() == 3).await;
    pool.shutdown().await;
    for one in work {
        assert_eq!(one.await.unwrap().expect("it had the time").len(), LARGE);
    }
}
