//! Paints the Mandelbrot set with letters.

// ANCHOR: use
use std::collections::BTreeSet;
use std::env;
use std::sync::Arc;

use flame_actors::{ByteSink, Node, Pool, remote, runner};
use flame_fly::FlyBackend;
use flame_local::ProcessBackend;
use futures_util::{Stream, StreamExt, stream};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
// ANCHOR_END: use

const WIDTH: u32 = 64;
const HEIGHT: u32 = 17;

/// One row of the picture: the work.
fn paint(y: u32) -> String {
    let shade = |x: u32| {
        let (re, im) = (f64::from(x) / 22.0 - 2.1, f64::from(y) / 7.0 - 8.0 / 7.0);
        let (mut a, mut b, mut rounds) = (0.0, 0.0, 0);
        while a * a + b * b < 4.0 && rounds < 20_000 {
            (a, b, rounds) = (a * a - b * b + re, 2.0 * a * b + im, rounds + 1);
        }
        match rounds {
            0..4 => ' ',
            4..8 => '.',
            8..20 => ':',
            20..20_000 => '+',
            _ => '#',
        }
    };
    (0..WIDTH).map(shade).collect::<String>().trim_end().to_owned()
}

// ANCHOR: stream
#[remote]
fn rows(from: u32, to: u32) -> impl Stream<Item = (u32, String)> {
    stream::iter(from..to).map(|y| (y, paint(y)))
}
// ANCHOR_END: stream

// ANCHOR: remote
#[remote]
async fn row(y: u32) -> (String, Option<Arc<str>>) {
    (paint(y), runner())
}
// ANCHOR_END: remote

// ANCHOR: sink
#[remote]
async fn print(picture: ByteSink) -> anyhow::Result<()> {
    let mut picture = picture;
    for y in 0..HEIGHT {
        picture.write_all(format!("{}\n", paint(y)).as_bytes()).await?;
    }
    Ok(picture.shutdown().await?)
}
// ANCHOR_END: sink

// ANCHOR: machines
/// The smallest there are; they run this command too.
fn machines() -> FlyBackend {
    FlyBackend::from_env().same_command().cpu_kind("shared").cpus(1).memory_mb(512)
}
// ANCHOR_END: machines

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::start().await?;
    // ANCHOR: backend
    let pool = Pool::builder("painters").max(3).max_concurrency(1);
    let on_fly = env::var_os("FLY_APP_NAME").is_some();
    let pool = if on_fly { pool.backend(machines()) } else { pool.backend(ProcessBackend::new()) };
    // ANCHOR_END: backend
    let pool = pool.start(&node).await?;
    if node.is_runner() {
        return Ok(node.serve().await?);
    }

    // ANCHOR: one
    let mut rows = pool.stream(rows(6, 9));
    while let Some(row) = rows.next().await {
        let (y, row) = row?;
        println!("{row}  row {y} is there");
    }
    // ANCHOR_END: one

    // ANCHOR: many
    let mut painted = pool.map(0..HEIGHT, row);
    let (mut letters, mut painters) = (0, BTreeSet::new());
    while let Some(row) = painted.next().await {
        let (row, painter) = row?;
        letters += row.chars().filter(|letter| *letter == '#').count();
        painters.insert(painter);
    }
    println!("{letters} letters are #, painted by {} runners", painters.len());
    // ANCHOR_END: many

    // ANCHOR: file
    let file = File::create("picture.txt").await?;
    let (picture, receipt) = ByteSink::new(file).with_receipt();
    pool.call(print(picture)).await??;
    println!("{} bytes are in picture.txt", receipt.await?);
    // ANCHOR_END: file
    node.shutdown().await;
    Ok(())
}
