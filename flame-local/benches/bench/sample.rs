//! Measurements, and what is told of them.

use std::time::Instant;

/// How often something was measured, and each result: microseconds, or so many per second.
#[derive(Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Does it once and keeps the time that it takes, in microseconds.
    pub(crate) async fn time<F, T, E>(&mut self, work: impl FnOnce() -> F) -> anyhow::Result<T>
    where
        F: IntoFuture<Output = Result<T, E>>,
        E: Into<anyhow::Error>,
    {
        let start = Instant::now();
        let done = work().await;
        self.0.push(start.elapsed().as_secs_f64() * 1e6);
        done.map_err(Into::into)
    }

    /// Keeps a result that was measured elsewhere.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The one in the middle.
    pub(crate) fn p50(&self) -> f64 {
        let mut values = self.0.clone();
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f64::total_cmp).1
    }
}
