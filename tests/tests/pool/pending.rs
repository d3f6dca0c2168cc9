//! What happens while runners boot, and when boots fail.

use std::time::{Duration, Instant};

use flame_actors::{Backend, Boot, BoxFuture, Error, Event, Events, InProcess, Instance, InstanceState, Stage, task};
use flame_tests::{
    BEFORE_START, BEHAVIOUR, Broken, Journal, Runners, Spy, eventually, everywhere, node, trials, until,
};
use futures_util::StreamExt as _;
use libtest_mimic::Trial;

use crate::scripted::{Scripted, Verdict};
use crate::work::{distinct, finish, holders, idle_runners, started, status, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![casts_grow_the_pool_too];
    trials.extend(trials![
        callers_at_once_share_the_boots_that_they_need,
        one_boot_is_enough_for_as_many_as_it_has_slots,
        a_pending_boot_that_fails_costs_those_who_wait_nothing,
        who_waits_is_told_of_all_failed_boots_and_the_last_reason,
        who_waits_while_others_are_busy_is_told_of_both,
        a_map_goes_on_with_the_runners_that_there_are,
        a_boot_that_succeeds_ends_the_count,
        twenty_boots_that_fail_at_once_back_off_as_one,
        a_backend_that_panics_has_failed,
        a_backend_that_panics_at_the_end_of_a_runner_harms_nobody,
        another_build_is_told_at_once,
        what_would_fail_again_is_told_at_once_unless_a_slot_may_come_free,
        a_runner_that_comes_late_is_refused,
        a_caller_who_leaves_while_it_boots_leaves_a_warm_runner,
    ]);
    trials
}

async fn callers_at_once_share_the_boots_that_they_need() {
    let backend = Scripted::new([]);
    let pool = Runners::InProcess.pool().max(10).max_concurrency(2).backend(backend.clone());
    let pool = pool.start(&node()).await.unwrap();
    let journal = Journal::new();
    let mut calls = holders(&pool, &journal, 3);
    until("two boots at once", || backend.boots() == 2).await;
    calls.extend(holders(&pool, &journal, 3));
    until("a third, for two more", || backend.boots() == 3).await;
    status(&pool, "all wait", |status| status.waiting == 6 && status.booting == 3).await;
    backend.say([Verdict::Up; 10]);
    until("all run", || started(&journal) == 6).await;
    assert_eq!(distinct(&journal, "on=").len(), 3);
    finish(&journal, calls).await;
    assert_eq!(backend.boots(), 3);
    pool.shutdown().await;
}

async fn one_boot_is_enough_for_as_many_as_it_has_slots() {
    let backend = Scripted::new([]);
    let pool = Runners::InProcess.pool().max(10).max_concurrency(50).backend(backend.clone());
    let pool = pool.start(&node()).await.unwrap();
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(pool.call(whereabouts()))).collect();
    status(&pool, "all wait", |status| status.waiting == 50).await;
    backend.say([Verdict::Up; 10]);
    for call in calls {
        eventually("a call", call).await.unwrap().unwrap();
    }
    assert_eq!(backend.boots(), 1);
    pool.shutdown().await;
}

/// With one slot each, as many casts as runners run at a time.
async fn casts_grow_the_pool_too(on: Runners) {
    let pool = on.pool().max(3).max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    for n in 0..4 {
        pool.cast(crate::work::hold(journal.entry(), format!("cast {n}"))).await.unwrap();
    }
    until("three run", || started(&journal) == 3).await;
    assert_eq!(distinct(&journal, "on=").len(), 3);
    status(&pool, "one waits", |status| status.waiting == 1).await;
    crate::work::let_go(&journal.entry());
    until("all have run", || started(&journal) == 4).await;
    pool.shutdown().await;
}

async fn a_pending_boot_that_fails_costs_those_who_wait_nothing() {
    let backend = Scripted::new([]);
    let pool = Runners::InProcess.pool().max(3).max_concurrency(1).backend(backend.clone());
    let pool = pool.start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 3);
    until("three boots", || backend.boots() == 3).await;
    backend.say([Verdict::Up, Verdict::Fail("no luck")]);
    until("the failed one is tried again", || backend.boots() == 4).await;
    status(&pool, "two wait", |status| status.waiting == 2 && status.booting == 2).await;
    backend.say([Verdict::Up, Verdict::Up]);
    until("all run", || started(&journal) == 3).await;
    finish(&journal, calls).await;
    pool.shutdown().await;
}

