//! Live thumbnails: drop a video on a page, and its thumbnails appear while it still uploads.
//!
//! Run with
//!
//! ```not_rust
//! make live
//! ```
//!
//! and open <http://127.0.0.1:4000>. `README.md` beside this crate says who is who.

mod app;
mod backend;
mod cli;
mod db;
mod ffmpeg;
mod generator;
mod jpeg;
#[path = "../../thumbnails/src/mp4.rs"]
mod mp4;
mod name;
mod page;
mod patch;
mod recorder;
mod settings;
mod strip;
mod visitor;
mod visitors;
mod web;
mod words;

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser as _;
use flame_actors::Node;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::cli::Cli;
use crate::db::Db;
use crate::recorder::Recorder;

// ANCHOR: main
#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,ractor_cluster=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let cli = Cli::parse();
    let node = Node::start().await?;
    let is_shared = cli.backend.shares_disk();
    let db = if is_shared || !node.is_runner() { Some(Db::open(&cli.data, node.is_runner()).await?) } else { None };
    // What generators find on the runner, which this process may be.
    node.provide(Recorder::new(db.as_ref().filter(|_| is_shared)));
    let pool = backend::start_pool(&node, &cli).await?;
    if node.is_runner() {
        // It takes generators; all that follows is the parent's.
        return Ok(node.serve().await?);
    }

    let db = db.context("a parent has a database")?;
    let listener = TcpListener::bind(cli.listen).await.with_context(|| format!("cannot listen on {}", cli.listen))?;
    println!("live thumbnails: http://{}", listener.local_addr()?);
    let (strip, visitors, sample) = (strip::watch(&pool, &cli), Default::default(), OnceCell::new());
    let app = App { cli, pool, db, visitors, strip, sample };
    tokio::select! {
        served = axum::serve(listener, web::router(Arc::new(app))) => Ok(served?),
        ended = node.shutdown_on_signal() => Ok(ended?),
    }
}
// ANCHOR_END: main
