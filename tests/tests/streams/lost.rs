//! The loss of a node in the middle: killed, frozen, sent away; and what is dropped by who wrote or read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flame_actors::{ByteSink, ByteStream, Cause, Pool, StreamError, remote};
use flame_tests::process::{Signal, signal};
use flame_tests::{Entry, Journal, LEASE, Proxy, Role, Runners, eventually, everywhere, node, told, trials, until};
use libtest_mimic::Trial;
use tokio::io::AsyncReadExt as _;

use crate::work::{
    ENDLESS, End, Numbers, consume, consume_noting, hold, produce, produce_noting, read_all, reason, who, write_on,
};

/// Of the roles here.
const SHORT_LEASE: Duration = Duration::from_secs(2);
/// The file in which the runners of a role note.
const NOTES: &str = "FLAME_TEST_NOTES";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = trials![
        whoever_has_a_stream_with_a_killed_runner_is_told_its_name_at_once,
        whoever_has_a_stream_with_a_frozen_runner_is_told_when_its_lease_is_over,
        a_runner_whose_parent_is_killed_is_told_on_every_stream,
        a_runner_whose_parent_is_frozen_is_told_when_the_lease_is_over,
        a_runner_that_is_sent_away_ends_its_streams,
        a_stream_in_a_result_keeps_its_runner_until_its_end,
        one_connection_that_is_cut_costs_one_stream,
        a_runner_whose_threads_are_all_blocked_loses_no_stream,
    ];
    trials.extend(everywhere![a_call_that_is_dropped_ends_its_streams]);
    trials
}

/// Reads on; counts; gives the reason of the end.
async fn read_on(mut stream: ByteStream, bytes: Arc<AtomicU64>) -> StreamError {
    let mut buf = vec![0; 20_000];
    loop {
        match stream.read(&mut buf).await {
            Ok(0) => panic!("it has no end"),
            Ok(read) => drop(bytes.fetch_add(read as u64, Ordering::Relaxed)),
            Err(err) => return reason(&err),
        }
    }
}

/// Streams in each direction, one that flows and one that is idle; how they end when this happens to the runner.
async fn ends_of_streams_with(done: impl AsyncFnOnce(u32, &Pool)) -> (String, Vec<StreamError>, Journal) {
    let (pool, journal) = (Runners::Processes.start().await, Journal::new());
    let (name, pid) = pool.call(who()).await.unwrap();
    let mut ends = Vec::new();
    let idle = journal.entry();
    for bytes in [1_000_000, ENDLESS] {
        let stream = pool.call(produce_noting(bytes, End::Wait, idle.clone())).await.unwrap();
        let count = Arc::new(AtomicU64::new(0));
        ends.push(tokio::spawn(read_on(stream, Arc::clone(&count))));
        until("bytes from the runner", || count.load(Ordering::Relaxed) >= 1_000_000).await;

        let (stream, receipt) = ByteStream::new(Numbers::new(bytes).then(End::Wait)).with_receipt();
        let other = Journal::new();
        tokio::spawn(pool.call(consume_noting(stream, other.entry())));
        ends.push(tokio::spawn(async { receipt.await.unwrap_err() }));
        other.wait_for("reading").await;
    }
    let (sink, receipt) = ByteSink::new(tokio::io::sink()).with_receipt();
    tokio::spawn(pool.call(write_on(sink, journal.entry())));
    journal.wait_for("writing").await;
    ends.push(tokio::spawn(async { receipt.await.unwrap_err() }));
    done(pid, &pool).await;
    let ends = eventually("every end", futures_util::future::join_all(ends)).await;
    let ends = ends.into_iter().map(Result::unwrap).collect();
    signal(pid, Signal::SIGKILL);
    pool.shutdown().await;
    (name, ends, journal)
}

async fn whoever_has_a_stream_with_a_killed_runner_is_told_its_name_at_once() {
    let mut killed = None;
    let (name, ends, _) = ends_of_streams_with(async |pid, _| {
        killed = Some(Instant::now());
        signal(pid, Signal::SIGKILL);
    })
    .await;
    for end in ends {
        let StreamError::NodeLost { node, cause } = end else { panic!("{end}") };
        assert!(node == name && cause != Cause::LeaseExpired, "{node}: {cause:?}");
    }
    // Its lease is that of the suite.
    assert!(killed.unwrap().elapsed() < Duration::from_secs(5));
}