async fn who_waits_is_told_of_all_failed_boots_and_the_last_reason() {
    let script = [Verdict::Fail("the first reason"), Verdict::Fail("the second reason")];
    let pool = Runners::InProcess.pool().backend(Scripted::new(script)).start(&node()).await.unwrap();
    let start = Instant::now();
    // Two pauses are 300 ms at the most.
    let err = pool.call(whereabouts()).timeout(Duration::from_secs(2)).await.unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(2), "it may still have succeeded");
    let said = "boot failed 2 times, last: backend scripted: the second reason";
    assert_eq!(err.to_string(), format!("pool \"{}\": {said}", pool.name()));
    let now = pool.status();
    assert_eq!(now.failed_boots, 2);
    assert!(now.last_boot_error.unwrap().to_string().contains("the second reason"));
    pool.shutdown().await;
}

/// There is room for one runner of two, and a slot of it may come free.
async fn who_waits_while_others_are_busy_is_told_of_both() {
    let backend = Scripted::new([Verdict::Up, Verdict::Fail("no room")]);
    let pool = Runners::InProcess.pool().max(2).max_concurrency(1).backend(backend).start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 1);
    until("it runs", || started(&journal) == 1).await;
    let waiting = tokio::spawn(pool.call(whereabouts()).timeout(Duration::from_secs(1)));
    until("the boot has failed", || pool.status().failed_boots == 1).await;
    let err = eventually("its wait", waiting).await.unwrap().unwrap_err();
    assert!(matches!(err, Error::Timeout { stage: Stage::Waiting, .. }), "{err}");
    let (err, failed) = (err.to_string(), "boot failed 1 times, last: backend scripted: no room");
    assert!(err.contains("1 of 2 runners up") && err.contains(failed), "{err}");
    finish(&journal, calls).await;
    pool.shutdown().await;
}

/// Each input but the first waits for longer than a call would.
async fn a_map_goes_on_with_the_runners_that_there_are() {
    let backend = Scripted::new(std::iter::once(Verdict::Up).chain([Verdict::Fail("no room"); 100]));
    let pool = Runners::InProcess.pool().max(2).max_concurrency(1).boot_timeout(Duration::from_millis(100));
    let pool = pool.backend(backend).start(&node()).await.unwrap();
    let longest = Duration::from_millis(100) + Duration::from_secs(1);
    let slow = |n: u64| task!([n: u64, longest: Duration] -> u64 { tokio::time::sleep(2 * longest).await; n });
    let results: Vec<_> = eventually("the map", pool.map(0..3, slow).collect()).await;
    assert_eq!(results, [Ok(0), Ok(1), Ok(2)]);
    pool.shutdown().await;
}

async fn a_boot_that_succeeds_ends_the_count() {
    let script = [Verdict::Fail("no"), Verdict::Fail("no"), Verdict::Up];
    let pool = Runners::InProcess.pool().backend(Scripted::new(script)).start(&node()).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    let now = pool.status();
    assert_eq!((now.failed_boots, now.last_boot_error), (0, None));
    pool.shutdown().await;
}

/// Three rounds take less than a second; were they twenty failures in a row, ten seconds would pass before the second.
async fn twenty_boots_that_fail_at_once_back_off_as_one() {
    let broken = Broken::new("no");
    let boots = || broken.boots.load(std::sync::atomic::Ordering::Relaxed);
    let pool = Runners::InProcess.pool().min(20).max(20).backend(broken.clone()).start(&node()).await.unwrap();
    let start = Instant::now();
    until("three rounds", || boots() >= 60).await;
    assert!(start.elapsed() < Duration::from_secs(5), "they took {:?}", start.elapsed());
    assert!(start.elapsed() >= Duration::from_millis(150), "two pauses of 50 and 100 ms at least");
    pool.shutdown().await;
    assert_eq!(boots() % 20, 0);
}

/// Why the next boot fails that does.
async fn boot_failed(events: &mut Events) -> Error {
    loop {
        if let Some(Event::BootFailed { error, .. }) = eventually("an event", events.next()).await {
            return error;
        }
    }
}

