//! Where a trial's runners live.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flame_actors::{InProcess, Pool, PoolBuilder};
use flame_local::ProcessBackend;

use crate::harness::node;

/// Where runners live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runners {
    /// Each in a process of its own.
    Processes,
    /// All in this process.
    InProcess,
}

impl Runners {
    /// A pool of a name that no other has, with one runner at the most and patience for a loaded machine.
    pub fn pool(self) -> PoolBuilder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("trial-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let pool = Pool::builder(name).shutdown_timeout(Duration::from_secs(2));
        match self {
            Self::Processes => pool.backend(ProcessBackend::new()),
            Self::InProcess => pool.backend(InProcess::new()),
        }
    }

    /// Such a pool, started.
    pub async fn start(self) -> Pool {
        self.pool().start(&node()).await.expect("the options can work")
    }
}
