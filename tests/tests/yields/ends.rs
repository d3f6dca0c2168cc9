//! How streams end: by the body, the reader, the clock, the pool, the runner, the parent.

use std::time::{Duration, Instant};

use flame_actors::__private::{Remote, YieldsItems};
use flame_actors::{Cause, Error, Event, Leave, Pool, Stage, Streaming, Yields, cancelled, deadline, remote, task};
use flame_tests::process::{Signal, kill};
use flame_tests::{Entry, Journal, Role, Runners, eventually, everywhere, node, told, trials, until};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use libtest_mimic::Trial;

use crate::tasks::{count, count_on, noted, three_and_rest, ticks};

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = everywhere![
        a_dropped_stream_stops_its_body,
        a_stream_that_is_dropped_while_it_waits_takes_no_slot,
        an_unlinked_stream_goes_on_without_its_reader,
        an_unlinked_stream_that_is_always_ready_ends_with_its_pool,
        what_was_yielded_before_a_panic_comes_first,
        a_function_that_panics_before_it_yields_has_panicked,
        the_time_out_bounds_the_whole_run,
        the_time_out_counts_while_the_reader_rests,
        the_pools_timeout_does_not_bound_a_stream,
        waiting_for_a_slot_is_bounded,
        the_deadline_is_that_of_the_stream,
        the_body_hears_that_its_reader_has_gone,
        a_body_that_has_ended_is_not_cancelled,
        an_item_that_cannot_be_made_out_is_the_last_one,
        a_stream_holds_one_slot_until_its_end,
        the_end_of_a_stream_is_told_with_its_outcome,
        an_unknown_task_is_named,
        a_full_pool_refuses_a_stream,
        a_shutdown_ends_a_stream_after_its_grace,
        a_closed_pool_refuses_a_stream,
    ];
    all.extend(trials![
        a_lost_runner_is_the_last_item,
        a_body_that_never_yields_control_costs_its_runner,
        a_lost_parent_stops_a_linked_body_and_lets_an_unlinked_one_end,
    ]);
    all
}

async fn one_slot(on: Runners) -> Pool {
    on.pool().max_concurrency(1).start(&node()).await.unwrap()
}

fn assert_ran_out(err: &Error, stage: Stage, after: Duration) {
    match err {
        Error::Timeout { stage: found, after: bound, .. } => assert_eq!((*found, *bound), (stage, after), "{err}"),
        other => panic!("{other}"),
    }
}

/// Reads to the error, after which there is nothing; gives how many items came before.
async fn failure<T: Send + 'static>(items: &mut Streaming<T>) -> (u64, Error) {
    for n in 0.. {
        match eventually("an item or an end", items.next()).await.expect("an error comes first") {
            Ok(_) => {}
            Err(err) => {
                assert!(items.next().await.is_none() && items.next().await.is_none());
                return (n, err);
            }
        }
    }
    unreachable!("numbers do not end")
}

async fn a_dropped_stream_stops_its_body(on: Runners) {
    let pool = one_slot(on).await;
    let (busy, resting) = (Journal::new(), Journal::new());
    let mut items = pool.stream(count_on(busy.entry()));
    for n in 0..5000 {
        assert_eq!(items.next().await, Some(Ok(n)));
    }
    drop(items);
    busy.wait_for("dropped").await;
    let mut items = pool.stream(three_and_rest(resting.entry()));
    assert_eq!(items.next().await, Some(Ok(0)));
    resting.wait_for("rests").await;
    drop(items);
    resting.wait_for("rest dropped").await;
    eventually("the slot", pool.call(task!([] {}))).await.unwrap();
    pool.shutdown().await;
}

async fn a_stream_that_is_dropped_while_it_waits_takes_no_slot(on: Runners) {
    let pool = one_slot(on).await;
    let (first, second) = (Journal::new(), Journal::new());
    let mut holder = pool.stream(count_on(first.entry()));
    assert_eq!(holder.next().await, Some(Ok(0)));
    let mut waiting = pool.stream(count_on(second.entry()));
    assert!(waiting.next().now_or_never().is_none());
    assert_eq!(pool.status().waiting, 1);
    drop(waiting);
    assert_eq!(pool.status().waiting, 0);
    drop(holder);
    eventually("the slot", pool.call(task!([] {}))).await.unwrap();
    assert!(second.lines().is_empty());
    pool.shutdown().await;
}

/// Numbers up to an end that is noted.
#[remote]
fn to_the_end(to: u64, journal: Entry) -> impl Stream<Item = u64> {
    let end = journal.clone();
    noted(journal, Some(to)).chain(stream::once(async move {
        end.note("ended");
        to
    }))
}

