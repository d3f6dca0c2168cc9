//! What has come of a task that yields and was not read yet.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::Context;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::node::frame::Frame;
use crate::node::link::Link;

/// Filled by the link, emptied by the reader; the reader's credit bounds it.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// So many items the runner may make before it gets more credit.
    pub(crate) window: u32,
    pieces: Mutex<VecDeque<Bytes>>,
    reader: AtomicWaker,
    /// Where it comes from, once the task was sent.
    source: OnceLock<(Arc<Link>, u64)>,
}

/// A piece that is shorter is copied: what is read from a link at once is in one buffer of 64 KiB.
const SMALL: usize = 4 * 1024;

impl Inbox {
    pub(crate) fn new(window: u32) -> Arc<Self> {
        let (pieces, reader) = (Mutex::default(), AtomicWaker::new());
        Arc::new(Self { window, pieces, reader, source: OnceLock::new() })
    }

    /// The task was sent on this link, under this number.
    pub(crate) fn comes_from(&self, link: &Arc<Link>, id: u64) {
        let _ = self.source.set((Arc::clone(link), id));
    }

    pub(crate) fn put(&self, piece: Bytes) {
        // A part of a buffer keeps all of it, and many small ones would keep as many buffers.
        let piece = if piece.len() < SMALL { Bytes::copy_from_slice(&piece) } else { piece };
        self.pieces.lock().push_back(piece);
        self.reader.wake();
    }

    /// The next piece; when there is none, the reader is woken for it.
    pub(crate) fn take(&self, cx: &Context<'_>) -> Option<Bytes> {
        let piece = self.pieces.lock().pop_front();
        if piece.is_some() {
            return piece;
        }
        self.reader.register(cx.waker());
        // It may have come before the reader was registered.
        self.pieces.lock().pop_front()
    }

    /// Lets the runner make more.
    pub(crate) fn give_credit(&self, items: u32, bytes: u64) {
        if let Some((link, id)) = self.source.get() {
            // On a closed link nothing is made any more.
            let _ = link.send(Frame::Credit { id: *id, items, bytes }, Bytes::new());
        }
    }
}
