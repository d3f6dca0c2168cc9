//! The other way to do it: one call that reads a file of its caller's, as in the article that presented FLAME.

use std::io::Seek;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use flame_actors::ractor::ActorRef;
use flame_actors::{ByteStream, remote};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;

use crate::ffmpeg::{self, Decoder, Input, Output};
use crate::generator::{node_name, send_images, spool};
use crate::job::Job;
use crate::png::{self, Cutter};
use crate::video::VideoMsg;

/// A call has half a minute by default, and a film takes longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What became of a video.
#[derive(Serialize, Deserialize)]
pub(crate) struct Thumbnails {
    node: String,
    pid: u32,
    complaint: String,
    /// PNG images, one after the other: together they may be more than fits into one result.
    images: ByteStream,
}

/// Makes thumbnails of a file that was opened elsewhere.
#[remote]
pub(crate) async fn generate_thumbnails(video: ByteStream, every: f64, width: Option<u32>) -> Result<Thumbnails> {
    let node = node_name()?;
    ffmpeg::check().await.with_context(|| format!("node {node}"))?;
    let file = save(video).await?;
    let filter = ffmpeg::filter(every, width);
    let images = tempfile::tempfile().with_context(spool)?;
    let target = File::from_std(images.try_clone().with_context(spool)?);
    let decoded = Decoder::start(Input::File(file), &filter, |output| keep_images(output, target))?.finish().await?;
    Ok(Thumbnails { node, pid: std::process::id(), complaint: decoded.complaint, images: read(images)? })
}

/// Copies the video to a temporary file, which the system removes with the last handle to it.
async fn save(mut video: ByteStream) -> Result<std::fs::File> {
    let mut file = File::from_std(tempfile::tempfile().with_context(spool)?);
    if tokio::io::copy(&mut video, &mut file).await.context("the video did not arrive")? == 0 {
        bail!("the file is empty");
    }
    let mut file = file.into_std().await;
    file.rewind().with_context(spool)?;
    Ok(file)
}

/// Copies ffmpeg's output to a file and counts the images in it.
async fn keep_images(mut from: ChildStdout, mut to: File) -> Result<Output> {
    let (mut cutter, mut images, mut piece) = (Cutter::new(png::LIMIT), 0, vec![0; 64 * 1024]);
    loop {
        let length = from.read(&mut piece).await.context("ffmpeg: its standard output")?;
        if length == 0 {
            to.flush().await.with_context(spool)?;
            return Ok(Output { images, cut_off: cutter.is_inside_image() });
        }
        images += cutter.push(&piece[..length]).context("ffmpeg: its standard output")?.len() as u64;
        to.write_all(&piece[..length]).await.with_context(spool)?;
    }
}

fn read(mut images: std::fs::File) -> Result<ByteStream> {
    let size = images.metadata().with_context(spool)?.len();
    images.rewind().with_context(spool)?;
    Ok(ByteStream::new(File::from_std(images)).with_size(size))
}

/// Has the thumbnails made, here or on a runner, and passes them on as if a generator had sent them.
pub(crate) async fn make(job: &Job, video: File, myself: &ActorRef<VideoMsg>) -> Result<()> {
    let size = video.metadata().await.ok().filter(std::fs::Metadata::is_file).map(|about| about.len());
    let video = ByteStream::new(job.bar.wrap_async_read(video));
    let video = match size {
        Some(size) => video.with_size(size),
        None => video,
    };
    let task = generate_thumbnails(video, job.every, job.width);
    let made = match &job.pool {
        None => task.await?,
        Some(pool) => pool.call(task).timeout(LONGEST).await??,
    };
    let Thumbnails { node, pid, complaint, images } = made;
    let tell = |message| myself.cast(message).map_err(|err| anyhow!("the video was given up: {err}"));
    tell(VideoMsg::Started { node, pid })?;
    let images = send_images(images, myself.clone()).await?.images;
    if !complaint.is_empty() {
        tell(VideoMsg::Complaint(complaint))?;
    }
    tell(VideoMsg::Done(images))
}
