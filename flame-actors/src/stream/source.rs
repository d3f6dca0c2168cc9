//! The local end of a stream that is read from here.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Handle;

use super::error::StreamError;
use super::peer::Lost;
use super::receipt::{StreamReceipt, Told};
use super::reuse::Wire;
use super::wire::Outbound;
use crate::error::panic_text;
use crate::node::runtime;

/// What is read from, how much it gives, and who is told how it went.
pub(super) struct Source {
    read: Pin<Box<dyn AsyncRead + Send>>,
    /// Where it was made, which is where it is read: its driver is there.
    app: Handle,
    size: Option<u64>,
    given: u64,
    pub(super) told: Told,
}

impl Source {
    pub(super) fn new(read: impl AsyncRead + Send + 'static) -> Self {
        let app = Handle::try_current().unwrap_or_else(|_| runtime::bulk().clone());
        Self::read_on(app, read)
    }

    /// What comes from elsewhere and goes on from here, which is no work of the application's.
    pub(super) fn passed_on(read: impl AsyncRead + Send + 'static) -> Self {
        Self::read_on(runtime::bulk().clone(), read)
    }

    fn read_on(app: Handle, read: impl AsyncRead + Send + 'static) -> Self {
        Self { read: Box::pin(read), app, size: None, given: 0, told: Told::nobody(StreamError::ReaderGone) }
    }

    pub(super) fn set_size(&mut self, size: u64) {
        self.size = Some(size);
    }

    /// A receipt, and who tells it.
    pub(super) fn receipt() -> (Told, StreamReceipt) {
        let mut told = Told::nobody(StreamError::ReaderGone);
        let receipt = told.somebody();
        (told, receipt)
    }

    /// Reads here, where nothing lies between; tells the receipt of the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), StreamError>> {
        let had_room = buf.remaining() > 0;
        let read = ready!(self.poll_bytes(cx, buf));
        match &read {
            Ok(0) if had_room => self.told.tell(Ok(self.given)),
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
        ready!(self.read.as_mut().poll_read(cx, &mut part)).map_err(|err| StreamError::source(&err))?;
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
        self.size.map(|size| size - self.given)
    }

    /// Writes all of it to the other side, where it was made.
    pub(super) fn send(self, wire: Wire, lost: Lost) {
        let app = self.app.clone();
        app.spawn(async move {
            let mut source = self;
            let mut out = Outbound::new(wire, lost);
            let sent = AssertUnwindSafe(source.pour(&mut out)).catch_unwind().await.unwrap_or_else(|panic| {
                Err(Fault::Source(StreamError::Source(format!("it panicked: {}", panic_text(&*panic)))))
            });
            let outcome = match sent {
                Ok(bytes) => Ok(bytes),
                Err(Fault::Source(err)) => {
                    out.fail(err.clone());
                    Err(err)
                }
                Err(Fault::Wire(err)) => Err(err),
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
