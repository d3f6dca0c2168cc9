//! Whether the node at the other end of a stream is still there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;

use super::error::StreamError;
use crate::error::{Cause, ChildError};
use crate::node::frame::Exit;
use crate::node::route::Ending;
use crate::node::runtime;

/// A connection that breaks is mostly the first that is seen of the loss of its node.
const GRACE: Duration = Duration::from_secs(1);

/// Tells when a node is lost, which its lease decides.
pub(super) struct Lost {
    node: Arc<str>,
    end: Ending,
    waiting: Option<Pin<Box<dyn Future<Output = StreamError> + Send + Sync>>>,
}

impl Clone for Lost {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.node), self.end.clone())
    }
}

impl Lost {
    /// `end` is that of an actor which lives as long as its node.
    pub(super) fn new(node: Arc<str>, end: Ending) -> Self {
        Self { node, end, waiting: None }
    }

    pub(super) fn node(&self) -> &Arc<str> {
        &self.node
    }

    pub(super) fn known(&self) -> Option<StreamError> {
        self.end.borrow().as_ref().map(|exit| lost(&self.node, exit))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        let (node, end) = (&self.node, &self.end);
        self.waiting.get_or_insert_with(|| Box::pin(wait(Arc::clone(node), end.clone()))).poll_unpin(cx)
    }

    /// Waits for the loss that a broken connection announces; when none follows, that is all there is to say.
    pub(super) fn poll_why(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        if let Some(lost) = self.known() {
            return Poll::Ready(lost);
        }
        let (node, end) = (&self.node, &self.end);
        let why = self.waiting.get_or_insert_with(|| Box::pin(why(Arc::clone(node), end.clone())));
        let lost = ready!(why.poll_unpin(cx));
        Poll::Ready(lost)
    }

    /// The loss of the node, if it is seen soon: what failed with it may be noticed before it is.
    pub(super) async fn within_grace(&self) -> Option<StreamError> {
        soon(Arc::clone(&self.node), self.end.clone()).await
    }

    /// The same from here on, for a connection that has broken.
    pub(super) fn broken(&mut self) {
        self.waiting = None;
    }
}

async fn wait(node: Arc<str>, mut end: Ending) -> StreamError {
    match end.wait_for(Option::is_some).await {
        Ok(exit) => exit.as_ref().map_or_else(|| closed(&node), |exit| lost(&node, exit)),
        Err(_) => closed(&node),
    }
}

async fn why(node: Arc<str>, end: Ending) -> StreamError {
    soon(Arc::clone(&node), end).await.unwrap_or_else(|| closed(&node))
}

async fn soon(node: Arc<str>, end: Ending) -> Option<StreamError> {
    // The reader may be polled outside a runtime that has timers.
    let waited = runtime::spawn(async { tokio::time::timeout(GRACE, wait(node, end)).await });
    waited.await.ok()?.ok()
}

fn closed(node: &Arc<str>) -> StreamError {
    StreamError::NodeLost { node: node.to_string(), cause: Cause::ConnectionClosed }
}

fn lost(node: &Arc<str>, exit: &Exit) -> StreamError {
    match exit {
        Exit::Failed(ChildError::RunnerLost { node, cause }) => {
            StreamError::NodeLost { node: node.clone(), cause: cause.clone() }
        }
        _ => closed(node),
    }
}
