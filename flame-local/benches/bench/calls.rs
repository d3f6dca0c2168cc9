//! Calls and placed children on runners that are up, the first call of all, and what a runner holds while idle.

use std::time::{Duration, Instant};

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{InProcess, Message, Node, Pool, placeable, remote, task};
use flame_local::ProcessBackend;
use tokio::task::JoinSet;

use crate::floor::{self, Connection, Peer, per_second};
use crate::plain::Plain;
use crate::report::Row;
use crate::sample::Sample;

/// All series take turns, so that what else the machine does hits all alike.
const ROUNDS: usize = 40;
const TIMES: usize = 250;
const IN_FLIGHT: usize = 64;

#[remote]
pub(crate) async fn nothing() {}

#[derive(Message)]
enum EchoMsg {
    Echo(u64, RpcReplyPort<u64>),
}

struct Echo;

#[placeable]
impl Actor for Echo {
    type Msg = EchoMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EchoMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<EchoMsg>,
        EchoMsg::Echo(n, reply): EchoMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(n)?)
    }
}

pub(crate) async fn rows(node: Node) -> anyhow::Result<Vec<Row>> {
    let pool = Pool::builder("bench").max_concurrency(1000).backend(ProcessBackend::new()).start(&node).await?;
    let peer = Peer::start().await?;
    let runner = pool.call(task!([] -> u32 { std::process::id() })).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let memory = [
        Row::new("bare TLS 1.3 process, resident", resident(peer.process()?)?, "MiB"),
        // tonic with TLS.
        Row::new("idle runner, process, resident", resident(runner)?, "MiB").target(6.7),
    ];
    let mut rows = from_main(&pool, &peer).await?;
    rows.extend(tokio::spawn(from_a_task(node.clone(), pool.clone(), peer.connect().await?)).await??);
    rows.extend(in_flight(&pool, &peer).await?);
    rows.extend(from_zero(&node).await?);
    rows.extend(memory);
    Ok(rows)
}

/// What `block_on` awaits is woken on a thread of its own, which the floor pays here too.
async fn from_main(pool: &Pool, peer: &Peer) -> anyhow::Result<Vec<Row>> {
    let mut connection = peer.connect().await?;
    let (child, plain) = (pool.place_child(Echo, ()).await?, Plain::start().await?);
    let [mut pings, mut calls, mut to_child, mut to_plain, mut placed] = <[Sample; 5]>::default();
    for _ in 0..ROUNDS {
        for _ in 0..TIMES {
            pings.time(|| connection.ping()).await?;
        }
        for _ in 0..TIMES {
            calls.time(|| pool.call(nothing())).await?;
        }
        for _ in 0..TIMES {
            to_child.time(async || call!(child, EchoMsg::Echo, 1)).await?;
        }
        for _ in 0..TIMES {
            to_plain.time(|| plain.echo()).await?;
        }
        let mut children = Vec::new();
        for _ in 0..TIMES / 10 {
            children.push(placed.time(|| pool.place_child(Echo, ())).await?);
        }
        for child in children {
            child.stop_and_wait(None, None).await?;
        }
    }
    let ping = pings.p50();
    Ok(vec![
        Row::new("TLS 1.3 ping-pong, p50", ping, "µs"),
        // The best of plain ractor_cluster, beside its own floor without TLS; tonic with TLS needs 3.6.
        Row::new("warm call, process, p50", calls.p50(), "µs").floor(ping).target(2.3),
        Row::new("call to a placed child, process, p50", to_child.p50(), "µs").floor(ping).target(2.3),
        // That one goes without TLS.
        Row::new("the same, beside a call of plain ractor_cluster", to_child.p50(), "µs").floor(to_plain.p50()),
        // Elixir FLAME: 323 µs beside 28 µs.
        Row::new("place_child on a warm runner, process, p50", placed.p50(), "µs").floor(ping).target(11.5),
    ])
}