async fn an_unlinked_stream_goes_on_without_its_reader(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let mut items = pool.stream(to_the_end(3000, journal.entry())).link(false).window(5);
    assert_eq!(items.next().await, Some(Ok(0)));
    drop(items);
    journal.wait_for("ended").await;
    assert_eq!(journal.count("made"), 3000);
    eventually("the slot", pool.call(task!([] {}))).await.unwrap();
    pool.shutdown().await;
}

/// Never waits for anything.
#[remote]
fn always_ready(journal: Entry) -> impl Stream<Item = u64> {
    let dropped = journal.on_drop("dropped");
    stream::repeat(7).map(move |n| {
        let _ = &dropped;
        n
    })
}

async fn an_unlinked_stream_that_is_always_ready_ends_with_its_pool(on: Runners) {
    let pool = on.pool().shutdown_timeout(Duration::from_millis(300)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let mut items = pool.stream(always_ready(journal.entry())).link(false);
    assert_eq!(items.next().await, Some(Ok(7)));
    drop(items);
    pool.shutdown().await;
    journal.wait_for("dropped").await;
}

#[remote]
fn count_and_panic(to: u64) -> impl Stream<Item = u64> {
    stream::iter(0..=to).map(move |n| if n == to { panic!("no number after {n}") } else { n })
}

async fn what_was_yielded_before_a_panic_comes_first(on: Runners) {
    let pool = one_slot(on).await;
    for n in [0, 1, 3000] {
        let (items, err) = failure(&mut pool.stream(count_and_panic(n))).await;
        assert_eq!((items, err), (n, Error::Panicked(format!("no number after {n}"))));
    }
    let long = "x".repeat(100_000);
    let (_, err) = failure(&mut pool.stream(panic_at_length(long))).await;
    assert!(matches!(&err, Error::Panicked(text) if text.starts_with("xxx")), "{err:?}");
    pool.shutdown().await;
}

#[remote]
fn panic_at_length(text: String) -> impl Stream<Item = u64> {
    // Without the hook, which would print all of it.
    stream::once(async move { std::panic::resume_unwind(Box::new(text)) })
}

#[remote]
fn refuses(why: String) -> impl Stream<Item = u64> {
    assert!(why.is_empty(), "{why}");
    stream::empty()
}

async fn a_function_that_panics_before_it_yields_has_panicked(on: Runners) {
    let pool = one_slot(on).await;
    let (items, err) = failure(&mut pool.stream(refuses("not today".to_owned()))).await;
    assert_eq!((items, err), (0, Error::Panicked("not today".to_owned())));
    pool.shutdown().await;
}

async fn the_time_out_bounds_the_whole_run(on: Runners) {
    let pool = one_slot(on).await;
    pool.call(task!([] {})).await.unwrap();
    let (limit, start) = (Duration::from_secs(1), Instant::now());
    let (items, err) = failure(&mut pool.stream(ticks(Duration::from_millis(20))).timeout(limit)).await;
    assert_ran_out(&err, Stage::Running, limit);
    // The runner is told whole milliseconds.
    let (ran, least) = (start.elapsed(), limit - Duration::from_millis(1));
    assert!((1..=50).contains(&items) && ran >= least, "{items} items in {ran:?}");
    eventually("the slot", pool.call(task!([] {}))).await.unwrap();
    pool.shutdown().await;
}

async fn the_time_out_counts_while_the_reader_rests(on: Runners) {
    let pool = one_slot(on).await;
    pool.call(task!([] {})).await.unwrap();
    let (limit, journal) = (Duration::from_secs(1), Journal::new());
    let mut items = pool.stream(count_on(journal.entry())).window(8).timeout(limit);
    assert_eq!(items.next().await, Some(Ok(0)));
    // By the runner's clock, although nobody asks.
    journal.wait_for("dropped").await;
    let (more, err) = failure(&mut items).await;
    assert_ran_out(&err, Stage::Running, limit);
    assert_eq!(more, 7, "what was made comes first");
    pool.shutdown().await;
}

async fn the_pools_timeout_does_not_bound_a_stream(on: Runners) {
    let pool = on.pool().timeout(Duration::from_millis(100)).start(&node()).await.unwrap();
    let items: Vec<_> = pool.stream(ticks(Duration::from_millis(30))).take(20).collect().await;
    assert!(items.iter().all(Result::is_ok), "{items:?}");
    pool.shutdown().await;
}

async fn waiting_for_a_slot_is_bounded(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let mut holder = pool.stream(count_on(journal.entry()));
    assert_eq!(holder.next().await, Some(Ok(0)));
    let limit = Duration::from_millis(200);
    let (_, err) = failure(&mut pool.stream(count(1)).timeout(limit)).await;
    assert_ran_out(&err, Stage::Waiting, limit);
    drop(holder);
    pool.shutdown().await;
}

#[remote]
fn time_left() -> impl Stream<Item = Option<Duration>> {
    stream::once(async { deadline().map(|deadline| deadline.saturating_duration_since(Instant::now())) })
}

async fn the_deadline_is_that_of_the_stream(on: Runners) {
    let pool = one_slot(on).await;
    assert_eq!(pool.stream(time_left()).next().await, Some(Ok(None)));
    let limit = Duration::from_secs(300);
    let left = pool.stream(time_left()).timeout(limit).next().await.unwrap().unwrap().unwrap();
    assert!(left <= limit && left > limit / 2, "{left:?}");
    pool.shutdown().await;
}

/// Numbers, and a note once it is told that it ends, or after three seconds that it was not.
#[remote]
fn watched(to: u64, journal: Entry) -> impl Stream<Item = u64> {
    stream::once(async move {
        let cancelled = cancelled();
        let thread = journal.clone();
        tokio::spawn(async move {
            let told = tokio::time::timeout(Duration::from_secs(3), cancelled).await;
            thread.note(if told.is_ok() { "cancelled" } else { "not cancelled" });
        });
        noted(journal, None)
    })
    .flatten()
    .take(usize::try_from(to).expect("it is small"))
}

async fn the_body_hears_that_its_reader_has_gone(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let mut items = pool.stream(watched(1_000_000, journal.entry())).window(3);
    assert_eq!(items.next().await, Some(Ok(0)));
    drop(items);
    journal.wait_for("cancelled").await;
    pool.shutdown().await;
}

async fn a_body_that_has_ended_is_not_cancelled(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let items: Vec<_> = pool.stream(watched(3, journal.entry())).collect().await;
    assert_eq!(items, [Ok(0), Ok(1), Ok(2)]);
    journal.wait_for("not cancelled").await;
    pool.shutdown().await;
}

/// A number that is encoded, and for one value not decoded.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Picky(u64);

impl<'de> serde::Deserialize<'de> for Picky {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            3 => Err(serde::de::Error::custom("not that one")),
            n => Ok(Self(n)),
        }
    }
}

