//! How a stream ended, for the side that keeps its local end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::error::StreamError;

/// Tells how many bytes a stream has carried when it has ended in good order, and why it ended otherwise.
///
/// It is had with [`ByteStream::with_receipt`](crate::ByteStream::with_receipt) or
/// [`ByteSink::with_receipt`](crate::ByteSink::with_receipt) before the stream is sent. Dropping it changes nothing.
///
/// # Errors
/// [`StreamError::ReaderGone`] when the reader of a [`ByteStream`](crate::ByteStream) was dropped before the end or
/// never opened it, [`StreamError::Cancelled`] when the writer of a [`ByteSink`](crate::ByteSink) was,
/// [`StreamError::NodeLost`], and [`StreamError::Source`] or [`StreamError::Target`] when the local end failed.
#[derive(Debug)]
#[must_use = "a receipt tells nothing until it is awaited"]
pub struct StreamReceipt(oneshot::Receiver<Result<u64, StreamError>>);

impl Future for StreamReceipt {
    type Output = Result<u64, StreamError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let told = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(told.unwrap_or(Err(StreamError::Cancelled)))
    }
}

impl StreamReceipt {
    /// For a stream of another node, which alone knows.
    pub(super) fn unknown() -> Self {
        let (tell, told) = oneshot::channel();
        let _ = tell.send(Err(StreamError::not_opened("its receipt is had where it was made")));
        Self(told)
    }
}

/// Tells its receipts once. Dropped before, it says what an end without a word means.
#[derive(Debug)]
pub(super) struct Told {
    tell: Vec<oneshot::Sender<Result<u64, StreamError>>>,
    otherwise: StreamError,
}

impl Told {
    pub(super) fn nobody(otherwise: StreamError) -> Self {
        Self { tell: Vec::new(), otherwise }
    }

    pub(super) fn somebody(&mut self) -> StreamReceipt {
        let (tell, told) = oneshot::channel();
        self.tell.push(tell);
        StreamReceipt(told)
    }

    pub(super) fn tell(&mut self, outcome: Result<u64, StreamError>) {
        for tell in self.tell.drain(..) {
            // Whoever had it may have dropped it.
            let _ = tell.send(outcome.clone());
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.tell(Err(self.otherwise.clone()));
    }
}
