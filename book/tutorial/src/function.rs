//! Paints the Mandelbrot set with letters.

// ANCHOR: use
use flame_actors::{Node, Pool, remote, task};
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
async fn row(y: u32) -> String {
    paint(y)
}
// ANCHOR_END: remote

// ANCHOR: main
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::start().await?;
    let pool = Pool::builder("painters").start(&node).await?;

    println!("{}", row(8).await); // here
    println!("{}", pool.call(row(8)).await?); // on a runner
    // ANCHOR: block
    let letter = '#';
    let count = pool.call(task!([letter: char] -> usize {
        (0..HEIGHT).map(|y| paint(y).matches(letter).count()).sum()
    }));
    println!("{} letters of the picture are {letter}", count.await?);
    // ANCHOR_END: block

    node.shutdown().await;
    Ok(())
}
// ANCHOR_END: main
