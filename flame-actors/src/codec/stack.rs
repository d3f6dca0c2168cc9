//! Stack for values that are nested.
//!
//! A level of a user's type may take any size of it, and several times as much in debug: 128 structs of 8 KiB are more
//! than the 2 MiB of a thread. When little is left, the next level gets another stack.

/// The least that a level finds.
const LEAST_STACK: usize = 512 * 1024;
const MORE_STACK: usize = 4 * 1024 * 1024;

/// The stack that an encoder or decoder is on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    /// Below this address little is left.
    low: usize,
}

impl Stack {
    /// Returns that of this thread.
    pub(super) fn here() -> Self {
        // Where it is not known, the first level gets another one.
        let left = stacker::remaining_stack().unwrap_or(0);
        Self { low: address().saturating_sub(left).saturating_add(LEAST_STACK) }
    }

    /// Whether the next level needs another one. It is asked for each element of a value, so it is one comparison.
    #[inline(always)]
    pub(super) fn is_short(self) -> bool {
        address() < self.low
    }
}

/// Runs a level on another stack, which it is given.
#[cold]
pub(super) fn on_another<T>(level: impl FnOnce(Stack) -> T) -> T {
    stacker::grow(MORE_STACK, || level(Stack::here()))
}

/// About where this thread is on its stack.
#[inline(always)]
fn address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}
