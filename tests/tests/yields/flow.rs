//! Back-pressure, and when items come.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{Message, remote, task};
use flame_tests::{Entry, Journal, Runners, eventually, everywhere, node, trials, until};
use futures_util::{Stream, StreamExt, stream};
use libtest_mimic::Trial;

use crate::tasks::{count, count_on, three_and_rest};

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = everywhere![
        nothing_runs_before_it_is_asked,
        a_reader_that_rests_stops_the_body,
        without_a_window_of_its_own_it_is_1024_items_ahead,
        large_items_stop_the_body_earlier,
        a_window_of_no_items_is_one,
        items_come_while_the_body_waits,
        an_item_never_overtakes_what_was_sent_before_it,
    ];
    all.extend(trials![an_item_comes_while_the_body_blocks_its_thread]);
    all
}

/// More would come within this.
const SETTLED: Duration = Duration::from_millis(200);

/// Waits until the body has made so many, and a while for one more.
async fn assert_made(journal: &Journal, items: usize) {
    until(&format!("{items} items"), || journal.count("made") >= items).await;
    tokio::time::sleep(SETTLED).await;
    assert_eq!(journal.count("made"), items);
}

async fn nothing_runs_before_it_is_asked(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let items = pool.stream(count_on(journal.entry()));
    tokio::time::sleep(SETTLED).await;
    assert!(journal.lines().is_empty() && pool.status().runners.is_empty());
    drop(items);
    pool.shutdown().await;
}

async fn a_reader_that_rests_stops_the_body(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let mut items = pool.stream(count_on(journal.entry())).window(10);
    assert_eq!(items.next().await, Some(Ok(0)));
    assert_made(&journal, 10).await;
    for n in 1..5 {
        assert_eq!(items.next().await, Some(Ok(n)));
    }
    // Half a window was read.
    assert_made(&journal, 15).await;
    for n in 5..100 {
        assert_eq!(items.next().await, Some(Ok(n)), "it goes on");
    }
    assert_made(&journal, 110).await;
    pool.shutdown().await;
}

async fn without_a_window_of_its_own_it_is_1024_items_ahead(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let mut items = pool.stream(count_on(journal.entry()));
    assert_eq!(items.next().await, Some(Ok(0)));
    assert_made(&journal, 1024).await;
    drop(items);
    pool.shutdown().await;
}

/// Noted, of this size.
#[remote]
fn blobs_on(size: usize, journal: Entry) -> impl Stream<Item = serde_bytes::ByteBuf> {
    stream::repeat(()).map(move |()| {
        journal.note("made");
        serde_bytes::ByteBuf::from(vec![0; size])
    })
}

async fn large_items_stop_the_body_earlier(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let mut items = pool.stream(blobs_on(100_000, journal.entry()));
    assert_eq!(items.next().await.unwrap().unwrap().len(), 100_000);
    // The eleventh is the first after which 1 MiB is not read.
    assert_made(&journal, 11).await;
    drop(items);
    let journal = Journal::new();
    let mut items = pool.stream(blobs_on(3_000_000, journal.entry()));
    for read in 1..20 {
        assert_eq!(items.next().await.unwrap().unwrap().len(), 3_000_000);
        assert!(journal.count("made") <= read + 1);
    }
    pool.shutdown().await;
}

async fn a_window_of_no_items_is_one(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let mut items = pool.stream(count_on(journal.entry())).window(0);
    for n in 0..100 {
        assert_eq!(items.next().await, Some(Ok(n)));
        assert!(journal.count("made") <= n as usize + 2);
    }
    pool.shutdown().await;
}

async fn items_come_while_the_body_waits(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    let mut items = pool.stream(three_and_rest(journal.entry()));
    for n in 0..3 {
        assert_eq!(eventually("an item", items.next()).await, Some(Ok(n)));
    }
    journal.wait_for("rests").await;
    let next = tokio::time::timeout(SETTLED, items.next()).await;
    next.expect_err("there is nothing yet");
    drop(items);
    journal.wait_for("rest dropped").await;
    pool.shutdown().await;
}

/// Makes each item only when a file of its number is beside the journal, and blocks until then.
#[remote]
fn blocked(journal: Entry) -> impl Stream<Item = u64> {
    stream::iter(0..20).map(move |n| {
        while !journal.path().with_file_name(format!("go-{n}")).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        n
    })
}

async fn an_item_comes_while_the_body_blocks_its_thread() {
    let pool = Runners::Processes.start().await;
    let journal = Journal::new();
    let go = |n: u64| std::fs::write(journal.entry().path().with_file_name(format!("go-{n}")), "").unwrap();
    let mut items = pool.stream(blocked(journal.entry()));
    // Two at a time: the second comes right behind the first, which is just being written.
    for n in (0..20).step_by(2) {
        go(n + 1);
        go(n);
        for n in [n, n + 1] {
            assert_eq!(eventually("an item", items.next()).await, Some(Ok(n)));
        }
    }
    assert_eq!(items.next().await, None);
    pool.shutdown().await;
}

/// Knows the last number that it heard.
struct Last;

#[derive(Message)]
enum LastMsg {
    Heard(u64),
    Tell(RpcReplyPort<u64>),
}

impl Actor for Last {
    type Msg = LastMsg;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<LastMsg>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<LastMsg>, msg: LastMsg, last: &mut u64) -> Result<(), ActorProcessingErr> {
        match msg {
            LastMsg::Heard(n) => *last = n,
            LastMsg::Tell(reply) => reply.send(*last)?,
        }
        Ok(())
    }
}

#[remote]
fn tell_and_yield(last: ActorRef<LastMsg>, to: u64) -> impl Stream<Item = u64> {
    stream::iter(0..to).map(move |n| {
        last.cast(LastMsg::Heard(n)).expect("it lives");
        n
    })
}

async fn an_item_never_overtakes_what_was_sent_before_it(on: Runners) {
    let pool = on.pool().max_concurrency(2).start(&node()).await.unwrap();
    let (last, _) = Actor::spawn(None, Last, ()).await.unwrap();
    let mut items = pool.stream(tell_and_yield(last.clone(), 2000)).window(3);
    while let Some(n) = items.next().await {
        assert!(call!(last, LastMsg::Tell).unwrap() >= n.unwrap());
    }
    let ended: u64 = pool.stream(count(7)).fold(0, |sum, n| async move { sum + n.unwrap() }).await;
    assert_eq!((ended, pool.call(task!([] -> u8 { 1 })).await), (21, Ok(1)));
    last.stop(None);
    pool.shutdown().await;
}
