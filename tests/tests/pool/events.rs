//! What a pool tells of itself as it happens.

use std::time::{Duration, Instant};

use flame_actors::{Cause, Error, Event, Events, Leave, PoolStatus, Stage, task};
use flame_tests::{Broken, Journal, Runners, eventually, everywhere, node, process, trials};
use libtest_mimic::Trial;

use crate::scripted::{Scripted, Verdict};
use crate::work::{hold, holding, idle_runners, let_go, status, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![the_stream_ends_with_its_pool, a_runner_that_was_sent_away_is_not_lost];
    trials.extend(trials![
        a_script_tells_exactly_this,
        each_failed_boot_is_told_with_its_cause_and_number,
        a_lost_runner_is_told_with_its_cause,
        a_runner_that_keeps_two_tasks_is_sent_away_once,
        a_slow_listener_is_told_how_many_events_it_missed,
        events_and_status_travel_as_json,
    ]);
    trials
}

async fn next(events: &mut Events) -> Event {
    eventually("an event", events.next()).await.expect("the pool is open")
}

/// All that is told until the pool has ended.
async fn rest(mut events: Events) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(event) = eventually("an event or the end", events.next()).await {
        all.push(event);
    }
    all
}

async fn a_script_tells_exactly_this() {
    let backend = Scripted::new([Verdict::Up]);
    let pool = Runners::InProcess.pool().max_concurrency(1).backend(backend).start(&node()).await.unwrap();
    let mut events = pool.events();
    let start = Instant::now();
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let whole = start.elapsed();
    let is_it = |found: &String| *found == runner;

    assert!(matches!(next(&mut events).await, Event::BootStarted { runner } if is_it(&runner)));
    let up = next(&mut events).await;
    assert!(matches!(&up, Event::Up { runner, instance, .. } if is_it(runner) && is_it(instance)), "{up:?}");
    let waited = next(&mut events).await;
    assert!(matches!(&waited, Event::Waited { runner, .. } if is_it(runner)), "{waited:?}");
    let (Event::Up { after, .. }, Event::Waited { waited, .. }) = (up, waited) else { unreachable!() };
    assert!(waited >= after, "it waited {waited:?} for a boot of {after:?}");
    let finished = next(&mut events).await;
    let is_whereabouts = |task: &str| task.contains("::whereabouts ");
    assert!(
        matches!(&finished, Event::Finished { runner, task, error: None, .. } if is_it(runner) && is_whereabouts(task)),
        "{finished:?}"
    );

    let Event::Finished { ran, .. } = finished else { unreachable!() };
    assert!(waited + ran <= whole, "it waited {waited:?} and ran {ran:?} of {whole:?}");

    // The slot is there at once: nothing is told of waiting.
    pool.call(task!([] { std::panic::resume_unwind(Box::new("oh")) })).await.unwrap_err();
    let failed = next(&mut events).await;
    let panicked = Some(Error::Panicked("oh".to_owned()));
    assert!(matches!(&failed, Event::Finished { error, .. } if *error == panicked), "{failed:?}");

    let journal = Journal::new();
    let (_, call) = holding(&pool, &journal).await;
    pool.call(whereabouts()).timeout(Duration::from_millis(30)).await.unwrap_err();
    let not_run = next(&mut events).await;
    let waiting = |error: &Error| matches!(error, Error::Timeout { stage: Stage::Waiting, .. });
    assert!(matches!(&not_run, Event::NotRun { task, error } if is_whereabouts(task) && waiting(error)), "{not_run:?}");
    call.abort();
    let cancelled = next(&mut events).await;
    assert!(matches!(&cancelled, Event::Finished { error: Some(Error::Cancelled(_)), .. }), "{cancelled:?}");

    idle_runners(&pool, 1).await;
    pool.cast(whereabouts()).await.unwrap();
    let cast = next(&mut events).await;
    assert!(matches!(&cast, Event::Finished { error: None, .. }), "{cast:?}");
    pool.drain(&runner).await.unwrap();
    assert_eq!(next(&mut events).await, Event::Shrunk { runner, why: Leave::Drained });
    pool.shutdown().await;
    assert_eq!(rest(events).await, []);
}

async fn each_failed_boot_is_told_with_its_cause_and_number() {
    let pool = Runners::InProcess.pool().min(1).backend(Broken::new("no quota")).start(&node()).await.unwrap();
    let mut events = pool.events();
    let mut told = 0;
    // The first boot may have begun before the listening.
    while told < 3 {
        if let Event::BootFailed { runner, error, attempts } = next(&mut events).await {
            told = if told == 0 { attempts } else { told + 1 };
            assert_eq!(attempts, told);
            assert_eq!(error, Error::Backend { backend: "broken".to_owned(), reason: "no quota".to_owned() });
            assert!(matches!(next(&mut events).await, Event::BootStarted { runner: other } if other != runner));
        }
    }
    pool.shutdown().await;
}

