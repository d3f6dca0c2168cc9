//! Lines of log and numbers from threads that must not wait for whoever takes them.
//!
//! A subscriber or a recorder may block: its terminal is stopped, or nobody reads its pipe. So what the threads of this
//! crate have to say is said by a thread of its own. When that is stuck and too many lines wait, more are dropped, and
//! their number is logged later. Elsewhere a line is written at once, where it is in the span of its caller.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::node::runtime;

/// At most this many lines wait for the subscriber.
const MOST_LINES: usize = 1024;
/// Numbers that change all the time are passed on this much later, and only their last value.
const NUMBERS_AFTER: Duration = Duration::from_millis(10);

type Line = Box<dyn FnOnce() + Send>;

struct Reporter {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    lines: VecDeque<Line>,
    dropped: u64,
    numbers: Vec<Line>,
    /// When the numbers are passed on.
    due: Option<Instant>,
    /// Whether a line is being written.
    busy: bool,
    started: bool,
}

static REPORTER: Reporter = Reporter {
    queue: Mutex::new(Queue {
        lines: VecDeque::new(),
        dropped: 0,
        numbers: Vec::new(),
        due: None,
        busy: false,
        started: false,
    }),
    changed: Condvar::new(),
};

/// Logs an event; its fields are moved.
macro_rules! report {
    (target: $target:expr, $level:ident, $($fields:tt)+) => {
        if $crate::report::is_wanted(tracing::Level::$level) {
            $crate::report::line(move || tracing::event!(target: $target, tracing::Level::$level, $($fields)+));
        }
    };
    ($level:ident, $($fields:tt)+) => {
        if $crate::report::is_wanted(tracing::Level::$level) {
            $crate::report::line(move || tracing::event!(tracing::Level::$level, $($fields)+));
        }
    };
}
pub(crate) use report;

/// Whether anybody may want lines of this level. It asks no subscriber.
pub(crate) fn is_wanted(level: tracing::Level) -> bool {
    // Without a subscriber `tracing` may pass them on to `log`.
    level <= tracing::level_filters::LevelFilter::current() || !tracing::dispatcher::has_been_set()
}

/// Does what calls a subscriber or a recorder: here, or on the thread for it where this one must not wait.
pub(crate) fn line(line: impl FnOnce() + Send + 'static) {
    if !runtime::is_ours() {
        return line();
    }
    let mut queue = REPORTER.queue.lock();
    if queue.lines.len() >= MOST_LINES {
        queue.dropped += 1;
        return;
    }
    queue.lines.push_back(Box::new(line));
    REPORTER.wake(&mut queue);
}

/// Passes on numbers in a moment. The caller sees to it that this is not called again for the same ones before.
pub(crate) fn numbers(pass_on: impl FnOnce() + Send + 'static) {
    let mut queue = REPORTER.queue.lock();
    queue.numbers.push(Box::new(pass_on));
    if queue.due.is_none() {
        queue.due = Some(Instant::now() + NUMBERS_AFTER);
        REPORTER.wake(&mut queue);
    }
}

/// Waits until the numbers that have changed are passed on, for `bound` at the most.
pub(crate) async fn passed_on(bound: Duration) {
    let (tx, done) = oneshot::channel();
    numbers(move || {
        let _ = tx.send(());
    });
    let _ = tokio::time::timeout(bound, done).await;
}

/// Waits until all lines are written that wait, for `bound` at the most: for a process that is about to end.
pub(crate) fn flush(bound: Duration) {
    let until = Instant::now() + bound;
    let mut queue = REPORTER.queue.lock();
    while queue.busy || !queue.lines.is_empty() {
        if REPORTER.changed.wait_until(&mut queue, until).timed_out() {
            return;
        }
    }
}

impl Reporter {
    fn wake(&'static self, queue: &mut Queue) {
        if !queue.started {
            // Without a thread to be had the lines wait for the next one who tries.
            queue.started =
                std::thread::Builder::new().name("flame-report".to_owned()).spawn(move || self.run()).is_ok();
        }
        self.changed.notify_all();
    }

    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            let now = Instant::now();
            if let Some(line) = queue.lines.pop_front() {
                self.aside(&mut queue, line);
            } else if queue.dropped > 0 {
                let lines = std::mem::take(&mut queue.dropped);
                self.aside(
                    &mut queue,
                    Box::new(move || tracing::warn!(lines, "the log could not be written in time: lines were dropped")),
                );
            } else if queue.due.is_some_and(|due| due <= now) {
                queue.due = None;
                let numbers = std::mem::take(&mut queue.numbers);
                self.aside(&mut queue, Box::new(move || numbers.into_iter().for_each(calmly)));
            } else if let Some(due) = queue.due {
                self.changed.wait_until(&mut queue, due);
            } else {
                self.changed.wait(&mut queue);
            }
        }
    }

    /// Calls it without the lock.
    fn aside(&self, queue: &mut parking_lot::MutexGuard<'_, Queue>, line: Line) {
        queue.busy = true;
        parking_lot::MutexGuard::unlocked(queue, || calmly(line));
        queue.busy = false;
        self.changed.notify_all();
    }
}

/// A subscriber or recorder that panics harms only its own line.
fn calmly(line: Line) {
    let _ = catch_unwind(AssertUnwindSafe(line));
}
