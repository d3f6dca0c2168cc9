//! The actor that makes thumbnails: a video goes in as messages, images go straight to the page's actor.
//!
//! It does not know where it runs: `upload.rs` places it on a runner.

use std::io::{ErrorKind, Seek};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use flame_actors::{ActorAddr, BoundedSender, Message, Node, placeable, provided, runner};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::db::Video;
use crate::ffmpeg::{self, Decoded, Decoder, Input};
use crate::jpeg::Cutter;
use crate::mp4::{Layout, Sniffer};
use crate::recorder::Recorder;
use crate::settings::Settings;
use crate::visitor::VisitorMsg;

/// Messages with a payload that are under way at once, in either direction.
pub(crate) const IN_FLIGHT: usize = 8;

/// How much of a file is looked at before it is taken for one with its index at the end.
const HEAD: usize = 1024 * 1024;

/// Turns one video into thumbnails.
pub(crate) struct ThumbnailGenerator;

/// What a generator is started with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Open {
    /// The page that gets the thumbnails, and its number for this upload.
    pub(crate) visitor: ActorAddr<VisitorMsg>,
    pub(crate) upload: u64,
    /// What the database knows the video by.
    pub(crate) video: String,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) time_limit: Duration,
}

/// What a generator is told.
#[derive(Message)]
pub(crate) enum GeneratorMsg {
    /// The next bytes of the file.
    Chunk(#[serde(with = "serde_bytes")] Vec<u8>),
    /// That was all of it.
    Close,
    /// The time for this video is over.
    TimeIsUp,
}

/// What a generator holds. Dropped, in whatever way the actor ends, it leaves neither process nor file behind.
pub(crate) struct State {
    open: Open,
    recorder: Arc<Recorder>,
    deadline: Instant,
    timer: AbortHandle,
    stage: Stage,
}

impl Drop for State {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

enum Stage {
    /// It is not clear yet what arrives.
    Head { sniffer: Sniffer, bytes: Vec<u8> },
    /// ffmpeg decodes what arrives.
    Streaming(Decoder),
    /// What arrives waits in a file without a name, which the system removes with the last handle to it.
    Spooling(File),
    /// ffmpeg has ended.
    Ended(Decoded),
}

// ANCHOR: generator
#[placeable]
impl Actor for ThumbnailGenerator {
    type Msg = GeneratorMsg;
    type State = State;
    type Arguments = Open;

    async fn pre_start(&self, myself: ActorRef<GeneratorMsg>, open: Open) -> Result<State, ActorProcessingErr> {
        let recorder = provided::<Recorder>()?; // the copy of the application has the database too
        let (node, pid, machine) = (node_name()?, std::process::id(), machine());
        let Open { upload, video, owner, name, .. } = &open;
        let begun = Video { id: video, owner, name, node: &node, pid, machine: &machine };
        recorder.begin(&begun).await.map_err(one_line)?;
        open.visitor.cast(VisitorMsg::Started { upload: *upload, node, pid, machine })?;
        let timer = myself.send_after(open.time_limit, || GeneratorMsg::TimeIsUp).abort_handle();
        let stage = Stage::Head { sniffer: Sniffer::default(), bytes: Vec::new() };
        Ok(State { recorder, deadline: Instant::now() + open.time_limit, timer, stage, open })
    }

    async fn handle(
        &self,
        _: ActorRef<GeneratorMsg>,
        message: GeneratorMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            GeneratorMsg::Chunk(bytes) => state.take(bytes).await.map_err(one_line)?,
            GeneratorMsg::Close => {
                let Decoded { images, complaint } = state.finish().await.map_err(one_line)?;
                state.recorder.finish(&state.open.video).await.map_err(one_line)?;
                // The visitor stops us when it has this: our exit could overtake it.
                state.open.visitor.cast(VisitorMsg::Done { upload: state.open.upload, images, complaint })?;
            }
            GeneratorMsg::TimeIsUp => return Err(one_line(ffmpeg::out_of_time())),
        }
        Ok(())
    }
}
// ANCHOR_END: generator

/// The node that this runs on.
fn node_name() -> Result<String> {
    let here = || Node::current().map(|node| node.name().to_owned());
    runner().map(|name| name.to_string()).or_else(here).context("this process is no node")
}

/// What the machine is called.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    crate::name::words(&name, 64)
}

/// Of an error only the text reaches another node, so the causes go into it.
fn one_line(err: anyhow::Error) -> ActorProcessingErr {
    format!("{err:#}").into()
}

