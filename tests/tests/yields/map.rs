//! Many inputs over a pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flame_actors::{Error, Map, MapProgress, Pool, Stage, remote, task};
use flame_tests::{Broken, Entry, Journal, Runners, eventually, everywhere, node, trials, until};
use futures_util::{FutureExt, Stream as _, StreamExt, TryStreamExt};
use libtest_mimic::Trial;
use tokio::sync::mpsc;

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = everywhere![
        results_come_in_the_order_of_the_inputs,
        unordered_results_come_as_they_are_there,
        one_failure_does_not_lose_the_others,
        inputs_are_taken_only_as_there_is_room,
        so_many_are_under_way_as_was_said,
        as_many_are_under_way_as_the_pool_can_run,
        progress_tells_how_far_it_is,
        a_dropped_map_cancels_what_runs_and_takes_nothing_more,
        a_pool_that_admits_few_who_wait_loses_no_input,
        each_call_has_its_own_time_out,
        inputs_can_come_as_a_stream,
        many_inputs_come_through,
    ];
    all.extend(trials![
        calls_of_a_map_wait_for_each_other_without_a_bound,
        a_map_over_a_pool_that_cannot_boot_says_so,
        a_map_over_a_closed_pool_says_so,
    ]);
    all
}

/// Its number, when a file of its number or of `all` is beside the journal.
#[remote]
async fn when_told(n: u64, journal: Entry) -> u64 {
    let _dropped = journal.on_drop("dropped");
    journal.note("started");
    let (mine, all) = (journal.path().with_file_name(format!("go-{n}")), journal.path().with_file_name("go-all"));
    while !mine.exists() && !all.exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    journal.note("ended");
    n
}

fn go(journal: &Journal, which: impl std::fmt::Display) {
    std::fs::write(journal.entry().path().with_file_name(format!("go-{which}")), "").unwrap();
}

/// Over the numbers from 0 on, which are counted when they are taken.
fn told_map(pool: &Pool, journal: &Journal, to: u64) -> (Map<'static, u64>, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let (count, entry) = (Arc::clone(&taken), journal.entry());
    let inputs = (0..to).inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    (pool.map(inputs, move |n| when_told(n, entry.clone())), taken)
}

async fn started(journal: &Journal, calls: usize, map: &mut Map<'static, u64>) {
    let what = format!("{calls} that have started");
    tokio::select! {
        biased;
        next = map.next() => panic!("nothing was let go: {next:?}"),
        () = until(&what, || journal.count("started") >= calls) => {}
    }
}

async fn results_come_in_the_order_of_the_inputs(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let (mut map, _) = told_map(&pool, &journal, 4);
    started(&journal, 4, &mut map).await;
    for n in 1..4 {
        go(&journal, n);
    }
    tokio::select! {
        next = map.next() => panic!("it is the turn of 0: {next:?}"),
        () = until("three that have ended", || journal.count("ended") == 3) => {}
    }
    go(&journal, 0);
    assert_eq!(map.try_collect::<Vec<_>>().await.unwrap(), [0, 1, 2, 3]);
    pool.shutdown().await;
}

async fn unordered_results_come_as_they_are_there(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let (map, _) = told_map(&pool, &journal, 4);
    let mut map = map.unordered();
    started(&journal, 4, &mut map).await;
    for n in [2, 0, 3, 1] {
        go(&journal, n);
        assert_eq!(eventually("a result", map.next()).await, Some(Ok(n)));
    }
    assert_eq!(map.next().await, None);
    pool.shutdown().await;
}

#[remote]
async fn half(n: u64) -> Result<u64, String> {
    assert!(n != 5, "not five");
    if n.is_multiple_of(2) { Ok(n / 2) } else { Err(format!("{n} is odd")) }
}

async fn one_failure_does_not_lose_the_others(on: Runners) {
    let pool = on.start().await;
    let results: Vec<_> = pool.map(3..8, half).collect().await;
    let odd = |n| Ok(Err(format!("{n} is odd")));
    assert_eq!(results, [odd(3), Ok(Ok(2)), Err(Error::Panicked("not five".to_owned())), Ok(Ok(3)), odd(7)]);
    pool.shutdown().await;
}

