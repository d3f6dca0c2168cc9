//! What comes back from a call.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use flame_actors::__private::{Remote, Returns};
use flame_actors::{Error, Pool, Task, provided, remote, task};
use flame_tests::{Greeting, Journal, Runners, eventually, everywhere, node, trials};
use libtest_mimic::Trial;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::tasks::{take, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_result_comes_back,
        a_panic_comes_back_with_its_text,
        a_panic_costs_nothing_but_its_call,
        a_panic_with_a_very_long_text_comes_back,
        a_panic_without_text_comes_back,
        an_unknown_task_is_named,
        arguments_that_do_not_encode_are_an_error,
        arguments_that_do_not_decode_are_an_error,
        a_result_that_does_not_encode_is_an_error,
        a_result_that_does_not_decode_is_an_error,
        what_was_not_provided_is_named,
        an_error_of_anyhow_comes_back_with_its_causes,
        a_cast_runs,
        a_cast_does_not_wait,
        many_calls_at_once_all_come_back,
        a_task_that_was_started_here_is_refused,
    ];
    trials.extend(trials![
        a_call_runs_in_another_process,
        what_was_provided_is_found,
        a_task_that_calls_a_pool_of_its_runner_gets_its_result,
    ]);
    trials
}

#[remote]
async fn concat(a: String, b: Vec<u32>) -> String {
    format!("{a}{b:?}")
}

#[remote]
async fn panic_with(text: String) -> u32 {
    panic!("{text}")
}

/// After whatever happened, the pool works, on the same runner.
async fn assert_goes_on(pool: &Pool, runner: &str) {
    let (_, now) = eventually("a call after a failed one", pool.call(whereabouts())).await.unwrap();
    assert_eq!(now, runner, "the runner was lost");
}

async fn a_result_comes_back(on: Runners) {
    let pool = on.start().await;
    assert_eq!(pool.call(concat("x".to_owned(), vec![1, 2])).await.unwrap(), "x[1, 2]");
    let captured = 20_u64;
    assert_eq!(pool.call(task!([captured: u64] -> u64 { captured + 1 })).await.unwrap(), 21);
    pool.shutdown().await;
}

async fn a_call_runs_in_another_process() {
    let pool = Runners::Processes.start().await;
    let (pid, name) = pool.call(whereabouts()).await.unwrap();
    assert_ne!(pid, std::process::id());
    assert!(name.starts_with(&format!("{}.{}-", node().name(), pool.name())), "{name}");
    pool.shutdown().await;
}

async fn a_panic_comes_back_with_its_text(on: Runners) {
    let pool = on.start().await;
    let err = pool.call(panic_with("the oven is cold".to_owned())).await.unwrap_err();
    assert_eq!(err, Error::Panicked("the oven is cold".to_owned()));
    pool.shutdown().await;
}

async fn a_panic_costs_nothing_but_its_call(on: Runners) {
    let pool = on.start().await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let journal = Journal::new();
    let other = tokio::spawn(pool.call(take(Duration::from_millis(300), journal.entry())));
    journal.value("started").await;
    pool.call(panic_with("x".to_owned())).await.unwrap_err();
    other.await.unwrap().expect("a call on the same runner goes on");
    assert_goes_on(&pool, &runner).await;
    pool.shutdown().await;
}

/// The text is longer than the head of a frame can be.
async fn a_panic_with_a_very_long_text_comes_back(on: Runners) {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let long = "long ".repeat(40_000);
    let call = pool.call(panic_with(long)).timeout(Duration::from_secs(5));
    match eventually("the panic", call).await.unwrap_err() {
        Error::Panicked(text) => assert!(text.starts_with("long long "), "{} bytes", text.len()),
        other => panic!("{other}"),
    }
    assert_goes_on(&pool, &runner).await;
    pool.shutdown().await;
}

async fn a_panic_without_text_comes_back(on: Runners) {
    let pool = on.start().await;
    let err = pool.call(task!([] -> u32 { std::panic::panic_any(7_u8) })).await.unwrap_err();
    assert!(matches!(err, Error::Panicked(_)), "{err}");
    pool.shutdown().await;
}

/// Described as the macros do it, and not submitted to the table of tasks.
struct Unlisted;

impl Remote for Unlisted {
    const NAME: &'static str = "calls::unlisted";
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

impl Returns for Unlisted {
    async fn run((): ()) {}
}

async fn an_unknown_task_is_named(on: Runners) {
    let pool = on.start().await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let err = pool.call(Task::of::<Unlisted>(())).await.unwrap_err();
    assert!(matches!(&err, Error::UnknownTask(name) if name.contains("calls::unlisted")), "{err}");
    assert_goes_on(&pool, &runner).await;
    pool.shutdown().await;
}

/// Refuses to be encoded when it is odd, and to be decoded when it is 42.
struct Fussy(u32);

impl Serialize for Fussy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 2 == 1 {
            return Err(serde::ser::Error::custom("it is odd"));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fussy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            42 => Err(serde::de::Error::custom("it is 42")),
            number => Ok(Self(number)),
        }
    }
}

#[remote]
async fn fuss(fussy: Fussy) -> u32 {
    fussy.0
}

#[remote]
async fn make_fuss(number: u32) -> Fussy {
    Fussy(number)
}

