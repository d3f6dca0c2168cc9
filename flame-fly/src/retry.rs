//! What a failed request means, and when it is sent again.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use flame_actors::Error;
use tokio::time::Instant;

use crate::api::Api;
use crate::bucket::Action;
use crate::settings::config;

/// The first pause; each one after that is twice as long, plus a random part of up to as much again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No attempt is given less, as long as there is that.
const SHORTEST_BOUND: Duration = Duration::from_secs(1);
/// So much before its deadline a request is given up, for its error to be heard.
const LEEWAY: Duration = Duration::from_millis(20);

/// What a failed request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It would fail again: what was asked for, or by whom, has to change.
    Final,
    /// Nothing was done; it may be, another time.
    Refused,
    /// There is no room for such a machine in this region.
    NoCapacity,
    /// It clashes with what is there: another machine of this name, maybe what a lost answer told of.
    Conflict,
    /// It may have been done, and the answer was lost.
    Unanswered,
    /// There is no such machine.
    NotFound,
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// How long the API wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), retry_after: None }
    }

    /// Whether it may have been done all the same.
    pub(crate) fn may_be_done(&self) -> bool {
        matches!(self.kind, Kind::Unanswered | Kind::Conflict)
    }
}

/// What the status of an answer means.
///
/// From <https://fly.io/docs/machines/api/working-with-machines-api/>, and what Fly's own client does about it
/// (<https://github.com/superfly/fly-go>). `capacity` is what the body says of room.
pub(crate) fn kind_of(status: u16, no_capacity: bool) -> Kind {
    match status {
        404 => Kind::NotFound,
        400 | 401 | 403 => Kind::Final,
        _ if no_capacity => Kind::NoCapacity,
        409 => Kind::Conflict,
        412 | 422 | 429 => Kind::Refused,
        408 | 500.. => Kind::Unanswered,
        _ => Kind::Final,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            Kind::Final | Kind::NotFound => config(failure.text),
            _ => Self::Backend { backend: "fly".to_owned(), reason: failure.text },
        }
    }
}

/// Attempts at one thing, until a deadline.
pub(crate) struct Retry {
    pauses: ExponentialBackoff,
    start: Instant,
    deadline: Instant,
    failed: u32,
    last: Option<String>,
}

impl Retry {
    pub(crate) fn until(deadline: Instant) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(SHORTEST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter()
            .without_max_times()
            .build();
        let deadline = deadline.checked_sub(LEEWAY).unwrap_or(deadline);
        Self { pauses, start: Instant::now(), deadline, failed: 0, last: None }
    }

    /// Tries once, in half of the time that is left: a look for what came of it is to have some, too.
    pub(crate) async fn attempt<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let bound = if left > SHORTEST_BOUND { (left / 2).max(SHORTEST_BOUND) } else { left };
        tokio::time::timeout(bound, work).await.unwrap_or_else(|_| {
            let before = self.last.as_ref().map(|last| format!("; before that: {last}")).unwrap_or_default();
            let text = format!("no answer from the Machines API within {bound:.1?}{before}");
            Err(Failure::new(Kind::Unanswered, text))
        })
    }

    /// Waits until the next attempt; returns the failure when there is to be none.
    pub(crate) async fn after(&mut self, mut failure: Failure) -> Result<(), Failure> {
        self.failed += 1;
        if matches!(failure.kind, Kind::Final | Kind::NotFound) {
            return Err(failure);
        }
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE).max(failure.retry_after.unwrap_or_default());
        if pause >= self.deadline.saturating_duration_since(Instant::now()) {
            if self.failed > 1 {
                let (failed, elapsed) = (self.failed, self.start.elapsed());
                failure.text.push_str(&format!(" (attempt {failed}, after {elapsed:.1?})"));
            }
            return Err(failure);
        }
        tracing::debug!(%failure, ?pause, "a request to Fly is repeated");
        self.last = Some(failure.text);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Sends a request that can be repeated, for so long at the most; the time in which others have their turn does not count.
pub(crate) async fn repeat<T, F>(
    api: &Api,
    action: Action,
    bound: Duration,
    mut send: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    api.turn(action).await;
    let mut retry = Retry::until(Instant::now() + bound);
    loop {
        match retry.attempt(send()).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => retry.after(failure).await?,
        }
        let waiting = Instant::now();
        api.turn(action).await;
        retry.deadline += waiting.elapsed();
    }
}
