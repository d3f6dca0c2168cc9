//! A simulator for one trial.

use std::ops::Deref;

use flame_actors::{Pool, PoolBuilder};
use flame_fly::FlyBackend;
use flame_fly_sim::{MachineInfo, Output, Simulator, State};
use flame_tests::{Runners, node, until};

pub(crate) struct Sim(Simulator);

impl Deref for Sim {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.0
    }
}

impl Sim {
    /// One with the limits of Fly, whose machines run this executable.
    pub(crate) async fn start() -> Self {
        let builder = Simulator::builder().token(TOKEN).any_image("/proc/self/exe").output(Output::Quiet);
        Self(builder.start().await.expect("the simulator starts"))
    }

    /// What a parent in this process has to be told, since its environment is not that of a machine.
    pub(crate) fn backend(&self) -> FlyBackend {
        FlyBackend::new()
            .host(self.url())
            .app("sim")
            .token(TOKEN)
            .image("registry.fly.io/sim:1")
            .region("fra")
            .cpus(2)
            .private_ip(self.parent_ip().to_string())
    }

    /// A pool that is not started, of one runner.
    pub(crate) fn pool(&self, backend: FlyBackend) -> PoolBuilder {
        Runners::Fly.pool().backend(backend)
    }

    pub(crate) async fn started(&self) -> Pool {
        self.pool(self.backend()).start(&node()).await.expect("the options can work")
    }

    /// Those that have not been destroyed.
    pub(crate) fn left(&self) -> Vec<MachineInfo> {
        self.machines().into_iter().filter(|machine| machine.state != State::Destroyed).collect()
    }

    /// Nothing is left, and nothing was asked that is not in the contract, or shown that is a secret.
    pub(crate) async fn end(self) {
        until("every machine is gone", || self.left().is_empty()).await;
        assert_eq!(self.violations(), []);
        assert!(self.lines().iter().all(|line| !line.contains(TOKEN)), "a machine wrote the token");
        self.0.stop().await;
    }
}

pub(crate) const TOKEN: &str = "FlyV1 fm2_hidden";