async fn arguments_that_do_not_encode_are_an_error(on: Runners) {
    let pool = on.start().await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let err = pool.call(fuss(Fussy(1))).await.unwrap_err();
    assert!(matches!(&err, Error::Encode { reason, .. } if reason.contains("it is odd")), "{err}");
    let err = pool.cast(fuss(Fussy(1))).await.unwrap_err();
    assert!(matches!(&err, Error::Encode { .. }), "{err}");
    assert_goes_on(&pool, &runner).await;
    pool.shutdown().await;
}

async fn arguments_that_do_not_decode_are_an_error(on: Runners) {
    let pool = on.start().await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let err = pool.call(fuss(Fussy(42))).await.unwrap_err();
    assert!(matches!(&err, Error::Decode { reason, .. } if reason.contains("it is 42")), "{err}");
    assert_goes_on(&pool, &runner).await;
    pool.shutdown().await;
}

async fn a_result_that_does_not_encode_is_an_error(on: Runners) {
    let pool = on.start().await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let err = pool.call(make_fuss(1)).await.map(drop).unwrap_err();
    assert!(matches!(&err, Error::Encode { reason, .. } if reason.contains("it is odd")), "{err}");
    assert_goes_on(&pool, &runner).await;
    pool.shutdown().await;
}

async fn a_result_that_does_not_decode_is_an_error(on: Runners) {
    let pool = on.start().await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let err = pool.call(make_fuss(42)).await.map(drop).unwrap_err();
    assert!(matches!(&err, Error::Decode { reason, .. } if reason.contains("it is 42")), "{err}");
    assert_goes_on(&pool, &runner).await;
    pool.shutdown().await;
}

async fn what_was_provided_is_found() {
    let pool = Runners::Processes.start().await;
    let greeting = task!([] -> Result<String, Error> { Ok(provided::<Greeting>()?.0.clone()) });
    let greeting = pool.call(greeting).await.unwrap().unwrap();
    assert!(greeting.starts_with("hello from ") && greeting.contains(pool.name()), "{greeting}");
    pool.shutdown().await;
}

async fn what_was_not_provided_is_named(on: Runners) {
    let pool = on.start().await;
    let missing = task!([] -> Option<Error> { provided::<Journal>().err() });
    let err = pool.call(missing).await.unwrap().expect("nobody provides it");
    assert!(matches!(&err, Error::NotProvided(name) if name.ends_with("Journal")), "{err}");
    pool.shutdown().await;
}

#[remote]
async fn read(path: PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(&path).with_context(|| format!("{} was not read", path.display())).context("no answer")
}

async fn an_error_of_anyhow_comes_back_with_its_causes(on: Runners) {
    let pool = on.start().await;
    let there: anyhow::Result<String> = async { pool.call(read("/nowhere".into())).await? }.await;
    let (here, there) = (read("/nowhere".into()).await.unwrap_err(), there.unwrap_err());
    assert_eq!(format!("{there:#}"), format!("{here:#}"));
    assert_eq!((here.chain().count(), there.chain().count()), (3, 3));
    assert!(here.root_cause().is::<std::io::Error>());
    let journal = Journal::new();
    journal.entry().note("text");
    assert_eq!(pool.call(read(journal.entry().path().clone())).await.unwrap().unwrap(), "text\n");
    pool.shutdown().await;
}

async fn a_cast_runs(on: Runners) {
    let pool = on.start().await;
    let journal = Journal::new();
    pool.cast(take(Duration::ZERO, journal.entry())).await.unwrap();
    journal.wait_for("done").await;
    pool.shutdown().await;
}

/// It is accepted before there is a runner, and while the only slot is taken.
async fn a_cast_does_not_wait(on: Runners) {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    for _ in 0..3 {
        pool.cast(take(Duration::from_millis(400), journal.entry())).await.unwrap();
    }
    assert_eq!(journal.count("done"), 0);
    flame_tests::until("three casts are done", || journal.count("done") == 3).await;
    pool.shutdown().await;
}

async fn many_calls_at_once_all_come_back(on: Runners) {
    let pool = on.pool().max(2).max_concurrency(1000).start(&node()).await.unwrap();
    let double = |n: u64| pool.call(task!([n: u64] -> u64 { 2 * n }));
    let calls: Vec<_> = (0..2000).map(|n| tokio::spawn(double(n))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), 2 * n as u64);
    }
    pool.shutdown().await;
}

async fn a_task_that_was_started_here_is_refused(on: Runners) {
    let pool = on.start().await;
    let mut started = Box::pin(take(Duration::from_secs(60), Journal::new().entry()));
    assert!(futures_util::poll!(&mut started).is_pending());
    let err = pool.call(*std::pin::Pin::into_inner(started)).await.unwrap_err();
    assert!(matches!(err, Error::Encode { .. }), "{err}");
    pool.shutdown().await;
}

/// The runner is a parent then.
async fn a_task_that_calls_a_pool_of_its_runner_gets_its_result() {
    let pool = Runners::Processes.start().await;
    let (outer, inner) = pool
        .call(task!([] -> (u32, (u32, String)) {
            let nested = Pool::named("nested").expect("every runner has it");
            (std::process::id(), nested.call(whereabouts()).await.expect("a runner of a runner"))
        }))
        .await
        .unwrap();
    assert_ne!(outer, inner.0);
    assert!(inner.1.contains(".nested-") && inner.1.contains(pool.name()), "{}", inner.1);
    pool.shutdown().await;
    flame_tests::until("both processes are gone", || {
        [outer, inner.0].iter().all(|pid| !flame_tests::process::is_alive(*pid))
    })
    .await;
}
