//! Many streams: connections are used again, and nothing is left of them.

use std::time::Duration;

use flame_actors::ByteStream;
use flame_tests::process::{connections, descriptors};
use flame_tests::{Journal, Proxy, Role, Runners, eventually, told, trials, within};
use libtest_mimic::Trial;

use crate::work::{ENDLESS, End, Numbers, consume, produce, produce_noting, read_all, taste, who};

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_thousand_small_streams_use_few_connections, nothing_is_left_of_streams_that_have_ended]
}

async fn a_thousand_small_streams_use_few_connections() {
    let proxy = Proxy::start().await;
    let environment = proxy.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut role = Role::start("thousand", &environment);
    while role.next().await != "done" {}
    // Besides the link and its session. One that is not free at once, since both sides have to know that it is, costs
    // another.
    let made = proxy.accepted() - 2;
    assert!((1..=8).contains(&made), "{made}");
}

pub(crate) async fn thousand() {
    let pool = Runners::Processes.start().await;
    for n in 0..1000 {
        if n % 100 == 0 {
            told(n);
        }
        if n % 2 == 0 {
            let read = eventually("a call", pool.call(consume(ByteStream::new(Numbers::new(n))))).await.unwrap();
            assert_eq!(read.unwrap().1, n);
        } else {
            let stream = eventually("a call", pool.call(produce(n))).await.unwrap();
            assert_eq!(eventually("reading", read_all(stream)).await.unwrap().1, n);
        }
    }
    told("done");
    pool.shutdown().await;
}

async fn nothing_is_left_of_streams_that_have_ended() {
    // A parent of its own, since each trial here has descriptors, too.
    let mut role = Role::start("tidy", &[]);
    assert_eq!(role.next().await, "done");
}

pub(crate) async fn tidy() {
    let (pool, journal) =
        (Runners::Processes.pool().max_concurrency(40).start(&flame_tests::node()).await.unwrap(), Journal::new());
    let (me, (_, runner)) = (std::process::id(), pool.call(who()).await.unwrap());
    let stream = || ByteStream::new(Numbers::new(1000));
    // What is started when it is first needed has descriptors of its own.
    eventually("the first", pool.call(consume(stream()))).await.unwrap().unwrap();
    for _ in 0..2 {
        drop(eventually("another", pool.call(produce(1000))).await.unwrap());
        eventually("one more", pool.call(taste(stream(), 10))).await.unwrap();
    }
    let left = |pid: u32| connections(pid).len();
    let before = (left(me), left(runner), descriptors(me), descriptors(runner));
    let good = (0..30).map(|_| pool.call(consume(stream())));
    let left_alone = (0..30).map(|_| pool.call(taste(ByteStream::new(Numbers::new(ENDLESS).then(End::Wait)), 10)));
    let (good, left_alone) = eventually("all", async {
        tokio::join!(futures_util::future::join_all(good), futures_util::future::join_all(left_alone))
    })
    .await;
    good.into_iter().for_each(|read| assert_eq!(read.unwrap().unwrap().1, 1000));
    left_alone.into_iter().for_each(|bytes| assert_eq!(bytes.unwrap(), 10));
    for _ in 0..10 {
        drop(pool.call(produce_noting(ENDLESS, End::Wait, journal.entry())).await.unwrap());
    }
    within(Duration::from_secs(30), "every source is dropped", || journal.count("source dropped") == 10).await;
    let now = || (left(me), left(runner), descriptors(me), descriptors(runner));
    // The link and its session.
    let is_tidy = || {
        let now = now();
        (now.0, now.1) == (2, 2) && now.2 <= before.2 && now.3 <= before.3
    };
    let tidy = tokio::time::timeout(Duration::from_secs(28), within(Duration::from_secs(60), "", is_tidy)).await;
    assert!(tidy.is_ok(), "{before:?} and then {:?}", now());
    told("done");
    pool.shutdown().await;
}
