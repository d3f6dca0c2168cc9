//! A layer for `tracing` that keeps spans, and the lines logged in them.

use std::collections::BTreeMap;
use std::fmt;

use flame_tests::until;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

static HEARD: Mutex<Heard> = Mutex::new(Heard { spans: Vec::new(), lines: Vec::new() });

#[derive(Debug)]
struct Heard {
    spans: Vec<Seen>,
    lines: Vec<Line>,
}

/// A span, with the values that its fields have got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) level: String,
    pub(crate) target: String,
    /// All fields, those without a value included.
    pub(crate) fields: Vec<String>,
    pub(crate) values: BTreeMap<String, String>,
    /// Where among the spans its parent is.
    pub(crate) parent: Option<usize>,
    pub(crate) closed: bool,
}

/// A line of the log, with the spans that it is in, the innermost first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) within: Vec<Seen>,
}

impl Seen {
    pub(crate) fn value(&self, field: &str) -> &str {
        self.values.get(field).map_or("", String::as_str)
    }

    pub(crate) fn parent(&self) -> Option<Self> {
        self.parent.map(|at| HEARD.lock().spans[at].clone())
    }
}

/// Hears what is at `info` or above, as many an application does.
pub(crate) fn install() {
    let ours = Targets::new().with_target("flame_actors", LevelFilter::INFO).with_target("observe", LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(Collector.with_filter(ours));
    tracing::subscriber::set_global_default(subscriber).expect("it is the first");
}

/// The spans of this name with this value.
pub(crate) fn spans(name: &str, field: &str, value: &str) -> Vec<Seen> {
    let heard = HEARD.lock();
    heard.spans.iter().filter(|span| span.name == name && span.value(field) == value).cloned().collect()
}

/// The one span of this name with this value, once it is closed.
pub(crate) async fn closed(name: &str, field: &str, value: &str) -> Seen {
    let is_closed = || matches!(&spans(name, field, value)[..], [span] if span.closed);
    until(&format!("one span {name} with {field}={value}, closed"), is_closed).await;
    spans(name, field, value).remove(0)
}

/// Every span of these crates.
pub(crate) fn all_spans() -> Vec<Seen> {
    HEARD.lock().spans.clone()
}

/// The first line that contains this text.
pub(crate) fn line(text: &str) -> Option<Line> {
    HEARD.lock().lines.iter().find(|line| line.text.contains(text)).cloned()
}

struct Collector;

/// Where a span is in the list.
struct At(usize);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("it is new");
        let parent = span.parent().and_then(|parent| parent.extensions().get::<At>().map(|at| at.0));
        let mut values = Values::default();
        attributes.record(&mut values);
        let metadata = attributes.metadata();
        let mut heard = HEARD.lock();
        span.extensions_mut().insert(At(heard.spans.len()));
        heard.spans.push(Seen {
            name: metadata.name().to_owned(),
            level: metadata.level().to_string(),
            target: metadata.target().to_owned(),
            fields: metadata.fields().iter().map(|field| field.name().to_owned()).collect(),
            values: values.0,
            parent,
            closed: false,
        });
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        record.record(&mut values);
        if let Some(at) = at(id, &context) {
            HEARD.lock().spans[at].values.extend(values.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        event.record(&mut values);
        let within = context.event_scope(event).into_iter().flatten();
        let within: Vec<_> = within.filter_map(|span| span.extensions().get::<At>().map(|at| at.0)).collect();
        let mut heard = HEARD.lock();
        let within = within.into_iter().map(|at| heard.spans[at].clone()).collect();
        let text = format!("{:?}", values.0);
        heard.lines.push(Line { text, within });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(at) = at(&id, &context) {
            HEARD.lock().spans[at].closed = true;
        }
    }
}

fn at<S: Subscriber + for<'a> LookupSpan<'a>>(id: &Id, context: &Context<'_, S>) -> Option<usize> {
    context.span(id)?.extensions().get::<At>().map(|at| at.0)
}

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
