//! An application as a platform runs it: it ends in good order when it is told to.

use std::time::Duration;

use flame_actors::{Error, Node, Pool, provided, remote};
use flame_local::ProcessBackend;

/// A stand-in for a pool of connections.
struct Database {
    connections: u32,
}

impl Database {
    async fn connect(connections: u32) -> Result<Self, Error> {
        Ok(Self { connections })
    }
}

#[remote]
async fn connections() -> Result<u32, Error> {
    Ok(provided::<Database>()?.connections)
}

/// A stand-in for a web server, with one request.
async fn serve_web(pool: Pool) -> Result<(), Error> {
    println!("connections here: {}, on a runner: {}", connections().await?, pool.call(connections()).await??);
    std::future::pending().await
}

// ANCHOR: main
#[tokio::main]
async fn main() -> Result<(), Error> {
    let node = Node::start().await?;
    node.provide(Database::connect(if node.is_runner() { 1 } else { 10 }).await?);
    let pool = Pool::builder("web")
        .max(10)
        .shutdown_timeout(Duration::from_secs(20))
        .backend(ProcessBackend::new())
        .start(&node)
        .await?;
    if node.is_runner() {
        return node.serve().await;
    }
    tokio::select! {
        served = serve_web(pool) => served,
        ended = node.shutdown_on_signal() => ended, // SIGTERM or SIGINT: what runs is finished first
    }
}
// ANCHOR_END: main
