//! How fast an empty pool comes to serve a crowd.

use std::time::{Duration, Instant};

use flame_actors::{Backend, Boot, BoxFuture, Error, Instance, InstanceState, Node, Pool, PoolBuilder, remote};
use flame_local::ProcessBackend;
use tokio::task::JoinSet;

use crate::report::Row;
use crate::sample::Sample;

const ROUNDS: usize = 5;
const CALLS: usize = 200;
const MAX: usize = 20;
/// What a machine takes before it runs the executable, at the least. Processes here boot as fast as the cores let
/// them, one at a time or all at once.
const MACHINE: Duration = Duration::from_millis(250);

#[remote]
async fn work() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

pub(crate) async fn rows(node: Node) -> anyhow::Result<Vec<Row>> {
    let [mut all_up, mut processes, mut machines] = <[Sample; 3]>::default();
    for round in 0..ROUNDS {
        let pool = pool(format!("processes-{round}")).backend(ProcessBackend::new()).start(&node).await?;
        processes.push(at_once(&pool).await?);
        all_up.push(at_once(&pool).await?);
        pool.shutdown().await;
        let pool = self::pool(format!("machines-{round}")).backend(Machines::new()).start(&node).await?;
        machines.push(at_once(&pool).await?);
        pool.shutdown().await;
    }
    let all_up = all_up.p50();
    Ok(vec![
        Row::new("growth: 200 calls, 20 runners up", all_up, "ms"),
        Row::new("growth: 200 calls, 0 to 20 processes, at once", processes.p50(), "ms").floor(all_up),
        Row::new("growth: 200 calls, 0 to 20 of 250 ms each, at once", machines.p50(), "ms").floor(all_up),
    ])
}

/// With one slot for each runner, so that the time depends on the number of runners.
fn pool(name: String) -> PoolBuilder {
    Pool::builder(name).max(MAX).max_concurrency(1)
}

/// The milliseconds in which calls that come at once are served.
async fn at_once(pool: &Pool) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        calls.spawn(pool.call(work()).into_future());
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Processes that come as late as machines.
#[derive(Debug)]
struct Machines(ProcessBackend);

impl Machines {
    fn new() -> Self {
        Self(ProcessBackend::new())
    }
}

impl Backend for Machines {
    fn name(&self) -> &'static str {
        "machines"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        Box::pin(async {
            tokio::time::sleep(MACHINE).await;
            self.0.boot(boot).await
        })
    }

    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        self.0.destroy(instance)
    }

    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        self.0.inspect(instance)
    }
}
