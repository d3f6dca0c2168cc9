//! The actor that stands for one video: it sends the file to a generator and keeps the thumbnails that come back.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use flame_actors::{BoundedSender, Message};
use indicatif::ProgressBar;
use tokio::fs::{self, File};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::call;
use crate::cli::Transfer;
use crate::generator::{GeneratorMsg, Open, ThumbnailGenerator};
use crate::job::{Job, Summary};

/// Bytes of the file in one message.
const CHUNK: usize = 64 * 1024;

/// Messages with a payload that are under way at once, in either direction.
pub(crate) const IN_FLIGHT: usize = 8;

/// How long a generator may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Sends one video to a generator and writes the thumbnails.
pub(crate) struct VideoActor;

/// What a video's actor is told by its generator, and by the task that sends the file.
#[derive(Message)]
pub(crate) enum VideoMsg {
    /// The generator runs there.
    Started { node: String, pid: u32 },
    /// The next thumbnail.
    Image(#[serde(with = "serde_bytes")] Vec<u8>),
    /// ffmpeg went on, but was not happy.
    Complaint(String),
    /// All thumbnails have been sent, so many.
    Done(u64),
    /// The file could not be sent.
    NotSent(String),
}

pub(crate) struct State {
    out: PathBuf,
    bar: ProgressBar,
    begun: Instant,
    summary: Summary,
    report: Option<oneshot::Sender<Result<Summary>>>,
    /// Holds the one task that sends the file; it ends with the state.
    sending: JoinSet<()>,
}

impl Actor for VideoActor {
    type Msg = VideoMsg;
    type State = State;
    type Arguments = (Job, oneshot::Sender<Result<Summary>>);

    async fn pre_start(
        &self,
        myself: ActorRef<VideoMsg>,
        (job, report): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let (out, bar) = (job.out.clone(), job.bar.clone());
        let mut sending = JoinSet::new();
        // A task of its own, placing included: an actor that waits cannot be told to stop.
        sending.spawn(async move {
            if let Err(err) = send(&job, &myself).await {
                // If that fails, the actor has already ended for another reason.
                let _ = myself.cast(VideoMsg::NotSent(format!("{err:#}")));
            }
        });
        Ok(State { out, bar, begun: Instant::now(), summary: Summary::default(), report: Some(report), sending })
    }

    async fn handle(
        &self,
        myself: ActorRef<VideoMsg>,
        message: VideoMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match state.handle(message).await {
            Ok(false) => {}
            Ok(true) => {
                state.settle(&myself, Ok(()));
                // It has nothing left to do, and ends as soon as it is told to.
                myself.stop_children_and_wait(None, Some(GRACE)).await;
            }
            Err(err) => state.settle(&myself, Err(err)),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<VideoMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // The generator's own error, or what happened to its runner.
            SupervisionEvent::ActorFailed(_, err) => state.settle(&myself, Err(anyhow!("{err}"))),
            SupervisionEvent::ActorTerminated(_, _, reason) => {
                let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                state.settle(&myself, Err(anyhow!("the generator ended before the video: {reason}")));
            }
            _ => {}
        }
        Ok(())
    }

    async fn post_stop(&self, myself: ActorRef<VideoMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.sending.shutdown().await;
        for generator in myself.get_children() {
            // It has not finished: a stop would wait for what it is doing, which may be an ffmpeg that hangs.
            let _ = generator.kill_and_wait(Some(GRACE)).await;
        }
        state.bar.finish_and_clear();
        Ok(())
    }
}

impl State {
    /// Takes a message; whether it was the last one.
    async fn handle(&mut self, message: VideoMsg) -> Result<bool> {
        match message {
            VideoMsg::Started { node, pid } => {
                self.summary.node = node;
                self.summary.pid = pid;
            }
            VideoMsg::Image(png) => {
                self.summary.thumbnails += 1;
                write(&self.out.join(format!("thumb-{:04}.png", self.summary.thumbnails)), &png).await?;
            }
            VideoMsg::Complaint(complaint) => self.summary.complaint = complaint,
            VideoMsg::Done(count) if count == self.summary.thumbnails => return Ok(true),
            VideoMsg::Done(count) => bail!("{} of {count} thumbnails arrived", self.summary.thumbnails),
            VideoMsg::NotSent(reason) => bail!(reason),
        }
        let Summary { thumbnails, pid, node, .. } = &self.summary;
        // The last part of the path tells it from its siblings.
        let node = node.rsplit('.').next().unwrap_or_default();
        self.bar.set_message(format!("{thumbnails} by {node} (process {pid})"));
        Ok(false)
    }

    /// Reports the end, the first one only, and stops.
    fn settle(&mut self, myself: &ActorRef<VideoMsg>, end: Result<()>) {
        if let Some(report) = self.report.take() {
            let summary = Summary { took: self.begun.elapsed(), ..std::mem::take(&mut self.summary) };
            // Nobody waits for it after Ctrl-C.
            let _ = report.send(end.map(|()| summary));
        }
        myself.stop(None);
    }
}

/// Starts a generator and sends it the file, no faster than it takes it; or has one call read it.
async fn send(job: &Job, myself: &ActorRef<VideoMsg>) -> Result<()> {
    let mut file = File::open(&job.video).await?;
    let about = file.metadata().await?;
    if about.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    if about.is_file() {
        job.bar.set_length(about.len());
    }
    fs::create_dir_all(&job.out).await.with_context(|| format!("cannot create {}", job.out.display()))?;

    if job.transfer == Transfer::Stream {
        return call::make(job, file, myself).await;
    }
    let generator = BoundedSender::new(open_generator(job, myself).await?, IN_FLIGHT);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        if file.read_buf(&mut chunk).await.context("cannot be read")? == 0 {
            break;
        }
        job.bar.inc(chunk.len() as u64);
        // A generator that is gone tells why by its exit, which is on its way.
        if generator.send(GeneratorMsg::Chunk(chunk)).await.is_err() {
            return Ok(());
        }
    }
    let _ = generator.actor().cast(GeneratorMsg::Close);
    Ok(())
}

/// Starts the generator, here or on a runner: the one place that knows the difference.
async fn open_generator(job: &Job, me: &ActorRef<VideoMsg>) -> Result<ActorRef<GeneratorMsg>> {
    let open = Open { every: job.every, width: job.width, parent: me.clone().into() };
    Ok(match &job.pool {
        None => Actor::spawn_linked(None, ThumbnailGenerator, open, me.get_cell()).await?.0,
        Some(pool) => pool.place_child(ThumbnailGenerator, open).linked_to(me).await?,
    })
}

/// Writes a thumbnail so that nobody sees a part of it under its name.
async fn write(path: &Path, png: &[u8]) -> Result<()> {
    let part = path.with_extension("png.part");
    let written = match fs::write(&part, png).await {
        Ok(()) => fs::rename(&part, path).await,
        Err(err) => Err(err),
    };
    if written.is_err() {
        // The reason is reported; that the rest of a full disk's file cannot be removed would only hide it.
        let _ = fs::remove_file(&part).await;
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}
