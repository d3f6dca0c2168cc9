//! A recorder of metrics that keeps all that it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn};
use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

static RECORDER: OnceLock<Numbers> = OnceLock::new();

/// Hears every pool of this process.
pub(crate) fn install() {
    metrics::set_global_recorder(numbers().clone()).expect("it is the first");
}

/// What this process has recorded.
pub(crate) fn numbers() -> &'static Numbers {
    RECORDER.get_or_init(Numbers::default)
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    units: BTreeMap<String, Unit>,
    numbers: BTreeMap<(String, Labels), (&'static str, Arc<Given>)>,
}

type Labels = BTreeMap<String, String>;

/// What one number was given: increments, values or samples, in order.
#[derive(Debug, Default)]
struct Given(Mutex<Vec<f64>>);

/// What is documented of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    /// Labels with their values.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

impl Numbers {
    /// What the number of this pool was given; `labels` are all those besides the pool.
    pub(crate) fn given(&self, name: &str, pool: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let labels = labels.iter().copied().chain([("pool", pool)]);
        let labels: Labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
        let known = self.0.lock();
        let number = known.numbers.get(&(name.to_owned(), labels));
        number.map(|(_, given)| given.0.lock().clone()).unwrap_or_default()
    }

    /// The names of all numbers of this pool, with the value that each had last.
    pub(crate) fn last(&self, pool: &str, kind: &str) -> Vec<(String, Option<f64>)> {
        let known = self.0.lock();
        let of_pool = known
            .numbers
            .iter()
            .filter(|((_, labels), (is, _))| labels.get("pool").is_some_and(|is| is == pool) && *is == kind);
        of_pool
            .map(|((name, labels), (_, given))| (format!("{name} {labels:?}"), given.0.lock().last().copied()))
            .collect()
    }

    /// Every name, with what is known of it over all pools.
    pub(crate) fn described(&self) -> BTreeMap<String, Described> {
        let known = self.0.lock();
        let mut all: BTreeMap<String, Described> = BTreeMap::new();
        for ((name, labels), (kind, _)) in &known.numbers {
            let described = all.entry(name.clone()).or_default();
            described.kind = (*kind).to_owned();
            described.unit = known.units.get(name).map(|unit| unit.as_str().to_owned());
            for (label, value) in labels {
                described.labels.entry(label.clone()).or_default().insert(value.clone());
            }
        }
        all
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>) {
        if let Some(unit) = unit {
            self.0.lock().units.insert(name.as_str().to_owned(), unit);
        }
    }

    fn register(&self, kind: &'static str, key: &Key) -> Arc<Given> {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        let mut known = self.0.lock();
        let (_, given) = known.numbers.entry((key.name().to_owned(), labels)).or_insert_with(|| (kind, Arc::default()));
        Arc::clone(given)
    }
}

impl Recorder for Numbers {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register("counter", key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register("gauge", key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.register("histogram", key))
    }
}

impl CounterFn for Given {
    fn increment(&self, by: u64) {
        self.0.lock().push(by as f64);
    }

    fn absolute(&self, value: u64) {
        panic!("counters of a pool are incremented, not set to {value}");
    }
}

impl GaugeFn for Given {
    fn increment(&self, by: f64) {
        panic!("gauges of a pool are set, not moved by {by}");
    }

    fn decrement(&self, by: f64) {
        panic!("gauges of a pool are set, not moved by -{by}");
    }

    fn set(&self, value: f64) {
        self.0.lock().push(value);
    }
}

impl HistogramFn for Given {
    fn record(&self, value: f64) {
        self.0.lock().push(value);
    }
}
