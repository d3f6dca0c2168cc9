//! The actor that makes thumbnails: a video goes in as messages, images come back as messages.
//!
//! It does not know where it runs. It is started by `Actor::spawn_linked` in the same process, or by
//! `pool.place_child` on a runner; see `VideoActor`.

use std::env;
use std::io::{ErrorKind, Seek};

use anyhow::{Context, Result, anyhow, bail};
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use flame_actors::{ActorAddr, BoundedSender, Message, Node, placeable, runner};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::ffmpeg::{self, Decoded, Decoder, Input, Output};
use crate::mp4::{Layout, Sniffer};
use crate::png::{self, Cutter};
use crate::video::{IN_FLIGHT, VideoMsg};

/// How much of a file is looked at before it is taken for one with its index at the end.
const HEAD: usize = 1024 * 1024;

/// Turns one video into thumbnails.
pub(crate) struct ThumbnailGenerator;

/// What a generator is started with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Open {
    /// Seconds of video from one thumbnail to the next.
    pub(crate) every: f64,
    /// Width of a thumbnail; that of the video if absent.
    pub(crate) width: Option<u32>,
    /// Who gets the thumbnails.
    pub(crate) parent: ActorAddr<VideoMsg>,
}

/// What a generator is told.
#[derive(Message)]
pub(crate) enum GeneratorMsg {
    /// The next bytes of the file.
    Chunk(#[serde(with = "serde_bytes")] Vec<u8>),
    /// That was all of it.
    Close,
}

/// What a generator holds. Dropped, in whatever way the actor ends, it leaves neither process nor file behind.
pub(crate) struct State {
    filter: String,
    parent: ActorRef<VideoMsg>,
    stage: Stage,
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

#[placeable]
impl Actor for ThumbnailGenerator {
    type Msg = GeneratorMsg;
    type State = State;
    type Arguments = Open;

    async fn pre_start(&self, _: ActorRef<GeneratorMsg>, open: Open) -> Result<State, ActorProcessingErr> {
        Ok(State {
            filter: ffmpeg::filter(open.every, open.width),
            parent: ActorRef::clone(&open.parent),
            stage: Stage::Head { sniffer: Sniffer::default(), bytes: Vec::new() },
        })
    }

    async fn post_start(&self, _: ActorRef<GeneratorMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        // Before the first byte is sent: a file with its index at the end would cross as a whole in vain.
        let node = node_name()?;
        ffmpeg::check().await.with_context(|| format!("node {node}")).map_err(one_line)?;
        state.parent.cast(VideoMsg::Started { node, pid: std::process::id() })?;
        Ok(())
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
                let decoded = state.finish().await.map_err(one_line)?;
                if !decoded.complaint.is_empty() {
                    state.parent.cast(VideoMsg::Complaint(decoded.complaint))?;
                }
                // The parent stops us when it has this: our exit could overtake it.
                state.parent.cast(VideoMsg::Done(decoded.images))?;
            }
        }
        Ok(())
    }
}

/// The node that this runs on: a runner, or this process' own when the actor was started locally.
pub(crate) fn node_name() -> Result<String> {
    let here = || Node::current().map(|node| node.name().to_owned());
    runner().map(|name| name.to_string()).or_else(here).context("this process is no node")
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
                Stage::Spooling(File::from_std(tempfile::tempfile().with_context(spool)?))
            }
        };
        self.write(&head).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.stage {
            Stage::Streaming(decoder) => match decoder.write(bytes).await {
                // It has all that it needs, or gave up: its exit tells which.
                Err(err) if err.kind() == ErrorKind::BrokenPipe => self.stage = Stage::Ended(self.finish().await?),
                written => written.context("ffmpeg: its standard input")?,
            },
            Stage::Spooling(file) => {
                file.write_all(bytes).await.with_context(spool)?;
                // Without it the error of a full disk shows at a later write, or never.
                file.flush().await.with_context(spool)?;
            }
            Stage::Head { .. } => bail!("bytes were written before it was clear what they are"),
            Stage::Ended(_) => {}
        }
        Ok(())
    }

    /// Decodes what is left and waits for ffmpeg.
    async fn finish(&mut self) -> Result<Decoded> {
        let ended = Stage::Ended(Decoded { images: 0, complaint: String::new() });
        let decoded = match std::mem::replace(&mut self.stage, ended) {
            Stage::Head { bytes, .. } if bytes.is_empty() => bail!("the file is empty"),
            Stage::Head { bytes, .. } => {
                let mut decoder = self.decoder(Input::Pipe)?;
                // A pipe that breaks is explained by the end.
                let _ = decoder.write(&bytes).await;
                decoder.finish().await?
            }
            Stage::Streaming(decoder) => decoder.finish().await?,
            Stage::Spooling(file) => {
                let mut file = file.into_std().await;
                file.rewind().with_context(spool)?;
                self.decoder(Input::File(file))?.finish().await?
            }
            Stage::Ended(decoded) => decoded,
        };
        Ok(decoded)
    }

    fn decoder(&self, input: Input) -> Result<Decoder> {
        let parent = self.parent.clone();
        Decoder::start(input, &self.filter, |output| send_images(output, parent))
    }
}

/// Cuts images out of ffmpeg's output and sends them to the parent, no faster than that takes them.
pub(crate) async fn send_images(mut from: impl AsyncRead + Unpin, parent: ActorRef<VideoMsg>) -> Result<Output> {
    let (mut cutter, parent) = (Cutter::new(png::LIMIT), BoundedSender::new(parent, IN_FLIGHT));
    let (mut images, mut piece) = (0, vec![0; 64 * 1024]);
    loop {
        let length = from.read(&mut piece).await.context("ffmpeg: its standard output")?;
        if length == 0 {
            return Ok(Output { images, cut_off: cutter.is_inside_image() });
        }
        for image in cutter.push(&piece[..length]).context("ffmpeg: its standard output")? {
            parent.send(VideoMsg::Image(image)).await.map_err(|err| anyhow!("a thumbnail was not sent: {err}"))?;
            images += 1;
        }
    }
}

pub(crate) fn spool() -> String {
    format!("cannot spool in {}", env::temp_dir().display())
}
