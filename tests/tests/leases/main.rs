//! Stalls on either side, with a lease of two seconds.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use flame_actors::{Cause, Error, remote, task};
use flame_tests::process::{Signal, is_alive, signal};
use flame_tests::{Entry, Journal, Role, Runners, Suite, eventually, node, told, trials, until};
use libtest_mimic::Trial;
use serde_bytes::ByteBuf;

const LEASE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    Suite::new().lease(LEASE).one_at_a_time().role("parent", parent).trials(trials()).run()
}

fn trials() -> Vec<Trial> {
    trials![
        a_runner_whose_threads_are_all_blocked_is_not_lost,
        a_parent_whose_threads_are_all_blocked_loses_nothing,
        a_frozen_runner_is_lost_after_its_lease,
        a_stall_shorter_than_the_lease_loses_nothing,
        a_runner_leaves_a_frozen_parent,
        a_lot_to_send_does_not_cost_the_lease,
        a_lot_to_receive_does_not_cost_the_lease,
    ]
}

#[remote]
async fn hang(journal: Entry) {
    journal.note(format_args!("pid={}", std::process::id()));
    std::future::pending::<()>().await;
}

#[remote]
async fn block(time: Duration) -> u32 {
    std::thread::sleep(time);
    std::process::id()
}

/// A runner's runtime has two threads here.
async fn a_runner_whose_threads_are_all_blocked_is_not_lost() {
    let pool = Runners::Processes.start().await;
    let pid = pool.call(task!([] -> u32 { std::process::id() })).await.unwrap();
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(pool.call(block(3 * LEASE)))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().expect("it was not lost"), pid);
    }
    pool.shutdown().await;
}

/// The parent's runtime has two threads, too.
async fn a_parent_whose_threads_are_all_blocked_loses_nothing() {
    let pool = Runners::Processes.start().await;
    let pid = pool.call(task!([] -> u32 { std::process::id() })).await.unwrap();
    let call = tokio::spawn(pool.call(task!([] -> u32 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        std::process::id()
    })));
    let blocked: Vec<_> = (0..4).map(|_| tokio::spawn(async { std::thread::sleep(2 * LEASE) })).collect();
    for one in blocked {
        one.await.unwrap();
    }
    assert_eq!(call.await.unwrap().expect("it was not lost"), pid);
    pool.shutdown().await;
}

async fn a_frozen_runner_is_lost_after_its_lease() {
    let pool = Runners::Processes.start().await;
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hang(journal.entry())));
    let pid = journal.pid("pid").await;
    let start = Instant::now();
    signal(pid, Signal::SIGSTOP);
    match eventually("the loss", call).await.unwrap().unwrap_err() {
        Error::RunnerLost { cause, .. } => assert_eq!(cause, Cause::LeaseExpired),
        other => panic!("{other}"),
    }
    assert!(start.elapsed() >= LEASE / 2, "after {:?} only", start.elapsed());
    until("the frozen process is killed", || !is_alive(pid)).await;
    pool.call(task!([] {})).await.expect("the next call has another runner");
    pool.shutdown().await;
}

async fn a_stall_shorter_than_the_lease_loses_nothing() {
    let pool = Runners::Processes.start().await;
    let pid = pool.call(task!([] -> u32 { std::process::id() })).await.unwrap();
    for _ in 0..3 {
        signal(pid, Signal::SIGSTOP);
        let call = tokio::spawn(pool.call(task!([] -> u32 { std::process::id() })));
        tokio::time::sleep(3 * LEASE / 4).await;
        signal(pid, Signal::SIGCONT);
        assert_eq!(call.await.unwrap().expect("it was not lost"), pid);
        // Two stalls with no heartbeat between them are one.
        tokio::time::sleep(LEASE / 4).await;
    }
    pool.shutdown().await;
}

/// Has one runner, and calls again once it is lost.
async fn parent() {
    let pool = Runners::Processes.start().await;
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hang(journal.entry())));
    told(journal.pid("pid").await);
    told(format_args!("{:?}", call.await.unwrap()));
    told(format_args!("{:?}", pool.call(task!([] -> u32 { 6 * 7 })).await));
    pool.shutdown().await;
}

/// It cannot know whether the parent will wake up, and the parent would have given it up by then.
async fn a_runner_leaves_a_frozen_parent() {
    let mut role = Role::start("parent", &[]);
    let runner = role.next_pid().await;
    role.signal(Signal::SIGSTOP);
    // As a zombie, since its parent cannot wait for it now.
    until("the runner leaves", || !is_alive(runner)).await;
    role.signal(Signal::SIGCONT);
    let lost = role.next().await;
    assert!(lost.contains("RunnerLost"), "{lost}");
    assert_eq!(role.next().await, "Ok(42)");
    assert_eq!(role.ended().await, Some(0));
}

#[remote]
async fn measure(bytes: ByteBuf) -> usize {
    bytes.len()
}

#[remote]
async fn make(size: usize) -> ByteBuf {
    ByteBuf::from(vec![1; size])
}

const LARGE: usize = 15 << 20;
/// Together more than crosses within a lease.
const MANY: usize = 48;

/// Heartbeats do not wait behind what is queued, or its arrival counts as one.
async fn a_lot_to_send_does_not_cost_the_lease() {
    let pool = Runners::Processes.start().await;
    pool.call(task!([] {})).await.unwrap();
    let calls: Vec<_> = (0..MANY).map(|_| tokio::spawn(pool.call(measure(ByteBuf::from(vec![0; LARGE]))))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().expect("it was not lost"), LARGE);
    }
    pool.shutdown().await;
}

async fn a_lot_to_receive_does_not_cost_the_lease() {
    let pool = Runners::Processes.pool().max(1).start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    let calls: Vec<_> = (0..MANY).map(|_| tokio::spawn(pool.call(make(LARGE)))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().expect("it was not lost").len(), LARGE);
    }
    pool.shutdown().await;
}
