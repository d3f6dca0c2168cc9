//! What runners are here: the one place that knows the backends.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use flame_actors::{InProcess, Node, Pool, RunnerStatus};
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
    };
    Ok(pool.start(node).await?)
}
// ANCHOR_END: pool

impl Backend {
    /// Whether runners have the parent's disk, and so its database.
    pub(crate) fn shares_disk(self) -> bool {
        match self {
            Self::Process | Self::InProcess => true,
        }
    }

    /// Whether a runner can be killed from the page.
    pub(crate) fn can_kill(self) -> bool {
        self == Self::Process
    }

    /// `kill -9` for a runner that the pool has said to be its own.
    pub(crate) fn kill(self, runner: &RunnerStatus) -> Result<()> {
        ensure!(self.can_kill(), "a runner of this process cannot be killed by itself");
        let pid: i32 = runner.instance.parse()?;
        // 0 and what is below address whole groups of processes.
        ensure!(pid > 1, "no process id: {pid}");
        Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?)
    }
}
