//! The pace that the Machines API allows.
//!
//! Fly counts requests per action and app or machine: one a second, three at the most in one second; for the state of
//! a machine five a second (<https://fly.io/docs/machines/api/working-with-machines-api/#rate-limits>). Here one bucket
//! per action is for all pools of a process that use an app.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What is counted on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Create,
    Get,
    List,
    Destroy,
}

impl Action {
    /// So many at once, and then one after each pace.
    ///
    /// The pace is a twentieth slower than the limit, since a network does not keep distances.
    fn limit(self) -> (u32, Duration) {
        match self {
            Self::Get => (5, Duration::from_millis(210)),
            Self::Create | Self::List | Self::Destroy => (3, Duration::from_millis(1050)),
        }
    }
}

/// Gives turns, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: u32,
    pace: Duration,
    /// When the bucket is full again; held by the one whose turn is next.
    full_at: tokio::sync::Mutex<Option<Instant>>,
}

/// By the URL of the app's machines.
type Buckets = HashMap<(String, Action), Arc<Bucket>>;

impl Bucket {
    fn new((burst, pace): (u32, Duration)) -> Self {
        Self { burst, pace, full_at: tokio::sync::Mutex::default() }
    }

    /// The bucket of an action on an app, by the URL of its machines.
    pub(crate) fn of(machines: &str, action: Action) -> Arc<Self> {
        static BUCKETS: LazyLock<Mutex<Buckets>> = LazyLock::new(Mutex::default);
        let new = || Arc::new(Self::new(action.limit()));
        Arc::clone(BUCKETS.lock().entry((machines.to_owned(), action)).or_insert_with(new))
    }

    /// Waits for a turn. Who goes away before it is there leaves it to the next.
    pub(crate) async fn turn(&self) {
        let mut full_at = self.full_at.lock().await;
        let now = Instant::now();
        let full = full_at.map_or(now, |at| at.max(now));
        let turn = (full + self.pace).checked_sub(self.pace * self.burst).unwrap_or(now).max(now);
        tokio::time::sleep_until(turn).await;
        *full_at = Some(full.max(turn) + self.pace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Action; 4] = [Action::Create, Action::Get, Action::List, Action::Destroy];

    /// When each of so many turns came that were asked for at once, after a pause.
    async fn turns(bucket: &Arc<Bucket>, start: Instant, count: usize) -> Vec<Duration> {
        let asked = (0..count).map(|_| {
            let bucket = Arc::clone(bucket);
            tokio::spawn(async move {
                bucket.turn().await;
                start.elapsed()
            })
        });
        let mut turns = Vec::new();
        for turn in asked.collect::<Vec<_>>() {
            turns.push(turn.await.unwrap());
        }
        turns
    }

    /// The most turns that any second sees, from the first of them on.
    fn most_in_a_second(turns: &[Duration]) -> usize {
        let second = Duration::from_secs(1);
        let within = |from: Duration| turns.iter().filter(|at| (from..from + second).contains(*at)).count();
        turns.iter().map(|from| within(*from)).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_the_limit() {
        for action in ALL {
            let (bucket, start) = (Arc::new(Bucket::new(action.limit())), Instant::now());
            let mut all = turns(&bucket, start, 12).await;
            // Shorter and longer than it takes to fill up.
            for pause in [100, 700, 1_500, 2_900, 5_000] {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                all.extend(turns(&bucket, start, 5).await);
            }
            let limit = if action == Action::Get { 10 } else { 3 };
            assert!(most_in_a_second(&all) <= limit, "{action:?}: {all:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_one_a_second() {
        let (bucket, start) = (Arc::new(Bucket::new(Action::Create.limit())), Instant::now());
        let millis: Vec<_> = turns(&bucket, start, 5).await.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [0, 0, 0, 1050, 2100]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_the_turn_to_the_next() {
        let (bucket, start) = (Arc::new(Bucket::new(Action::Create.limit())), Instant::now());
        turns(&bucket, start, 3).await;
        assert!(tokio::time::timeout(Duration::from_millis(500), bucket.turn()).await.is_err());
        bucket.turn().await;
        assert_eq!(start.elapsed().as_millis(), 1050);
    }

    #[tokio::test(start_paused = true)]
    async fn pools_of_one_app_share_a_bucket_and_actions_and_apps_do_not() {
        let start = Instant::now();
        for action in [Action::Create, Action::Destroy] {
            for app in ["one", "two"] {
                turns(&Bucket::of(app, action), start, 3).await;
            }
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        Bucket::of("one", Action::Create).turn().await;
        assert_eq!(start.elapsed().as_millis(), 1050);
    }
}
