//! A snapshot of a pool.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::scale::RunnerState;
use crate::error::Error;

/// A pool at one moment; from [`Pool::status`](crate::Pool::status).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolStatus {
    /// The pool's name.
    pub pool: String,
    /// The bounds: see [`PoolBuilder::min`](crate::PoolBuilder::min).
    pub min: usize,
    /// See [`PoolBuilder::max`](crate::PoolBuilder::max).
    pub max: usize,
    /// The slots of one runner; 1 in a pool that is `single_use`.
    pub max_concurrency: usize,
    /// Whether growth is paused.
    pub paused: bool,
    /// Whether the pool has been shut down.
    pub closed: bool,
    /// The runners, the oldest first.
    pub runners: Vec<RunnerStatus>,
    /// How many runners are booting.
    pub booting: usize,
    /// How many callers wait for a slot.
    pub waiting: usize,
    /// Boots that failed since the last one that did not, as [`Event::BootFailed`](crate::Event::BootFailed) counts them.
    pub failed_boots: u32,
    /// What the last of them failed with.
    pub last_boot_error: Option<Error>,
}

/// One runner of a pool at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunnerStatus {
    /// Its node name.
    pub node: String,
    /// The backend's id of its instance.
    pub instance: String,
    /// What it does.
    pub state: RunnerState,
    /// How many of its slots are in use.
    pub slots_used: usize,
    /// Since when it serves, by this node's clock.
    pub up_since: SystemTime,
    /// Since when it has nothing to do, by this node's clock; `None` while it has work or leaves.
    ///
    /// The time of [`idle_shutdown_after`](crate::PoolBuilder::idle_shutdown_after) counts from then. A runner that an
    /// [`idle_shutdown_check`](crate::PoolBuilder::idle_shutdown_check) keeps counts from that check on.
    pub idle_since: Option<SystemTime>,
}
