//! Run with `cargo run`, then talk to it: `nc localhost 8080`.

mod work;

use crate::work::{Tally, TallyMsg, count_words};
use anyhow::Result;
use flame_actors::ractor::{ActorRef, call};
use flame_actors::{Node, Pool};
use flame_fly::FlyBackend;
use flame_local::ProcessBackend;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<()> {
    let node = Node::start().await?; // a runner joins its parent here; anyone else becomes a parent
    let pool = Pool::builder("work").max(4).max_concurrency(10);
    let on_fly = std::env::var_os("FLY_APP_NAME").is_some();
    let pool = if on_fly { pool.backend(FlyBackend::from_env()) } else { pool.backend(ProcessBackend::new()) };
    let pool = pool.start(&node).await?;
    if node.is_runner() {
        return Ok(node.serve().await?); // the application is up: take work until told to stop
    }
    let listener = TcpListener::bind("[::]:8080").await?;
    loop {
        tokio::select! {
            visitor = listener.accept() => drop(tokio::spawn(serve(visitor?.0, pool.clone()))),
            ended = node.shutdown_on_signal() => return Ok(ended?),
        }
    }
}

/// Each visitor has an actor on a runner.
async fn serve(socket: TcpStream, pool: Pool) -> Result<()> {
    let tally = pool.place_child(Tally, 0).await.inspect_err(|err| eprintln!("no tally: {err}"))?;
    let talked = talk(socket, &pool, &tally).await.inspect_err(|err| eprintln!("a visit failed: {err:#}"));
    tally.stop(None);
    talked
}

async fn talk(mut socket: TcpStream, pool: &Pool, tally: &ActorRef<TallyMsg>) -> Result<()> {
    let (from, mut to) = socket.split();
    let mut lines = BufReader::new(from).lines();
    while let Some(line) = lines.next_line().await? {
        let words = pool.call(count_words(line)).await?;
        let total = call!(tally, TallyMsg::Add, words)?;
        to.write_all(format!("{words} words, {total} so far\n").as_bytes()).await?;
    }
    Ok(())
}
