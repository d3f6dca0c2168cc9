//! The `ffmpeg` process: a video goes in, JPEG images come out.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::name;
use crate::settings::Settings;

/// So many thumbnails are made of one video.
pub(crate) const MAX_IMAGES: u32 = 1000;
/// How much of what ffmpeg says is kept: the last words tell why it ended.
const WORDS: usize = 4 * 1024;
/// Pixels of the largest picture that is decoded, that of 8K video.
const MAX_PIXELS: &str = "35389440";
/// What a video may be. Playlists and the like are not among them: they name other files.
const FORMATS: &str = "matroska,webm,mov,mpegts,mpeg,mpegvideo,avi,flv,ogg,asf,h264,hevc,m4v,ivf,yuv4mpegpipe";

/// Where ffmpeg reads the video.
pub(crate) enum Input {
    /// As it is written to [`Decoder::write`].
    Pipe,
    /// In a file, in which it can seek.
    File(std::fs::File),
}

/// What came of a video.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Images that were passed on.
    pub(crate) images: u32,
    /// What ffmpeg complained about, such as a damaged part; empty as a rule.
    pub(crate) complaint: String,
}

/// A running ffmpeg. Dropped, it is killed.
pub(crate) struct Decoder {
    process: Child,
    input: Option<ChildStdin>,
    images: JoinHandle<Result<u32>>,
    words: JoinHandle<String>,
    deadline: Instant,
}

impl Decoder {
    /// Starts ffmpeg; `read` is run beside it on its output, and says how many images there were.
    pub(crate) fn start<F>(
        input: Input,
        settings: Settings,
        deadline: Instant,
        read: impl FnOnce(ChildStdout) -> F,
    ) -> Result<Self>
    where
        F: Future<Output = Result<u32>> + Send + 'static,
    {
        // /dev/stdin and not pipe:0 where ffmpeg is to seek. It opens the one protocol that it needs, and no other file.
        let (protocol, source, stdin) = match input {
            Input::Pipe => ("pipe", "pipe:0", Stdio::piped()),
            Input::File(file) => ("file", "/dev/stdin", Stdio::from(file)),
        };
        let Settings { every, width } = settings;
        // A box, since the height of a picture that is one pixel wide would have no bound.
        let size = format!("w={width}:h={}:force_original_aspect_ratio=decrease:force_divisible_by=2", width * 4);
        let mut process = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-max_pixels", MAX_PIXELS])
            .args(["-protocol_whitelist", protocol, "-format_whitelist", FORMATS, "-i", source])
            .args(["-map", "0:v:0", "-vf", &format!("fps=1/{every},scale={size}")])
            .args(["-frames:v", &MAX_IMAGES.to_string(), "-f", "image2pipe", "-c:v", "mjpeg"])
            // One thread: several would each keep an image back.
            .args(["-pix_fmt", "yuvj420p", "-q:v", "4", "-threads", "1", "-flush_packets", "1", "-"])
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|err| match err.kind() {
                io::ErrorKind::NotFound => anyhow!("ffmpeg is not installed on the runner"),
                _ => anyhow!("ffmpeg could not be started: {err}"),
            })?;
        let stdout = process.stdout.take().context("ffmpeg has no standard output")?;
        let stderr = process.stderr.take().context("ffmpeg has no standard error")?;
        Ok(Self {
            input: process.stdin.take(),
            // A task of its own: ffmpeg stops reading when nobody takes its images, so a writer that also had to read
            // them would wait for itself.
            images: tokio::spawn(read(stdout)),
            words: tokio::spawn(last_words(stderr)),
            process,
            deadline,
        })
    }

    /// Hands bytes to ffmpeg; waits while it is busy.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] once ffmpeg reads no more; [`Decoder::finish`] then tells why.
    /// [`io::ErrorKind::TimedOut`] at the deadline.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Err(io::ErrorKind::BrokenPipe.into()) };
        timeout_at(self.deadline, input.write_all(bytes)).await?
    }

    /// Ends the input, waits for the last image and the end of ffmpeg.
    ///
    /// # Errors
    /// When ffmpeg fails, with its own words; when its images could not be passed on; at the deadline.
    pub(crate) async fn finish(mut self) -> Result<Decoded> {
        self.input = None;
        let deadline = self.deadline;
        timeout_at(deadline, self.ended()).await.unwrap_or_else(|_| Err(out_of_time()))
    }

    async fn ended(&mut self) -> Result<Decoded> {
        let images = (&mut self.images).await.context("the reader of ffmpeg's images panicked")?;
        if images.is_err() {
            // Its output stopped being read before its end, so it may not end by itself.
            let _ = self.process.start_kill();
        }
        let status = self.process.wait().await.context("ffmpeg has no exit status")?;
        let words = (&mut self.words).await.context("the reader of ffmpeg's words panicked")?;
        let images = images?;
        if let Some(signal) = status.signal() {
            bail!("ffmpeg was ended by signal {signal}");
        }
        // A video that is cut off or damaged half-way has the images from before that.
        if images > 0 {
            return Ok(Decoded { images, complaint: words });
        }
        match (status.success(), words.is_empty()) {
            (true, true) => bail!("there is no picture in it"),
            (false, true) => bail!("ffmpeg failed, {status}"),
            (_, false) => bail!("this is no video that ffmpeg can read: {words}"),
        }
    }
}

/// The video took longer than it may.
pub(crate) fn out_of_time() -> anyhow::Error {
    anyhow!("the time for this video is over; ffmpeg was ended")
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // What it left in its pipes needs no reader.
        self.images.abort();
        self.words.abort();
        // tokio kills it when this ends, but buries it only while the runtime lives, which may be about to end too.
        let _ = self.process.start_kill();
        for _ in 0..100 {
            match self.process.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) | Err(_) => break,
            }
        }
    }
}

/// What ffmpeg says last, without what only its developers understand.
async fn last_words(mut from: impl AsyncRead + Unpin) -> String {
    let (mut words, mut piece) = (Vec::new(), [0; 1024]);
    // A read error is an end like any other: the exit status is what counts.
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        words.extend_from_slice(&piece[..length]);
        words.drain(..words.len().saturating_sub(WORDS));
    }
    last_line(&String::from_utf8_lossy(&words))
}

/// How ffmpeg ends when it has said before what is wrong.
const GENERAL: &str = "Invalid data found when processing input";

fn last_line(text: &str) -> String {
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    let Some(last) = lines.next() else { return String::new() };
    // What comes last may be no more than the name of an error; the line before that says of what.
    let line = lines.next().filter(|_| last.ends_with(GENERAL)).unwrap_or(last);
    // `[matroska,webm @ 0x55d0c6c6a2c0] …`, and its input's name, which is ours.
    let line = line.split_once("] ").filter(|_| line.starts_with('[')).map_or(line, |(_, line)| line);
    let line = line.strip_prefix("pipe:0: ").or_else(|| line.strip_prefix("/dev/stdin: ")).unwrap_or(line);
    name::words(line, 200)
}

#[cfg(test)]
mod tests;
