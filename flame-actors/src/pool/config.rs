//! What can be set on a pool.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorCell;

use super::Pool;
use super::scale::Limits;
use crate::backend::{Backend, InProcess};
use crate::{Error, Node, node};

/// Settings of a [`Pool`], from [`Pool::builder`]. Names, meanings and defaults are those of Elixir's FLAME.
#[derive(Clone, Debug)]
#[must_use = "a pool is not there until start() is awaited"]
pub struct PoolBuilder {
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) timeout: Duration,
    pub(super) boot_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) track_resources: bool,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) supervisor: Option<ActorCell>,
}

impl PoolBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            limits: Limits { min: 0, max: 1, max_concurrency: 100, idle_shutdown_after: Duration::from_secs(30) },
            timeout: Duration::from_secs(30),
            boot_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
            track_resources: false,
            backend: Arc::new(InProcess::new()),
            supervisor: None,
        }
    }

    /// So many runners are kept even when there is nothing to do; 0 by default.
    ///
    /// They are booted at the start and replaced when lost. On a node that is a runner itself it counts as 0.
    pub fn min(mut self, runners: usize) -> Self {
        self.limits.min = runners;
        self
    }

    /// So many runners there are at the most, those that are booting included; 1 by default.
    pub fn max(mut self, runners: usize) -> Self {
        self.limits.max = runners;
        self
    }

    /// So many calls, casts and placed children one runner has at a time; 100 by default.
    pub fn max_concurrency(mut self, slots: usize) -> Self {
        self.limits.max_concurrency = slots;
        self
    }

    /// How long a call may run, and a placed child may take to start, unless it says otherwise; 30 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a runner may take to boot, and a call may wait for a slot; 30 s by default.
    pub fn boot_timeout(mut self, timeout: Duration) -> Self {
        self.boot_timeout = timeout;
        self
    }

    /// What running work has left when its runner is sent away, and unlinked work when its parent is gone; 30 s by
    /// default.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// How long a runner above [`min`](Self::min) may have nothing to do before it is sent away; 30 s by default.
    pub fn idle_shutdown_after(mut self, idle: Duration) -> Self {
        self.limits.idle_shutdown_after = idle;
        self
    }

    /// Whether actors whose refs come back in a call's result keep their runner, and the call's slot on it, until they
    /// end; `false` by default.
    ///
    /// With the in-process backend every ref in the result counts, also one that the caller sent there.
    pub fn track_resources(mut self, track: bool) -> Self {
        self.track_resources = track;
        self
    }

    /// What boots the runners; by default [`InProcess`].
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.backend = Arc::new(backend);
        self
    }

    /// Ends the pool with this actor, which becomes its supervisor. By default it ends with its node.
    pub fn linked_to(mut self, supervisor: &ActorCell) -> Self {
        self.supervisor = Some(supervisor.clone());
        self
    }

    /// Starts the pool; it takes work at once. Runners of `min` boot in the background.
    ///
    /// # Errors
    /// [`Error::Config`] names an option that cannot work, also a name that another pool of this node has.
    pub async fn start(mut self, node: &Node) -> Result<Pool, Error> {
        self.check()?;
        if node.is_runner() {
            self.limits.min = 0;
        }
        Pool::start(self, node).await
    }

    fn check(&self) -> Result<(), Error> {
        node::checked("name", self.name.clone())?;
        let limits = &self.limits;
        let wrong = |option: &str, reason: String| {
            Err(Error::Config { option: format!("pool \"{}\": {option}", self.name), reason })
        };
        if limits.max == 0 {
            return wrong("max", "a pool without runners can do nothing".to_owned());
        }
        if limits.min > limits.max {
            return wrong("min", format!("{} is more than max, which is {}", limits.min, limits.max));
        }
        if limits.max_concurrency == 0 {
            return wrong("max_concurrency", "a runner without slots can do nothing".to_owned());
        }
        for (option, value) in [("timeout", self.timeout), ("boot_timeout", self.boot_timeout)] {
            if value.is_zero() {
                return wrong(option, "nothing can be done in no time".to_owned());
            }
        }
        Ok(())
    }
}