/// As the handlers of a server call: without that thread the floor is lower, and a call in process much cheaper.
async fn from_a_task(node: Node, pool: Pool, mut connection: Connection) -> anyhow::Result<Vec<Row>> {
    let inside = Pool::builder("inside").backend(InProcess::new()).start(&node).await?;
    let (local, _) = Actor::spawn(None, Echo, ()).await?;
    let [mut pings, mut calls, mut within, mut to_local] = <[Sample; 4]>::default();
    for _ in 0..ROUNDS {
        for _ in 0..TIMES {
            pings.time(|| connection.ping()).await?;
        }
        for _ in 0..TIMES {
            calls.time(|| pool.call(nothing())).await?;
        }
        for _ in 0..TIMES {
            within.time(|| inside.call(nothing())).await?;
        }
        for _ in 0..TIMES {
            to_local.time(async || call!(local, EchoMsg::Echo, 1)).await?;
        }
    }
    local.stop(None);
    let (ping, to_local) = (pings.p50(), to_local.p50());
    Ok(vec![
        Row::new("TLS 1.3 ping-pong, in a task, p50", ping, "µs"),
        Row::new("warm call, process, in a task, p50", calls.p50(), "µs").floor(ping),
        Row::new("call to a local actor, in a task, p50", to_local, "µs"),
        // Elixir FLAME's local backend, beside a local call of ractor.
        Row::new("warm call, in process, in a task, p50", within.p50(), "µs").floor(to_local).target(29.0),
    ])
}

async fn in_flight(pool: &Pool, peer: &Peer) -> anyhow::Result<Vec<Row>> {
    let mut connection = peer.connect().await?;
    let mut connections = Vec::new();
    for _ in 0..IN_FLIGHT {
        connections.push(peer.connect().await?);
    }
    let [mut on_one, mut on_many, mut calls] = <[Sample; 3]>::default();
    for _ in 0..ROUNDS {
        on_one.push(connection.pings(IN_FLIGHT, IN_FLIGHT * TIMES).await?);
        on_many.push(floor::pings_over(&mut connections, TIMES / 10).await?);
        calls.push(calls_in_flight(pool, TIMES / 10).await?);
    }
    Ok(vec![
        Row::new("TLS 1.3 pings, 64 in flight on one connection", on_one.p50(), "/s"),
        Row::new("TLS 1.3 pings, 64 connections, one in flight on each", on_many.p50(), "/s"),
        // Plain ractor_cluster has 50,000, which is 1.4 in the time of one ping-pong (28 µs) without TLS. Many pings on
        // one connection share records and system calls as calls do, but have nobody to be told apart for.
        Row::new("calls, process, 64 in flight", calls.p50(), "/s").floor(on_many.p50()).target(1.4),
    ])
}

async fn calls_in_flight(pool: &Pool, each: usize) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut callers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let pool = pool.clone();
        callers.spawn(async move {
            for _ in 0..each {
                pool.call(nothing()).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(per_second(IN_FLIGHT * each, start))
}

/// The first call on a pool without runners: boot, join, call.
async fn from_zero(node: &Node) -> anyhow::Result<Vec<Row>> {
    let [mut processes, mut cold] = <[Sample; 2]>::default();
    for round in 0..ROUNDS {
        processes.time(floor::process).await?;
        let pool = Pool::builder(format!("cold-{round}")).backend(ProcessBackend::new()).start(node).await?;
        cold.time(|| pool.call(nothing())).await?;
        pool.shutdown().await;
    }
    let process = processes.p50() / 1e3;
    Ok(vec![
        Row::new("own executable that does nothing, p50", process, "ms"),
        // Plain ractor_cluster, to the first reply without TLS: 3.4 ms beside 1.4 ms.
        Row::new("first call from zero, process, p50", cold.p50() / 1e3, "ms").floor(process).target(2.4),
    ])
}

/// In MiB.
fn resident(process: u32) -> anyhow::Result<f64> {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: f64 = statm.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * rustix::param::page_size() as f64 / 1024.0 / 1024.0)
}
