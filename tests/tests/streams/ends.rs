//! How streams end, and who is told what.

use flame_actors::{ByteStream, StreamError};
use flame_tests::{Journal, Runners, eventually, everywhere, until};
use libtest_mimic::Trial;

use crate::work::{End, Numbers, consume, ignore};

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![a_source_that_fails_says_so_after_every_byte_before, a_stream_that_is_not_read_frees_its_source,]
}

async fn a_source_that_fails_says_so_after_every_byte_before(on: Runners) {
    let pool = on.start().await;
    let (stream, receipt) = ByteStream::new(Numbers::new(300_001).then(End::Fail)).with_receipt();
    let read = eventually("the call", pool.call(consume(stream))).await.unwrap();
    let torn = StreamError::Source("the tape is torn".to_owned());
    assert_eq!(read, Err((300_001, torn.clone())));
    assert_eq!(eventually("the receipt", receipt).await, Err(torn));
    pool.shutdown().await;
}

async fn a_stream_that_is_not_read_frees_its_source(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let source = Numbers::new(1 << 40).then(End::Wait).noting_its_drop(journal.entry());
    let (stream, receipt) = ByteStream::new(source).with_size(1 << 40).with_receipt();
    assert_eq!(eventually("the call", pool.call(ignore(stream))).await.unwrap(), Some(1 << 40));
    assert_eq!(eventually("the receipt", receipt).await, Err(StreamError::ReaderGone));
    until("the source is dropped", || journal.has("source dropped")).await;
    pool.shutdown().await;
}
