//! What the metrics of a pool say of what has happened in it.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use flame_actors::{Error, Event, Leave, Message, Pool, placeable, remote, task};
use flame_local::ProcessBackend;
use flame_tests::{
    BEFORE_START, Broken, Entry, Journal, Runners, eventually, everywhere, node, process, trials, until,
};
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use libtest_mimic::Trial;

use crate::recorder::{Numbers, numbers};

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = everywhere![
        everything_that_happens_is_counted,
        a_pool_that_has_ended_counts_nothing_any_more,
        a_runner_that_is_sent_away_is_no_loss,
        waiting_is_no_part_of_running,
        a_stream_is_counted_as_a_call_is,
    ];
    all.extend(trials![
        a_runner_that_is_killed_is_counted_with_its_cause,
        boots_that_fail_are_counted_as_such,
        a_pool_that_ends_while_it_boots_leaves_no_number_behind,
        a_recorder_that_comes_after_the_pool_hears_nothing,
    ]);
    all
}

const CAUSES: [&str; 5] = ["exited", "signalled", "lease_expired", "connection_closed", "protocol"];

#[derive(Message)]
pub(crate) enum Nothing {}

pub(crate) struct Idler;

#[placeable]
impl Actor for Idler {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// Notes that it runs, and goes on until there is a file of this name.
#[remote]
pub(crate) async fn hold(journal: Entry) {
    journal.note(format_args!("pid={}", std::process::id()));
    while !journal.path().with_file_name("go").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn given(pool: &Pool, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    numbers().given(name, pool.name(), labels)
}

fn count(pool: &Pool, name: &str, labels: &[(&str, &str)]) -> usize {
    given(pool, name, labels).len()
}

fn now(pool: &Pool, name: &str, labels: &[(&str, &str)]) -> f64 {
    given(pool, name, labels).last().copied().unwrap_or(-1.0)
}

/// The runners of a pool by state, its used slots, and who waits.
fn gauges(pool: &Pool) -> [f64; 6] {
    let runners = |state| now(pool, "flame_runners", &[("state", state)]);
    let (used, waiting) = (now(pool, "flame_slots_used", &[]), now(pool, "flame_waiting", &[]));
    [runners("booting"), runners("idle"), runners("busy"), runners("leaving"), used, waiting]
}

fn assert_all_gone(pool: &Pool) {
    let gauges = numbers().last(pool.name(), "gauge");
    assert_eq!(gauges.len(), 6, "{gauges:?}");
    assert!(gauges.iter().all(|(_, last)| *last == Some(0.0)), "{gauges:?}");
}

async fn everything_that_happens_is_counted(runners: Runners) {
    let pool = runners.pool().max(2).max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(pool.call(hold(journal.entry())))).collect();
    until("two of three run", || gauges(&pool) == [0.0, 0.0, 2.0, 0.0, 2.0, 1.0]).await;
    std::fs::write(journal.entry().path().with_file_name("go"), "").unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // Gauges are set a moment after what they tell of.
    until("both are idle", || gauges(&pool) == [0.0, 2.0, 0.0, 0.0, 0.0, 0.0]).await;

    pool.call(task!([] { panic!("on purpose") })).await.unwrap_err();
    let dropped = Journal::new();
    let under_way = tokio::spawn(pool.call(hold(dropped.entry())));
    dropped.value("pid").await;
    under_way.abort();
    until("its slot is free", || now(&pool, "flame_slots_used", &[]) == 0.0).await;
    let child = pool.place_child(Idler, ()).await.unwrap();
    until("one has a child", || gauges(&pool) == [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]).await;
    child.stop(None);

    let outcomes = |name| ["ok", "failed", "up"].map(|outcome| count(&pool, name, &[("outcome", outcome)]));
    assert_eq!(outcomes("flame_run_seconds"), [3, 2, 0], "calls: three held, one panicked, one was dropped");
    until("two boots are counted", || outcomes("flame_boots_total") == [0, 0, 2]).await;
    assert_eq!(count(&pool, "flame_boot_seconds", &[]), 2);
    let waits = given(&pool, "flame_queue_wait_seconds", &[]);
    assert_eq!(waits.len(), 6, "five calls and a child");
    assert_eq!(waits.iter().filter(|wait| **wait > 0.0).count(), 3, "{waits:?}");
    pool.shutdown().await;
    assert_all_gone(&pool);
}

/// Numbers from 0 on.
#[remote]
pub(crate) fn count_to(end: u64) -> impl Stream<Item = u64> {
    tracing::info!("counts to {end}");
    stream::iter(0..end).map(|n| if n < 10 { n } else { panic!("that is too far") })
}

async fn a_stream_is_counted_as_a_call_is(runners: Runners) {
    let pool = runners.start().await;
    let mut under_way = pool.stream(count_to(3)).window(1);
    assert_eq!(under_way.next().await, Some(Ok(0)));
    until("it is under way", || gauges(&pool) == [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]).await;
    assert_eq!(under_way.count().await, 2);
    until("it has ended", || gauges(&pool) == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).await;
    assert_eq!(pool.stream(count_to(20)).count().await, 11, "with its panic");
    let mut dropped = pool.stream(count_to(3)).window(1);
    assert_eq!(dropped.next().await, Some(Ok(0)));
    drop(dropped);
    let outcomes = || ["ok", "failed"].map(|outcome| count(&pool, "flame_run_seconds", &[("outcome", outcome)]));
    until("all are counted", || outcomes() == [1, 2]).await;
    assert_eq!(count(&pool, "flame_queue_wait_seconds", &[]), 3);
    pool.shutdown().await;
    assert_all_gone(&pool);
}

async fn a_runner_that_is_sent_away_is_no_loss(runners: Runners) {
    let pool = runners.pool().idle_shutdown_after(Duration::ZERO).start(&node()).await.unwrap();
    let mut events = pool.events();
    pool.call(task!([] {})).await.unwrap();
    // A loss is counted before the runner is forgotten.
    until("it has been there", || count(&pool, "flame_boots_total", &[("outcome", "up")]) == 1).await;
    until("it is gone", || gauges(&pool) == [0.0; 6]).await;
    assert_eq!(CAUSES.map(|cause| count(&pool, "flame_runners_lost_total", &[("cause", cause)])), [0; 5]);
    pool.shutdown().await;
    let mut left = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Shrunk { why, .. } => left.push(why),
            Event::Lost { .. } => panic!("{event:?}"),
            _ => {}
        }
    }
    assert_eq!(left, [Leave::Idle]);
}

