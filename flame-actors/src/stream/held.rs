//! What streams keep as long as they are there: the slot of the call in whose result they came.

use std::cell::RefCell;
use std::sync::Arc;

use crate::pool::Slot;

/// The slot, if there is one.
pub(super) type Held = Option<Arc<Slot>>;

thread_local! {
    static HELD: RefCell<Held> = const { RefCell::new(None) };
}

/// Runs `decode`; the streams that come out of it have this slot.
pub(crate) fn held_with<T>(slot: &Arc<Slot>, decode: impl FnOnce() -> T) -> T {
    let _before = Before(HELD.replace(Some(Arc::clone(slot))));
    decode()
}

/// For a stream that is being decoded.
pub(super) fn held() -> Held {
    HELD.with_borrow(Clone::clone)
}

/// Goes back to what was before, also when `decode` panics.
struct Before(Held);

impl Drop for Before {
    fn drop(&mut self) {
        let _ = HELD.replace(self.0.take());
    }
}
