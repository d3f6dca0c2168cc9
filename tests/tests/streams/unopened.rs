//! Streams that nobody opens, because what carries them does not arrive.

use std::time::Duration;

use flame_actors::{ByteStream, Error, MAX_MESSAGE_BYTES, StreamError, StreamReceipt, remote};
use flame_tests::{Broken, Journal, Runners, eventually, everywhere, node, trials};
use libtest_mimic::Trial;

use crate::carried::{Books, Library};
use crate::work::{ENDLESS, Numbers, hold, ignore};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_call_to_a_closed_pool_frees_its_stream,
        a_call_that_is_too_large_frees_its_stream,
        a_call_that_waits_too_long_frees_its_stream,
        a_call_that_is_given_up_while_it_waits_frees_its_stream,
        a_call_that_is_never_made_frees_its_stream,
    ];
    trials.extend(trials![a_call_that_finds_no_runner_frees_its_stream, an_actor_that_is_not_placed_frees_its_stream,]);
    trials
}

/// An endless one, and the two that tell of its end.
fn stream(journal: &Journal) -> (ByteStream, StreamReceipt) {
    ByteStream::new(Numbers::new(ENDLESS).noting_its_drop(journal.entry())).with_receipt()
}

async fn is_freed(journal: &Journal, receipt: StreamReceipt) {
    assert_eq!(eventually("the receipt", receipt).await, Err(StreamError::ReaderGone));
    journal.wait_for("source dropped").await;
}

async fn a_call_to_a_closed_pool_frees_its_stream(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    pool.shutdown().await;
    let (stream, receipt) = stream(&journal);
    let err = eventually("the call", pool.call(ignore(stream))).await.unwrap_err();
    assert!(matches!(err, Error::PoolClosed { .. }), "{err:?}");
    is_freed(&journal, receipt).await;
}

#[remote]
async fn weigh(stream: ByteStream, ballast: Vec<u64>) -> usize {
    drop(stream);
    ballast.len()
}

async fn a_call_that_is_too_large_frees_its_stream(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let (stream, receipt) = stream(&journal);
    let ballast = vec![u64::MAX; MAX_MESSAGE_BYTES / 9 + 1];
    let err = eventually("the call", pool.call(weigh(stream, ballast))).await.unwrap_err();
    assert!(matches!(err, Error::TooLarge { .. }), "{err:?}");
    is_freed(&journal, receipt).await;
    pool.shutdown().await;
}

async fn a_call_that_waits_too_long_frees_its_stream(on: Runners) {
    let (pool, journal) = (on.pool().max_concurrency(1).start(&node()).await.unwrap(), Journal::new());
    let (kept, _receipt) = ByteStream::new(Numbers::new(100)).with_receipt();
    let busy = tokio::spawn(pool.call(hold(kept, 10, journal.entry())));
    journal.wait_for("holding").await;
    let (stream, receipt) = stream(&journal);
    let call = pool.call(ignore(stream)).timeout(Duration::from_millis(300));
    let err = eventually("the call", call).await.unwrap_err();
    assert!(matches!(err, Error::Timeout { .. }), "{err:?}");
    is_freed(&journal, receipt).await;
    busy.abort();
    pool.shutdown().await;
}

async fn a_call_that_is_given_up_while_it_waits_frees_its_stream(on: Runners) {
    let (pool, journal) = (on.pool().max_concurrency(1).start(&node()).await.unwrap(), Journal::new());
    let (kept, _receipt) = ByteStream::new(Numbers::new(100)).with_receipt();
    let busy = tokio::spawn(pool.call(hold(kept, 10, journal.entry())));
    journal.wait_for("holding").await;
    let (stream, receipt) = stream(&journal);
    let call = tokio::time::timeout(Duration::from_millis(300), pool.call(ignore(stream)));
    call.await.unwrap_err();
    is_freed(&journal, receipt).await;
    busy.abort();
    pool.shutdown().await;
}

async fn a_call_that_is_never_made_frees_its_stream(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let (stream, receipt) = stream(&journal);
    drop(pool.call(ignore(stream)));
    is_freed(&journal, receipt).await;
    pool.shutdown().await;
}

async fn a_call_that_finds_no_runner_frees_its_stream() {
    let journal = Journal::new();
    let pool = Runners::Processes.pool().backend(Broken::new("no room")).boot_timeout(Duration::from_millis(500));
    let pool = pool.start(&node()).await.unwrap();
    let (stream, receipt) = stream(&journal);
    eventually("the call", pool.call(ignore(stream))).await.unwrap_err();
    is_freed(&journal, receipt).await;
    pool.shutdown().await;
}

async fn an_actor_that_is_not_placed_frees_its_stream() {
    let (pool, journal) = (Runners::Processes.start().await, Journal::new());
    let (first, receipt) = stream(&journal);
    drop(pool.place_child(Library, Books { first: Some(first), journal: journal.entry() }));
    is_freed(&journal, receipt).await;
    pool.shutdown().await;
}
