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

const CLIP: &str = "testsrc2=duration=24:size=640x360:rate=25";
const TIME: Duration = Duration::from_secs(60);

/// The sample, which is made once.
pub(super) async fn send(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let clip = app.sample.get_or_try_init(make).await?.clone();
    Ok(([(header::CONTENT_TYPE, "video/x-matroska"), (header::CACHE_CONTROL, "no-cache")], clip).into_response())
}

async fn make() -> Result<Bytes> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", CLIP]);
    ffmpeg.args(["-c:v", "mpeg4", "-q:v", "5", "-g", "25", "-f", "matroska", "-"]);
    ffmpeg.stdin(Stdio::null()).kill_on_drop(true);
    let made = timeout(TIME, ffmpeg.output()).await.context("no sample: out of time")?;
    let made = made.context("no sample: ffmpeg could not be started")?;
    ensure!(made.status.success(), "no sample: {}", String::from_utf8_lossy(&made.stderr));
    Ok(made.stdout.into())
}
