//! Bulk bytes: any reader or writer here, read or written elsewhere.
//!
//! A stream travels as a number ([`Remote`]). Whoever gets that asks the node that it is of (`porter.rs`), the two make
//! a connection of their own for it (`reuse.rs`), and from then on one writes and one reads (`wire.rs`), with the
//! kernel's back-pressure between them. Who dials: a runner its parent, and one runner another, where it can; otherwise
//! it goes by the nodes between them, each of which reads and writes it on.

mod error;
mod held;
mod offers;
mod peer;
mod porter;
mod receipt;
mod reuse;
mod sink;
mod source;
mod wire;

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncRead, ReadBuf};

pub use self::error::StreamError;
pub use self::receipt::StreamReceipt;
pub use self::sink::ByteSink;

use self::held::Held;
use self::offers::{Kind, Offer};
use self::porter::{Opened, Opening};
use self::source::Source;
use self::wire::Inbound;
use crate::Error;
use crate::node::route;

pub(crate) use self::held::held_with;
pub(crate) use self::offers::{Offered, UntilTaken, collect, is_offering};
pub(crate) use self::porter::porter;
pub(crate) use self::reuse::{IDLE_AT_LISTENER, Wire};

/// An [`AsyncRead`] here that is read elsewhere, as fast as the network and the two ends allow.
///
/// It is sent as a task's argument, an actor's, in a message or in a result, once; where it arrives it is an
/// [`AsyncRead`] too. Each stream rides a connection of its own, encrypted as all others, so that it delays no message;
/// its back-pressure is the kernel's: a reader that stops reading stops the source. On either side it takes less than
/// 256 KiB of memory besides the kernel's socket buffers, however long it is.
///
/// Its end is one of these: nothing more to read, when the source has ended and the count of bytes agrees; or an
/// [`io::Error`] in which [`StreamError::of`] finds the reason, after every byte that came before it. It ends on both
/// sides when a node is lost, as the lease decides. One that is dropped, or that is never opened where it was sent,
/// frees its source: at once when the call, the cast or the placement that carried it has ended, and a message's after a
/// minute. One that is read where it was made is read directly.
///
/// One in the result of a call keeps the call's slot until it has ended or is dropped, so that its runner does not leave
/// before. One in a message does not.
///
/// ```
/// # use flame_actors::{ByteStream, Node, Pool, remote};
/// use tokio::io::AsyncReadExt;
///
/// #[remote]
/// async fn count_lines(file: ByteStream) -> anyhow::Result<usize> {
///     let mut text = String::new();
///     let mut file = file;
///     file.read_to_string(&mut text).await?;
///     Ok(text.lines().count())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// # let node = Node::start().await?;
/// # let pool = Pool::builder("lines").start(&node).await?;
/// let file = ByteStream::open("Cargo.toml").await?; // opened here, read on the runner
/// let lines = pool.call(count_lines(file)).await??;
/// # assert!(lines > 10);
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct ByteStream {
    state: Mutex<State>,
    size: Option<u64>,
    /// Given back at its end, or with it.
    held: Mutex<Held>,
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream").field("state", &self.state).field("size", &self.size).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum State {
    /// It has not been sent, or has come back to where it was made.
    Here(Source),
    /// For a node in between, which opens it and passes it on.
    Unopened(Remote),
    Opening(Opening),
    Open(Inbound),
    Failed(StreamError),
    Sent,
}

/// A stream on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remote {
    node: Arc<str>,
    id: u64,
    size: Option<u64>,
}

impl Remote {
    /// The node that streams of this process are of.
    fn here() -> Result<Arc<str>, Error> {
        route::me().ok_or(Error::NoNode)
    }

    fn offer(node: Arc<str>, offer: Offer, size: Option<u64>) -> Self {
        Self { node, id: offers::add(offer), size }
    }
}

impl ByteStream {
    /// What this reader gives, read on the runtime on which this is called.
    pub fn new(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::of(State::Here(Source::new(reader)), None)
    }

