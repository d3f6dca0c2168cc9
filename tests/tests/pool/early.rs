//! Runners that serve and are gone before they have done anything: failed boots, and what is none.

use std::time::{Duration, Instant};

use flame_actors::{Cause, Error, Event, Events, Leave, Pool, task};
use flame_local::ProcessBackend;
use flame_tests::{BEHAVIOUR, Journal, Runners, eventually, node, process, trials, until};
use libtest_mimic::Trial;

use crate::scripted::{Scripted, Verdict};
use crate::work::{finish, holders, holding, idle_runners, let_go, started, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_runner_that_serves_and_fails_is_booted_again_after_pauses_that_grow,
        a_runner_that_serves_and_exits_well_is_no_different,
        a_runner_that_serves_and_asks_to_leave_is_no_different,
        a_runner_that_is_lost_with_its_first_work_is_a_failed_boot,
        a_runner_that_has_worked_and_is_lost_is_no_failed_boot,
        runners_that_have_worked_and_are_lost_together_are_no_failed_boots,
        work_that_has_ended_ends_the_count,
        a_runner_that_lives_for_a_while_ends_the_count,
    ]
}

/// The last pauses are 6.3 s together, and half of that at the least.
const FAILURES: u32 = 6;
const HALF_OF_THE_PAUSES: Duration = Duration::from_millis(50 + 100 + 200 + 400 + 800 + 1600);

async fn next(events: &mut Events) -> Event {
    eventually("an event", events.next()).await.expect("the pool is open")
}

