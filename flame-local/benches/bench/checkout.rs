//! Whether finding a slot depends on the number of runners.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flame_actors::{InProcess, Node, Pool, remote};
use tokio::sync::Semaphore;

use crate::calls::nothing;
use crate::report::Row;
use crate::sample::Sample;

const RUNNERS: [usize; 4] = [1, 10, 100, 1000];
/// The pools take turns, so that what else the machine does hits all alike.
const ROUNDS: usize = 40;
const TIMES: usize = 250;

/// Runners are in this process, so these are those of all.
static HELD: AtomicUsize = AtomicUsize::new(0);
static LET_GO: Semaphore = Semaphore::const_new(0);

/// Keeps a slot until it is let go.
#[remote]
async fn hold() {
    HELD.fetch_add(1, Ordering::Relaxed);
    if let Ok(permit) = LET_GO.acquire().await {
        permit.forget();
    }
    HELD.fetch_sub(1, Ordering::Relaxed);
}

pub(crate) async fn rows(node: Node) -> anyhow::Result<Vec<Row>> {
    // In a task, since a switch of threads in each call would hide what a checkout costs.
    tokio::spawn(in_a_task(node)).await?
}

async fn in_a_task(node: Node) -> anyhow::Result<Vec<Row>> {
    let mut pools = Vec::new();
    for runners in RUNNERS {
        let pool = Pool::builder(format!("of-{runners}")).min(runners).max(runners).max_concurrency(1);
        pools.push((runners, pool.backend(InProcess::new()).start(&node).await?));
    }
    // With a slot each, that all of them are busy says that all of them are up.
    hold_all_but(0, &pools).await?;
    let_go().await;
    let mut rows = measured(&pools, |runners| runners).await?;
    hold_all_but(1, &pools).await?;
    rows.extend(measured(&pools, |_| 1).await?.into_iter().skip(1));
    let_go().await;
    Ok(rows)
}

async fn hold_all_but(free: usize, pools: &[(usize, Pool)]) -> anyhow::Result<()> {
    let mut held = 0;
    for (runners, pool) in pools {
        for _ in free..*runners {
            pool.cast(hold()).await?;
            held += 1;
        }
    }
    until_held(held).await;
    Ok(())
}

async fn let_go() {
    LET_GO.add_permits(HELD.load(Ordering::Relaxed));
    until_held(0).await;
}

async fn until_held(held: usize) {
    while HELD.load(Ordering::Relaxed) != held {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A row for each pool, of whose runners so many are free: what a whole call takes, of which checkout is a part.
async fn measured(pools: &[(usize, Pool)], free: fn(usize) -> usize) -> anyhow::Result<Vec<Row>> {
    let mut samples = <[Sample; RUNNERS.len()]>::default();
    for _ in 0..ROUNDS {
        for ((_, pool), sample) in pools.iter().zip(&mut samples) {
            for _ in 0..TIMES {
                sample.time(|| pool.call(nothing())).await?;
            }
        }
    }
    let with_one = samples[0].p50();
    let row = |((runners, _), sample): (&(usize, Pool), &Sample)| {
        let free = free(*runners);
        let row = Row::new(format!("checkout: {free} of {runners} runners free, p50"), sample.p50(), "µs");
        match runners {
            1 => row,
            1000 => row.floor(with_one).target(1.3),
            _ => row.floor(with_one),
        }
    };
    Ok(pools.iter().zip(&samples).map(row).collect())
}
