//! Waiting for conditions, never for luck.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a condition may take on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within two minutes.
pub async fn until(what: &str, condition: impl FnMut() -> bool) {
    within(DEADLINE, what, condition).await;
}

/// Waits until the condition holds; panics when it does not within the deadline.
pub async fn within(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for a future that has to end; panics when it does not within two minutes.
pub async fn eventually<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}
