//! Thumbnails of videos: an actor wraps `ffmpeg` and runs on a runner, videos go to it and images come back as messages.
//!
//! Run with
//!
//! ```not_rust
//! cargo run -p thumbnails -- VIDEO... --every 1 --out thumbnails
//! ```

mod call;
mod cli;
mod ffmpeg;
mod generator;
mod job;
mod mp4;
mod png;
mod video;

use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser as _;
use flame_actors::{InProcess, Node, Pool};
use flame_fly::FlyBackend;
use flame_local::ProcessBackend;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::cli::{Backend, Cli};
use crate::job::{Job, Running, Summary};

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("no tokio runtime")?;
    let code = runtime.block_on(run(Cli::parse()));
    // Drops what is left, and does not wait for ever for a read from a pipe into which nobody writes.
    runtime.shutdown_timeout(Duration::from_millis(500));
    code
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let node = Node::start().await?;
    let slots = cli.videos.len().div_ceil(cli.runners.into());
    let builder = Pool::builder("thumbnails").max(cli.runners.into()).max_concurrency(slots);
    let pool = match cli.backend {
        Backend::Process => Some(builder.backend(ProcessBackend::new()).start(&node).await?),
        Backend::Fly => Some(builder.backend(on_fly()).start(&node).await?),
        Backend::InProcess => Some(builder.backend(InProcess::new()).start(&node).await?),
        Backend::Local => None,
    };
    if node.is_runner() {
        // It takes generators; all that follows is the parent's.
        node.serve().await?;
        return Ok(ExitCode::SUCCESS);
    }

    // From here on, before there is anything that it would leave behind.
    let ctrl_c = signal(SignalKind::interrupt()).context("Ctrl-C cannot be waited for")?;
    let bars = MultiProgress::new();
    let mut videos = Vec::new();
    for (video, out) in cli.videos.iter().zip(cli.folders()) {
        let bar = bars.add(bar()?.with_prefix(video.file_name().unwrap_or_default().to_string_lossy().into_owned()));
        let (video, pool) = (video.clone(), pool.clone());
        let (transfer, every, width) = (cli.transfer, cli.every, cli.size);
        videos.push(Running::start(Job { video, out, transfer, every, width, pool, bar }).await?);
    }
    let (outcomes, interrupted) = outcomes(videos, ctrl_c).await;
    let failed = outcomes.iter().any(Result::is_err);
    for (video, outcome) in cli.videos.iter().zip(outcomes) {
        print(video, outcome);
    }
    // The pool ends with its node.
    node.shutdown().await;
    if interrupted {
        eprintln!("interrupted");
        return Ok(INTERRUPTED.into());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Machines that are cheap and short-lived. They run this command too, for their image only waits to be logged into.
fn on_fly() -> FlyBackend {
    FlyBackend::from_env().same_command().cpu_kind("shared").cpus(4).memory_mb(1024)
}

/// What became of each video, and whether Ctrl-C ended it.
async fn outcomes(videos: Vec<Running>, mut ctrl_c: Signal) -> (Vec<Result<Summary>>, bool) {
    let actors: Vec<_> = videos.iter().map(Running::actor).collect();
    let mut outcomes = pin!(async {
        let mut outcomes = Vec::new();
        for video in videos {
            outcomes.push(video.outcome().await);
        }
        outcomes
    });
    tokio::select! {
        _ = ctrl_c.recv() => {
            actors.iter().for_each(|actor| actor.stop(None));
            (outcomes.await, true)
        }
        outcomes = &mut outcomes => {
            // Ctrl-C in a terminal ends an ffmpeg of this process too, which may become known before the signal does.
            let failed = outcomes.iter().any(Result::is_err);
            let interrupted = failed && timeout(Duration::from_millis(100), ctrl_c.recv()).await.is_ok();
            (outcomes, interrupted)
        }
    }
}

fn print(video: &Path, outcome: Result<Summary>) {
    let video = video.display();
    match outcome {
        Ok(Summary { thumbnails, complaint, took, node, pid }) => {
            let took = took.as_secs_f64();
            println!("{video}: {thumbnails} thumbnails in {took:.1} s by process {pid}, node {node}");
            if !complaint.is_empty() {
                eprintln!("warning: {video}: ffmpeg: {complaint}");
            }
        }
        Err(err) => eprintln!("error: {video}: {err:#}"),
    }
}

fn bar() -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {bytes}/{total_bytes} {msg}")?;
    Ok(ProgressBar::no_length().with_style(style))
}
