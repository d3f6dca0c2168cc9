//! The spans, by the `tracing` facade. Names and fields are part of the interface: book/src/observing.md lists them.
//!
//! All are at level `info`, since they are the context of the log lines in them, warnings included, and have this
//! crate's name as their target, which stays when files move. None outlives a process: those that begin where it
//! depends on the backend whether somebody's span is entered, or whose it is, are roots everywhere.

use tracing::field::Empty;
use tracing::{Span, info_span};

const TARGET: &str = "flame_actors";

/// A call, a cast or a stream, from its first look for a slot to its end.
pub(crate) fn call(pool: &str, task: &str) -> Span {
    info_span!(target: TARGET, "flame.call", pool, task, runner = Empty)
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
pub(crate) fn boot(pool: &str, runner: &str) -> Span {
    // A root: whoever happened to ask for a slot first is not whom alone it is for.
    info_span!(target: TARGET, parent: None, "flame.boot", pool, runner)
}

/// The body of a task, on the runner.
pub(crate) fn run(task: &str, runner: &str) -> Span {
    info_span!(target: TARGET, parent: None, "flame.run", task, runner)
}

/// Notes in the span of a call or a placement which runner it got.
pub(crate) fn got(span: &Span, runner: &str) {
    span.record("runner", runner);
}