/// Each runner of the pool misbehaves like this as soon as it serves; `is_end` knows how that is told.
///
/// On a machine that has much to do one may be gone before it serves, which is a failed boot as ever.
async fn is_booted_after_pauses(behaviour: &str, is_end: impl Fn(&Event) -> bool, words: &str) {
    let start = Instant::now();
    let backend = ProcessBackend::new().env(BEHAVIOUR, behaviour);
    // There is room for another one while the last is cleared away.
    let pool = Runners::Processes.pool().min(1).max(3).backend(backend).start(&node()).await.unwrap();
    let mut events = pool.events();
    let (mut up, mut ended, mut in_vain, mut failures) = (String::new(), String::new(), 0, 0);
    loop {
        match next(&mut events).await {
            Event::Up { runner, .. } => up = runner,
            Event::BootFailed { runner, error, attempts } => {
                failures += 1;
                assert_eq!(attempts, failures);
                if runner == up {
                    let error = error.to_string();
                    assert!(error.contains("the runner served for") && error.contains(words), "{error}");
                    assert_eq!(ended, runner, "its end is told before");
                    in_vain += 1;
                }
            }
            Event::BootStarted { .. } if failures >= FAILURES => break,
            event if is_end(&event) => ended.clone_from(&up),
            Event::BootStarted { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    assert!(start.elapsed() >= HALF_OF_THE_PAUSES, "{failures} boots failed in {:?}", start.elapsed());
    assert_eq!(failures, FAILURES, "no boot begins before the last one has failed");
    assert!(in_vain > 0, "none of them served");
    let told = eventually("who waits is told", waits_in_vain(&pool)).await;
    assert!(told.contains("boot failed"), "{told}");
    assert!(pool.status().failed_boots >= FAILURES);
    pool.shutdown().await;
}

/// Asks for a slot until that is told to have failed for want of a runner, and not to have been lost with one.
///
/// A call that its caller ends has done nothing, so the count goes on.
async fn waits_in_vain(pool: &Pool) -> String {
    loop {
        let call = pool.call(task!([] { std::future::pending::<()>().await }));
        match call.timeout(Duration::from_millis(100)).await.unwrap_err() {
            err @ Error::Boot { .. } => break err.to_string(),
            Error::RunnerLost { .. } | Error::Timeout { .. } | Error::Cancelled(_) => {}
            err => panic!("{err}"),
        }
    }
}

async fn a_runner_that_serves_and_fails_is_booted_again_after_pauses_that_grow() {
    let is_end = |event: &Event| matches!(event, Event::Lost { cause: Cause::Exited(7), .. });
    let words = "lost before it finished any work: its process exited with code 7";
    is_booted_after_pauses("serve-and-exit-7", is_end, words).await;
}

async fn a_runner_that_serves_and_exits_well_is_no_different() {
    let is_end = |event: &Event| matches!(event, Event::Lost { cause: Cause::Exited(0), .. });
    is_booted_after_pauses("serve-and-exit-0", is_end, "exited with code 0").await;
}

async fn a_runner_that_serves_and_asks_to_leave_is_no_different() {
    let is_end = |event: &Event| matches!(event, Event::Shrunk { why: Leave::Asked, .. });
    is_booted_after_pauses("serve-and-leave", is_end, "asked to leave before it finished any work").await;
}

/// The slots that its loss gives back are no work that has ended.
async fn a_runner_that_is_lost_with_its_first_work_is_a_failed_boot() {
    let pool = Runners::Processes.pool().max(2).start(&node()).await.unwrap();
    let mut events = pool.events();
    let journal = Journal::new();
    let (_, call) = holding(&pool, &journal).await;
    process::kill(journal.pid("pid").await);
    let lost = eventually("the call", call).await.unwrap().unwrap_err();
    assert!(matches!(lost, Error::RunnerLost { .. }), "{lost}");
    while !matches!(next(&mut events).await, Event::Lost { .. }) {}
    // The call's end may come between.
    let failed = loop {
        if let Event::BootFailed { error, attempts, .. } = next(&mut events).await {
            assert_eq!(attempts, 1);
            break error;
        }
    };
    let status = pool.status();
    assert_eq!((status.failed_boots, status.last_boot_error), (1, Some(failed)));
    pool.shutdown().await;
}

async fn no_boot_failed(mut events: Events) {
    while let Some(event) = eventually("an event or the end", events.next()).await {
        assert!(!matches!(event, Event::BootFailed { .. }), "{event:?}");
    }
}

async fn a_runner_that_has_worked_and_is_lost_is_no_failed_boot() {
    let pool = Runners::Processes.pool().min(1).max(2).start(&node()).await.unwrap();
    let events = pool.events();
    let mut before = 0;
    for _ in 0..5 {
        let (pid, _) = eventually("a call", async {
            loop {
                // One may still be sent to the runner that was killed.
                match pool.call(whereabouts()).await {
                    Ok(here) => break here,
                    Err(Error::RunnerLost { .. }) => {}
                    Err(err) => panic!("{err}"),
                }
            }
        })
        .await;
        assert_ne!(pid, before);
        process::kill(pid);
        before = pid;
    }
    idle_runners(&pool, 1).await;
    pool.shutdown().await;
    no_boot_failed(events).await;
}

async fn runners_that_have_worked_and_are_lost_together_are_no_failed_boots() {
    let pool = Runners::Processes.pool().min(3).max(3).max_concurrency(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let calls = holders(&pool, &journal, 3);
    until("three run", || started(&journal) == 3).await;
    finish(&journal, calls).await;
    let events = pool.events();
    let instances =
        |pool: &Pool| -> Vec<String> { pool.status().runners.into_iter().map(|runner| runner.instance).collect() };
    let before = instances(&pool);
    before.iter().for_each(|pid| process::kill(pid.parse().unwrap()));
    until("three others are up", || {
        let now = instances(&pool);
        now.len() == 3 && now.iter().all(|pid| !before.contains(pid))
    })
    .await;
    pool.shutdown().await;
    no_boot_failed(events).await;
}

async fn work_that_has_ended_ends_the_count() {
    let script = [Verdict::Fail("no"), Verdict::Fail("no"), Verdict::Up];
    let pool = Runners::InProcess.pool().backend(Scripted::new(script)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let (_, call) = holding(&pool, &journal).await;
    assert_eq!(pool.status().failed_boots, 2, "it may still be lost with its work");
    let_go(&journal.entry());
    call.await.unwrap().unwrap();
    let status = pool.status();
    assert_eq!((status.failed_boots, status.last_boot_error), (0, None));
    pool.shutdown().await;
}

/// 10 s, as `boot_timeout` is shorter.
async fn a_runner_that_lives_for_a_while_ends_the_count() {
    let start = Instant::now();
    let backend = Scripted::new([Verdict::Fail("no"), Verdict::Up]);
    let pool = Runners::InProcess.pool().min(1).boot_timeout(Duration::from_secs(1)).backend(backend);
    let pool = pool.start(&node()).await.unwrap();
    idle_runners(&pool, 1).await;
    until("the count has ended", || pool.status().failed_boots == 0).await;
    assert!(start.elapsed() >= Duration::from_secs(10), "after {:?}", start.elapsed());
    pool.shutdown().await;
}
