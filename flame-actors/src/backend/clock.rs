//! What is left of a boot's time.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// No boot is given up later.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Runs out after a bound, and can be stopped and begun anew.
pub(crate) struct Clock {
    bound: Duration,
    /// `None` while it is stopped.
    since: watch::Sender<Option<Instant>>,
}

/// Dropped, the clock begins anew.
pub(crate) struct Stopped<'a>(&'a Clock);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.since.send_replace(Some(Instant::now()));
    }
}

impl Clock {
    pub(crate) fn new(bound: Duration) -> Self {
        Self { bound, since: watch::Sender::new(Some(Instant::now())) }
    }

    pub(crate) fn stop(&self) -> Stopped<'_> {
        self.since.send_replace(None);
        Stopped(self)
    }

    pub(crate) fn deadline(&self) -> Instant {
        let since = self.since.borrow().unwrap_or_else(Instant::now);
        since.checked_add(self.bound).unwrap_or_else(|| since + FAR)
    }

    /// Does this unless the time runs out.
    pub(crate) async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // First: what gives up by itself at the deadline says why.
            biased;
            done = work => Some(done),
            () = self.ran_out() => None,
        }
    }

    async fn ran_out(&self) {
        let mut since = self.since.subscribe();
        loop {
            let began = *since.borrow_and_update();
            let changed = match began {
                None => since.changed().await,
                Some(began) => {
                    let left = self.bound.saturating_sub(began.elapsed());
                    tokio::select! {
                        changed = since.changed() => changed,
                        () = tokio::time::sleep(left) => return,
                    }
                }
            };
            changed.expect("the sender is in self");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn it_runs_out_after_its_bound() {
        let start = Instant::now();
        assert_eq!(Clock::new(BOUND).bound(std::future::pending::<()>()).await, None);
        assert!(start.elapsed() >= BOUND);
    }

    #[tokio::test]
    async fn the_longest_bound_is_none() {
        let clock = Clock::new(Duration::MAX);
        assert_eq!(clock.bound(tokio::task::yield_now()).await, Some(()));
        assert!(clock.deadline() > Instant::now() + FAR / 2);
    }

    #[tokio::test]
    async fn it_stands_still_while_it_is_stopped_and_begins_anew() {
        let (clock, start) = (Clock::new(BOUND), Instant::now());
        let work = async {
            let stopped = clock.stop();
            tokio::time::sleep(BOUND * 3).await;
            drop(stopped);
            std::future::pending::<()>().await;
        };
        assert_eq!(clock.bound(work).await, None);
        assert!(start.elapsed() >= BOUND * 4);
    }
}