async fn a_backend_that_panics_has_failed() {
    let backend = Scripted::new([Verdict::Panic("no more disks"), Verdict::Up]);
    let pool = Runners::InProcess.pool().backend(backend).start(&node()).await.unwrap();
    let mut events = pool.events();
    pool.call(whereabouts()).await.unwrap();
    let failed = boot_failed(&mut events).await;
    let reason = "panicked: no more disks".to_owned();
    assert_eq!(failed, Error::Backend { backend: "scripted".to_owned(), reason });
    pool.shutdown().await;
}

/// A backend that boots, and panics when it is asked for anything else.
#[derive(Clone, Debug)]
struct Grumpy;

impl Backend for Grumpy {
    fn name(&self) -> &'static str {
        "grumpy"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        Box::pin(async { InProcess::new().boot(boot).await })
    }

    fn destroy<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { std::panic::resume_unwind(Box::new("not now")) })
    }

    fn inspect<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        std::panic::resume_unwind(Box::new("do not ask"))
    }
}

async fn a_backend_that_panics_at_the_end_of_a_runner_harms_nobody() {
    let pool = Runners::InProcess.pool().backend(Grumpy).start(&node()).await.unwrap();
    let (_, first) = pool.call(whereabouts()).await.unwrap();
    eventually("the drain", pool.drain(&first)).await.unwrap();
    idle_runners(&pool, 0).await;
    pool.call(whereabouts()).await.unwrap();
    eventually("the shutdown", pool.shutdown()).await;
    assert!(pool.status().runners.is_empty());
}

/// Trying again would give the same.
async fn another_build_is_told_at_once() {
    let spy = Spy::new(&[(BEHAVIOUR, "other-build")]);
    let pool = Runners::Processes.pool().boot_timeout(Duration::from_secs(600)).backend(spy);
    let pool = pool.start(&node()).await.unwrap();
    let calls = futures_util::future::join_all((0..3).map(|_| pool.call(whereabouts())));
    for outcome in eventually("three calls", calls).await {
        assert!(matches!(outcome, Err(Error::BuildMismatch { .. })), "{outcome:?}");
    }
    pool.shutdown().await;
}

/// Its boot has failed by then, and its place may have been taken.
/// A quota, as an example: the runners that there are go on, and so does who waits for one of them.
async fn what_would_fail_again_is_told_at_once_unless_a_slot_may_come_free() {
    let backend = Scripted::new([Verdict::Refuse("no key")]);
    let pool = Runners::InProcess.pool().max(2).max_concurrency(1).backend(backend.clone());
    let pool = pool.start(&node()).await.unwrap();
    let start = Instant::now();
    let err = pool.call(whereabouts()).await.unwrap_err();
    assert!(matches!(&err, Error::Config { reason, .. } if reason == "no key"), "{err}");
    assert!(start.elapsed() < Duration::from_secs(10));

    backend.say([Verdict::Up, Verdict::Refuse("no more than one")]);
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 2);
    until("the second boot has failed", || pool.status().failed_boots == 1).await;
    until("the first call runs", || started(&journal) == 1).await;
    finish(&journal, calls).await;
    pool.shutdown().await;
}

async fn a_runner_that_comes_late_is_refused() {
    let spy = Spy::new(&[(BEFORE_START, "600000")]);
    let pool = Runners::Processes.pool().boot_timeout(Duration::from_millis(300)).backend(spy.clone());
    let pool = pool.start(&node()).await.unwrap();
    let mut events = pool.events();
    pool.cast(whereabouts()).await.unwrap();
    let failed = boot_failed(&mut events).await.to_string();
    assert!(failed.contains("did not join within 300ms"), "{failed}");
    let mut late = tokio::process::Command::new("/proc/self/exe");
    late.env(flame_actors::FLAME_PARENT, &spy.invitations()[0]).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = eventually("its end", late.output()).await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("token"), "{stderr}");
    assert!(pool.status().runners.is_empty());
    pool.shutdown().await;
}

async fn a_caller_who_leaves_while_it_boots_leaves_a_warm_runner() {
    let backend = Scripted::new([]);
    let pool = Runners::InProcess.pool().backend(backend.clone()).start(&node()).await.unwrap();
    let call = tokio::spawn(pool.call(whereabouts()));
    until("a boot", || backend.boots() == 1).await;
    call.abort();
    status(&pool, "it has left", |status| status.waiting == 0).await;
    backend.say([Verdict::Up]);
    idle_runners(&pool, 1).await;
    pool.call(whereabouts()).await.unwrap();
    assert_eq!(backend.boots(), 1);
    pool.shutdown().await;
}
