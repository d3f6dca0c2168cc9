//! One video as `main` sees it: what is to be done, the actor that does it, and what became of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use flame_actors::Pool;
use flame_actors::ractor::{Actor, ActorCell, ActorRef};
use indicatif::ProgressBar;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::Transfer;
use crate::video::{VideoActor, VideoMsg};

/// One video and what is to become of it.
pub(crate) struct Job {
    pub(crate) video: PathBuf,
    /// The directory for its thumbnails.
    pub(crate) out: PathBuf,
    pub(crate) transfer: Transfer,
    pub(crate) every: f64,
    pub(crate) width: Option<u32>,
    /// Where the generator runs; in this process without one.
    pub(crate) pool: Option<Pool>,
    pub(crate) bar: ProgressBar,
}

/// What became of a video.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) thumbnails: u64,
    /// What ffmpeg complained about; empty as a rule.
    pub(crate) complaint: String,
    pub(crate) took: Duration,
    /// The node that did the work, and its process id there.
    pub(crate) node: String,
    pub(crate) pid: u32,
}

/// A video that is being worked on.
pub(crate) struct Running {
    actor: ActorRef<VideoMsg>,
    report: oneshot::Receiver<Result<Summary>>,
    ended: JoinHandle<()>,
}

impl Running {
    /// Starts to work on a video.
    pub(crate) async fn start(job: Job) -> Result<Self> {
        let (sender, report) = oneshot::channel();
        let (actor, ended) = Actor::spawn(None, VideoActor, (job, sender)).await?;
        Ok(Self { actor, report, ended })
    }

    /// The actor. Told to stop, it does so once its generator is gone.
    pub(crate) fn actor(&self) -> ActorCell {
        self.actor.get_cell()
    }

    /// Waits until the video is done, failed or stopped, and nothing of it is left running.
    pub(crate) async fn outcome(self) -> Result<Summary> {
        self.ended.await.context("its actor panicked")?;
        self.report.await.unwrap_or_else(|_| Err(anyhow!("stopped before its end")))
    }
}
