//! Thumbnails of videos: an actor wraps `ffmpeg` and runs on a runner, videos go to it and images come back as messages.
//!
//! Run with
//!
//! ```not_rust
//! cargo run -p thumbnails -- VIDEO... --every 1 --out thumbnails
//! ```

mod cli;
mod ffmpeg;
mod flame;
mod generator;
mod mp4;
mod png;
mod video;
mod window;

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser as _;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::{Backend, Cli};
use crate::flame::{Node, Pool, ProcessBackend};
use crate::video::{Job, Running, Summary};

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("no tokio runtime")?;
    let code = runtime.block_on(run(Cli::parse()));
    // Drops what is left, and does not wait for ever for a read from a pipe into which nobody writes.
    runtime.shutdown_timeout(Duration::from_secs(2));
    code
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let node = Node::start().await?;
    let slots = cli.videos.len().div_ceil(cli.runners.into());
    let builder = Pool::builder("thumbnails").max(cli.runners.into()).max_concurrency(slots);
    let pool = match cli.backend {
        Backend::Process => Some(builder.backend(ProcessBackend::new()).start(&node).await?),
        Backend::InProcess => Some(builder.start(&node).await?),
        Backend::Local => None,
    };
    if node.is_runner() {
        node.serve().await?;
        return Ok(ExitCode::SUCCESS);
    }

    let bars = MultiProgress::new();
    let mut videos = Vec::new();
    for (video, out) in cli.videos.iter().zip(cli.folders()) {
        let bar = bars.add(bar()?.with_prefix(video.display().to_string()));
        let (video, pool) = (video.clone(), pool.clone());
        videos.push(Running::start(Job { video, out, every: cli.every, width: cli.size, pool, bar }).await?);
    }
    let code = finish(&cli, videos).await?;

    if let Some(pool) = pool {
        pool.shutdown().await;
    }
    node.shutdown().await;
    Ok(code)
}

/// Waits for all videos, or for Ctrl-C, and says what became of each.
async fn finish(cli: &Cli, mut videos: Vec<Running>) -> Result<ExitCode> {
    // One for the whole wait: a new one for each video would miss a signal between two of them.
    let mut ctrl_c = pin!(tokio::signal::ctrl_c());
    let mut interrupted = false;
    let mut outcomes = Vec::new();
    for index in 0..videos.len() {
        let outcome = tokio::select! {
            // First, since Ctrl-C in a terminal ends ffmpeg too, which then looks like a failure.
            biased;
            signal = &mut ctrl_c, if !interrupted => {
                signal.context("Ctrl-C cannot be waited for")?;
                interrupted = true;
                videos.iter().for_each(Running::stop);
                videos[index].outcome().await
            }
            outcome = videos[index].outcome() => outcome,
        };
        outcomes.push(outcome);
    }

    let mut failed = false;
    for (video, outcome) in cli.videos.iter().zip(outcomes) {
        let video = video.display();
        match outcome {
            Ok(Summary { thumbnails, complaint, took, node, pid }) => {
                let took = took.as_secs_f64();
                println!("{video}: {thumbnails} thumbnails in {took:.1} s on node {node}, process {pid}");
                if !complaint.is_empty() {
                    eprintln!("warning: {video}: ffmpeg: {complaint}");
                }
            }
            Err(err) => {
                failed = true;
                eprintln!("error: {video}: {err:#}");
            }
        }
    }
    if interrupted {
        eprintln!("interrupted");
        return Ok(INTERRUPTED.into());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn bar() -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {bytes}/{total_bytes} {msg}")?;
    Ok(ProgressBar::no_length().with_style(style))
}
