//! Bytes that can be told from others, and tasks that read and write them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use flame_actors::{ByteSink, ByteStream, Pool, StreamError, StreamReceipt, remote, runner};
use flame_tests::{Entry, node};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

/// Gives so many bytes of a sequence that does not repeat soon, then ends as it is told to.
pub(crate) struct Numbers {
    next: u64,
    left: u64,
    end: End,
    on_drop: Option<(Entry, &'static str)>,
    given: Arc<AtomicU64>,
}

/// More than anyone reads.
pub(crate) const ENDLESS: u64 = 1 << 60;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum End {
    Finish,
    Fail,
    /// Nothing more comes, and no end either.
    Wait,
    Panic,
}

impl Numbers {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { next: 0, left: bytes, end: End::Finish, on_drop: None, given: Arc::default() }
    }

    /// Without the first ones.
    pub(crate) fn from(mut self, first: u64) -> Self {
        self.next = first;
        self.left -= first;
        self
    }

    /// How many were read of it so far.
    pub(crate) fn given(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.given)
    }

    pub(crate) fn then(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    pub(crate) fn noting_its_drop(mut self, entry: Entry) -> Self {
        self.on_drop = Some((entry, "source dropped"));
        self
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        if let Some((entry, line)) = &self.on_drop {
            entry.note(line);
        }
    }
}

fn byte(position: u64) -> u8 {
    (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl AsyncRead for Numbers {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return match self.end {
                End::Finish => Poll::Ready(Ok(())),
                End::Fail => Poll::Ready(Err(io::Error::other("the tape is torn"))),
                End::Wait => Poll::Pending,
                End::Panic => panic!("the reel is out"),
            };
        }
        let room = (buf.remaining() as u64).min(self.left);
        let filled = buf.initialize_unfilled_to(room as usize);
        for (offset, place) in filled.iter_mut().enumerate() {
            *place = byte(self.next + offset as u64);
        }
        buf.advance(room as usize);
        self.next += room;
        self.left -= room;
        self.given.fetch_add(room, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// The hash of what `Numbers` gives.
pub(crate) async fn hash_of(bytes: u64) -> String {
    hash_of_rest(0, bytes).await
}

/// The same without the first ones.
pub(crate) async fn hash_of_rest(first: u64, bytes: u64) -> String {
    read_hash(&mut Numbers::new(bytes).from(first)).await.unwrap().0
}

/// The error of a stream inside that of a reader or a writer.
pub(crate) fn reason(err: &io::Error) -> StreamError {
    StreamError::of(err).cloned().expect("a stream's own error")
}

pub(crate) async fn read_hash(reader: &mut (dyn AsyncRead + Unpin + Send)) -> io::Result<(String, u64)> {
    let (mut hash, mut bytes, mut buf) = (Sha256::new(), 0, vec![0; 48 * 1024]);
    loop {
        let read = reader.read(&mut buf).await?;
        if read == 0 {
            return Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), bytes));
        }
        hash.update(&buf[..read]);
        bytes += read as u64;
    }
}

/// What a reader makes of a stream: its hash and length, or how many bytes came and why no more.
pub(crate) type Read = Result<(String, u64), (u64, StreamError)>;

pub(crate) async fn read_all(mut stream: ByteStream) -> Read {
    let (mut bytes, mut buf, mut hash) = (0, vec![0; 48 * 1024], Sha256::new());
    loop {
        match stream.read(&mut buf).await {
            Ok(0) => return Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), bytes)),
            Ok(read) => {
                hash.update(&buf[..read]);
                bytes += read as u64;
            }
            Err(err) => return Err((bytes, reason(&err))),
        }
    }
}

#[remote]
pub(crate) async fn consume(stream: ByteStream) -> Read {
    read_all(stream).await
}

#[remote]
pub(crate) async fn produce(bytes: u64) -> ByteStream {
    ByteStream::new(Numbers::new(bytes)).with_size(bytes)
}

