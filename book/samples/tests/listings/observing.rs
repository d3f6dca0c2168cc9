//! observing.md.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use flame_actors::{Node, Pool, task};
use flame_tests::{node, trials, until};
use libtest_mimic::Trial;
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_recorder_is_installed_before_the_pool_starts]
}

/// In the place of an exporter: keeps the last value of each gauge.
#[derive(Clone, Debug, Default)]
struct Gauges(Arc<Mutex<HashMap<String, f64>>>);

struct One(Gauges, String);

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        *self.0.0.lock().entry(self.1.clone()).or_default() += value;
    }

    fn decrement(&self, value: f64) {
        GaugeFn::increment(self, -value);
    }

    fn set(&self, value: f64) {
        self.0.0.lock().insert(self.1.clone(), value);
    }
}

impl CounterFn for One {
    fn increment(&self, _: u64) {}

    fn absolute(&self, _: u64) {}
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(One(self.clone(), key.to_string())))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(One(self.clone(), key.to_string())))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

static GAUGES: OnceLock<Gauges> = OnceLock::new();

fn exporter() -> Gauges {
    GAUGES.get_or_init(Gauges::default).clone()
}

// ANCHOR: recorder
async fn start(node: &Node) -> anyhow::Result<Pool> {
    if !node.is_runner() {
        metrics::set_global_recorder(exporter())?; // an exporter for your monitoring system; its port can be had once
    }
    Ok(Pool::builder("counted").start(node).await?) // from here on it is counted
}
// ANCHOR_END: recorder

/// The gauges of that pool.
fn counted() -> Vec<(String, f64)> {
    let gauges = exporter().0.lock().clone();
    gauges.into_iter().filter(|(key, _)| key.contains("counted")).collect()
}

async fn a_recorder_is_installed_before_the_pool_starts() -> anyhow::Result<()> {
    let pool = start(&node()).await?;
    pool.call(task!([] {})).await?;
    until("its runner is idle", || counted().iter().any(|(key, value)| key.contains("idle") && *value == 1.0)).await;
    pool.shutdown().await;
    assert!(counted().iter().all(|(_, value)| *value == 0.0), "{:?}", counted());
    Ok(())
}
