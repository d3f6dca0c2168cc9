//! How long one side of a link believes in the other without hearing from it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Counts from the *sending* of the last heartbeat that was acknowledged: the other side has heard us at that moment
/// or later, so it gives us up no earlier than we give it up.
#[derive(Debug)]
pub(crate) struct Lease {
    period: Duration,
    alive: Instant,
    next: u64,
    under_way: VecDeque<(u64, Instant)>,
}

impl Lease {
    pub(crate) fn new(now: Instant, period: Duration) -> Self {
        Self { period, alive: now, next: 0, under_way: VecDeque::new() }
    }

    /// The number of the heartbeat that is sent now.
    pub(crate) fn beat(&mut self, now: Instant) -> u64 {
        self.next += 1;
        self.under_way.push_back((self.next, now));
        self.next
    }

    /// The other side answered this heartbeat, and with it all before.
    pub(crate) fn acknowledged(&mut self, number: u64) {
        while let Some(&(sent, at)) = self.under_way.front() {
            if sent > number {
                break;
            }
            self.alive = at;
            self.under_way.pop_front();
        }
    }

    pub(crate) fn expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.alive) > self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(4);

    #[test]
    fn it_counts_from_the_sending_of_the_last_acknowledged_heartbeat() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lease = Lease::new(start, PERIOD);
        let first = lease.beat(at(1));
        lease.beat(at(2));
        lease.acknowledged(first);
        assert!(!lease.expired(at(5)));
        assert!(lease.expired(at(6)), "the second heartbeat was not acknowledged and must not count");
    }

    #[test]
    fn an_acknowledgement_of_something_never_sent_changes_nothing() {
        let start = Instant::now();
        let mut lease = Lease::new(start, PERIOD);
        lease.acknowledged(99);
        assert!(lease.expired(start + PERIOD * 2));
    }
}
