//! Runners that serve once.

use std::collections::HashSet;

use flame_actors::{Event, Leave, task};
use flame_tests::{Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::scripted::{Scripted, Verdict};
use crate::work::{Child, idle_runners, status, take, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        each_call_has_a_runner_of_its_own,
        a_runner_is_used_up_whatever_became_of_its_call,
        used_runners_of_the_minimum_are_replaced,
        a_placed_child_has_a_runner_of_its_own_until_it_ends,
    ];
    trials.extend(trials![a_used_process_is_gone, a_runner_that_nobody_used_stays]);
    trials
}

async fn each_call_has_a_runner_of_its_own(on: Runners) {
    let pool = on.pool().max(3).single_use(true).max_concurrency(10).start(&node()).await.unwrap();
    assert_eq!(pool.status().max_concurrency, 1);
    let events = pool.events();
    let calls = futures_util::future::join_all((0..6).map(|_| pool.call(whereabouts())));
    let runners: HashSet<_> = eventually("six calls", calls).await.into_iter().map(|there| there.unwrap().1).collect();
    assert_eq!(runners.len(), 6);
    idle_runners(&pool, 0).await;
    pool.shutdown().await;
    let events: Vec<Event> = futures_util::StreamExt::collect(events).await;
    let used = |event: &&Event| matches!(event, Event::Shrunk { why: Leave::Used, runner } if runners.contains(runner));
    assert_eq!(events.iter().filter(used).count(), 6, "{events:?}");
}

async fn a_runner_is_used_up_whatever_became_of_its_call(on: Runners) {
    let pool = on.pool().single_use(true).start(&node()).await.unwrap();
    pool.call(task!([] { std::panic::resume_unwind(Box::new("oh")) })).await.unwrap_err();
    idle_runners(&pool, 0).await;
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(take(std::time::Duration::from_secs(600), journal.entry())));
    journal.value("started").await;
    call.abort();
    idle_runners(&pool, 0).await;
    let journal = Journal::new();
    pool.cast(take(std::time::Duration::ZERO, journal.entry())).await.unwrap();
    journal.wait_for("done").await;
    idle_runners(&pool, 0).await;
    pool.shutdown().await;
}

async fn used_runners_of_the_minimum_are_replaced(on: Runners) {
    let pool = on.pool().min(2).max(3).single_use(true).start(&node()).await.unwrap();
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let fresh = idle_runners(&pool, 2).await;
        assert!(fresh.runners.iter().all(|runner| !seen.contains(&runner.node)), "{seen:?}, {fresh:?}");
        let (_, there) = pool.call(whereabouts()).await.unwrap();
        assert!(fresh.runners.iter().any(|runner| runner.node == there), "it was warm");
        seen.insert(there);
        until("it is gone", || !pool.status().runners.iter().any(|runner| seen.contains(&runner.node))).await;
    }
    idle_runners(&pool, 2).await;
    pool.shutdown().await;
}

async fn a_placed_child_has_a_runner_of_its_own_until_it_ends(on: Runners) {
    let pool = on.pool().max(2).single_use(true).start(&node()).await.unwrap();
    let journal = Journal::new();
    let child = pool.place_child(Child, journal.entry()).await.unwrap();
    let its = pool.status().runners[0].node.clone();
    let (_, other) = pool.call(whereabouts()).await.unwrap();
    assert_ne!(other, its);
    until("the other is gone", || pool.status().runners.len() == 1).await;
    child.stop_and_wait(None, None).await.unwrap();
    idle_runners(&pool, 0).await;
    assert!(journal.has("dropped"));
    pool.shutdown().await;
}

async fn a_used_process_is_gone() {
    let pool = Runners::Processes.pool().single_use(true).start(&node()).await.unwrap();
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    until("its process is gone", || !process::is_alive(pid)).await;
    pool.shutdown().await;
}

/// Its caller had gone when it came up.
async fn a_runner_that_nobody_used_stays() {
    let backend = Scripted::new([]);
    let pool = Runners::InProcess.pool().single_use(true).backend(backend.clone()).start(&node()).await.unwrap();
    let call = tokio::spawn(pool.call(whereabouts()));
    until("a boot", || backend.boots() == 1).await;
    call.abort();
    status(&pool, "the caller has gone", |status| status.waiting == 0).await;
    backend.say([Verdict::Up]);
    let fresh = idle_runners(&pool, 1).await;
    let (_, there) = pool.call(whereabouts()).await.unwrap();
    assert_eq!(there, fresh.runners[0].node);
    pool.shutdown().await;
}
