//! What a task that yields has made, on its way to the link.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::error::Error;
use crate::node::frame::Frame;
use crate::node::link::Source;
use crate::registry::Items;
use crate::yields::credit::Allowance;
use crate::yields::pieces;

/// Filled by the body as far as the reader's credit goes, emptied by the link when it writes.
///
/// So items that come faster than the link writes go together, and one that comes alone goes at once.
pub(super) struct Outbox {
    id: u64,
    state: Mutex<State>,
    maker: AtomicWaker,
}

struct State {
    allowance: Allowance,
    bytes: BytesMut,
    /// How the task ended. It goes after the last item.
    end: Option<Result<(), Error>>,
    /// Whether the link has it among what is to be written.
    queued: bool,
    /// Nobody reads: what is made is thrown away.
    unread: bool,
}

impl Outbox {
    pub(super) fn new(id: u64, window: u32) -> Arc<Self> {
        let (allowance, bytes) = (Allowance::new(window), BytesMut::new());
        let state = State { allowance, bytes, end: None, queued: false, unread: false };
        Arc::new(Self { id, state: Mutex::new(state), maker: AtomicWaker::new() })
    }

    /// The reader has taken so much.
    pub(super) fn grant(&self, items: u32, bytes: u64) {
        self.state.lock().allowance.grant(items, bytes);
        self.maker.wake();
    }

    /// Nobody reads any more.
    pub(super) fn unread(&self) {
        let mut state = self.state.lock();
        state.unread = true;
        state.bytes = BytesMut::new();
        drop(state);
        self.maker.wake();
    }

    /// The task has ended. `true`: the link is to be told that there is something to write.
    pub(super) fn end(&self, outcome: Result<(), Error>) -> bool {
        let mut state = self.state.lock();
        state.end = Some(outcome);
        !std::mem::replace(&mut state.queued, true)
    }

    /// Adds an item. `true`: as for `end`.
    fn put(&self, item: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.unread {
            return false;
        }
        state.allowance.spend(item.len());
        pieces::put(&mut state.bytes, item);
        !std::mem::replace(&mut state.queued, true)
    }

    /// Waits until another item may be made.
    async fn room(&self) {
        let has_room = || {
            let state = self.state.lock();
            state.unread || state.allowance.has_room()
        };
        poll_fn(|cx| {
            if has_room() {
                return Poll::Ready(());
            }
            self.maker.register(cx.waker());
            if has_room() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Source for Outbox {
    fn take(&self) -> Option<(Frame, Bytes)> {
        let mut state = self.state.lock();
        if !state.bytes.is_empty() {
            return Some((Frame::Items { id: self.id }, pieces::cut(&mut state.bytes)));
        }
        if let Some(outcome) = state.end.take() {
            return Some((Frame::Ran { id: self.id, outcome, has_streams: false }, Bytes::new()));
        }
        state.queued = false;
        None
    }
}

/// Runs a body that yields: it is asked for an item only while there is room for one.
pub(super) async fn fill(outbox: &Arc<Outbox>, mut items: Items, tell_link: impl Fn()) -> Result<(), Error> {
    loop {
        outbox.room().await;
        let Some(item) = items.next().await else { return Ok(()) };
        if outbox.put(&item?) {
            tell_link();
        }
        // A body that is always ready is to hear all the same that it was cancelled.
        tokio::task::coop::consume_budget().await;
    }
}
