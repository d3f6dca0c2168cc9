//! How streams end, and who is told what.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use flame_actors::{ByteSink, ByteStream, StreamError, remote, task};
use flame_tests::{Entry, Journal, OnDrop, Runners, eventually, everywhere, until};
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::work::{
    ENDLESS, End, Numbers, Read, consume, fill, hash_of, ignore, note_receipt, read_all, reason, says, taste,
};

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![
        a_source_that_fails_says_so_after_every_byte_before,
        a_source_that_panics_says_so,
        a_stream_that_is_not_read_frees_its_source,
        a_reader_that_leaves_frees_an_idle_source,
        a_reader_that_leaves_frees_a_fast_source,
        a_reader_that_keeps_what_it_has_read_holds_nobody_up,
        a_source_that_is_shorter_than_said_says_so,
        a_source_that_is_longer_than_said_is_cut,
        reading_into_no_room_is_no_end,
        a_reader_that_rests_stops_the_source,
        a_full_target_says_so_to_its_writer,
        a_target_that_cannot_be_shut_down_says_so_to_its_writer,
        a_target_that_panics_says_so_to_its_writer,
        a_writer_that_leaves_cancels,
        a_writer_that_leaves_cancels_also_what_rests,
        a_sink_is_shut_down_before_its_writer_goes_on,
        nothing_is_written_after_a_shutdown_that_was_given_up,
        every_receipt_is_told,
    ]
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