async fn a_pool_that_has_ended_counts_nothing_any_more(runners: Runners) {
    let pool = runners.pool().min(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hold(journal.entry())).link(false));
    journal.value("pid").await;
    pool.shutdown().await;
    eventually("the end of the call", call).await.unwrap().unwrap_err();
    assert_all_gone(&pool);
}

async fn waiting_is_no_part_of_running(runners: Runners) {
    let pool = runners.pool().max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let first = tokio::spawn(pool.call(hold(journal.entry())));
    journal.value("pid").await;
    let start = Instant::now();
    let second = tokio::spawn(pool.call(task!([] {})));
    until("it waits", || now(&pool, "flame_waiting", &[]) == 1.0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::fs::write(journal.entry().path().with_file_name("go"), "").unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let took = start.elapsed().as_secs_f64();
    let (waits, runs) =
        (given(&pool, "flame_queue_wait_seconds", &[]), given(&pool, "flame_run_seconds", &[("outcome", "ok")]));
    assert_eq!((waits.len(), runs.len()), (2, 2));
    // The second one may be told first.
    let [wait, run] = [waits.iter().copied().fold(0.0, f64::max), runs.iter().copied().fold(f64::MAX, f64::min)];
    assert!(wait > 0.9 && wait + run <= took, "waited {waits:?}, ran {runs:?}, took {took}");
    pool.shutdown().await;
}

async fn a_runner_that_is_killed_is_counted_with_its_cause() {
    let pool = Runners::Processes.pool().start(&node()).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hold(journal.entry())));
    process::kill(journal.pid("pid").await);
    let err = eventually("the end of the call", call).await.unwrap().unwrap_err();
    assert!(matches!(err, Error::RunnerLost { .. }), "{err}");
    let lost = |cause| count(&pool, "flame_runners_lost_total", &[("cause", cause)]);
    until("it is counted", || lost("signalled") == 1).await;
    assert_eq!(CAUSES.map(lost), [0, 1, 0, 0, 0]);
    assert_eq!(count(&pool, "flame_run_seconds", &[("outcome", "failed")]), 1);
    until("nothing is left of it", || gauges(&pool) == [0.0; 6]).await;
    pool.call(task!([] {})).await.unwrap();
    until("both boots are counted", || count(&pool, "flame_boots_total", &[("outcome", "up")]) == 2).await;
    pool.shutdown().await;
    assert_all_gone(&pool);
}

