//! Whether and when a child that has ended is placed again: its own ends in OTP's words, and the losses of its runners.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::backoff::{CHILDREN, LONGEST, RUNNERS};
use crate::error::ChildError;
use crate::node;
use crate::node::frame::Exit;

/// How ractor tells of an actor that was killed.
const KILLED: &str = "killed";

/// When a placed child that has ended is placed again; set by [`Place::restart`](crate::Place::restart).
///
/// The words are those of OTP. A `stop` or `kill` of the ref ends a child for good in any case.
/// [`Place`](crate::Place) shows one in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Restart {
    /// However it ended.
    Permanent,
    /// When it failed, panicked, was killed, or its runner was lost; not when it stopped.
    Transient,
    /// Never; the default.
    #[default]
    Temporary,
}

impl Restart {
    pub(super) fn applies(self, exit: &Exit) -> bool {
        match (self, exit) {
            (Self::Permanent, _) | (Self::Transient, Exit::Failed(_)) => true,
            (Self::Transient, Exit::Stopped(reason)) => reason.as_deref() == Some(KILLED),
            (Self::Temporary, _) => false,
        }
    }
}

/// So many restarts within a period, and no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intensity {
    pub(super) max_restarts: usize,
    pub(super) period: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self { max_restarts: 3, period: Duration::from_secs(5) }
    }
}

/// A child's own ends within the last period.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(Instant, String)>);

impl History {
    /// Notes an end. Given is how long to wait before the restart, or `None` when it was one too many.
    pub(super) fn add(&mut self, end: String, intensity: Intensity, now: Instant) -> Option<Duration> {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= intensity.period;
        while self.0.front().is_some_and(|(at, _)| is_old(*at)) {
            self.0.pop_front();
        }
        self.0.push_back((now, end));
        if self.0.len() > intensity.max_restarts {
            return None;
        }
        // A long period is no reason for long waits: those count that came one soon after the other.
        let recent = self.0.iter().rev().take_while(|(at, _)| now.saturating_duration_since(*at) <= LONGEST);
        let Some(before) = recent.count().checked_sub(2) else { return Some(Duration::ZERO) };
        Some(CHILDREN.pause(u32::try_from(before).unwrap_or(u32::MAX), node::jitter()))
    }

    /// The error of one end too many.
    pub(super) fn too_many(self, intensity: Intensity) -> ChildError {
        let Intensity { max_restarts, period } = intensity;
        ChildError::TooManyRestarts { max_restarts, period, history: self.into_texts() }
    }

    fn into_texts(self) -> Vec<String> {
        self.0.into_iter().map(|(_, end)| end).collect()
    }
}

/// The losses of a child's runners, one soon after the other.
///
/// They are no fault of the child and have no number that is too many. What they need is a pause: a runner that is lost
/// whenever it has the child is booted again and again otherwise.
#[derive(Debug, Default)]
pub(super) struct Losses(u32);

impl Losses {
    /// Notes that an incarnation has ended which lived for so long.
    pub(super) fn lived(&mut self, life: Duration) {
        if life >= LONGEST {
            self.0 = 0;
        }
    }

    /// Notes that its end was the loss of its runner; returns how long to wait before the child is placed again.
    pub(super) fn add(&mut self, jitter: f64) -> Duration {
        let before = self.0;
        self.0 = before.saturating_add(1);
        before.checked_sub(1).map_or(Duration::ZERO, |before| RUNNERS.pause(before, jitter))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTENSITY: Intensity = Intensity { max_restarts: 3, period: Duration::from_secs(5) };

    #[test]
    fn a_restart_too_many_within_the_period_is_refused() {
        let (start, mut history) = (Instant::now(), History::default());
        for second in 0..3 {
            assert!(history.add(second.to_string(), INTENSITY, start + Duration::from_secs(second)).is_some());
        }
        assert_eq!(history.add("3".to_owned(), INTENSITY, start + Duration::from_secs(4)), None);
        assert_eq!(history.into_texts(), ["0", "1", "2", "3"]);
    }

    #[test]
    fn what_is_older_than_the_period_does_not_count() {
        let (start, mut history) = (Instant::now(), History::default());
        for second in 0..100 {
            assert!(history.add(String::new(), INTENSITY, start + Duration::from_secs(2 * second)).is_some());
        }
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_next_ones_wait_longer_each_time() {
        let (now, mut history) = (Instant::now(), History::default());
        let intensity = Intensity { max_restarts: 100, period: Duration::from_secs(5) };
        assert_eq!(history.add(String::new(), intensity, now), Some(Duration::ZERO));
        for attempt in 0..40 {
            let most = CHILDREN.pause(attempt, 1.0);
            let waits = history.add(String::new(), intensity, now).unwrap();
            assert!((most / 2..=most).contains(&waits), "{attempt}: {waits:?}");
        }
    }

    #[test]
    fn a_restart_after_a_quiet_while_is_at_once_however_long_the_period() {
        let (start, mut history) = (Instant::now(), History::default());
        let intensity = Intensity { max_restarts: 100, period: Duration::from_secs(3600) };
        for minute in 0..50 {
            let now = start + Duration::from_secs(60 * minute);
            assert_eq!(history.add(String::new(), intensity, now), Some(Duration::ZERO));
        }
    }

    #[test]
    fn the_policies_are_those_of_otp() {
        let stopped = Exit::Stopped(Some("done".to_owned()));
        let killed = Exit::Stopped(Some("killed".to_owned()));
        let failed = Exit::Failed(ChildError::Failed("disk".to_owned()));
        let restarts = |restart: Restart| [&stopped, &killed, &failed].map(|exit| restart.applies(exit));
        assert_eq!(restarts(Restart::Permanent), [true, true, true]);
        assert_eq!(restarts(Restart::Transient), [false, true, true]);
        assert_eq!(restarts(Restart::Temporary), [false, false, false]);
    }
    fn after(losses: &mut Losses, life: Duration) -> u128 {
        losses.lived(life);
        losses.add(1.0).as_millis()
    }

    #[test]
    fn the_first_loss_is_repaired_at_once_and_the_next_ones_wait_longer_each_time() {
        let mut losses = Losses::default();
        let waits: Vec<u128> = (0..10).map(|_| after(&mut losses, Duration::from_millis(5))).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    /// Also when that incarnation ended by itself.
    #[test]
    fn a_loss_after_an_incarnation_that_lived_for_a_while_is_repaired_at_once() {
        let mut losses = Losses::default();
        for _ in 0..5 {
            after(&mut losses, Duration::ZERO);
        }
        assert_eq!(after(&mut losses, LONGEST), 0);
        assert_eq!(after(&mut losses, Duration::ZERO), 100);
        losses.lived(LONGEST);
        assert_eq!(after(&mut losses, Duration::ZERO), 0);
    }

    proptest! {
        /// Whatever the lives: the pause grows with the short ones in a row, and with nothing else.
        #[test]
        fn only_short_lives_in_a_row_make_the_pause_longer(lives in proptest::collection::vec(0..20_000_u64, 1..50)) {
            let (mut losses, mut short) = (Losses::default(), 0_u32);
            for life in lives.into_iter().map(Duration::from_millis) {
                short = if life >= LONGEST { 0 } else { short };
                let expected = short.checked_sub(1).map_or(Duration::ZERO, |before| RUNNERS.pause(before, 1.0));
                prop_assert_eq!(after(&mut losses, life), expected.as_millis());
                short += 1;
            }
        }
    }
}
