//! Paints the Mandelbrot set with letters.

// ANCHOR: use
use std::collections::BTreeSet;
use std::process::id;

use flame_actors::{Node, Pool, remote};
use flame_local::ProcessBackend;
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

// ANCHOR: remote
#[remote]
async fn row(y: u32) -> (String, u32) {
    (paint(y), id())
}
// ANCHOR_END: remote

// ANCHOR: main
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::start().await?;
    let pool = Pool::builder("painters").max(3).max_concurrency(1).backend(ProcessBackend::new());
    let pool = pool.start(&node).await?;
    if node.is_runner() {
        return Ok(node.serve().await?); // a copy: it takes work until it is sent away
    }

    let rows: Vec<_> = (0..HEIGHT).map(|y| tokio::spawn(pool.call(row(y)))).collect();
    let mut painters = BTreeSet::new();
    for row in rows {
        let (row, painter) = row.await??;
        println!("{row}");
        painters.insert(painter);
    }
    println!("painted by {} processes, and not by process {}", painters.len(), id());
    node.shutdown().await;
    Ok(())
}
// ANCHOR_END: main