async fn boots_that_fail_are_counted_as_such() {
    let broken = Broken::new("on purpose");
    let pool = Runners::Processes.pool().backend(broken.clone()).start(&node()).await.unwrap();
    pool.call(task!([] {})).timeout(Duration::from_secs(1)).await.unwrap_err();
    pool.shutdown().await;
    let failed = count(&pool, "flame_boots_total", &[("outcome", "failed")]);
    assert!(failed > 0 && failed == broken.boots.load(Ordering::Relaxed) as usize, "{failed}: {broken:?}");
    assert_eq!(count(&pool, "flame_boots_total", &[("outcome", "up")]), 0);
    assert_eq!(count(&pool, "flame_boot_seconds", &[]), 0);
    assert_eq!(count(&pool, "flame_queue_wait_seconds", &[]), 0, "nobody got a slot");
    assert_all_gone(&pool);
}

async fn a_pool_that_ends_while_it_boots_leaves_no_number_behind() {
    let backend = ProcessBackend::new().env(BEFORE_START, "600000");
    let pool = Runners::Processes.pool().max(2).max_concurrency(1).backend(backend).start(&node()).await.unwrap();
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(pool.call(task!([] {})))).collect();
    until("two boot, three wait", || gauges(&pool) == [2.0, 0.0, 0.0, 0.0, 0.0, 3.0]).await;
    pool.shutdown().await;
    for call in calls {
        let err = eventually("the end of a call", call).await.unwrap().unwrap_err();
        assert!(matches!(err, Error::PoolClosed { .. }), "{err}");
    }
    assert_all_gone(&pool);
    assert_eq!(pool.status().booting, 0);
}

/// As book/src/observing.md says: a pool takes its handles when it starts.
async fn a_recorder_that_comes_after_the_pool_hears_nothing() {
    let (node, early) = (node(), Numbers::default());
    let builder = Runners::InProcess.pool();
    let pool = {
        let mut start = pin!(builder.start(&node));
        // The recorder of one thread, for as long as the pool's start is polled there.
        let start = std::future::poll_fn(|cx| metrics::with_local_recorder(&early, || start.poll_unpin(cx)));
        start.await.unwrap()
    };
    pool.call(task!([] {})).await.unwrap();
    pool.shutdown().await;
    let heard = |numbers: &Numbers| ["gauge", "counter", "histogram"].map(|kind| numbers.last(pool.name(), kind).len());
    assert_eq!(heard(numbers()), [0; 3], "the one for the whole process came after it");
    assert_eq!(heard(&early), [6, 10, 4]);
    assert_eq!(early.given("flame_run_seconds", pool.name(), &[("outcome", "ok")]).len(), 1);
}
