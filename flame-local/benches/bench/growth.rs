//! How fast an empty pool comes to serve a crowd.

use std::time::{Duration, Instant};

use flame_actors::{Backend, Boot, BoxFuture, Error, Event, Instance, InstanceState, Node, Pool, PoolBuilder, remote};
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
    let [mut processes_in_turn, mut machines_in_turn] = <[Sample; 2]>::default();
    for round in 0..ROUNDS {
        let start = |name: &str, max| pool(format!("{name}-{round}"), max);
        let pool = start("processes", MAX).backend(ProcessBackend::new()).start(&node).await?;
        processes.push(at_once(&pool).await?);
        all_up.push(at_once(&pool).await?);
        pool.shutdown().await;
        let pool = start("processes-in-turn", 1).backend(ProcessBackend::new()).start(&node).await?;
        processes_in_turn.push(one_at_a_time(&pool).await?);
        pool.shutdown().await;
        let pool = start("machines", MAX).backend(Machines::new()).start(&node).await?;
        machines.push(at_once(&pool).await?);
        pool.shutdown().await;
        let pool = start("machines-in-turn", 1).backend(Machines::new()).start(&node).await?;
        machines_in_turn.push(one_at_a_time(&pool).await?);
        pool.shutdown().await;
    }
    let [all_up, processes_in_turn, machines_in_turn] =
        [all_up, processes_in_turn, machines_in_turn].map(|sample| sample.p50());
    let row = |what: &str, value| Row::new(format!("growth: 200 calls, {what}"), value, "ms");
    Ok(vec![
        row("20 runners up", all_up),
        row("0 to 20 processes, one at a time", processes_in_turn).floor(all_up),
        row("0 to 20 processes, at once", processes.p50()).floor(processes_in_turn),
        row("0 to 20 of 250 ms each, one at a time", machines_in_turn).floor(all_up),
        // Elixir FLAME boots one at a time.
        row("0 to 20 of 250 ms each, at once", machines.p50()).floor(machines_in_turn).target(1.0),
    ])
}

/// With one slot for each runner, so that the time depends on the number of runners.
fn pool(name: String, max: usize) -> PoolBuilder {
    Pool::builder(name).max(max).max_concurrency(1)
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

/// The same on a pool that begins with one runner at the most, and may have one more with each that has come up.
async fn one_at_a_time(pool: &Pool) -> anyhow::Result<f64> {
    let mut events = pool.events();
    let growing = async {
        let mut max = 1;
        while max < MAX {
            match events.next().await {
                Some(Event::Up { .. }) => {
                    max += 1;
                    pool.resize(0, max)?;
                }
                Some(_) => {}
                None => anyhow::bail!("the events ended with {max} runners"),
            }
        }
        // All may come, so this waits for the calls only.
        std::future::pending().await
    };
    tokio::select! {
        served = at_once(pool) => served,
        failed = growing => failed,
    }
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