async fn a_lost_runner_is_told_with_its_cause() {
    let pool = Runners::Processes.start().await;
    let (pid, runner) = pool.call(whereabouts()).await.unwrap();
    let mut events = pool.events();
    process::kill(pid);
    assert_eq!(next(&mut events).await, Event::Lost { runner, cause: Cause::Signalled(9) });
    idle_runners(&pool, 0).await;
    pool.shutdown().await;
    assert_eq!(rest(events).await, [], "it was not sent away");
}

async fn a_runner_that_was_sent_away_is_not_lost(on: Runners) {
    let pool = on.pool().idle_shutdown_after(Duration::from_millis(50)).start(&node()).await.unwrap();
    let events = pool.events();
    pool.call(whereabouts()).await.unwrap();
    idle_runners(&pool, 0).await;
    pool.shutdown().await;
    let ends: Vec<_> = rest(events).await;
    let shrunk = |event: &Event| matches!(event, Event::Shrunk { why: Leave::Idle, .. });
    assert_eq!(ends.iter().filter(|event| shrunk(event)).count(), 1, "{ends:?}");
    assert!(!ends.iter().any(|event| matches!(event, Event::Lost { .. })), "{ends:?}");
}

async fn a_runner_that_keeps_two_tasks_is_sent_away_once() {
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_millis(300)).start(&node()).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    let events = pool.events();
    let stuck = || {
        let call = pool.call(task!([] { std::thread::sleep(Duration::from_secs(600)) }));
        call.timeout(Duration::from_secs(1))
    };
    let (one, two) = tokio::join!(stuck(), stuck());
    assert!(matches!((one, two), (Err(Error::Timeout { .. }), Err(Error::Timeout { .. }))));
    idle_runners(&pool, 0).await;
    pool.shutdown().await;
    let all = rest(events).await;
    let shrunk: Vec<_> = all.iter().filter(|event| matches!(event, Event::Shrunk { .. })).collect();
    assert!(matches!(shrunk[..], [Event::Shrunk { why: Leave::Stuck, .. }]), "{all:?}");
}

/// Nobody waits for it: the calls go on, and another listener has every event.
async fn a_slow_listener_is_told_how_many_events_it_missed() {
    const CALLS: usize = 2500;
    const KEPT: usize = 1024;
    let pool = Runners::InProcess.start().await;
    pool.call(whereabouts()).await.unwrap();
    let (mut slow, mut fast) = (pool.events(), pool.events());
    let mut all = Vec::new();
    for _ in 0..CALLS {
        eventually("a call", pool.call(whereabouts())).await.unwrap();
        all.push(next(&mut fast).await);
    }
    assert_eq!(next(&mut slow).await, Event::Missed((CALLS - KEPT) as u64));
    pool.shutdown().await;
    assert_eq!(rest(slow).await, all.split_off(CALLS - KEPT), "it has the last of them");
}

async fn the_stream_ends_with_its_pool(on: Runners) {
    let pool = on.start().await;
    let before = pool.events();
    pool.call(whereabouts()).await.unwrap();
    pool.shutdown().await;
    assert!(!rest(before).await.is_empty());
    assert_eq!(rest(pool.events()).await, []);
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).expect("it becomes text")).expect("it becomes itself")
}

async fn events_and_status_travel_as_json() {
    let backend = Scripted::new([Verdict::Fail("no"), Verdict::Up, Verdict::Fail("not again")]);
    let pool = Runners::InProcess.pool().max(2).max_concurrency(1).backend(backend).start(&node()).await.unwrap();
    let mut events = pool.events();
    let journal = Journal::new();
    let (_, call) = holding(&pool, &journal).await;
    let waits = tokio::spawn(pool.call(hold(journal.entry(), "waits".to_owned())));
    let there = status(&pool, "one of each", |status| status.waiting == 1 && status.failed_boots == 2).await;
    assert_eq!(through_json::<PoolStatus>(&there), there);
    assert_eq!((there.runners.len(), there.runners[0].slots_used), (1, 1));
    let_go(&journal.entry());
    call.await.unwrap().unwrap();
    waits.await.unwrap().unwrap();
    pool.shutdown().await;
    while let Some(event) = events.next().await {
        assert_eq!(through_json(&event), event);
    }
    let ended = |again_in| Event::ChildEnded { actor: "a".to_owned(), child: 1, end: "oh".to_owned(), again_in };
    let lost = Event::Lost { runner: "r".to_owned(), cause: Cause::Exited(3) };
    for event in [Event::Missed(3), lost, ended(None), ended(Some(Duration::from_millis(100)))] {
        assert_eq!(through_json(&event), event);
    }
}