async fn inputs_are_taken_only_as_there_is_room(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let (map, taken) = told_map(&pool, &journal, 1_000_000);
    let mut map = map.in_flight(3);
    assert_eq!(taken.load(Ordering::Relaxed), 0, "nothing before it is asked");
    started(&journal, 3, &mut map).await;
    assert_eq!(taken.load(Ordering::Relaxed), 3);
    go(&journal, 0);
    assert_eq!(map.next().await, Some(Ok(0)));
    go(&journal, 2);
    // 1 holds 2 up, and what comes after: three are not given out.
    tokio::select! {
        next = map.next() => panic!("it is the turn of 1: {next:?}"),
        () = until("two that have ended", || journal.count("ended") == 2 && journal.count("started") == 4) => {}
    }
    assert_eq!(taken.load(Ordering::Relaxed), 4);
    drop(map);
    pool.shutdown().await;
}

async fn so_many_are_under_way_as_was_said(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let (map, taken) = told_map(&pool, &journal, 20);
    let mut map = map.in_flight(5).unordered();
    started(&journal, 5, &mut map).await;
    let status = pool.status();
    assert_eq!((status.runners[0].slots_used, status.waiting, taken.load(Ordering::Relaxed)), (5, 0, 5));
    go(&journal, 4);
    assert_eq!(map.next().await, Some(Ok(4)));
    started(&journal, 6, &mut map).await;
    assert_eq!(taken.load(Ordering::Relaxed), 6);
    go(&journal, "all");
    assert_eq!(map.count().await, 19);
    pool.shutdown().await;
}

async fn as_many_are_under_way_as_the_pool_can_run(on: Runners) {
    let pool = on.pool().max(2).max_concurrency(3).start(&node()).await.unwrap();
    let journal = Journal::new();
    let (mut map, taken) = told_map(&pool, &journal, 100);
    started(&journal, 6, &mut map).await;
    assert_eq!((taken.load(Ordering::Relaxed), pool.status().waiting), (6, 0));
    go(&journal, "all");
    assert!(map.try_collect::<Vec<_>>().await.unwrap().into_iter().eq(0..100));
    pool.shutdown().await;
}

async fn progress_tells_how_far_it_is(on: Runners) {
    let pool = on.start().await;
    let map = pool.map(vec![4, 5, 6], half).in_flight(1);
    let mut progress = map.progress();
    let seen = |progress: &MapProgress| (progress.done, progress.failed, progress.running, progress.total);
    assert_eq!(seen(&progress.borrow()), (0, 0, 0, Some(3)));
    let all = tokio::spawn(async move {
        let mut all = Vec::new();
        while progress.changed().await.is_ok() {
            all.push(*progress.borrow_and_update());
        }
        all
    });
    assert_eq!(map.count().await, 3);
    let all = all.await.unwrap();
    assert!(all.iter().all(|progress| progress.running <= 1), "{all:?}");
    assert_eq!(all.last().map(seen), Some((2, 1, 0, Some(3))));

    let mut unknown = pool.map((0..10).filter(|n| n % 5 == 0), half);
    let progress = unknown.progress();
    assert_eq!(progress.borrow().total, None);
    assert_eq!(unknown.next().await, Some(Ok(Ok(0))));
    assert_eq!(progress.borrow().total, Some(2), "all were taken");
    pool.shutdown().await;
}

async fn a_dropped_map_cancels_what_runs_and_takes_nothing_more(on: Runners) {
    let pool = on.pool().max_concurrency(2).start(&node()).await.unwrap();
    let journal = Journal::new();
    let (map, taken) = told_map(&pool, &journal, 100);
    let mut map = map.in_flight(4);
    started(&journal, 2, &mut map).await;
    assert_eq!(pool.status().waiting, 2);
    drop(map);
    until("both are dropped", || journal.count("dropped") == 2).await;
    assert_eq!((taken.load(Ordering::Relaxed), pool.status().waiting), (4, 0));
    eventually("a slot", pool.call(task!([] {}))).await.unwrap();
    assert_eq!((journal.count("started"), journal.count("ended")), (2, 0));
    pool.shutdown().await;
}

