//! Run with `cargo run -p flame-book --bin pool_over_time`: draws book/src/images/pool-over-time.svg from a run, or
//! another file that is given.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use flame_actors::{Node, Pool, RunnerState, remote};
use flame_book::picture::{Moment, draw};
use flame_book::sources;
use flame_local::ProcessBackend;

/// When work comes, in milliseconds, how many calls, and how long each takes.
const LOAD: [(u64, usize, u64); 3] = [(200, 3, 900), (1200, 20, 500), (4000, 1, 400)];
const ABOUT: &str =
    "max 4, max_concurrency 2, idle_shutdown_after 1 s: calls come at 0.2 s (3), 1.2 s (20) and 4 s (1)";
const PAUSE: Duration = Duration::from_millis(5);

#[remote]
async fn work(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::start().await?;
    let pool = Pool::builder("picture").max(4).max_concurrency(2).idle_shutdown_after(Duration::from_secs(1));
    let pool = pool.backend(ProcessBackend::new()).start(&node).await?;
    if node.is_runner() {
        return Ok(node.serve().await?);
    }
    let start = Instant::now();
    let mut calls = Vec::new();
    for (at, count, milliseconds) in LOAD {
        for _ in 0..count {
            let pool = pool.clone();
            calls.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(at)).await;
                pool.call(work(milliseconds)).await
            }));
        }
    }
    let mut moments = vec![Moment::default()];
    while calls.iter().any(|call| !call.is_finished()) || !pool.status().runners.is_empty() {
        moments.push(look(&pool, start.elapsed().as_secs_f64()));
        tokio::time::sleep(PAUSE).await;
    }
    moments.push(look(&pool, start.elapsed().as_secs_f64()));
    for call in calls {
        call.await??;
    }
    let file = std::env::args_os().nth(1).map_or_else(|| sources().join("images/pool-over-time.svg"), PathBuf::from);
    std::fs::write(&file, draw(&moments, ABOUT))?;
    let most = moments.iter().map(|moment| moment.used).max().unwrap_or_default();
    println!("{} moments, at most {most} slots in use: {}", moments.len(), file.display());
    node.shutdown().await;
    Ok(())
}

fn look(pool: &Pool, at: f64) -> Moment {
    let status = pool.status();
    let serves = |state: RunnerState| matches!(state, RunnerState::Idle | RunnerState::Busy);
    let slots = status.runners.iter().filter(|runner| serves(runner.state)).count() * status.max_concurrency;
    let used = status.runners.iter().map(|runner| runner.slots_used).sum();
    Moment { at, booting: status.booting, slots, used, waiting: status.waiting }
}
