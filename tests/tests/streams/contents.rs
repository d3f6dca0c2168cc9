//! Every byte arrives, in order, whichever way.

use flame_actors::{ByteSink, ByteStream};
use flame_tests::{Runners, eventually, everywhere, trials};
use libtest_mimic::Trial;
use tokio::io::AsyncWriteExt as _;

use crate::work::{Numbers, consume, consume_below, fill, hash_of, produce, produce_below, read_all, read_hash};

const MIB: u64 = 1024 * 1024;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_task_reads_what_its_caller_opened,
        a_caller_reads_what_a_task_opened,
        a_task_writes_into_what_its_caller_opened,
        a_file_knows_its_size,
        an_empty_stream_ends_at_once,
        two_hundred_streams_at_once,
        one_after_another,
        between_two_runners,
    ];
    trials.extend(trials![through_a_runner_into_its_own_pool, out_of_a_nested_pool]);
    trials
}

async fn a_task_reads_what_its_caller_opened(on: Runners) {
    let pool = on.start().await;
    let (stream, receipt) = ByteStream::new(Numbers::new(8 * MIB + 7)).with_receipt();
    let read = eventually("the call", pool.call(consume(stream))).await.unwrap();
    assert_eq!(read, Ok((hash_of(8 * MIB + 7).await, 8 * MIB + 7)));
    assert_eq!(eventually("the receipt", receipt).await, Ok(8 * MIB + 7));
    pool.shutdown().await;
}

async fn a_caller_reads_what_a_task_opened(on: Runners) {
    let pool = on.start().await;
    let stream = pool.call(produce(8 * MIB + 7)).await.unwrap();
    assert_eq!(stream.size(), Some(8 * MIB + 7));
    let read = eventually("reading", read_all(stream)).await;
    assert_eq!(read, Ok((hash_of(8 * MIB + 7).await, 8 * MIB + 7)));
    pool.shutdown().await;
}

async fn a_task_writes_into_what_its_caller_opened(on: Runners) {
    let pool = on.start().await;
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let (sink, receipt) = ByteSink::new(near).with_receipt();
    let (filled, read) =
        eventually("both", async { tokio::join!(pool.call(fill(sink, 3 * MIB + 1)), read_hash(&mut far)) }).await;
    filled.unwrap().unwrap();
    assert_eq!(read.unwrap(), (hash_of(3 * MIB + 1).await, 3 * MIB + 1));
    assert_eq!(eventually("the receipt", receipt).await, Ok(3 * MIB + 1));
    pool.shutdown().await;
}

async fn a_file_knows_its_size(on: Runners) {
    let pool = on.start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    tokio::io::copy(&mut Numbers::new(MIB), &mut tokio::fs::File::create(file.path()).await.unwrap()).await.unwrap();
    let stream = ByteStream::open(file.path()).await.unwrap();
    assert_eq!(stream.size(), Some(MIB));
    // What is added later is not read.
    let mut more = tokio::fs::OpenOptions::new().append(true).open(file.path()).await.unwrap();
    more.write_all(b"more").await.unwrap();
    more.flush().await.unwrap();
    let read = eventually("the call", pool.call(consume(stream))).await.unwrap();
    assert_eq!(read, Ok((hash_of(MIB).await, MIB)));
    pool.shutdown().await;
}

async fn an_empty_stream_ends_at_once(on: Runners) {
    let pool = on.start().await;
    for stream in [ByteStream::from(Vec::new()), ByteStream::new(tokio::io::empty())] {
        let read = eventually("the call", pool.call(consume(stream))).await.unwrap();
        assert_eq!(read, Ok((hash_of(0).await, 0)));
    }
    pool.shutdown().await;
}

async fn two_hundred_streams_at_once(on: Runners) {
    let pool = on.pool().max_concurrency(200).start(&flame_tests::node()).await.unwrap();
    let calls = (0..200).map(|n| pool.call(consume(ByteStream::new(Numbers::new(100_000 + n)))));
    let read = eventually("all", futures_util::future::join_all(calls)).await;
    for (n, read) in read.into_iter().enumerate() {
        let bytes = 100_000 + n as u64;
        assert_eq!(read.unwrap(), Ok((hash_of(bytes).await, bytes)));
    }
    pool.shutdown().await;
}

async fn one_after_another(on: Runners) {
    let pool = on.start().await;
    for n in 0..50 {
        let read = eventually("a call", pool.call(consume(ByteStream::new(Numbers::new(n))))).await.unwrap();
        assert_eq!(read.unwrap().1, n);
    }
    pool.shutdown().await;
}

async fn between_two_runners(on: Runners) {
    let [from, to] = [on.start().await, on.start().await];
    let stream = from.call(produce(MIB)).await.unwrap();
    let read = eventually("the call", to.call(consume(stream))).await.unwrap();
    assert_eq!(read, Ok((hash_of(MIB).await, MIB)));
    from.shutdown().await;
    to.shutdown().await;
}

async fn through_a_runner_into_its_own_pool() {
    let pool = Runners::Processes.start().await;
    let read = eventually("the call", pool.call(consume_below(ByteStream::new(Numbers::new(MIB))))).await.unwrap();
    assert_eq!(read, Ok((hash_of(MIB).await, MIB)));
    pool.shutdown().await;
}

async fn out_of_a_nested_pool() {
    let pool = Runners::Processes.start().await;
    let stream = eventually("the call", pool.call(produce_below(MIB))).await.unwrap();
    let read = eventually("reading", read_all(stream)).await;
    assert_eq!(read, Ok((hash_of(MIB).await, MIB)));
    pool.shutdown().await;
}
