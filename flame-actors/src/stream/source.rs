//! The local end of a stream that is read from here.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Handle;

use super::ByteStream;
use super::error::StreamError;
use super::peer::Lost;
use super::receipt::Told;
use super::reuse::Wire;
use super::wire::Outbound;
use crate::error::panic_text;
use crate::node::runtime;

/// What is read from, how much it gives, and who is told how it went.
pub(super) struct Source {
    reader: Reader,
    /// Where it was made, which is where it is read: its driver is there.
    app: Handle,
    size: Option<u64>,
    given: u64,
    pub(super) told: Told,
}

enum Reader {
    Here(Pin<Box<dyn AsyncRead + Send>>),
    /// Of another node, through this one: that hears how it ends at the far end.
    Onward(Box<ByteStream>),
}

impl Source {
    pub(super) fn new(read: impl AsyncRead + Send + 'static) -> Self {
        let app = Handle::try_current().unwrap_or_else(|_| runtime::bulk().clone());
        Self::read_on(app, Reader::Here(Box::pin(read)))
    }

    /// What comes from elsewhere and goes on from here, which is no work of the application's.
    pub(super) fn passed_on(stream: ByteStream) -> Self {
        Self::read_on(runtime::bulk().clone(), Reader::Onward(Box::new(stream)))
    }

    fn read_on(app: Handle, reader: Reader) -> Self {
        Self { reader, app, size: None, given: 0, told: Told::nobody(StreamError::ReaderGone) }
    }

    /// Where it is read, and dropped.
    pub(super) fn app(&self) -> &Handle {
        &self.app
    }

    pub(super) fn set_size(&mut self, size: u64) {
        self.size = Some(size);
    }

    /// Reads here, where nothing lies between; tells the receipt of the end. There has to be room.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), StreamError>> {
        let read = ready!(self.poll_bytes(cx, buf));
        match &read {
            Ok(0) => self.told.tell(Ok(self.given)),
            Ok(_) => {}
            Err(err) => self.told.tell(Err(err.clone())),
        }
        Poll::Ready(read.map(drop))
    }

    /// Reads, never more than the size that was said; nothing is the end.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<usize, StreamError>> {
        let left = self.left().map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let room = left.min(buf.remaining());
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        match &mut self.reader {
            Reader::Here(reader) => {
                ready!(reader.as_mut().poll_read(cx, &mut part)).map_err(|err| StreamError::source(&err))?;
            }
            Reader::Onward(stream) => ready!(stream.poll_part(cx, &mut part))?,
        }
        let read = part.filled().len();
        buf.advance(read);
        self.given += read as u64;
        match self.size {
            Some(expected) if read == 0 => Poll::Ready(Err(StreamError::TooShort { expected, got: self.given })),
            _ => Poll::Ready(Ok(read)),
        }
    }

    /// How much is still to come, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        self.size.map(|size| size.saturating_sub(self.given))
    }

    /// Writes all of it to the other side, where it was made.
    pub(super) fn send(self, wire: Wire, lost: Lost) {
        let app = self.app.clone();
        // Both made before, so that a runtime which takes no more tasks says so to the other side.
        let (mut source, mut out) = (self, Outbound::new(wire, lost));
        app.spawn(async move {
            let sent = AssertUnwindSafe(source.pour(&mut out)).catch_unwind().await.unwrap_or_else(|panic| {
                Err(Fault::Source(StreamError::Source(format!("it panicked: {}", panic_text(panic)))))
            });
            let outcome = match sent {
                Ok(bytes) => {
                    if let Reader::Onward(stream) = &mut source.reader {
                        std::future::poll_fn(|cx| stream.poll_thank(cx)).await;
                    }
                    Ok(bytes)
                }
                Err(Fault::Source(err)) => {
                    out.fail(err.clone());
                    Err(err)
                }
                Err(Fault::Wire(err)) => {
                    if let Reader::Onward(stream) = &mut source.reader {
                        stream.refuse(err.clone());
                    }
                    Err(err)
                }
            };
            source.told.tell(outcome);
        });
    }

    async fn pour(&mut self, out: &mut Outbound) -> Result<u64, Fault> {
        loop {
            let read = std::future::poll_fn(|cx| self.poll_pour(cx, out)).await?;
            if read == 0 {
                break;
            }
            out.fill(read);
        }
        std::future::poll_fn(|cx| out.poll_finish(cx)).await.map_err(Fault::Wire)
    }

    /// Reads the next bytes into the room for them, once there is any; ends also when nobody wants them.
    fn poll_pour(&mut self, cx: &mut Context<'_>, out: &mut Outbound) -> Poll<Result<usize, Fault>> {
        let mut room = ReadBuf::new(ready!(out.poll_room(cx)).map_err(Fault::Wire)?);
        match self.poll_bytes(cx, &mut room) {
            Poll::Ready(read) => Poll::Ready(read.map_err(Fault::Source)),
            Poll::Pending => Poll::Ready(Err(Fault::Wire(ready!(out.poll_gone(cx))))),
        }
    }
}

/// Which end has failed.
enum Fault {
    Source(StreamError),
    Wire(StreamError),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("size", &self.size).field("given", &self.given).finish_non_exhaustive()
    }
}
