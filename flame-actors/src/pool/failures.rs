//! Boots that failed, and how long to wait before the next one: decisions over plain data.
//!
//! A boot has not succeeded yet when its runner serves. A runner *proves* its boot when it has finished some work, when
//! it has lived for a while, or when the pool sends it away; one that is gone before that was a failed boot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::backoff::{LONGEST, RUNNERS};
use crate::error::{Cause, Error};

/// The failed boots of a pool since the last one that was proved.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    last: Option<Error>,
    /// Boots that begin between two pauses are of one round, and fail together: the pool pauses once for them.
    round: u32,
    /// How many pauses there were since the last boot that was proved.
    pauses: u32,
    not_before: Option<Instant>,
    /// Runners that have not proved their boot, by the pool's number.
    unproved: BTreeMap<u64, Unproved>,
}

#[derive(Debug)]
enum Unproved {
    /// It serves since then; its boot was of this round.
    Serves { since: Instant, round: u32 },
    /// It is gone, and counts as a failed boot. Why it is gone may still be looked for.
    Gone(InVain),
}

/// A runner that served in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InVain {
    /// How long it served.
    pub(super) served: Duration,
    /// The failed boots until then, its own included.
    pub(super) attempts: u32,
}

/// How a runner went away that served in vain.
#[derive(Clone, Debug)]
pub(super) enum Gone {
    /// It was lost.
    Lost(Cause),
    /// It asked to leave.
    Asked,
}

/// Returns how long a runner has to serve to prove its boot without any work.
///
/// That is what a boot may take, so that a runner which fails while it warms up counts as one that fails before. It is
/// no less than the longest pause: a runner that lives longer is replaced no more often than after that pause.
pub(super) fn proved_after(boot_timeout: Duration) -> Duration {
    boot_timeout.max(LONGEST)
}

impl Failures {
    /// The boots that failed.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The error of the last of them.
    pub(super) fn last(&self) -> Option<&Error> {
        self.last.as_ref()
    }

    /// The round of a boot that begins now.
    pub(super) fn round(&self) -> u32 {
        self.round
    }

    /// Returns what is left of the pause.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        self.not_before.map(|not_before| not_before.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Notes a failed boot of this round; returns how many there are.
    pub(super) fn failed(&mut self, error: Error, round: u32, now: Instant, jitter: f64) -> u32 {
        self.count += 1;
        self.last = Some(error);
        // The first failure after a success begins a pause also when others of its round have failed before that.
        if round == self.round || self.pauses == 0 {
            self.not_before = Some(now + RUNNERS.pause(self.pauses, jitter));
            self.pauses += 1;
            self.round += 1;
        }
        self.count
    }

    /// Notes that a runner serves whose boot was of this round.
    pub(super) fn up(&mut self, runner: u64, round: u32, now: Instant) {
        self.unproved.insert(runner, Unproved::Serves { since: now, round });
    }

    /// Notes that a runner has proved its boot. The first time that ends the count of failures and the pause.
    ///
    /// Only the first time: in a pool whose other runners work, one place may fail again and again.
    pub(super) fn proved(&mut self, runner: u64) {
        if let Some(Unproved::Serves { .. }) = self.unproved.get(&runner) {
            self.unproved.remove(&runner);
            (self.count, self.last, self.pauses, self.not_before) = (0, None, 0, None);
        }
    }

    /// Notes that a runner is gone which the pool did not send away; a failed boot unless it has proved itself.
    pub(super) fn gone(
        &mut self,
        runner: u64,
        error: impl FnOnce(Duration) -> Error,
        proved_after: Duration,
        now: Instant,
        jitter: f64,
    ) {
        let Some(Unproved::Serves { since, round }) = self.unproved.get(&runner) else { return };
        let (served, round) = (now.saturating_duration_since(*since), *round);
        if served >= proved_after {
            self.proved(runner);
            return;
        }
        let attempts = self.failed(error(served), round, now, jitter);
        self.unproved.insert(runner, Unproved::Gone(InVain { served, attempts }));
    }

    /// Returns how a runner served in vain, once.
    pub(super) fn take_in_vain(&mut self, runner: u64) -> Option<InVain> {
        match self.unproved.get(&runner) {
            Some(Unproved::Gone(in_vain)) => {
                let in_vain = *in_vain;
                self.unproved.remove(&runner);
                Some(in_vain)
            }
            _ => None,
        }
    }

    /// Says more exactly why that boot failed, unless another one has failed since, or was proved.
    pub(super) fn explain(&mut self, in_vain: InVain, error: &Error) {
        if self.count == in_vain.attempts {
            self.last = Some(error.clone());
        }
    }
}

