//! How often each thing may be asked.
//!
//! Source: "Rate Limits" of <https://fly.io/docs/machines/api/working-with-machines-api/>: each action once a second for
//! each machine (or app, if it names no machine) with a burst of three; `get` five times a second with a burst of ten.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::Action;

/// How often an action may be asked for each machine, or each app.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// So many in a second, in the long run.
    pub per_second: f64,
    /// So many at once.
    pub burst: u32,
}

/// The limits of all actions. The default is Fly's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The one of [`Action::Get`].
    pub get: Limit,
    /// The one of all other actions.
    pub others: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        Self { get: Limit { per_second: 5.0, burst: 10 }, others: Limit { per_second: 1.0, burst: 3 } }
    }
}

/// One token bucket for each action and each thing that it is about.
#[derive(Debug)]
pub(crate) struct Buckets {
    limits: Option<Limits>,
    buckets: HashMap<(Action, String), Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    since: Instant,
}

impl Buckets {
    pub(crate) fn new(limits: Option<Limits>) -> Self {
        Self { limits, buckets: HashMap::new() }
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// How long until there is one.
    pub(crate) fn take(&mut self, action: Action, about: &str, now: Instant) -> Result<(), Duration> {
        let Some(limits) = self.limits else { return Ok(()) };
        let limit = if action == Action::Get { limits.get } else { limits.others };
        let burst = f64::from(limit.burst);
        let bucket =
            self.buckets.entry((action, about.to_owned())).or_insert_with(|| Bucket { tokens: burst, since: now });
        let gained = now.saturating_duration_since(bucket.since).as_secs_f64() * limit.per_second;
        (bucket.tokens, bucket.since) = ((bucket.tokens + gained).min(burst), now);
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / limit.per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(buckets: &mut Buckets, action: Action, about: &str, now: Instant) -> usize {
        (0..100).take_while(|_| buckets.take(action, about, now).is_ok()).count()
    }

    #[test]
    fn a_burst_of_three_is_followed_by_one_a_second() {
        let (mut buckets, start) = (Buckets::new(Some(Limits::default())), Instant::now());
        assert_eq!(taken(&mut buckets, Action::Create, "app", start), 3);
        assert_eq!(buckets.take(Action::Create, "app", start), Err(Duration::from_secs(1)));
        assert_eq!(taken(&mut buckets, Action::Create, "app", start + Duration::from_secs(1)), 1);
        assert_eq!(taken(&mut buckets, Action::Create, "app", start + Duration::from_secs(60)), 3);
    }

    #[test]
    fn a_get_is_allowed_more_often() {
        let (mut buckets, start) = (Buckets::new(Some(Limits::default())), Instant::now());
        assert_eq!(taken(&mut buckets, Action::Get, "machine", start), 10);
        assert_eq!(taken(&mut buckets, Action::Get, "machine", start + Duration::from_secs(1)), 5);
    }

    #[test]
    fn each_action_and_each_machine_has_a_limit_of_its_own() {
        let (mut buckets, start) = (Buckets::new(Some(Limits::default())), Instant::now());
        for (action, about) in [(Action::Create, "a"), (Action::Create, "b"), (Action::Stop, "a")] {
            assert_eq!(taken(&mut buckets, action, about, start), 3, "{action} of {about}");
        }
    }
}
