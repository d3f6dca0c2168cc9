//! Bytes on the way back: written elsewhere, received here.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;

use super::Remote;
use super::error::StreamError;
use super::held::{self, Held};
use super::offers::{self, Kind, Offer};
use super::peer::Lost;
use super::porter::{self, Opened, Opening};
use super::receipt::{StreamReceipt, Told};
use super::reuse::Wire;
use super::wire::{CHUNK_BYTES, Inbound, Outbound};
use crate::error::panic_text;
use crate::node::{route, runtime};

/// An [`AsyncWrite`] here that is written into elsewhere: the way back of a [`ByteStream`](crate::ByteStream).
///
/// It is sent as a task's argument, an actor's, in a message or in a result, once; where it arrives it is an
/// [`AsyncWrite`] too. `shutdown` ends it, and returns when the writer here has taken every byte and was shut down
/// itself. Dropped before that, it is cancelled: its receipt says so, and the writer here is dropped without a
/// shutdown. As with every buffered writer, what was written is on its way for certain after a `flush` or the shutdown.
///
/// Memory, the connection and what ends it are as for a [`ByteStream`](crate::ByteStream).
///
/// ```
/// # use flame_actors::{ByteSink, Node, Pool, task};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// # let node = Node::start().await?;
/// # let pool = Pool::builder("reports").start(&node).await?;
/// let (near, mut report) = tokio::io::duplex(1024); // a file, a socket, the body of an answer
/// let (sink, receipt) = ByteSink::new(near).with_receipt();
/// pool.call(task!([sink: ByteSink] -> anyhow::Result<()> {
///     let mut sink = sink;
///     sink.write_all(b"all is well").await?;
///     Ok(sink.shutdown().await?)
/// }))
/// .await??;
///
/// let mut text = String::new();
/// report.read_to_string(&mut text).await?;
/// assert_eq!((receipt.await?, &*text), (11, "all is well"));
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct ByteSink {
    state: Mutex<State>,
    /// Given back at its shutdown, or with it.
    held: Mutex<Held>,
}

#[derive(Debug)]
enum State {
    /// It has not been sent, or has come back to where it was made.
    Here(Target),
    /// For a node in between, which opens it and passes it on.
    Unopened(Remote),
    Opening(Opening),
    Open(Outbound),
    Finished,
    Failed(StreamError),
    Sent,
}

impl ByteSink {
    /// What is written into it elsewhere goes into this writer, on the runtime on which this is called.
    pub fn new(writer: impl AsyncWrite + Send + 'static) -> Self {
        let app = Handle::try_current().unwrap_or_else(|_| runtime::bulk().clone());
        Self::of(State::Here(Target::new(app, Writer::Here(Box::pin(writer)))))
    }

    /// Adds a receipt that tells how it ended.
    pub fn with_receipt(mut self) -> (Self, StreamReceipt) {
        let receipt = match self.state.get_mut() {
            State::Here(target) => target.told.somebody(),
            _ => StreamReceipt::unknown(),
        };
        (self, receipt)
    }

    pub(super) fn unopened(remote: Remote) -> Self {
        Self::of(State::Unopened(remote))
    }

    fn of(state: State) -> Self {
        Self { state: Mutex::new(state), held: Mutex::default() }
    }

    /// Ends it with this reason, for who is in between.
    async fn fail(self, err: StreamError) {
        let mut state = self.state.into_inner();
        std::future::poll_fn(|cx| state.poll_opened(cx)).await;
        if let State::Open(out) = state {
            out.fail(err);
        }
    }
}

impl State {
    /// Waits until it is open.
    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Self::Opening(opening) = self {
            *self = match ready!(opening.poll_unpin(cx)) {
                Ok(Opened::Out(out)) => Self::Open(out),
                Ok(Opened::Sink(sink)) => sink.state.into_inner(),
                Ok(_) => Self::Failed(StreamError::not_opened("what came is no sink")),
                Err(err) => Self::Failed(err),
            };
        }
        Poll::Ready(())
    }

    fn ended(&self) -> StreamError {
        match self {
            Self::Failed(err) => err.clone(),
            Self::Sent | Self::Unopened(_) => StreamError::not_opened("it was sent on"),
            _ => StreamError::not_opened("it was shut down"),
        }
    }

    fn failed<T>(&mut self, err: StreamError) -> Poll<io::Result<T>> {
        *self = Self::Failed(err.clone());
        Poll::Ready(Err(err.into()))
    }
}

