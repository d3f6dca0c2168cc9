//! Where a trial's runners live.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flame_actors::{InProcess, Pool, PoolBuilder};
use flame_local::ProcessBackend;

use crate::fly;
use crate::harness::node;

/// Where runners live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runners {
    /// Each in a process of its own.
    Processes,
    /// All in this process.
    InProcess,
    /// Each on a machine of Fly.io, as the simulator has them: a process of its own, over IPv6.
    Fly,
}

impl Runners {
    /// A pool of a name that no other has, with one runner at the most and patience for a loaded machine.
    pub fn pool(self) -> PoolBuilder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pool = Pool::builder(format!("trial-{number}")).shutdown_timeout(Duration::from_secs(2));
        match self {
            Self::Processes => pool.backend(ProcessBackend::new()),
            Self::InProcess => pool.backend(InProcess::new()),
            Self::Fly => pool.backend(fly::backend(number)),
        }
    }

    /// Such a pool, started.
    pub async fn start(self) -> Pool {
        self.pool().start(&node()).await.expect("the options can work")
    }
}