async fn whoever_has_a_stream_with_a_frozen_runner_is_told_when_its_lease_is_over() {
    let (name, ends, _) = ends_of_streams_with(async |pid, _| signal(pid, Signal::SIGSTOP)).await;
    for end in ends {
        assert_eq!(end, StreamError::NodeLost { node: name.clone(), cause: Cause::LeaseExpired });
    }
}

/// Its tasks are stopped, and then it is.
async fn a_runner_that_is_sent_away_ends_its_streams() {
    let (name, ends, _) = ends_of_streams_with(async |_, pool| pool.shutdown().await).await;
    for (n, end) in ends.into_iter().enumerate() {
        match (n, end) {
            // Those that a task has: which of the two connections tells it first is open.
            (1 | 3, StreamError::ReaderGone) | (4, StreamError::Cancelled) => {}
            (_, StreamError::NodeLost { node, cause }) if node == name && cause != Cause::LeaseExpired => {}
            (_, other) => panic!("{n}: {other:?}"),
        }
    }
}

/// Keeps its runner, which may leave when its last task has ended, until everything is noted.
#[remote]
async fn linger(journal: Entry) {
    let text = || std::fs::read_to_string(journal.path()).unwrap_or_default();
    until("the receipt", || text().contains("receipt=") && text().contains("source dropped")).await;
}

/// Has streams with its runner in each direction, and tells its name.
pub(crate) async fn parent() {
    let journal = Entry::at(std::env::var(NOTES).expect("the trial says where"));
    let pool = Runners::Processes.start().await;
    let stream = pool.call(produce_noting(ENDLESS, End::Wait, journal.clone())).await.unwrap();
    tokio::spawn(read_on(stream, Arc::default()));
    let stream = ByteStream::new(Numbers::new(1_000_000).then(End::Wait));
    tokio::spawn(pool.call(consume_noting(stream, journal.clone())).link(false));
    let sink = ByteSink::new(tokio::io::sink());
    tokio::spawn(pool.call(write_on(sink, journal.clone())).link(false));
    tokio::spawn(pool.call(linger(journal)).link(false));
    told(node().name());
    std::future::pending().await
}

async fn ends_at_a_runner_whose_parent_gets(what: Signal) -> (String, Vec<String>) {
    let journal = Journal::new();
    let lease = SHORT_LEASE.as_millis().to_string();
    let notes = journal.entry().path().to_str().unwrap().to_owned();
    let mut parent = Role::start("parent", &[(NOTES, &notes), (LEASE, &lease)]);
    let name = parent.next().await;
    journal.wait_for("reading").await;
    journal.wait_for("writing").await;
    parent.signal(what);
    let mut ends = Vec::new();
    for key in ["read", "written", "receipt"] {
        ends.push(journal.value(key).await);
    }
    journal.wait_for("source dropped").await;
    (name, ends)
}

async fn a_runner_whose_parent_is_killed_is_told_on_every_stream() {
    let (name, ends) = ends_at_a_runner_whose_parent_gets(Signal::SIGKILL).await;
    for end in ends {
        let names = end.contains(&format!("NodeLost {{ node: {name:?}"));
        assert!(names && !end.contains("LeaseExpired"), "{name}: {end}");
    }
}

async fn a_runner_whose_parent_is_frozen_is_told_when_the_lease_is_over() {
    let (name, ends) = ends_at_a_runner_whose_parent_gets(Signal::SIGSTOP).await;
    for end in ends {
        assert!(end.contains(&format!("NodeLost {{ node: {name:?}, cause: LeaseExpired }}")), "{name}: {end}");
    }
}

async fn a_call_that_is_dropped_ends_its_streams(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let (stream, read) = ByteStream::new(Numbers::new(100_000).then(End::Wait)).with_receipt();
    let reader = tokio::spawn(pool.call(hold(stream, 50_000, journal.entry())));
    let (sink, written) = ByteSink::new(tokio::io::sink()).with_receipt();
    let writer = tokio::spawn(pool.call(write_on(sink, journal.entry())));
    journal.wait_for("holding").await;
    journal.wait_for("writing").await;
    reader.abort();
    writer.abort();
    assert_eq!(eventually("the reader's end", read).await, Err(StreamError::ReaderGone));
    assert_eq!(eventually("the writer's end", written).await, Err(StreamError::Cancelled));
    pool.shutdown().await;
}

