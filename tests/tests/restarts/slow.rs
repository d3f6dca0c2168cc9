//! A backend whose instances go only when they are let go.

use flame_actors::{Backend, Boot, BoxFuture, Error, Instance, InstanceState};
use flame_local::ProcessBackend;
use tokio::sync::watch;

/// Boots processes, and destroys none before it is told to, as a platform that takes its time.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    processes: ProcessBackend,
    may_destroy: watch::Sender<bool>,
}

impl Slow {
    pub(crate) fn new() -> Self {
        Self { processes: ProcessBackend::new(), may_destroy: watch::Sender::new(false) }
    }

    pub(crate) fn let_go(&self) {
        self.may_destroy.send_replace(true);
    }
}

impl Backend for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        self.processes.boot(boot)
    }

    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async {
            let _ = self.may_destroy.subscribe().wait_for(|may| *may).await;
            self.processes.destroy(instance).await
        })
    }

    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        self.processes.inspect(instance)
    }
}
