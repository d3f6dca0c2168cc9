//! From one runner to another, directly and by their parent, and what the far ends hear of each other.

use std::time::Duration;

use flame_actors::ractor::Actor;
use flame_actors::{ActorAddr, ByteSink, ByteStream, Pool, StreamError, remote};
use flame_tests::process::{connections, kill};
use flame_tests::{Entry, Journal, RUNNER_ADVERTISE, Runners, Spy, eventually, node, trials, until};
use libtest_mimic::Trial;
use tokio::net::TcpListener;

use crate::carried::{Books, Library, LibraryMsg, noted};
use crate::work::{
    End, Numbers, consume, fill, fill_below, hash_of, hold, note_receipt, produce_noting, read_hash, taste, who,
};

const MIB: u64 = 1024 * 1024;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_message_between_two_runners_is_read_directly,
        where_nobody_answers_it_goes_by_the_parent,
        where_nothing_is_heard_it_goes_by_the_parent,
        a_sink_goes_by_the_parent_too,
        a_sink_goes_through_a_runner_into_its_own_pool,
        a_sink_goes_on_from_hand_to_hand,
        a_reader_that_leaves_is_told_through_whoever_is_between,
        a_source_that_fails_is_told_through_whoever_is_between,
        a_reader_that_is_killed_is_told_through_whoever_is_between,
        a_writer_that_is_killed_is_told_through_whoever_is_between,
        what_only_the_relay_has_read_was_not_received,
    ]
}

/// An actor of this runner's own: what is sent to a placed one goes by its guardian, whose node passes streams on.
#[remote]
async fn open_library(journal: Entry) -> ActorAddr<LibraryMsg> {
    let (library, _) = Actor::spawn(None, Library, Books { first: None, journal }).await.expect("it starts");
    ActorAddr::from(library)
}

/// Sends a stream of this runner to an actor elsewhere.
#[remote]
async fn send_to(library: ActorAddr<LibraryMsg>, bytes: u64, end: End, journal: Entry) {
    let numbers = Numbers::new(bytes).then(end);
    let (stream, receipt) = ByteStream::new(numbers).with_receipt();
    note_receipt(&journal, receipt);
    library.cast(LibraryMsg::Take(stream)).expect("it is there");
}

/// Sends a sink of this runner to an actor elsewhere; notes what was written into it.
#[remote]
async fn send_sink_to(library: ActorAddr<LibraryMsg>, bytes: u64, journal: Entry) {
    let (near, mut far) = tokio::io::duplex(50_000);
    let (sink, receipt) = ByteSink::new(near).with_receipt();
    note_receipt(&journal, receipt);
    library.cast(LibraryMsg::Fill(sink, bytes)).expect("it is there");
    let (hash, bytes) = read_hash(&mut far).await.expect("it comes");
    journal.note(format_args!("read={}", noted(hash, bytes)));
}

/// A pool whose runner is said to be here.
async fn said_to_be_at(address: &str) -> Pool {
    let spy = Spy::new(&[(RUNNER_ADVERTISE, address)]);
    Runners::Processes.pool().backend(spy).start(&node()).await.unwrap()
}

/// Whether the two processes have a connection with each other.
fn are_connected(one: u32, other: u32) -> bool {
    let others = connections(other);
    connections(one).iter().any(|(own, far)| others.contains(&(*far, *own)))
}

async fn reads_of(from: &Pool, to: &Pool) -> bool {
    let journal = Journal::new();
    let ((_, source), (_, reader)) = (from.call(who()).await.unwrap(), to.call(who()).await.unwrap());
    let library = to.call(open_library(journal.entry())).await.unwrap();
    from.call(send_to(library, 5 * MIB, End::Finish, journal.entry())).await.unwrap();
    assert_eq!(journal.value("read").await, noted(hash_of(5 * MIB).await, 5 * MIB));
    assert_eq!(journal.value("receipt").await, format!("Ok({})", 5 * MIB));
    // The connection is kept for a while.
    are_connected(source, reader)
}

async fn a_message_between_two_runners_is_read_directly() {
    let (from, to) = (Runners::Processes.start().await, Runners::Processes.start().await);
    assert!(reads_of(&from, &to).await, "no connection between the two");
    from.shutdown().await;
    to.shutdown().await;
}

async fn where_nobody_answers_it_goes_by_the_parent() {
    let (from, to) = (said_to_be_at("127.0.0.1:1").await, Runners::Processes.start().await);
    assert!(!reads_of(&from, &to).await, "it is there all the same");
    from.shutdown().await;
    to.shutdown().await;
}

async fn where_nothing_is_heard_it_goes_by_the_parent() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let from = said_to_be_at(&silent.local_addr().unwrap().to_string()).await;
    let to = Runners::Processes.start().await;
    assert!(!reads_of(&from, &to).await, "it is there all the same");
    from.shutdown().await;
    to.shutdown().await;
}