/// A parent behind a proxy; its runner's third connection is the first stream's.
async fn one_connection_that_is_cut_costs_one_stream() {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    let environment = proxy.environment();
    let notes = journal.entry().path().to_str().unwrap().to_owned();
    let mut environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.push((NOTES, &notes));
    let mut parent = Role::start("streams", &environment);
    let name = parent.next().await;
    let cut = Instant::now();
    proxy.reset_only(3);
    let end = journal.value("receipt").await;
    assert!(end.contains(&format!("NodeLost {{ node: {name:?}, cause: ConnectionClosed }}")), "{end}");
    let end = parent.next().await;
    assert!(end.contains("NodeLost") && end.contains("ConnectionClosed"), "{end}");
    assert!(cut.elapsed() < Duration::from_secs(5), "{:?}", cut.elapsed());
    // The other one goes on.
    assert_eq!(parent.next().await, "more comes");
    assert_eq!(parent.next().await, "calls are answered");
}

/// Has two streams from its runner, one after the other.
pub(crate) async fn streams() {
    let journal = Entry::at(std::env::var(NOTES).expect("the trial says where"));
    let other = Journal::new();
    let pool = Runners::Processes.start().await;
    let one = pool.call(produce_noting(ENDLESS, End::Wait, journal)).await.unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let one = tokio::spawn(read_on(one, Arc::clone(&count)));
    until("bytes of the first", || count.load(Ordering::Relaxed) > 0).await;
    let two = pool.call(produce_noting(ENDLESS, End::Wait, other.entry())).await.unwrap();
    let count = Arc::new(AtomicU64::new(0));
    tokio::spawn(read_on(two, Arc::clone(&count)));
    until("bytes of the second", || count.load(Ordering::Relaxed) > 0).await;
    told(node().name());
    told(format_args!("{:?}", one.await.unwrap()));
    let before = count.load(Ordering::Relaxed);
    until("more of the second", || count.load(Ordering::Relaxed) > before + 1_000_000).await;
    told("more comes");
    pool.call(who()).await.unwrap();
    told("calls are answered");
}

#[remote]
async fn block(time: Duration, journal: Entry) {
    journal.note("blocking");
    std::thread::sleep(time);
}

/// A runner's runtime has two threads here.
async fn a_runner_whose_threads_are_all_blocked_loses_no_stream() {
    let (pool, journal) = (Runners::Processes.start().await, Journal::new());
    let (stream, receipt) = ByteStream::new(Numbers::new(8_000_000)).with_receipt();
    let other = pool.call(produce(8_000_000)).await.unwrap();
    let reader = tokio::spawn(pool.call(consume(stream)));
    // Longer than the lease.
    let block = |_| tokio::spawn(pool.call(block(Duration::from_secs(6), journal.entry())));
    let blocking: Vec<_> = (0..2).map(block).collect();
    until("both threads are blocked", || journal.count("blocking") == 2).await;
    let read = eventually("reading", read_all(other)).await.map(|(_, bytes)| bytes);
    assert_eq!(read, Ok(8_000_000));
    let read = eventually("the call", reader).await.unwrap().unwrap();
    assert_eq!(read.map(|(_, bytes)| bytes), Ok(8_000_000));
    assert_eq!(receipt.await, Ok(8_000_000));
    for blocking in blocking {
        blocking.await.unwrap().unwrap();
    }
    pool.shutdown().await;
}

/// It is for one call, which has ended: its stream has not.
async fn a_stream_in_a_result_keeps_its_runner_until_its_end() {
    let pool = Runners::Processes.pool().single_use(true).start(&node()).await.unwrap();
    let mut stream = pool.call(produce(40 << 20)).await.unwrap();
    stream.read_exact(&mut [0; 20]).await.unwrap();
    // A runner that may leave is asked to at once.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pool.status().runners.iter().map(|runner| runner.slots_used).sum::<usize>(), 1);
    // The same when it is sent on.
    let other = Runners::Processes.start().await;
    let read = eventually("reading", other.call(consume(stream))).await.unwrap();
    assert_eq!(read.map(|(_, bytes)| bytes), Ok((40 << 20) - 20));
    until("the runner has left", || pool.status().runners.is_empty()).await;
    other.shutdown().await;
    pool.shutdown().await;
}
