//! Who waits for a slot, first come first served.

use std::collections::BTreeMap;

/// The place of one waiter in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Waiters in the order in which they came; each operation costs logarithmic time.
#[derive(Debug)]
pub(crate) struct Queue<W> {
    next: u64,
    waiting: BTreeMap<Ticket, W>,
}

impl<W> Queue<W> {
    pub(crate) fn new() -> Self {
        Self { next: 0, waiting: BTreeMap::new() }
    }

    /// A place behind everyone who has come so far.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next)
    }

    /// Waits in this place, which may be in front of others: somebody's who was served and has come back.
    pub(crate) fn wait(&mut self, ticket: Ticket, waiter: W) {
        self.waiting.insert(ticket, waiter);
    }

    /// Leaves; `None` when it was served already.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<W> {
        self.waiting.remove(&ticket)
    }

    /// The one that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<W> {
        self.waiting.pop_first().map(|(_, waiter)| waiter)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everyone, in order; nobody waits afterwards.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = W> + use<W> {
        std::mem::take(&mut self.waiting).into_values()
    }
}
