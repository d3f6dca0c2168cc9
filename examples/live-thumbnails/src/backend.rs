//! What runners are here: the one place that knows the backends.

use anyhow::{Result, ensure};
use clap::{CommandFactory as _, ValueEnum};
use flame_actors::{InProcess, Node, Pool, RunnerStatus};
use flame_fly::FlyBackend;
use flame_local::ProcessBackend;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cli::Cli;

/// What runners are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Processes of this machine
    Process,
    /// Tasks of this process
    InProcess,
    /// Machines of Fly.io
    Fly,
}

// ANCHOR: pool
/// Starts the pool, on the parent and on each runner alike.
pub(crate) async fn start_pool(node: &Node, cli: &Cli) -> Result<Pool> {
    let pool = Pool::builder("ffmpeg")
        .min(cli.min.into())
        .max(cli.max.into())
        .max_concurrency(cli.max_concurrency.into())
        .max_waiting(cli.max_waiting.into())
        .idle_shutdown_after(cli.idle);
    let pool = match cli.backend {
        Backend::Process => pool.backend(ProcessBackend::new()),
        Backend::InProcess => pool.backend(InProcess::new()),
        Backend::Fly => pool.backend(on_fly()),
    };
    Ok(pool.start(node).await?)
}
// ANCHOR_END: pool

/// Machines that are cheap and short-lived. They run this command too, with its options from variables as well.
fn on_fly() -> FlyBackend {
    let command = Cli::command();
    let variables = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
    FlyBackend::from_env().same_command().inherit_env(variables).cpu_kind("shared").cpus(4).memory_mb(1024)
}

impl Backend {
    /// Whether runners have the parent's disk, and so its database.
    pub(crate) fn shares_disk(self) -> bool {
        match self {
            Self::Process | Self::InProcess => true,
            Self::Fly => false,
        }
    }

    /// Whether a runner can be killed from the page.
    pub(crate) fn can_kill(self) -> bool {
        self == Self::Process
    }

    /// `kill -9` for a runner that the pool has said to be its own.
    pub(crate) fn kill(self, runner: &RunnerStatus) -> Result<()> {
        ensure!(self.can_kill(), "only a runner that is a process of this machine can be killed");
        let pid: i32 = runner.instance.parse()?;
        // 0 and what is below address whole groups of processes.
        ensure!(pid > 1, "no process id: {pid}");
        Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?)
    }
}
