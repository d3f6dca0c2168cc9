//! The `ffmpeg` process: a video goes in, PNG images come out.

use std::fmt::Write as _;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// How much of what ffmpeg says is kept: the last words tell why it ended.
const WORDS: usize = 4 * 1024;

/// What ffmpeg is to make of a video: an image each so many seconds, of this width.
pub(crate) fn filter(every: f64, width: Option<u32>) -> String {
    let scale = width.map(|width| format!(",scale={width}:-2")).unwrap_or_default();
    format!("fps=1/{every}{scale}")
}

/// Where ffmpeg reads the video.
pub(crate) enum Input {
    /// As it is written to [`Decoder::write`].
    Pipe,
    /// In a file, in which it can seek.
    File(std::fs::File),
}

/// What came out of ffmpeg's standard output until its end.
pub(crate) struct Output {
    /// Whole images.
    pub(crate) images: u64,
    /// Whether it ended inside another one.
    pub(crate) cut_off: bool,
}

/// How a decoder ended when all went well.
pub(crate) struct Decoded {
    /// Images that were passed on.
    pub(crate) images: u64,
    /// What ffmpeg complained about, such as a damaged part; empty as a rule.
    pub(crate) complaint: String,
}

/// A running ffmpeg. Dropped, it is killed.
pub(crate) struct Decoder {
    process: Child,
    input: Option<ChildStdin>,
    output: JoinHandle<Result<Output>>,
    words: JoinHandle<String>,
}

impl Decoder {
    /// Starts ffmpeg; `read` is run beside it on its output.
    pub(crate) fn start<F>(input: Input, filter: &str, read: impl FnOnce(ChildStdout) -> F) -> Result<Self>
    where
        F: Future<Output = Result<Output>> + Send + 'static,
    {
        // /dev/stdin and not pipe:0 where ffmpeg is to seek. It opens the one protocol that it needs: a playlist that is
        // passed off as a video cannot make it read other files or addresses.
        let (protocol, source, stdin) = match input {
            Input::Pipe => ("pipe", "pipe:0", Stdio::piped()),
            Input::File(file) => ("file", "/dev/stdin", Stdio::from(file)),
        };
        let mut process = ffmpeg()
            .args(["-loglevel", "error", "-nostdin", "-protocol_whitelist", protocol, "-i", source])
            .args(["-vf", filter, "-f", "image2pipe", "-c:v", "png", "-"])
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(not_started)?;
        let stdout = process.stdout.take().context("ffmpeg: no standard output")?;
        let stderr = process.stderr.take().context("ffmpeg: no standard error")?;
        Ok(Self {
            input: process.stdin.take(),
            // Reading has a task of its own. ffmpeg stops reading when nobody takes its images, so a writer that also
            // had to read them would wait for itself.
            output: tokio::spawn(read(stdout)),
            words: tokio::spawn(last_words(stderr)),
            process,
        })
    }

    /// Hands bytes to ffmpeg; waits while it is busy.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] once ffmpeg reads no more; [`Decoder::finish`] then tells why.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(bytes).await,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Ends the input and waits for the last image and the end of ffmpeg.
    ///
    /// # Errors
    /// When ffmpeg fails, with its own words; when its output is broken, or could not be passed on.
    pub(crate) async fn finish(mut self) -> Result<Decoded> {
        self.input = None;
        let output = (&mut self.output).await.context("ffmpeg: its reader panicked")?;
        if output.is_err() {
            // Its output stopped being read before its end, so it may not end by itself.
            let _ = self.process.start_kill();
        }
        let status = self.process.wait().await.context("ffmpeg: no exit status")?;
        let complaint = (&mut self.words).await.context("ffmpeg: its listener panicked")?;
        let output = output?;
        if !status.success() {
            bail!(failure(status, &complaint));
        }
        if output.cut_off {
            bail!("ffmpeg: its output ends inside an image");
        }
        if output.images == 0 && !complaint.is_empty() {
            bail!("ffmpeg decoded no picture: {complaint}");
        }
        Ok(Decoded { images: output.images, complaint })
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // What it left in its pipes needs no reader.
        self.output.abort();
        self.words.abort();
        // tokio kills it when this ends, but buries it only while the runtime lives, which may be about to end too. It is
        // dead within milliseconds; one that is not, stuck in a dead disk perhaps, is left to tokio.
        let _ = self.process.start_kill();
        for _ in 0..100 {
            match self.process.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) | Err(_) => break,
            }
        }
    }
}

/// Whether ffmpeg can be started here at all.
///
/// # Errors
/// When it cannot, with the reason.
pub(crate) async fn check() -> Result<()> {
    let status = ffmpeg().arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.await.map_err(not_started)?;
    if !status.success() {
        bail!(failure(status, "asked for its version"));
    }
    Ok(())
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.arg("-hide_banner").kill_on_drop(true);
    command
}

fn not_started(err: io::Error) -> anyhow::Error {
    match err.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("ffmpeg is not installed, or not in PATH"),
        _ => anyhow::Error::new(err).context("ffmpeg could not be started"),
    }
}

fn failure(status: ExitStatus, words: &str) -> String {
    let mut text = format!("ffmpeg failed, {status}");
    if !words.is_empty() {
        let _ = write!(text, ": {words}");
    }
    text
}

/// The last lines of what ffmpeg says, as one.
async fn last_words(mut from: impl AsyncRead + Unpin) -> String {
    let (mut words, mut piece) = (Vec::new(), [0; 1024]);
    // A read error is an end like any other: the exit status is what counts.
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        words.extend_from_slice(&piece[..length]);
        words.drain(..words.len().saturating_sub(WORDS));
    }
    let text = String::from_utf8_lossy(&words);
    let mut lines: Vec<&str> = text.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    lines.reverse();
    lines.join("; ")
}