    /// A file of this computer, as long as it is now: what is added to it later is not read.
    ///
    /// # Errors
    /// Those of opening it.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = tokio::fs::File::open(path).await?;
        let metadata = file.metadata().await?;
        let stream = Self::new(file);
        // A pipe or a device has no length.
        Ok(if metadata.is_file() { stream.with_size(metadata.len()) } else { stream })
    }

    /// Says how many bytes it will give: no more is read, and less is [`StreamError::TooShort`].
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        if let State::Here(source) = self.state.get_mut() {
            source.set_size(size);
            self.size = Some(size);
        }
        self
    }

    /// Adds a receipt that tells how it ended.
    pub fn with_receipt(mut self) -> (Self, StreamReceipt) {
        let receipt = match self.state.get_mut() {
            State::Here(source) => source.told.somebody(),
            _ => StreamReceipt::unknown(),
        };
        (self, receipt)
    }

    /// How many bytes it has or had from its beginning, if that is known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    #[cfg(test)]
    fn into_source(self) -> Option<Source> {
        if let State::Here(source) = self.state.into_inner() { Some(source) } else { None }
    }

    fn unopened(remote: Remote) -> Self {
        let size = remote.size;
        Self::of(State::Unopened(remote), size)
    }

    fn of(state: State, size: Option<u64>) -> Self {
        Self { state: Mutex::new(state), size, held: Mutex::default() }
    }
}

impl From<Bytes> for ByteStream {
    fn from(bytes: Bytes) -> Self {
        let size = bytes.len() as u64;
        Self::new(io::Cursor::new(bytes)).with_size(size)
    }
}

impl From<Vec<u8>> for ByteStream {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl ByteStream {
    /// Reads without a word to the writer when that was all. There has to be room.
    fn poll_part(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), StreamError>> {
        let state = self.state.get_mut();
        while let State::Opening(opening) = state {
            *state = match ready!(opening.poll_unpin(cx)) {
                Ok(Opened::In(inbound)) => State::Open(inbound),
                Ok(Opened::Stream(stream)) => stream.state.into_inner(),
                Ok(_) => State::Failed(StreamError::not_opened("what came is no stream")),
                Err(err) => State::Failed(err),
            };
        }
        match state {
            State::Here(source) => source.poll_read(cx, buf),
            State::Open(inbound) => inbound.poll_read(cx, buf),
            State::Failed(err) => Poll::Ready(Err(err.clone())),
            State::Opening(_) | State::Unopened(_) | State::Sent => {
                Poll::Ready(Err(StreamError::not_opened("it was sent on")))
            }
        }
    }

    /// Tells the writer that all was received, once it was.
    fn poll_thank(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.state.get_mut() {
            State::Open(inbound) => inbound.poll_thank(cx),
            _ => Poll::Ready(()),
        }
    }

    /// Tells the writer why no more is taken.
    fn refuse(&mut self, err: StreamError) {
        if let State::Open(inbound) = std::mem::replace(self.state.get_mut(), State::Failed(err.clone())) {
            inbound.refuse(err);
        }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = ready!(self.poll_part(cx, buf));
        if read.is_ok() && buf.filled().len() == before {
            ready!(self.poll_thank(cx));
        }
        if read.is_err() || buf.filled().len() == before {
            // It needs its runner no more.
            *self.held.get_mut() = None;
        }
        Poll::Ready(read.map_err(io::Error::from))
    }
}

impl Serialize for ByteStream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = Remote::here().map_err(serde::ser::Error::custom)?;
        let mut state = self.state.lock();
        let (source, left) = match std::mem::replace(&mut *state, State::Sent) {
            State::Unopened(remote) => return remote.serialize(serializer),
            State::Here(source) => {
                let left = source.left();
                (source, left)
            }
            state @ (State::Opening(_) | State::Open(_)) => {
                let read = if let State::Open(inbound) = &state { inbound.total() } else { 0 };
                let left = self.size.map(|size| size.saturating_sub(read));
                let held = Mutex::new(self.held.lock().take());
                (Source::passed_on(Self { held, ..Self::of(state, None) }), left)
            }
            ended @ (State::Failed(_) | State::Sent) => {
                let err = match &ended {
                    State::Failed(err) => serde::ser::Error::custom(err),
                    _ => serde::ser::Error::custom("a stream can be sent once, and this one was sent before"),
                };
                *state = ended;
                return Err(err);
            }
        };
        drop(state);
        Remote::offer(node, Offer::Out(source), left).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ByteStream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let remote = Remote::deserialize(deserializer)?;
        let size = remote.size;
        let state = if route::is_me(&remote.node) {
            match offers::take(remote.id) {
                Some(Offer::Out(source)) => State::Here(source),
                _ => State::Failed(StreamError::not_offered()),
            }
        } else {
            State::Opening(porter::open(remote, Kind::Out))
        };
        Ok(Self { held: Mutex::new(held::held()), ..Self::of(state, size) })
    }
}
