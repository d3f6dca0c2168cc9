//! The spans, by the `tracing` facade. Names and fields are part of the interface: book/src/observing.md lists them.
//!
//! All are at level `info`, since they are the context of the log lines in them, warnings included, and have this
//! crate's name as their target, which stays when files move. None outlives a process: those that begin where it
//! depends on the backend whether somebody's span is entered, or whose it is, are roots everywhere.

use std::sync::{Arc, OnceLock};

use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::node::runtime::Theirs;
use crate::report;

const TARGET: &str = "flame_actors";

/// A call, a cast or a stream, from its first look for a slot to its end.
pub(crate) fn call(pool: &str, task: &str) -> Span {
    info_span!(target: TARGET, "flame.call", pool, task, runner = Empty)
}

/// The same for a cast, which outlives the span of its caller.
pub(crate) fn cast(pool: &str, task: &str) -> Span {
    info_span!(target: TARGET, parent: None, "flame.call", pool, task, runner = Empty)
}

/// The span of a call, for whatever thread carries it out.
#[derive(Clone)]
pub(crate) struct CallSpan(Option<Arc<Theirs<Span>>>);

impl CallSpan {
    pub(crate) fn of(span: Span) -> Self {
        Self((!span.is_disabled()).then(|| Arc::new(Theirs::new(span))))
    }

    /// Notes which runner it got.
    pub(crate) fn got(&self, runner: &Arc<str>) {
        if let Some(span) = self.0.clone() {
            let runner = Arc::clone(runner);
            report::line(move || got(&span, &runner));
        }
    }
}

/// A placement, up to the child's start.
pub(crate) fn place(pool: &str, actor: &str) -> Span {
    info_span!(target: TARGET, "flame.place", pool, actor, runner = Empty)
}

/// The wait for a slot, within a call or a placement that did not get one at once.
pub(crate) fn wait(pool: &str) -> Span {
    info_span!(target: TARGET, "flame.wait", pool)
}

/// The boot of a runner, on the parent.
///
/// A boot is carried out by threads that call no subscriber, so its span is opened, entered and closed elsewhere.
#[derive(Clone)]
pub(crate) struct BootSpan(Arc<OnceLock<Theirs<Span>>>);

impl BootSpan {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Opens it, where a subscriber may be called.
    pub(crate) fn open(&self, pool: &str, runner: &str) -> Span {
        // A root: whoever happened to ask for a slot first is not whom alone it is for.
        let span = info_span!(target: TARGET, parent: None, "flame.boot", pool, runner);
        let _ = self.0.set(Theirs::new(span.clone()));
        span
    }

    /// Has a line logged in it.
    pub(crate) fn line(&self, line: impl FnOnce() + Send + 'static) {
        let span = self.clone();
        report::line(move || match span.0.get() {
            Some(span) => span.in_scope(line),
            None => line(),
        });
    }
}

/// The body of a task, on the runner.
pub(crate) fn run(task: &str, runner: &str) -> Span {
    info_span!(target: TARGET, parent: None, "flame.run", task, runner)
}

/// Notes in a span which runner it got.
pub(crate) fn got(span: &Span, runner: &str) {
    span.record("runner", runner);
}