impl AsyncWrite for ByteSink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let state = self.state.get_mut();
        ready!(state.poll_opened(cx));
        match state {
            State::Here(target) => target.poll_write(cx, buf),
            State::Open(out) => {
                let taken = match ready!(out.poll_room(cx)) {
                    Ok(room) => {
                        let taken = room.len().min(buf.len());
                        room[..taken].copy_from_slice(&buf[..taken]);
                        taken
                    }
                    Err(err) => return state.failed(err),
                };
                out.fill(taken);
                // What it cannot write now is written with what comes next.
                match out.poll_flush(cx) {
                    Poll::Ready(Err(err)) => state.failed(err),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
                }
            }
            state => Poll::Ready(Err(state.ended().into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.state.get_mut();
        ready!(state.poll_opened(cx));
        match state {
            State::Here(target) => target.writer.pin().poll_flush(cx),
            State::Open(out) => match ready!(out.poll_flush(cx)) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(err) => state.failed(err),
            },
            State::Finished => Poll::Ready(Ok(())),
            state => Poll::Ready(Err(state.ended().into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.state.get_mut();
        ready!(state.poll_opened(cx));
        match state {
            State::Here(target) => {
                ready!(target.poll_shutdown(cx))?;
                *state = State::Finished;
            }
            State::Open(out) => match ready!(out.poll_finish(cx)) {
                Ok(_) => *state = State::Finished,
                Err(err) => return state.failed(err),
            },
            State::Finished => {}
            state => return Poll::Ready(Err(state.ended().into())),
        }
        // It needs its runner no more.
        *self.held.get_mut() = None;
        Poll::Ready(Ok(()))
    }
}

impl Serialize for ByteSink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = Remote::here().map_err(serde::ser::Error::custom)?;
        let mut state = self.state.lock();
        let target = match std::mem::replace(&mut *state, State::Sent) {
            State::Unopened(remote) => return remote.serialize(serializer),
            State::Here(target) => target,
            state @ (State::Opening(_) | State::Open(_)) => {
                let onward = Self { held: Mutex::new(self.held.lock().take()), ..Self::of(state) };
                Target::new(runtime::bulk().clone(), Writer::Onward(Some(Box::new(onward))))
            }
            ended @ (State::Finished | State::Failed(_) | State::Sent) => {
                let err = match &ended {
                    State::Sent => serde::ser::Error::custom("a sink can be sent once, and this one was sent before"),
                    ended => serde::ser::Error::custom(ended.ended()),
                };
                *state = ended;
                return Err(err);
            }
        };
        drop(state);
        Remote::offer(node, Offer::In(target), None).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ByteSink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let remote = Remote::deserialize(deserializer)?;
        let state = if route::is_me(&remote.node) {
            match offers::take(remote.id) {
                Some(Offer::In(target)) => State::Here(target),
                _ => State::Failed(StreamError::not_offered()),
            }
        } else {
            State::Opening(porter::open(remote, Kind::In))
        };
        Ok(Self { held: Mutex::new(held::held()), ..Self::of(state) })
    }
}

/// What is written into, and who is told how it went.
pub(super) struct Target {
    writer: Writer,
    app: Handle,
    taken: u64,
    pub(super) told: Told,
}

enum Writer {
    Here(Pin<Box<dyn AsyncWrite + Send>>),
    /// Through this node to another.
    Onward(Option<Box<ByteSink>>),
}

impl Target {
    fn new(app: Handle, writer: Writer) -> Self {
        Self { writer, app, taken: 0, told: Told::nobody(StreamError::Cancelled) }
    }

    /// Where it is written into, and dropped.
    pub(super) fn app(&self) -> &Handle {
        &self.app
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.writer.pin().poll_write(cx, buf));
        match &written {
            Ok(written) => self.taken += *written as u64,
            Err(err) => self.told.tell(Err(StreamError::target(err))),
        }
        Poll::Ready(written)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(self.writer.pin().poll_shutdown(cx));
        self.told.tell(shut.as_ref().map(|()| self.taken).map_err(StreamError::target));
        Poll::Ready(shut)
    }

    /// Takes all of it from the other side, where it was made.
    pub(super) fn receive(self, wire: Wire, lost: Lost) {
        let app = self.app.clone();
        // Both made before, so that a runtime which takes no more tasks says so to the other side.
        let (mut target, mut inbound) = (self, Inbound::new(wire, lost));
        app.spawn(async move {
            let drained = AssertUnwindSafe(target.drain(&mut inbound)).catch_unwind().await.unwrap_or_else(|panic| {
                Err(Fault::Target(StreamError::Target(format!("it panicked: {}", panic_text(panic)))))
            });
            let outcome = match drained {
                Ok(()) => {
                    std::future::poll_fn(|cx| inbound.poll_thank(cx)).await;
                    Ok(target.taken)
                }
                Err(Fault::Target(err)) => {
                    inbound.refuse(err.clone());
                    Err(err)
                }
                Err(Fault::Wire(err)) => {
                    if let Writer::Onward(onward) = &mut target.writer
                        && let Some(onward) = onward.take()
                    {
                        onward.fail(err.clone()).await;
                    }
                    Err(err)
                }
            };
            target.told.tell(outcome);
        });
    }

    async fn drain(&mut self, inbound: &mut Inbound) -> Result<(), Fault> {
        let mut buf = vec![0; CHUNK_BYTES];
        let failed = |err: io::Error| Fault::Target(StreamError::target(&err));
        loop {
            let mut chunk = ReadBuf::new(&mut buf);
            std::future::poll_fn(|cx| inbound.poll_read(cx, &mut chunk)).await.map_err(Fault::Wire)?;
            let is_all = chunk.filled().is_empty();
            let write = async {
                if is_all {
                    return self.writer.shutdown().await;
                }
                self.writer.write_all(chunk.filled()).await?;
                self.writer.flush().await
            };
            tokio::select! {
                biased;
                written = write => written.map_err(failed)?,
                lost = std::future::poll_fn(|cx| inbound.poll_lost(cx)) => return Err(Fault::Wire(lost)),
            }
            if is_all {
                return Ok(());
            }
            self.taken += chunk.filled().len() as u64;
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.pin().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_shutdown(cx)
    }
}

impl Writer {
    fn pin(&mut self) -> Pin<&mut (dyn AsyncWrite + Send)> {
        match self {
            Self::Here(writer) => writer.as_mut(),
            Self::Onward(sink) => {
                let sink: &mut ByteSink = sink.as_mut().expect("it is taken at the end");
                Pin::<&mut ByteSink>::new(sink)
            }
        }
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// Which end has failed.
enum Fault {
    Target(StreamError),
    Wire(StreamError),
}

impl std::fmt::Debug for ByteSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteSink").field("state", &self.state).finish_non_exhaustive()
    }
}
