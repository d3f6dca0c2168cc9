//! Bytes that can be told from others, and tasks that read and write them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use flame_actors::{ByteSink, ByteStream, Pool, StreamError, remote};
use flame_tests::Entry;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

/// Gives so many bytes of a sequence that does not repeat soon, then ends as it is told to.
pub(crate) struct Numbers {
    next: u64,
    left: u64,
    end: End,
    on_drop: Option<(Entry, &'static str)>,
}

#[derive(Clone, Copy)]
pub(crate) enum End {
    Finish,
    Fail,
    /// Nothing more comes, and no end either.
    Wait,
}

impl Numbers {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { next: 0, left: bytes, end: End::Finish, on_drop: None }
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
        Poll::Ready(Ok(()))
    }
}

/// The hash of what `Numbers` gives.
pub(crate) async fn hash_of(bytes: u64) -> String {
    read_hash(&mut Numbers::new(bytes)).await.unwrap().0
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
            Err(err) => return Err((bytes, StreamError::of(&err).cloned().expect("a stream's own error"))),
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
pub(crate) async fn produce_below(bytes: u64) -> ByteStream {
    Pool::named("nested").expect("each runner of the tests has it").call(produce(bytes)).await.expect("it runs")
}

/// Takes a stream and does nothing with it.
#[remote]
pub(crate) async fn ignore(stream: ByteStream) -> Option<u64> {
    stream.size()
}