#[remote]
fn picky(journal: Entry) -> impl Stream<Item = Picky> {
    noted(journal, None).map(Picky)
}

async fn an_item_that_cannot_be_made_out_is_the_last_one(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let mut items = pool.stream(picky(journal.entry()));
    let (before, err) = failure(&mut items).await;
    assert!(matches!(&err, Error::Decode { reason, .. } if reason.contains("not that one")), "{err:?}");
    assert_eq!(before, 3);
    journal.wait_for("dropped").await;
    drop(items);
    pool.shutdown().await;
}

async fn a_stream_holds_one_slot_until_its_end(on: Runners) {
    let pool = on.pool().max_concurrency(2).start(&node()).await.unwrap();
    let used = || pool.status().runners.iter().map(|runner| runner.slots_used).sum::<usize>();
    let mut items = pool.stream(count(2000)).window(5);
    assert_eq!(items.next().await, Some(Ok(0)));
    assert_eq!(used(), 1);
    let rest = items.by_ref().take(1999).count().await;
    assert_eq!((rest, items.next().await, used()), (1999, None, 0));
    pool.shutdown().await;
}

async fn the_end_of_a_stream_is_told_with_its_outcome(on: Runners) {
    let pool = one_slot(on).await;
    let mut events = pool.events();
    assert_eq!(pool.stream(count(3)).count().await, 3);
    drop(failure(&mut pool.stream(count_and_panic(1))).await);
    let mut dropped = pool.stream(count(1_000_000));
    assert_eq!(dropped.next().await, Some(Ok(0)));
    drop(dropped);
    let mut outcomes = Vec::new();
    while outcomes.len() < 3 {
        if let Some(Event::Finished { task, error, .. }) = eventually("an event", events.next()).await {
            assert!(task.contains("count"), "{task}");
            outcomes.push(error);
        }
    }
    assert!(matches!(outcomes[..], [None, Some(Error::Panicked(_)), Some(Error::Cancelled(_))]), "{outcomes:?}");
    pool.shutdown().await;
}

/// Described as the macros do it, and not submitted to the table of tasks.
struct Unlisted;

impl Remote for Unlisted {
    const NAME: &'static str = "yields::unlisted";
    const LOCATION: &'static str = "nowhere";
    type Args = ();
    type Output = ();

    fn encode_args((): ()) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }

    fn decode_args(_: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn encode_output((): ()) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }

    fn decode_output(_: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

impl YieldsItems for Unlisted {
    fn run((): ()) -> impl Stream<Item = ()> + Send + 'static {
        stream::empty()
    }
}

