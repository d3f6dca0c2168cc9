//! How far a task that yields may be ahead of its reader. Plain numbers; who sends them is elsewhere.
//!
//! The runner has an [`Allowance`], spends it with each item, and rests without. The reader gives back what it has
//! taken in [`Takings`], in portions of half a window, so that few frames go back and the runner seldom rests.

/// So many items may be made and not read, unless [`Streaming::window`](crate::Streaming::window) says otherwise.
pub(crate) const WINDOW_ITEMS: u32 = 1024;
/// When so many bytes have been made and not read, nothing more is made.
pub(crate) const WINDOW_BYTES: u64 = 1024 * 1024;

/// What may still be made.
#[derive(Debug)]
pub(crate) struct Allowance {
    items: u64,
    /// Below zero after an item that is larger than what was left.
    bytes: i64,
}

impl Allowance {
    pub(crate) fn new(window: u32) -> Self {
        Self { items: window.max(1).into(), bytes: WINDOW_BYTES as i64 }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.items > 0 && self.bytes > 0
    }

    pub(crate) fn spend(&mut self, bytes: usize) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub_unsigned(bytes as u64);
    }

    pub(crate) fn grant(&mut self, items: u32, bytes: u64) {
        self.items = self.items.saturating_add(items.into());
        self.bytes = self.bytes.saturating_add_unsigned(bytes);
    }
}

/// What was taken and not yet given back.
#[derive(Debug)]
pub(crate) struct Takings {
    window: u32,
    items: u32,
    bytes: u64,
}

impl Takings {
    pub(crate) fn new(window: u32) -> Self {
        Self { window: window.max(1), items: 0, bytes: 0 }
    }

    /// Notes an item that was taken; gives items and bytes when it is time to give back.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<(u32, u64)> {
        self.items += 1;
        self.bytes += bytes as u64;
        let due = self.items >= self.window.div_ceil(2) || self.bytes >= WINDOW_BYTES / 2;
        due.then(|| (std::mem::take(&mut self.items), std::mem::take(&mut self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever is slow at whatever moment.
        #[test]
        fn a_reader_gets_all_and_the_maker_is_never_far_ahead(
            window in 0..20_u32,
            sizes in proptest::collection::vec(prop_oneof![0..100_usize, 100_000..2_000_000_usize], 0..200),
            reads in proptest::collection::vec(any::<bool>(), 0..400),
        ) {
            let (mut allowance, mut takings) = (Allowance::new(window), Takings::new(window));
            let (mut to_make, mut unread, mut grants) = (VecDeque::from(sizes), VecDeque::new(), VecDeque::new());
            // When the random turns are over both go on by turns, as far as they can.
            let by_turns = (0..usize::MAX).map(|turn| turn % 2 == 0);
            for reads in reads.into_iter().chain(by_turns) {
                if to_make.is_empty() && unread.is_empty() {
                    break;
                }
                let mut rests = true;
                if reads {
                    if let Some(size) = unread.pop_front() {
                        grants.extend(takings.take(size));
                        rests = false;
                    }
                } else {
                    for (items, bytes) in grants.drain(..) {
                        allowance.grant(items, bytes);
                    }
                    if allowance.has_room() && let Some(size) = to_make.pop_front() {
                        allowance.spend(size);
                        unread.push_back(size);
                        rests = false;
                    }
                }
                let stuck = rests && unread.is_empty() && grants.is_empty() && !allowance.has_room();
                prop_assert!(!stuck, "nobody can do anything: {allowance:?}, {takings:?}");
                prop_assert!(unread.len() <= window.max(1) as usize);
                let ahead: usize = unread.iter().rev().skip(1).sum();
                prop_assert!((ahead as u64) < WINDOW_BYTES, "{ahead} bytes and one item more");
            }
        }
    }
}
