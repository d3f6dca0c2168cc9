//! An exponential back-off with jitter.

use std::time::Duration;

/// The pauses before one attempt and the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The first pause; each further one is twice as long.
    pub(crate) first: Duration,
    /// No pause is longer.
    pub(crate) longest: Duration,
}

/// The pauses between runners, which cost money: after a failed boot, and for a child whose runners are lost.
pub(crate) const RUNNERS: Backoff = Backoff { first: Duration::from_millis(100), longest: LONGEST };

/// The pauses between the restarts of a child that ends by itself.
pub(crate) const CHILDREN: Backoff = Backoff { first: Duration::from_millis(20), longest: LONGEST };

/// The longest pause, and how long something has to live to be no failed attempt.
///
/// What ends again and again after a longer life comes back no more often than what has reached this pause.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

impl Backoff {
    /// Returns the pause after so many others.
    ///
    /// `jitter` is a random factor from 0.5 to 1: what failed together is not tried again together.
    pub(crate) fn pause(self, before: u32, jitter: f64) -> Duration {
        let doublings = before.min(30);
        self.first.saturating_mul(1 << doublings).min(self.longest).mul_f64(jitter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_the_longest() {
        let pauses: Vec<u128> = (0..9).map(|before| RUNNERS.pause(before, 1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(CHILDREN.pause(3, 0.5), Duration::from_millis(80));
    }

    proptest! {
        #[test]
        fn a_pause_is_never_shorter_than_half_and_never_longer_than_the_longest(
            before: u32,
            jitter in 0.5..1.0,
            first in 1..1_000_u64,
            longest in 1_000..100_000_u64,
        ) {
            let backoff = Backoff { first: Duration::from_millis(first), longest: Duration::from_millis(longest) };
            let (pause, whole) = (backoff.pause(before, jitter), backoff.pause(before, 1.0));
            prop_assert!(pause >= whole / 2 && pause <= whole && whole <= backoff.longest);
            prop_assert!(whole <= backoff.pause(before.saturating_add(1), 1.0));
        }
    }
}