async fn a_sink_goes_by_the_parent_too() {
    for from in [Runners::Processes.start().await, said_to_be_at("127.0.0.1:1").await] {
        let (to, journal) = (Runners::Processes.start().await, Journal::new());
        let library = to.call(open_library(journal.entry())).await.unwrap();
        let call = from.call(send_sink_to(library, 2 * MIB, journal.entry()));
        eventually("the call", call).await.unwrap();
        assert_eq!(journal.value("read").await, noted(hash_of(2 * MIB).await, 2 * MIB));
        assert_eq!(journal.value("receipt").await, format!("Ok({})", 2 * MIB));
        from.shutdown().await;
        to.shutdown().await;
    }
}

async fn a_sink_goes_through_a_runner_into_its_own_pool() {
    let pool = Runners::Processes.start().await;
    let (near, mut far) = tokio::io::duplex(50_000);
    let (sink, receipt) = ByteSink::new(near).with_receipt();
    let both = async { tokio::join!(pool.call(fill_below(sink, MIB)), read_hash(&mut far)) };
    let (filled, read) = eventually("both", both).await;
    filled.unwrap().unwrap();
    assert_eq!(read.unwrap(), (hash_of(MIB).await, MIB));
    assert_eq!(eventually("the receipt", receipt).await, Ok(MIB));
    pool.shutdown().await;
}

/// A sink of this runner, whose receipt is noted.
#[remote]
async fn offer_sink(journal: Entry) -> ByteSink {
    let (sink, receipt) = ByteSink::new(tokio::io::sink()).with_receipt();
    note_receipt(&journal, receipt);
    sink
}

async fn a_sink_goes_on_from_hand_to_hand() {
    let (one, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
    let journal = Journal::new();
    let sink = one.call(offer_sink(journal.entry())).await.unwrap();
    eventually("the call", other.call(fill(sink, MIB + 3))).await.unwrap().unwrap();
    assert_eq!(journal.value("receipt").await, format!("Ok({})", MIB + 3));
    one.shutdown().await;
    other.shutdown().await;
}

async fn a_reader_that_leaves_is_told_through_whoever_is_between() {
    let (one, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
    let journal = Journal::new();
    let stream = one.call(produce_noting(100_000, End::Wait, journal.entry())).await.unwrap();
    eventually("the call", other.call(taste(stream, 50_000))).await.unwrap();
    assert_eq!(journal.value("receipt").await, "Err(ReaderGone)");
    journal.wait_for("source dropped").await;
    one.shutdown().await;
    other.shutdown().await;
}

async fn a_source_that_fails_is_told_through_whoever_is_between() {
    let (one, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
    let journal = Journal::new();
    let stream = one.call(produce_noting(100_001, End::Fail, journal.entry())).await.unwrap();
    let read = eventually("the call", other.call(consume(stream))).await.unwrap();
    assert_eq!(read, Err((100_001, StreamError::Source("the tape is torn".to_owned()))));
    one.shutdown().await;
    other.shutdown().await;
}

async fn a_reader_that_is_killed_is_told_through_whoever_is_between() {
    let (one, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
    let journal = Journal::new();
    let (name, pid) = other.call(who()).await.unwrap();
    let stream = one.call(produce_noting(100_000, End::Wait, journal.entry())).await.unwrap();
    tokio::spawn(other.call(hold(stream, 50_000, journal.entry())));
    journal.wait_for("holding").await;
    kill(pid);
    let receipt = journal.value("receipt").await;
    assert!(receipt.starts_with(&format!("Err(NodeLost {{ node: {name:?}")), "{receipt}");
    one.shutdown().await;
    other.shutdown().await;
}

async fn a_writer_that_is_killed_is_told_through_whoever_is_between() {
    let (one, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
    let (name, pid) = other.call(who()).await.unwrap();
    let journal = Journal::new();
    let sink = one.call(offer_sink(journal.entry())).await.unwrap();
    tokio::spawn(other.call(crate::work::write_on(sink, journal.entry())));
    journal.wait_for("writing").await;
    kill(pid);
    let receipt = journal.value("receipt").await;
    assert!(receipt.starts_with(&format!("Err(NodeLost {{ node: {name:?}")), "{receipt}");
    one.shutdown().await;
    other.shutdown().await;
}

/// It is so short that the relay has all of it at once, its end too.
async fn what_only_the_relay_has_read_was_not_received() {
    let (one, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
    let journal = Journal::new();
    let stream = one.call(produce_noting(1000, End::Finish, journal.entry())).await.unwrap();
    let call = tokio::spawn(other.call(hold(stream, 10, journal.entry())));
    journal.wait_for("holding").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!journal.lines().iter().any(|line| line.starts_with("receipt")), "{:?}", journal.lines());
    call.abort();
    assert_eq!(journal.value("receipt").await, "Err(ReaderGone)");
    until("the source is dropped", || journal.has("source dropped")).await;
    one.shutdown().await;
    other.shutdown().await;
}
