//! A video for those who have none at hand.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio::process::Command;
use tokio::time::timeout;

use super::Failure;
use crate::app::App;

/// A way into the Mandelbrot set, 20 seconds long: no two of its pictures are alike.
const CLIP: &str = "mandelbrot=size=480x270:rate=10:maxiter=300:end_pts=140:end_scale=0.0006";
const SECONDS: &str = "20";
const TIME: Duration = Duration::from_secs(60);

/// The sample, which is made once.
pub(super) async fn send(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let clip = app.sample.get_or_try_init(make).await?.clone();
    Ok(([(header::CONTENT_TYPE, "video/x-matroska"), (header::CACHE_CONTROL, "no-cache")], clip).into_response())
}

async fn make() -> Result<Bytes> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", CLIP, "-t", SECONDS]);
    ffmpeg.args(["-c:v", "mpeg4", "-q:v", "6", "-g", "10", "-f", "matroska", "-"]);
    ffmpeg.stdin(Stdio::null()).kill_on_drop(true);
    let made = timeout(TIME, ffmpeg.output()).await.context("no sample: out of time")?;
    let made = made.context("no sample: ffmpeg could not be started")?;
    ensure!(made.status.success(), "no sample: {}", String::from_utf8_lossy(&made.stderr));
    Ok(made.stdout.into())
}