impl Gone {
    /// The error of a boot whose runner served for this long.
    pub(super) fn error(&self, backend: &str, served: Duration) -> Error {
        // The rest of the digits says nothing.
        let served = Duration::from_millis(served.as_millis() as u64);
        let reason = match self {
            Self::Lost(cause) => {
                format!("the runner served for {served:?} and was lost before it finished any work: {cause}")
            }
            Self::Asked => format!("the runner served for {served:?} and asked to leave before it finished any work"),
        };
        Error::Backend { backend: backend.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUND: Duration = Duration::from_secs(30);

    fn error(served: Duration) -> Error {
        Gone::Lost(Cause::Exited(3)).error("local", served)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A runner of the present round comes up and is gone after so long.
    fn serves_for(failures: &mut Failures, runner: u64, life: Duration, now: Instant) {
        let round = failures.round();
        failures.up(runner, round, now);
        failures.gone(runner, error, BOUND, now + life, 1.0);
    }

    #[test]
    fn a_runner_that_dies_at_once_again_and_again_is_booted_after_pauses_that_double() {
        let (mut now, mut failures) = (Instant::now(), Failures::default());
        for (runner, pause) in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].into_iter().enumerate() {
            serves_for(&mut failures, runner as u64, ms(0), now);
            assert_eq!(failures.pause(now), Some(ms(pause)));
            let in_vain = InVain { served: ms(0), attempts: runner as u32 + 1 };
            assert_eq!(failures.take_in_vain(runner as u64), Some(in_vain));
            assert_eq!(failures.take_in_vain(runner as u64), None, "it is told once");
            now += ms(pause);
            assert_eq!(failures.pause(now), None);
        }
        assert!(failures.unproved.is_empty());
    }

    #[test]
    fn failed_boots_and_runners_that_die_at_once_are_one_count() {
        let (now, mut failures) = (Instant::now(), Failures::default());
        failures.failed(error(ms(0)), failures.round(), now, 1.0);
        serves_for(&mut failures, 1, ms(5), now);
        assert_eq!((failures.count(), failures.pause(now + ms(5))), (2, Some(ms(200))));
    }

    #[test]
    fn a_loss_after_finished_work_or_a_long_life_is_no_failed_boot() {
        let (now, mut failures) = (Instant::now(), Failures::default());
        failures.up(1, 0, now);
        failures.proved(1);
        failures.gone(1, error, BOUND, now, 1.0);
        serves_for(&mut failures, 2, BOUND, now);
        assert_eq!((failures.count(), failures.pause(now), failures.take_in_vain(1)), (0, None, None));
        assert!(failures.unproved.is_empty());
    }

    #[test]
    fn runners_that_are_lost_together_pause_the_pool_once() {
        let (now, mut failures) = (Instant::now(), Failures::default());
        for runner in 0..20 {
            failures.up(runner, 0, now);
        }
        for runner in 0..20 {
            failures.gone(runner, error, BOUND, now, 1.0);
        }
        assert_eq!((failures.count(), failures.pause(now)), (20, Some(ms(100))));
    }

    #[test]
    fn a_runner_that_works_ends_the_count_once_only() {
        let (now, mut failures) = (Instant::now(), Failures::default());
        failures.up(1, 0, now);
        serves_for(&mut failures, 2, ms(1), now);
        failures.proved(1);
        assert_eq!((failures.count(), failures.last(), failures.pause(now)), (0, None, None));
        serves_for(&mut failures, 3, ms(1), now);
        failures.proved(1);
        serves_for(&mut failures, 4, ms(1), now);
        assert_eq!((failures.count(), failures.pause(now + ms(1))), (2, Some(ms(200))));
    }

    /// Its own round has paused the pool before, and the success has ended that.
    #[test]
    fn the_first_failure_after_a_success_pauses_the_pool_whenever_its_boot_began() {
        let (now, mut failures) = (Instant::now(), Failures::default());
        for runner in [1, 2] {
            failures.up(runner, 0, now);
        }
        failures.failed(error(ms(0)), 0, now, 1.0);
        failures.proved(1);
        failures.gone(2, error, BOUND, now, 1.0);
        assert_eq!(failures.pause(now), Some(ms(100)));
    }

    #[test]
    fn a_cause_that_is_found_late_does_not_hide_a_later_failure() {
        let (now, mut failures) = (Instant::now(), Failures::default());
        serves_for(&mut failures, 1, ms(1), now);
        let first = failures.take_in_vain(1).unwrap();
        failures.explain(first, &Error::NoNode);
        assert_eq!(failures.last(), Some(&Error::NoNode));
        failures.failed(Error::NoReply, failures.round(), now, 1.0);
        failures.explain(first, &Error::NoNode);
        assert_eq!(failures.last(), Some(&Error::NoReply));
    }

    #[test]
    fn a_boot_is_proved_after_its_timeout_and_not_before_the_longest_pause() {
        assert_eq!(proved_after(ms(2)), LONGEST);
        assert_eq!(proved_after(Duration::from_secs(60)), Duration::from_secs(60));
    }

    #[test]
    fn the_error_says_how_long_it_served_and_why_it_is_gone() {
        let lost = error(Duration::from_micros(12_345)).to_string();
        let said =
            "the runner served for 12ms and was lost before it finished any work: its process exited with code 3";
        assert_eq!(lost, format!("backend local: {said}"));
        assert!(
            Gone::Asked
                .error("local", ms(7))
                .to_string()
                .ends_with("7ms and asked to leave before it finished any work")
        );
    }

    proptest! {
        /// Whatever the lives of the runners of one place: a boot follows a short life only after a pause, and pauses grow.
        #[test]
        fn no_boot_follows_a_short_life_without_a_pause(lives in proptest::collection::vec(0..40_000_u64, 1..60)) {
            let (mut now, mut failures, mut short) = (Instant::now(), Failures::default(), 0);
            for (runner, life) in lives.into_iter().map(ms).enumerate() {
                serves_for(&mut failures, runner as u64, life, now);
                now += life;
                short = if life < BOUND { short + 1 } else { 0 };
                let expected = (short > 0).then(|| RUNNERS.pause(short - 1, 1.0));
                prop_assert_eq!(failures.pause(now), expected);
                prop_assert_eq!(failures.count(), short);
                now += expected.unwrap_or_default();
            }
        }
    }
}