impl State {
    /// Puts bytes where they belong, after finding out where that is.
    async fn take(&mut self, bytes: Vec<u8>) -> Result<()> {
        let Stage::Head { sniffer, bytes: head } = &mut self.stage else { return self.write(&bytes).await };
        let layout = sniffer.feed(&bytes);
        head.extend_from_slice(&bytes);
        if layout.is_none() && head.len() < HEAD {
            return Ok(());
        }
        let head = std::mem::take(head);
        self.stage = match layout {
            Some(Layout::Streamable) => Stage::Streaming(self.decoder(Input::Pipe)?),
            Some(Layout::IndexAtEnd) | None => {
                self.open.visitor.cast(VisitorMsg::IndexAtEnd { upload: self.open.upload })?;
                Stage::Spooling(File::from_std(tempfile::tempfile().context("the runner cannot spool")?))
            }
        };
        self.write(&head).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.stage {
            Stage::Streaming(decoder) => match decoder.write(bytes).await {
                // It has all that it needs, or gave up: its exit tells which.
                Err(err) if err.kind() == ErrorKind::BrokenPipe => self.stage = Stage::Ended(self.finish().await?),
                Err(err) if err.kind() == ErrorKind::TimedOut => return Err(ffmpeg::out_of_time()),
                written => written.context("ffmpeg takes no more")?,
            },
            Stage::Spooling(file) => {
                file.write_all(bytes).await.context("the runner cannot spool")?;
                // Without it the error of a full disk shows at a later write, or never.
                file.flush().await.context("the runner cannot spool")?;
            }
            Stage::Head { .. } => bail!("bytes were written before it was clear what they are"),
            Stage::Ended(_) => {}
        }
        Ok(())
    }

    /// Decodes what is left and waits for ffmpeg.
    async fn finish(&mut self) -> Result<Decoded> {
        match std::mem::replace(&mut self.stage, Stage::Ended(Decoded::default())) {
            Stage::Head { bytes, .. } if bytes.is_empty() => bail!("the file is empty"),
            Stage::Head { bytes, .. } => {
                let mut decoder = self.decoder(Input::Pipe)?;
                // A pipe that breaks is explained by the end.
                let _ = decoder.write(&bytes).await;
                decoder.finish().await
            }
            Stage::Streaming(decoder) => decoder.finish().await,
            Stage::Spooling(file) => {
                let mut file = file.into_std().await;
                file.rewind().context("the runner cannot spool")?;
                self.decoder(Input::File(file))?.finish().await
            }
            Stage::Ended(decoded) => Ok(decoded),
        }
    }

    fn decoder(&self, input: Input) -> Result<Decoder> {
        let Open { visitor, upload, video, settings, .. } = &self.open;
        let images = Images {
            visitor: ActorRef::clone(visitor),
            upload: *upload,
            recorder: Arc::clone(&self.recorder),
            video: video.clone(),
            every: settings.every,
        };
        Decoder::start(input, *settings, self.deadline, |output| images.send(output))
    }
}

/// Where the images of one video go.
struct Images {
    visitor: ActorRef<VisitorMsg>,
    upload: u64,
    recorder: Arc<Recorder>,
    video: String,
    every: f64,
}

impl Images {
    // ANCHOR: images
    /// Cuts images out of ffmpeg's output and sends them to the page's actor, no faster than that takes them.
    async fn send(self, mut from: ChildStdout) -> Result<u32> {
        let (mut cutter, visitor) = (Cutter::default(), BoundedSender::new(self.visitor, IN_FLIGHT));
        let (upload, mut number, mut piece) = (self.upload, 0, vec![0; 64 * 1024]);
        loop {
            let length = from.read(&mut piece).await.context("ffmpeg: its standard output")?;
            if length == 0 && cutter.is_inside_image() {
                bail!("ffmpeg: its output ends inside an image");
            }
            if length == 0 {
                return Ok(number);
            }
            for jpeg in cutter.push(&piece[..length]).context("ffmpeg: its standard output")? {
                let second = f64::from(number) * self.every;
                self.recorder.add(&self.video, number, second, &jpeg).await?;
                let image = VisitorMsg::Image { upload, second, jpeg };
                visitor.send(image).await.map_err(|err| anyhow!("a thumbnail was not sent: {err}"))?;
                number += 1;
            }
        }
    }
    // ANCHOR_END: images
}