async fn a_pool_that_admits_few_who_wait_loses_no_input(on: Runners) {
    for max_waiting in [0, 1, 3] {
        let pool = on.pool().min(1).max_concurrency(2).max_waiting(max_waiting).start(&node()).await.unwrap();
        let results = pool.map(0..200_u64, |n| task!([n: u64] -> u64 { n })).in_flight(50).try_collect::<Vec<_>>();
        assert!(results.await.unwrap().into_iter().eq(0..200), "with {max_waiting}");
        // With the only slots taken by others, too.
        let journal = Journal::new();
        let (mut other, _) = told_map(&pool, &journal, 2);
        started(&journal, 2, &mut other).await;
        let mut map = pool.map(0..20_u64, |n| task!([n: u64] -> u64 { n }));
        assert!(map.next().now_or_never().is_none());
        assert!(pool.status().waiting <= max_waiting.max(1));
        go(&journal, "all");
        let (all, others) = tokio::join!(map.try_collect::<Vec<_>>(), other.count());
        assert!(all.unwrap().into_iter().eq(0..20) && others == 2);
        pool.shutdown().await;
    }
}

async fn each_call_has_its_own_time_out(on: Runners) {
    let pool = on.start().await;
    pool.call(task!([] {})).await.unwrap();
    let journal = Journal::new();
    go(&journal, 1);
    let (map, _) = told_map(&pool, &journal, 3);
    let limit = Duration::from_secs(1);
    let results: Vec<_> = map.timeout(limit).in_flight(1).collect().await;
    assert_eq!(results[1], Ok(1));
    for n in [0, 2] {
        let err = results[n].as_ref().unwrap_err();
        assert!(matches!(err, Error::Timeout { stage: Stage::Running, after, .. } if *after == limit), "{err}");
    }
    pool.shutdown().await;
}

async fn inputs_can_come_as_a_stream(on: Runners) {
    let pool = on.start().await;
    let (tx, mut rx) = mpsc::unbounded_channel();
    let inputs = futures_util::stream::poll_fn(move |cx| rx.poll_recv(cx));
    let mut map = pool.map_stream(inputs, |n| task!([n: u64] -> u64 { n * n }));
    for n in 0..3 {
        assert!(map.next().now_or_never().is_none(), "there is no input yet");
        tx.send(n).unwrap();
        assert_eq!(eventually("a result", map.next()).await, Some(Ok(n * n)));
    }
    drop(tx);
    assert_eq!(eventually("the end", map.next()).await, None);
    pool.shutdown().await;
}

async fn many_inputs_come_through(on: Runners) {
    let pool = on.pool().max(2).start(&node()).await.unwrap();
    let map = pool.map(0..10_000_u64, |n| task!([n: u64] -> u64 { n }));
    assert_eq!(map.size_hint(), (10_000, Some(10_000)));
    assert!(map.try_collect::<Vec<_>>().await.unwrap().into_iter().eq(0..10_000));
    pool.shutdown().await;
}

async fn calls_of_a_map_wait_for_each_other_without_a_bound() {
    // So a caller waits 1.5 s at the most.
    let pool = Runners::InProcess.pool().max_concurrency(1).boot_timeout(Duration::from_millis(500));
    let pool = pool.start(&node()).await.unwrap();
    let nap = |n: u64| task!([n: u64] -> u64 { tokio::time::sleep(Duration::from_millis(700)).await; n });
    let start = Instant::now();
    let results = pool.map(0..4, nap).in_flight(4).try_collect::<Vec<_>>().await;
    assert_eq!(results, Ok(vec![0, 1, 2, 3]));
    assert!(start.elapsed() > Duration::from_millis(2100));
    pool.shutdown().await;
}

async fn a_map_over_a_pool_that_cannot_boot_says_so() {
    let pool = Runners::Processes.pool().backend(Broken::new("no machines")).boot_timeout(Duration::from_millis(200));
    let pool = pool.start(&node()).await.unwrap();
    let results: Vec<_> = eventually("an end", pool.map(0..3_u64, half).collect()).await;
    for result in results {
        let err = result.unwrap_err();
        assert!(matches!(&err, Error::Boot { reason, .. } if reason.contains("no machines")), "{err}");
    }
    pool.shutdown().await;
}

async fn a_map_over_a_closed_pool_says_so() {
    let pool = Runners::InProcess.start().await;
    pool.shutdown().await;
    let results: Vec<_> = pool.map(0..3_u64, half).collect().await;
    assert!(results.len() == 3 && results.iter().all(|it| matches!(it, Err(Error::PoolClosed { .. }))), "{results:?}");
}
