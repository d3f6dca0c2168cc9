//! Bounds how many messages are under way to an actor, whose mailbox takes any number.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use flame_actors::ractor::RpcReplyPort;
use tokio::sync::oneshot;

/// Messages with a payload that are under way at once, in either direction.
const WIDTH: usize = 8;

/// The acknowledgements that are still to come, oldest first.
#[derive(Default)]
pub(crate) struct Window(VecDeque<oneshot::Receiver<()>>);

impl Window {
    /// The port for the next message, as soon as fewer than [`WIDTH`] are under way.
    ///
    /// # Errors
    /// When the receiver dropped an earlier message: it is gone.
    pub(crate) async fn port(&mut self) -> Result<RpcReplyPort<()>> {
        if self.0.len() == WIDTH {
            self.oldest().await?;
        }
        let (port, taken) = oneshot::channel();
        self.0.push_back(taken);
        Ok(port.into())
    }

    /// Waits until everything has been taken.
    ///
    /// # Errors
    /// As for [`Window::port`].
    pub(crate) async fn close(mut self) -> Result<()> {
        while !self.0.is_empty() {
            self.oldest().await?;
        }
        Ok(())
    }

    async fn oldest(&mut self) -> Result<()> {
        match self.0.pop_front() {
            Some(taken) => taken.await.context("the receiver is gone"),
            None => Ok(()),
        }
    }
}
