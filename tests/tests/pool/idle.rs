//! Runners that leave for having nothing to do, or for their age.

use std::time::{Duration, Instant, SystemTime};

use flame_actors::{Event, Leave, Pool, remote, runner};
use flame_tests::{Entry, Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::scripted::{Scripted, Verdict};
use crate::work::{holding, idle_runners, let_go, status, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        an_idle_runner_that_agrees_goes,
        an_idle_runner_that_refuses_stays_and_is_asked_again,
        an_idle_runner_whose_check_panics_goes,
        an_idle_runner_whose_check_hangs_goes,
        a_runner_that_got_work_while_it_was_asked_stays,
        a_runner_of_the_minimum_is_not_asked,
        no_more_are_asked_than_may_go,
        a_runner_says_since_when_it_has_nothing_to_do,
        a_runner_that_is_too_old_is_replaced,
        a_runner_that_is_too_old_ends_its_work,
    ];
    trials.extend(trials![
        the_minimum_goes_when_it_may_and_comes_back_with_who_has_to_wait,
        a_check_that_cannot_be_made_is_as_good_as_a_yes,
        a_runner_that_is_lost_while_it_is_asked_is_replaced,
    ]);
    trials
}

const IDLE: Duration = Duration::from_millis(50);

/// Notes where it was asked, and answers as the journal says: `yes`, `panic`; nothing as long as it says nothing.
#[remote]
async fn may_go(journal: Entry) -> bool {
    journal.note(format_args!("asked={}", runner().as_deref().unwrap_or_default()));
    journal.note(format_args!("pid={}", std::process::id()));
    loop {
        let text = std::fs::read_to_string(journal.path()).unwrap_or_default();
        match text.lines().find_map(|line| line.strip_prefix("answer ")) {
            Some("panic") => std::panic::resume_unwind(Box::new("the check panics")),
            Some(answer) => return answer == "yes",
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A pool whose check answers by this journal, and its one runner.
async fn checked(on: Runners, journal: &Journal) -> (Pool, String) {
    let entry = journal.entry();
    let pool = on.pool().max_concurrency(2).idle_shutdown_after(IDLE).timeout(Duration::from_secs(20));
    let pool = pool.idle_shutdown_check(move || may_go(entry.clone())).start(&node()).await.unwrap();
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    (pool, runner)
}

fn asked(journal: &Journal) -> usize {
    journal.lines().iter().filter(|line| line.starts_with("asked=")).count()
}

async fn an_idle_runner_that_agrees_goes(on: Runners) {
    let journal = Journal::new();
    let (pool, runner) = checked(on, &journal).await;
    assert_eq!(journal.value("asked").await, runner, "it runs on the runner");
    assert_eq!(pool.status().runners.len(), 1, "it has not answered");
    assert_eq!(pool.status().runners[0].slots_used, 0, "it takes no slot");
    journal.entry().note("answer yes");
    idle_runners(&pool, 0).await;
    assert_eq!(asked(&journal), 1);
    pool.shutdown().await;
}

async fn an_idle_runner_that_refuses_stays_and_is_asked_again(on: Runners) {
    let journal = Journal::new();
    journal.entry().note("answer no");
    let start = Instant::now();
    let (pool, runner) = checked(on, &journal).await;
    until("it was asked four times", || asked(&journal) >= 4).await;
    assert!(start.elapsed() >= 4 * IDLE, "asked after {:?}", start.elapsed());
    assert_eq!(pool.call(whereabouts()).await.unwrap().1, runner);
    pool.shutdown().await;
}

async fn an_idle_runner_whose_check_panics_goes(on: Runners) {
    let journal = Journal::new();
    journal.entry().note("answer panic");
    let (pool, _) = checked(on, &journal).await;
    idle_runners(&pool, 0).await;
    pool.shutdown().await;
}

/// After the pool's time-out.
async fn an_idle_runner_whose_check_hangs_goes(on: Runners) {
    let journal = Journal::new();
    let (entry, timeout) = (journal.entry(), Duration::from_millis(300));
    let pool = on.pool().idle_shutdown_after(IDLE).timeout(timeout).idle_shutdown_check(move || may_go(entry.clone()));
    let pool = pool.start(&node()).await.unwrap();
    let start = Instant::now();
    pool.cast(whereabouts()).await.unwrap();
    journal.value("asked").await;
    idle_runners(&pool, 0).await;
    assert!(start.elapsed() >= timeout, "it had {:?} to answer", start.elapsed());
    pool.shutdown().await;
}

async fn a_runner_that_got_work_while_it_was_asked_stays(on: Runners) {
    let journal = Journal::new();
    let (pool, runner) = checked(on, &journal).await;
    journal.value("asked").await;
    let work = Journal::new();
    let (there, call) = holding(&pool, &work).await;
    assert_eq!(there, runner);
    let mut events = pool.events();
    journal.entry().note("answer yes");
    let_go(&work.entry());
    assert_eq!(call.await.unwrap().unwrap(), runner, "its work was not cut off");
    assert!(matches!(events.next().await, Some(Event::Finished { .. })), "it has ended before its runner went");
    // It is asked anew when it is idle again, and agrees by now.
    let gone = Event::Shrunk { runner, why: Leave::Idle };
    assert_eq!(eventually("it goes", events.next()).await, Some(gone));
    assert!(asked(&journal) >= 2);
    pool.shutdown().await;
}

async fn a_runner_of_the_minimum_is_not_asked(on: Runners) {
    let journal = Journal::new();
    let entry = journal.entry();
    let pool = on.pool().min(1).max(2).max_concurrency(1).idle_shutdown_after(IDLE);
    let pool = pool.idle_shutdown_check(move || may_go(entry.clone())).start(&node()).await.unwrap();
    idle_runners(&pool, 1).await;
    journal.entry().note("answer yes");
    tokio::time::sleep(5 * IDLE).await;
    assert_eq!(asked(&journal), 0);
    pool.shutdown().await;
}

/// While two are asked, the third is the minimum.
async fn no_more_are_asked_than_may_go(on: Runners) {
    let journal = Journal::new();
    let entry = journal.entry();
    let pool = on.pool().min(3).max(3).idle_shutdown_after(IDLE).timeout(Duration::from_secs(20));
    let pool = pool.idle_shutdown_check(move || may_go(entry.clone())).start(&node()).await.unwrap();
    idle_runners(&pool, 3).await;
    pool.resize(1, 3).unwrap();
    until("two are asked", || asked(&journal) == 2).await;
    tokio::time::sleep(5 * IDLE).await;
    assert_eq!(asked(&journal), 2);
    journal.entry().note("answer yes");
    idle_runners(&pool, 1).await;
    pool.shutdown().await;
}

/// The check panics before it is a task.
async fn a_check_that_cannot_be_made_is_as_good_as_a_yes() {
    let pool = Runners::InProcess.pool().idle_shutdown_after(IDLE);
    let pool = pool.idle_shutdown_check(|| std::panic::resume_unwind(Box::new("no check today")));
    let pool = pool.start(&node()).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    idle_runners(&pool, 0).await;
    pool.call(whereabouts()).await.unwrap();
    pool.shutdown().await;
}

async fn a_runner_that_is_lost_while_it_is_asked_is_replaced() {
    let journal = Journal::new();
    let (pool, runner) = checked(Runners::Processes, &journal).await;
    journal.value("asked").await;
    process::kill(journal.pid("pid").await);
    idle_runners(&pool, 0).await;
    assert_ne!(pool.call(whereabouts()).await.unwrap().1, runner);
    pool.shutdown().await;
}

async fn the_minimum_goes_when_it_may_and_comes_back_with_who_has_to_wait() {
    let backend = Scripted::new([Verdict::Up; 10]);
    let pool = Runners::InProcess.pool().min(2).max(3).backend(backend.clone());
    let pool = pool.idle_shutdown_after(IDLE).min_idle_shutdown_after(4 * IDLE).start(&node()).await.unwrap();
    until("all are gone", || backend.boots() == 2 && backend.destroyed() == 2).await;
    tokio::time::sleep(4 * IDLE).await;
    assert_eq!(backend.boots(), 2, "nobody needs them");
    pool.call(whereabouts()).await.unwrap();
    until("the minimum was there again", || backend.boots() == 4).await;
    until("and is gone again", || backend.destroyed() == 4).await;
    pool.shutdown().await;
}

async fn a_runner_says_since_when_it_has_nothing_to_do(on: Runners) {
    let pool = on.pool().start(&node()).await.unwrap();
    let before = SystemTime::now();
    pool.call(whereabouts()).await.unwrap();
    let first = idle_runners(&pool, 1).await.runners[0].idle_since.expect("it has nothing to do");
    let (journal, slack) = (Journal::new(), Duration::from_millis(100));
    assert!(before <= first + slack && first <= SystemTime::now() + slack, "{first:?} after {before:?}");
    tokio::time::sleep(4 * slack).await;
    let again = pool.status().runners[0].idle_since.expect("it still has nothing to do");
    assert!(again.max(first).duration_since(again.min(first)).unwrap() <= slack, "it is a time, and not a duration");
    let (_, call) = holding(&pool, &journal).await;
    assert_eq!(pool.status().runners[0].idle_since, None, "it has work");
    let_go(&journal.entry());
    call.await.unwrap().unwrap();
    let next = idle_runners(&pool, 1).await.runners[0].idle_since.expect("it has nothing to do again");
    assert!(next > again + slack, "{next:?} after {again:?}");
    pool.shutdown().await;
}

async fn a_runner_that_is_too_old_is_replaced(on: Runners) {
    let age = Duration::from_millis(300);
    let pool = on.pool().min(1).max_runner_age(age).start(&node()).await.unwrap();
    let first = idle_runners(&pool, 1).await.runners.remove(0);
    let next = |status: &flame_actors::PoolStatus| status.runners.iter().any(|runner| runner.node != first.node);
    let now = status(&pool, "another one serves", next).await;
    let lived = now.runners[0].up_since.duration_since(first.up_since).unwrap();
    assert!(lived + Duration::from_millis(100) >= age, "it was replaced after {lived:?}");
    pool.shutdown().await;
}

async fn a_runner_that_is_too_old_ends_its_work(on: Runners) {
    let age = Duration::from_millis(200);
    let pool = on.pool().max(2).max_concurrency(2).max_runner_age(age).start(&node()).await.unwrap();
    let journal = Journal::new();
    let (old, call) = holding(&pool, &journal).await;
    let is_draining = |status: &flame_actors::PoolStatus| {
        let old = status.runners.iter().find(|runner| runner.node == old).expect("it has work");
        old.state == flame_actors::RunnerState::Draining
    };
    status(&pool, "it takes no more work", is_draining).await;
    let (_, other) = eventually("another call", pool.call(whereabouts())).await.unwrap();
    assert_ne!(other, old);
    let_go(&journal.entry());
    assert_eq!(call.await.unwrap().unwrap(), old);
    until("it is gone", || !pool.status().runners.iter().any(|runner| runner.node == old)).await;
    pool.shutdown().await;
}
