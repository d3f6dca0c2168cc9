//! Many streams at once, and calls beside them.

use std::time::Duration;

use flame_actors::{InProcess, Node, Pool, remote, task};
use flame_tests::{Runners, eventually, everywhere, node};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use libtest_mimic::Trial;

use crate::tasks::{count, ticks};

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![
        many_streams_at_once_lose_nothing,
        calls_go_on_beside_streams_that_nobody_reads,
        calls_go_on_beside_streams_that_are_never_done,
        a_stream_comes_through_a_pool_on_a_runner,
    ]
}

async fn many_streams_at_once_lose_nothing(on: Runners) {
    let pool = on.pool().max(2).max_concurrency(50).start(&node()).await.unwrap();
    let streams = (0..100_u64).map(|n| {
        let items = pool.stream(count(1000 + n)).window(1 + n as u32);
        tokio::spawn(async move { items.try_collect::<Vec<_>>().await })
    });
    let calls = (0..100_u64).map(|n| tokio::spawn(pool.call(task!([n: u64] -> u64 { n }))));
    let (streams, calls) = tokio::join!(join_all(streams), join_all(calls));
    for (n, items) in streams.into_iter().enumerate() {
        assert!(items.unwrap().unwrap().into_iter().eq(0..1000 + n as u64));
    }
    for (n, result) in calls.into_iter().enumerate() {
        assert_eq!(result.unwrap().unwrap(), n as u64);
    }
    pool.shutdown().await;
}

/// Of so many bytes each, without an end.
#[remote]
fn blobs(size: usize) -> impl Stream<Item = serde_bytes::ByteBuf> {
    stream::repeat(()).map(move |()| serde_bytes::ByteBuf::from(vec![7; size]))
}

async fn calls_go_on_beside_streams_that_nobody_reads(on: Runners) {
    let pool = on.pool().start(&node()).await.unwrap();
    let mut unread = Vec::new();
    for _ in 0..20 {
        let mut items = pool.stream(blobs(2_000_000));
        assert_eq!(items.next().await.unwrap().unwrap().len(), 2_000_000);
        unread.push(items);
    }
    for n in 0..200 {
        assert_eq!(eventually("a call", pool.call(task!([n: u64] -> u64 { n }))).await, Ok(n));
    }
    for mut items in unread {
        assert_eq!(items.next().await.unwrap().unwrap().len(), 2_000_000, "they go on");
    }
    pool.shutdown().await;
}

async fn calls_go_on_beside_streams_that_are_never_done(on: Runners) {
    let pool = on.pool().start(&node()).await.unwrap();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let mut items = pool.stream(blobs(10_000));
            tokio::spawn(async move { while let Some(Ok(_)) = items.next().await {} })
        })
        .collect();
    for n in 0..200 {
        assert_eq!(eventually("a call", pool.call(task!([n: u64] -> u64 { n }))).await, Ok(n));
    }
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    pool.shutdown().await;
}

/// Numbers from a pool of the runner's own.
#[remote]
fn from_further(name: String, to: u64) -> impl Stream<Item = u64> {
    stream::once(async move {
        let node = Node::current().expect("a runner is a node");
        let pool = Pool::builder(name).backend(InProcess::new()).start(&node).await.expect("its name is new");
        pool.stream(count(to)).map(|item| item.expect("it only counts"))
    })
    .flatten()
}

async fn a_stream_comes_through_a_pool_on_a_runner(on: Runners) {
    let pool = on.start().await;
    let items: Vec<_> = pool.stream(from_further(format!("{}-inner", pool.name()), 5000)).try_collect().await.unwrap();
    assert!(items.into_iter().eq(0..5000));
    let ticks: Vec<_> = pool.stream(ticks(Duration::from_millis(1))).take(3).try_collect().await.unwrap();
    assert_eq!(ticks, [0, 1, 2]);
    pool.shutdown().await;
}
