//! Tasks that yield: items a second, beside bytes alone over TLS, and a call beside a stream of them.

use std::time::{Duration, Instant};

use anyhow::ensure;
use flame_actors::{InProcess, Node, Pool, remote};
use flame_local::ProcessBackend;
use futures_util::{Stream, stream};

use crate::calls::nothing;
use crate::floor::{Peer, per_second};
use crate::report::Row;
use crate::sample::Sample;

/// Both take turns, so that what else the machine does hits both alike.
const ROUNDS: usize = 10;
const ITEMS: usize = 300_000;
const SIZE: usize = 100;
const CALLS: usize = 100;

/// Texts of 100 bytes on the wire.
#[remote]
fn texts() -> impl Stream<Item = String> {
    stream::repeat_with(|| "x".repeat(SIZE - 2))
}

pub(crate) async fn rows(node: Node) -> anyhow::Result<Vec<Row>> {
    // In a task, as the handlers of a server read them.
    tokio::spawn(in_a_task(node)).await?
}

async fn in_a_task(node: Node) -> anyhow::Result<Vec<Row>> {
    let pool = Pool::builder("yields").backend(ProcessBackend::new()).start(&node).await?;
    let inside = Pool::builder("inside").backend(InProcess::new()).start(&node).await?;
    let peer = Peer::start().await?;
    let [mut bytes, mut items, mut within, mut alone, mut beside] = <[Sample; 5]>::default();
    for _ in 0..ROUNDS {
        bytes.push(peer.connect().await?.items(SIZE, ITEMS).await?);
        items.push(read(&pool).await?);
        within.push(read(&inside).await?);
        for _ in 0..CALLS {
            alone.time(|| pool.call(nothing())).await?;
        }
        let mut running = pool.stream(texts());
        let reader = tokio::spawn(async move { while let Some(Ok(_)) = running.next().await {} });
        tokio::time::sleep(Duration::from_millis(20)).await;
        for _ in 0..CALLS {
            beside.time(|| pool.call(nothing())).await?;
        }
        reader.abort();
    }
    let (bytes, alone) = (bytes.p50(), alone.p50());
    Ok(vec![
        Row::new("TLS 1.3, one way, in items of 100 bytes", bytes, "/s"),
        // tonic has 1,900,000 over TLS, ractor_cluster 111,000 to 144,000 without.
        Row::new("items of 100 bytes of a task that yields, process", items.p50(), "/s").target(1_000_000.0),
        Row::new("the same, beside bytes alone", items.p50(), "/s").floor(bytes),
        Row::new("items of 100 bytes of a task that yields, in process", within.p50(), "/s"),
        Row::new("warm call beside such a stream, process, p50", beside.p50(), "µs").floor(alone).target(3.0),
    ])
}

async fn read(pool: &Pool) -> anyhow::Result<f64> {
    let mut texts = pool.stream(texts());
    // The first one comes when the task has started.
    ensure!(texts.next().await.is_some(), "it yields");
    let start = Instant::now();
    for _ in 0..ITEMS {
        ensure!(matches!(texts.next().await, Some(Ok(text)) if text.len() == SIZE - 2), "it yields texts");
    }
    Ok(per_second(ITEMS, start))
}
