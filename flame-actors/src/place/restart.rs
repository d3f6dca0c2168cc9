//! Whether a child that has ended is placed again, in OTP's words.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::backoff::{CHILDREN, LONGEST};
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

/// The ends of a child within the last period.
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

#[cfg(test)]
mod tests {
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
}