async fn a_source_that_panics_says_so(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let source = Numbers::new(70_000).then(End::Panic).noting_its_drop(journal.entry());
    let stream = pool.call(task!([] -> ByteStream { ByteStream::new(Numbers::new(70_000).then(End::Panic)) }));
    if on != Runners::InProcess {
        let read = eventually("reading", read_all(stream.await.unwrap())).await;
        assert_eq!(read, Err((70_000, StreamError::Source("it panicked: the reel is out".to_owned()))));
        let (stream, receipt) = ByteStream::new(source).with_receipt();
        let read = eventually("the call", pool.call(consume(stream))).await.unwrap();
        let out = StreamError::Source("it panicked: the reel is out".to_owned());
        assert_eq!(read, Err((70_000, out.clone())));
        assert_eq!(eventually("the receipt", receipt).await, Err(out));
        journal.wait_for("source dropped").await;
    } else {
        // It is read directly, and the panic is its reader's.
        let err = eventually("the call", pool.call(consume(ByteStream::new(source)))).await.unwrap_err();
        assert!(err.to_string().contains("the reel is out"), "{err}");
    }
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

async fn a_reader_that_leaves_frees_an_idle_source(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let source = Numbers::new(100_000).then(End::Wait).noting_its_drop(journal.entry());
    let (stream, receipt) = ByteStream::new(source).with_receipt();
    assert_eq!(eventually("the call", pool.call(taste(stream, 100_000))).await.unwrap(), 100_000);
    assert_eq!(eventually("the receipt", receipt).await, Err(StreamError::ReaderGone));
    journal.wait_for("source dropped").await;
    pool.shutdown().await;
}

/// It never waits, so it has to be told between two bytes.
async fn a_reader_that_leaves_frees_a_fast_source(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let source = Numbers::new(ENDLESS).noting_its_drop(journal.entry());
    let given = source.given();
    let (stream, receipt) = ByteStream::new(source).with_receipt();
    assert_eq!(eventually("the call", pool.call(taste(stream, 300_000))).await.unwrap(), 300_000);
    assert_eq!(eventually("the receipt", receipt).await, Err(StreamError::ReaderGone));
    journal.wait_for("source dropped").await;
    // What the system keeps on both sides, and what was under way.
    let given = given.load(Ordering::Relaxed);
    assert!(given < 32 << 20, "{given}");
    pool.shutdown().await;
}

async fn a_reader_that_keeps_what_it_has_read_holds_nobody_up(on: Runners) {
    let pool = on.start().await;
    let (stream, receipt) = ByteStream::new(Numbers::new(1000)).with_receipt();
    let call = tokio::spawn(pool.call(task!([stream: ByteStream] -> () {
        let mut stream = stream;
        read_kept(&mut stream).await;
        std::future::pending().await
    })));
    assert_eq!(eventually("the receipt", receipt).await, Ok(1000));
    call.abort();
    pool.shutdown().await;
}

async fn read_kept(stream: &mut ByteStream) {
    let mut all = Vec::new();
    assert_eq!(stream.read_to_end(&mut all).await.expect("it ends well"), 1000);
    // Its end can be met again.
    assert_eq!(stream.read(&mut [0]).await.expect("it has ended well"), 0);
}

async fn a_source_that_is_shorter_than_said_says_so(on: Runners) {
    let pool = on.start().await;
    let (stream, receipt) = ByteStream::new(Numbers::new(70_001)).with_size(70_003).with_receipt();
    let read = eventually("the call", pool.call(consume(stream))).await.unwrap();
    let short = StreamError::TooShort { expected: 70_003, got: 70_001 };
    assert_eq!(read, Err((70_001, short.clone())));
    assert_eq!(eventually("the receipt", receipt).await, Err(short));
    pool.shutdown().await;
}

async fn a_source_that_is_longer_than_said_is_cut(on: Runners) {
    let pool = on.start().await;
    let source = Numbers::new(ENDLESS);
    let given = source.given();
    let (stream, receipt) = ByteStream::new(source).with_size(70_001).with_receipt();
    let read = eventually("the call", pool.call(consume(stream))).await.unwrap();
    assert_eq!(read, Ok((hash_of(70_001).await, 70_001)));
    assert_eq!(eventually("the receipt", receipt).await, Ok(70_001));
    assert_eq!(given.load(Ordering::Relaxed), 70_001, "no more was read");
    pool.shutdown().await;
}

async fn reading_into_no_room_is_no_end(on: Runners) {
    let pool = on.start().await;
    let (stream, receipt) = ByteStream::new(Numbers::new(1000)).with_receipt();
    let call = pool.call(task!([stream: ByteStream] -> Read {
        let mut stream = stream;
        for _ in 0..3 {
            assert_eq!(stream.read(&mut []).await.expect("no error"), 0);
            stream.read_exact(&mut [0; 100]).await.expect("so much comes");
        }
        read_all(stream).await
    }));
    assert_eq!(eventually("the call", call).await.unwrap().map(|(_, bytes)| bytes), Ok(700));
    assert_eq!(eventually("the receipt", receipt).await, Ok(1000));
    pool.shutdown().await;
}

#[remote]
async fn read_some_and_rest(stream: ByteStream, journal: Entry) -> u64 {
    let mut stream = stream;
    stream.read_exact(&mut [0; 100_000]).await.expect("so much comes");
    journal.note("resting");
    until("the word of the trial", || says(&journal, "go on")).await;
    100_000 + tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.expect("the rest comes")
}

async fn a_reader_that_rests_stops_the_source(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let source = Numbers::new(40 << 20);
    let given = source.given();
    let call = tokio::spawn(pool.call(read_some_and_rest(ByteStream::new(source), journal.entry())));
    journal.wait_for("resting").await;
    // Until the system takes no more.
    let mut last = 0;
    while std::mem::replace(&mut last, given.load(Ordering::Relaxed)) != last {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(last < 24 << 20, "{last}");
    journal.entry().note("go on");
    assert_eq!(eventually("the call", call).await.unwrap().unwrap(), 40 << 20);
    pool.shutdown().await;
}

/// Takes so many bytes, and fails.
struct Disk {
    room: usize,
    end: DiskEnd,
    shut: Option<(Entry, OnDrop)>,
}

#[derive(PartialEq)]
enum DiskEnd {
    Full,
    Stuck,
    Panic,
}

impl Disk {
    fn of(room: usize, end: DiskEnd) -> Self {
        Self { room, end, shut: None }
    }
}

impl AsyncWrite for Disk {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let taken = buf.len().min(self.room);
        self.room -= taken;
        match (taken, &self.end) {
            (0, DiskEnd::Panic) => panic!("the head has crashed"),
            (0, _) => Poll::Ready(Err(io::Error::other("no space left on device"))),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end == DiskEnd::Stuck {
            return Poll::Ready(Err(io::Error::other("the disk is stuck")));
        }
        if let Some((journal, _)) = &self.shut {
            journal.note("shut down");
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes until that fails, or so many bytes and shuts it down; gives the reason.
#[remote]
async fn write_until_it_fails(sink: ByteSink, bytes: u64) -> Option<StreamError> {
    let mut sink = sink;
    let written = async {
        tokio::io::copy(&mut Numbers::new(bytes), &mut sink).await?;
        sink.shutdown().await
    };
    written.await.err().map(|err| match StreamError::of(&err) {
        Some(reason) => reason.clone(),
        // In this process it is the writer's own error.
        None => StreamError::Target(err.to_string()),
    })
}

async fn a_full_target_says_so_to_its_writer(on: Runners) {
    let pool = on.start().await;
    let (sink, receipt) = ByteSink::new(Disk::of(1_000_000, DiskEnd::Full)).with_receipt();
    let full = StreamError::Target("no space left on device".to_owned());
    let told = eventually("the call", pool.call(write_until_it_fails(sink, ENDLESS))).await.unwrap();
    assert_eq!(told, Some(full.clone()));
    assert_eq!(eventually("the receipt", receipt).await, Err(full));
    pool.shutdown().await;
}

async fn a_target_that_cannot_be_shut_down_says_so_to_its_writer(on: Runners) {
    let pool = on.start().await;
    let (sink, receipt) = ByteSink::new(Disk::of(1_000_000, DiskEnd::Stuck)).with_receipt();
    let stuck = StreamError::Target("the disk is stuck".to_owned());
    let told = eventually("the call", pool.call(write_until_it_fails(sink, 1000))).await.unwrap();
    assert_eq!(told, Some(stuck.clone()));
    assert_eq!(eventually("the receipt", receipt).await, Err(stuck));
    pool.shutdown().await;
}

async fn a_target_that_panics_says_so_to_its_writer(on: Runners) {
    if on == Runners::InProcess {
        // It is written into directly, and the panic is its writer's.
        return;
    }
    let pool = on.start().await;
    let (sink, receipt) = ByteSink::new(Disk::of(1_000_000, DiskEnd::Panic)).with_receipt();
    let crashed = StreamError::Target("it panicked: the head has crashed".to_owned());
    let told = eventually("the call", pool.call(write_until_it_fails(sink, ENDLESS))).await.unwrap();
    assert_eq!(told, Some(crashed.clone()));
    assert_eq!(eventually("the receipt", receipt).await, Err(crashed));
    pool.shutdown().await;
}

async fn a_writer_that_leaves_cancels(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let disk =
        Disk { shut: Some((journal.entry(), journal.entry().on_drop("dropped"))), ..Disk::of(1000, DiskEnd::Full) };
    let (sink, receipt) = ByteSink::new(disk).with_receipt();
    let call = pool.call(task!([sink: ByteSink] -> () {
        let mut sink = sink;
        sink.write_all(b"all is w").await.expect("it is taken");
        sink.flush().await.expect("it is sent");
    }));
    eventually("the call", call).await.unwrap();
    assert_eq!(eventually("the receipt", receipt).await, Err(StreamError::Cancelled));
    journal.wait_for("dropped").await;
    assert!(!journal.has("shut down"));
    pool.shutdown().await;
}

/// Writes until no more is taken; drops it.
#[remote]
async fn write_until_it_rests(sink: ByteSink) {
    let (mut sink, bytes) = (sink, [7; 20_000]);
    while tokio::time::timeout(Duration::from_millis(500), sink.write_all(&bytes)).await.is_ok() {}
}

/// What was written before has to arrive, and who is to hear of the end is slow.
async fn a_writer_that_leaves_cancels_also_what_rests(on: Runners) {
    let pool = on.start().await;
    let (near, mut far) = tokio::io::duplex(1000);
    let (sink, receipt) = ByteSink::new(near).with_receipt();
    eventually("the call", pool.call(write_until_it_rests(sink))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    eventually("reading", tokio::io::copy(&mut far, &mut tokio::io::sink())).await.unwrap();
    assert_eq!(eventually("the receipt", receipt).await, Err(StreamError::Cancelled));
    pool.shutdown().await;
}

async fn a_sink_is_shut_down_before_its_writer_goes_on(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let entry = journal.entry();
    let disk = Disk { shut: Some((entry.clone(), entry.on_drop("dropped"))), ..Disk::of(1000, DiskEnd::Full) };
    let call = pool.call(task!([disk: ByteSink = ByteSink::new(disk), entry: Entry] -> () {
        fill(disk, 1000).await.expect("it is written");
        entry.note("the writer goes on");
    }));
    eventually("the call", call).await.unwrap();
    journal.wait_for("dropped").await;
    let lines = journal.lines();
    let at = |line: &str| lines.iter().position(|known| known == line).unwrap_or_else(|| panic!("{line} in {lines:?}"));
    assert!(at("shut down") < at("the writer goes on"), "{lines:?}");
    pool.shutdown().await;
}

async fn nothing_is_written_after_a_shutdown_that_was_given_up(on: Runners) {
    let pool = on.start().await;
    let (near, far) = tokio::io::duplex(10);
    let call = pool.call(task!([sink: ByteSink = ByteSink::new(near)] -> Option<StreamError> {
        let mut sink = sink;
        sink.write_all(&[7; 100]).await.expect("it is taken");
        tokio::time::timeout(Duration::from_millis(100), sink.shutdown()).await.expect_err("nobody reads");
        sink.write_all(b"more").await.err().map(|err| reason(&err))
    }));
    if on != Runners::InProcess {
        let err = eventually("the call", call).await.unwrap();
        assert_eq!(err, Some(StreamError::NotOpened("it was shut down".to_owned())));
    }
    drop(far);
    pool.shutdown().await;
}

async fn every_receipt_is_told(on: Runners) {
    let (pool, journal) = (on.start().await, Journal::new());
    let (stream, one) = ByteStream::new(Numbers::new(1000)).with_receipt();
    let (stream, two) = stream.with_receipt();
    eventually("the call", pool.call(consume(stream))).await.unwrap().unwrap();
    assert_eq!((one.await, two.await), (Ok(1000), Ok(1000)));
    // One of another node is told there.
    if on != Runners::InProcess {
        let entry = journal.entry();
        let stream = pool.call(task!([entry: Entry] -> ByteStream {
            let (stream, receipt) = ByteStream::new(Numbers::new(1000)).with_receipt();
            note_receipt(&entry, receipt);
            stream
        }));
        let (stream, receipt) = stream.await.unwrap().with_receipt();
        assert!(matches!(receipt.await, Err(StreamError::NotOpened(_))));
        read_all(stream).await.unwrap();
        assert_eq!(journal.value("receipt").await, "Ok(1000)");
    }
    pool.shutdown().await;
}