async fn an_unknown_task_is_named(on: Runners) {
    let pool = one_slot(on).await;
    let (_, err) = failure(&mut pool.stream(Yields::of::<Unlisted>(()))).await;
    assert!(matches!(&err, Error::UnknownTask(name) if name.contains("yields::unlisted")), "{err}");
    eventually("the slot", pool.call(task!([] {}))).await.unwrap();
    pool.shutdown().await;
}

async fn a_full_pool_refuses_a_stream(on: Runners) {
    let pool = on.pool().max_concurrency(1).max_waiting(0).min(1).start(&node()).await.unwrap();
    until("its runner", || pool.status().runners.len() == 1).await;
    let mut holder = pool.stream(count(1_000_000));
    assert_eq!(holder.next().await, Some(Ok(0)));
    let (_, err) = failure(&mut pool.stream(count(1))).await;
    assert!(matches!(err, Error::PoolFull { .. }), "{err}");
    drop(holder);
    pool.shutdown().await;
}

async fn a_shutdown_ends_a_stream_after_its_grace(on: Runners) {
    let pool = on.pool().shutdown_timeout(Duration::from_millis(500)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let mut endless = pool.stream(three_and_rest(journal.entry()));
    for n in 0..3 {
        assert_eq!(endless.next().await, Some(Ok(n)));
    }
    // In the queue of its own task, so that it ends while the pool does.
    let read = tokio::spawn(async move { failure(&mut endless).await });
    pool.shutdown().await;
    let (items, err) = eventually("the end", read).await.unwrap();
    assert_eq!(items, 0);
    assert!(matches!(err, Error::RunnerLost { cause: Cause::Stopped, .. } | Error::Cancelled(_)), "{err:?}");
    journal.wait_for("dropped").await;
}

async fn a_closed_pool_refuses_a_stream(on: Runners) {
    let pool = on.start().await;
    pool.shutdown().await;
    let (_, err) = failure(&mut pool.stream(count(1))).await;
    assert!(matches!(err, Error::PoolClosed { .. }), "{err}");
}

async fn a_lost_runner_is_the_last_item() {
    let pool = Runners::Processes.start().await;
    let journal = Journal::new();
    let mut items = pool.stream(three_and_rest(journal.entry()));
    assert_eq!(items.next().await, Some(Ok(0)));
    journal.wait_for("rests").await;
    // So that all that was yielded has arrived.
    pool.call(task!([] {})).await.unwrap();
    kill(journal.pid("started").await);
    let (rest, err) = failure(&mut items).await;
    assert!(matches!(err, Error::RunnerLost { cause: Cause::Signalled(9), .. }), "{err}");
    assert_eq!(rest, 2);
    pool.shutdown().await;
}

#[remote]
fn block(time: Duration, journal: Entry) -> impl Stream<Item = u64> {
    stream::once(async move {
        journal.note("blocks");
        std::thread::sleep(time);
        0
    })
}

async fn a_body_that_never_yields_control_costs_its_runner() {
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_millis(300)).start(&node()).await.unwrap();
    let mut events = pool.events();
    let journal = Journal::new();
    let mut items = pool.stream(block(Duration::from_secs(100), journal.entry()));
    tokio::select! {
        _ = items.next() => panic!("it blocks"),
        () = journal.wait_for("blocks") => {}
    }
    drop(items);
    loop {
        match eventually("the loss of the runner", events.next()).await {
            Some(Event::Shrunk { why, .. }) => break assert_eq!(why, Leave::Stuck),
            Some(_) => {}
            None => panic!("the pool is there"),
        }
    }
    pool.shutdown().await;
}

/// A parent with two streams that it does not read to their ends.
pub(crate) async fn parent() {
    let journals = std::env::var("JOURNALS").expect("the trial says where");
    let (linked, unlinked) = journals.split_once(':').expect("there are two");
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_secs(20)).start(&node()).await.unwrap();
    let mut linked = pool.stream(to_the_end(1_000_000, Entry::at(linked))).window(3);
    let mut unlinked = pool.stream(to_the_end(1000, Entry::at(unlinked))).window(3).link(false);
    assert_eq!((linked.next().await, unlinked.next().await), (Some(Ok(0)), Some(Ok(0))));
    told("under way");
    std::future::pending::<()>().await;
}

async fn a_lost_parent_stops_a_linked_body_and_lets_an_unlinked_one_end() {
    let (linked, unlinked) = (Journal::new(), Journal::new());
    let journals = format!("{}:{}", linked.entry().path().display(), unlinked.entry().path().display());
    let mut parent = Role::start("parent", &[("JOURNALS", &journals)]);
    assert_eq!(parent.next().await, "under way");
    assert!(!unlinked.has("ended"));
    parent.signal(Signal::SIGKILL);
    linked.wait_for("dropped").await;
    unlinked.wait_for("ended").await;
    assert_eq!((linked.has("ended"), unlinked.count("made")), (false, 1000));
}