/// Writes so many bytes and shuts it down.
#[remote]
pub(crate) async fn fill(sink: ByteSink, bytes: u64) -> Result<(), String> {
    let mut sink = sink;
    tokio::io::copy(&mut Numbers::new(bytes), &mut sink).await.map_err(|err| err.to_string())?;
    sink.shutdown().await.map_err(|err| err.to_string())
}

/// Has the stream read by a runner of a pool of this runner's own.
#[remote]
pub(crate) async fn consume_below(stream: ByteStream) -> Read {
    Pool::named("nested").expect("each runner of the tests has it").call(consume(stream)).await.expect("it runs")
}

#[remote]
pub(crate) async fn fill_below(sink: ByteSink, bytes: u64) -> Result<(), String> {
    Pool::named("nested").expect("each runner of the tests has it").call(fill(sink, bytes)).await.expect("it runs")
}

#[remote]
pub(crate) async fn produce_below(bytes: u64) -> ByteStream {
    Pool::named("nested").expect("each runner of the tests has it").call(produce(bytes)).await.expect("it runs")
}

/// Takes a stream and does nothing with it.
#[remote]
pub(crate) async fn ignore(stream: ByteStream) -> Option<u64> {
    stream.size()
}

/// The runner's node name and process.
#[remote]
pub(crate) async fn who() -> (String, u32) {
    (runner().map_or_else(|| node().name().to_owned(), |name| name.to_string()), std::process::id())
}

/// Notes what the receipt tells.
pub(crate) fn note_receipt(journal: &Entry, receipt: StreamReceipt) {
    let journal = journal.clone();
    tokio::spawn(async move { journal.note(format_args!("receipt={:?}", receipt.await)) });
}

/// A stream of this runner; the journal has its receipt, and when its source is dropped.
#[remote]
pub(crate) async fn produce_noting(bytes: u64, end: End, journal: Entry) -> ByteStream {
    let numbers = Numbers::new(bytes).then(end).noting_its_drop(journal.clone());
    let (stream, receipt) = ByteStream::new(numbers).with_receipt();
    note_receipt(&journal, receipt);
    stream
}

/// Reads all, and notes `reading` and `read=`.
#[remote]
pub(crate) async fn consume_noting(stream: ByteStream, journal: Entry) {
    let mut stream = stream;
    let mut first = [0];
    let _ = stream.read_exact(&mut first).await;
    journal.note("reading");
    journal.note(format_args!("read={:?}", read_all(stream).await.map_err(|(_, err)| err)));
}

/// Writes until that fails, and notes `writing` and `written=`.
#[remote]
pub(crate) async fn write_on(sink: ByteSink, journal: Entry) {
    let (mut sink, bytes) = (sink, vec![7; 20_000]);
    let mut is_first = true;
    loop {
        let written = async {
            sink.write_all(&bytes).await?;
            sink.flush().await
        };
        if let Err(err) = written.await {
            return journal.note(format_args!("written={:?}", reason(&err)));
        }
        if std::mem::take(&mut is_first) {
            journal.note("writing");
        }
    }
}

/// Reads so much of it, notes `holding`, and keeps it.
#[remote]
pub(crate) async fn hold(stream: ByteStream, bytes: u64, journal: Entry) {
    let mut stream = stream;
    tokio::io::copy(&mut (&mut stream).take(bytes), &mut tokio::io::sink()).await.expect("so much comes");
    journal.note("holding");
    std::future::pending().await
}

/// Reads so much of it and drops it.
#[remote]
pub(crate) async fn taste(stream: ByteStream, bytes: u64) -> u64 {
    let mut stream = stream;
    tokio::io::copy(&mut (&mut stream).take(bytes), &mut tokio::io::sink()).await.expect("so much comes")
}

/// Whether the journal has this line.
pub(crate) fn says(journal: &Entry, line: &str) -> bool {
    std::fs::read_to_string(journal.path()).is_ok_and(|text| text.lines().any(|known| known == line))
}
