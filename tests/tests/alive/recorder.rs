//! A recorder of metrics that blocks, in the parent or in its runners.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flame_actors::{FLAME_PARENT, Pool, remote, task};
use flame_tests::process::kill;
use flame_tests::{Runners, trials};
use libtest_mimic::Trial;
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn};
use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

use crate::harm::{BLOCKED, Bystanders, Case, Harm, case, certain, harm, harms_no_bystander, noting};

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_metrics_recorder_that_blocks_harms_no_bystander, a_metrics_recorder_that_panics_harms_no_bystander,]
}

const CASES: [Case; 6] = [
    certain("recording a gauge here"),
    certain("recording a counter here"),
    certain("recording a histogram here"),
    certain("recording a gauge there"),
    certain("recording a counter there"),
    certain("recording a histogram there"),
];

async fn a_metrics_recorder_that_blocks_harms_no_bystander() {
    harms_no_bystander("recorded", Harm::Blocks, &CASES).await;
}

async fn a_metrics_recorder_that_panics_harms_no_bystander() {
    harms_no_bystander("recorded", Harm::Panics, &CASES).await;
}

static ARMED: AtomicBool = AtomicBool::new(false);

/// Has the recorder of the case, if that is one of this process.
pub(crate) fn install() {
    let place = if std::env::var_os(FLAME_PARENT).is_some() { " there" } else { " here" };
    let case = case().unwrap_or_default();
    if let Some(kind) = case.strip_prefix("recording a ").and_then(|case| case.strip_suffix(place)) {
        let recorder = Harmful(Arc::new(Kind { name: kind.to_owned(), gate: Mutex::new(()) }));
        metrics::set_global_recorder(recorder).expect("it is the first");
    }
}

struct Harmful(Arc<Kind>);

/// What it does harm in; whoever records that meanwhile waits.
struct Kind {
    name: String,
    gate: Mutex<()>,
}

impl Kind {
    fn at(&self, kind: &str) {
        if self.name == kind && ARMED.load(Ordering::Relaxed) {
            let _gate = self.gate.lock();
            harm();
        }
    }
}

impl Recorder for Harmful {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(&self.0))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(&self.0))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(&self.0))
    }
}

impl CounterFn for Kind {
    fn increment(&self, _: u64) {
        self.at("counter");
    }

    fn absolute(&self, _: u64) {
        self.at("counter");
    }
}

impl GaugeFn for Kind {
    fn increment(&self, _: f64) {
        self.at("gauge");
    }

    fn decrement(&self, _: f64) {
        self.at("gauge");
    }

    fn set(&self, _: f64) {
        self.at("gauge");
    }
}

impl HistogramFn for Kind {
    fn record(&self, _: f64) {
        self.at("histogram");
    }
}

/// Uses a pool of the runner, which has metrics of its own.
#[remote]
async fn arm() {
    let Some(nested) = Pool::named("nested") else { return };
    let _ = nested.call(task!([] {})).await;
    ARMED.store(true, Ordering::Relaxed);
    work(nested).await;
}

/// Gauges, counters and histograms change all the time; errors are the victims'.
async fn work(pool: Pool) {
    let start = Instant::now();
    while start.elapsed() < BLOCKED {
        if let Ok(pid) = pool.call(task!([] -> u32 { std::process::id() })).await {
            kill(pid);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn call(pool: Pool) {
    let start = Instant::now();
    while start.elapsed() < BLOCKED {
        let _ = pool.call(task!([] {})).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn play() {
    noting(async {
        let (harmed, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
        let bystanders = Bystanders::begin(&harmed, &other).await;
        if case().is_some_and(|case| case.ends_with(" there")) {
            tokio::spawn(harmed.call(arm()).into_future());
        } else {
            let victim = Runners::Processes.start().await;
            ARMED.store(true, Ordering::Relaxed);
            tokio::spawn(call(harmed));
            tokio::spawn(work(victim));
        }
        bystanders.unharmed().await
    })
    .await;
}
