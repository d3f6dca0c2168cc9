//! What the application is told of growth and shrinking by its own functions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::error::{Error, panic_text};
use crate::report::report;

/// What has changed in a pool, as its hooks are told: see [`PoolBuilder::on_grow_start`](crate::PoolBuilder::on_grow_start).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolChange {
    /// The pool's name.
    pub pool: String,
    /// The node name of the runner that comes or goes.
    pub runner: String,
    /// How many runners the pool has after it, those that are booting included.
    pub count: usize,
}

type Hook = Arc<dyn Fn(&PoolChange) + Send + Sync>;
type EndHook = Arc<dyn Fn(&PoolChange, Result<(), &Error>) + Send + Sync>;

/// The hooks that were set.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) grow_start: Option<Hook>,
    pub(super) grow_end: Option<EndHook>,
    pub(super) shrink: Option<Hook>,
}

pub(super) enum Change {
    GrowStart,
    GrowEnd(Result<(), Error>),
    Shrink,
}

impl Hooks {
    fn call(&self, change: &PoolChange, what: &Change) {
        match what {
            Change::GrowStart => self.grow_start.iter().for_each(|hook| hook(change)),
            Change::GrowEnd(outcome) => {
                self.grow_end.iter().for_each(|hook| hook(change, outcome.as_ref().copied()));
            }
            Change::Shrink => self.shrink.iter().for_each(|hook| hook(change)),
        }
    }

    fn is_empty(&self) -> bool {
        self.grow_start.is_none() && self.grow_end.is_none() && self.shrink.is_none()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("grow_start", &self.grow_start.is_some())
            .field("grow_end", &self.grow_end.is_some())
            .field("shrink", &self.shrink.is_some())
            .finish()
    }
}

/// Calls the hooks in order, on threads of the application's runtime that may block.
#[derive(Default)]
pub(super) struct Caller(Mutex<Option<Calling>>);

struct Calling {
    changes: mpsc::UnboundedSender<(PoolChange, Change)>,
    task: JoinHandle<()>,
}

impl Caller {
    pub(super) fn new(hooks: Hooks, app: &Handle) -> Self {
        if hooks.is_empty() {
            return Self::default();
        }
        let (tx, mut changes) = mpsc::unbounded_channel::<(PoolChange, Change)>();
        let task = app.spawn(async move {
            while let Some((change, what)) = changes.recv().await {
                let (hooks, pool) = (hooks.clone(), change.pool.clone());
                // Where it may block: a worker that is blocked may have been the one that looks after timers.
                let called = tokio::task::spawn_blocking(move || hooks.call(&change, &what)).await;
                if let Err(Ok(panic)) = called.map_err(JoinError::try_into_panic) {
                    let panic = panic_text(panic);
                    report!(ERROR, pool, panic, "a hook of the pool panicked");
                }
            }
        });
        Self(Mutex::new(Some(Calling { changes: tx, task })))
    }

    pub(super) fn call(&self, change: impl FnOnce() -> PoolChange, what: Change) {
        if let Some(Calling { changes, .. }) = &*self.0.lock() {
            // The application's runtime may have ended already.
            let _ = changes.send((change(), what));
        }
    }

    /// Waits until the hooks have been called for all that has happened, for so long at the most.
    pub(super) async fn end(&self, bound: Duration) {
        let Some(Calling { changes, task }) = self.0.lock().take() else { return };
        drop(changes);
        let _ = tokio::time::timeout(bound, task).await;
    }
}
