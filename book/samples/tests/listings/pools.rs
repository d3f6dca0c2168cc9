//! pools.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flame_actors::{Candidate, Event, MostLoaded, Node, Pool, RunnerState, remote, task};
use flame_local::ProcessBackend;
use flame_tests::{Runners, everywhere, node, trials, until};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![a_pool_tells_and_takes_changes, hooks_are_called, an_idle_runner_that_agrees_goes];
    trials.extend(trials![all_options_can_be_set, a_placement_is_a_function]);
    trials
}

// ANCHOR: builder
#[remote]
async fn no_uploads_left() -> bool {
    true // looks at what the application has on the runner
}

async fn start(node: &Node) -> Result<Pool, flame_actors::Error> {
    Pool::builder("ffmpeg")
        .min(1)
        .max(10)
        .max_concurrency(5)
        .buffer(5)
        .max_waiting(1000)
        .placement(MostLoaded)
        .timeout(Duration::from_secs(300))
        .boot_timeout(Duration::from_secs(60))
        .shutdown_timeout(Duration::from_secs(60))
        .idle_shutdown_after(Duration::from_secs(60))
        .idle_shutdown_check(no_uploads_left)
        .max_runner_age(Duration::from_secs(24 * 3600))
        .backend(ProcessBackend::new())
        .start(node)
        .await
}
// ANCHOR_END: builder

async fn all_options_can_be_set() {
    let pool = start(&node()).await.unwrap();
    assert_eq!(pool.call(task!([] -> u32 { 1 })).await.unwrap(), 1);
    assert_eq!(Pool::named("ffmpeg").map(|pool| pool.status().max), Some(10));
    pool.shutdown().await;
}

async fn a_placement_is_a_function() {
    // ANCHOR: placement
    // Fill each runner to a half before the next one is used.
    let half = |runner: &Candidate<'_>| if 2 * runner.used() < runner.slots() { 0 } else { 1 };
    let pool = Runners::InProcess.pool().placement(half);
    // ANCHOR_END: placement
    let pool = pool.start(&node()).await.unwrap();
    assert_eq!(pool.call(task!([] -> u32 { 1 })).await.unwrap(), 1);
    pool.shutdown().await;
}

async fn a_pool_tells_and_takes_changes(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    // ANCHOR: changes
    pool.resize(2, 20)?; // two are booted at once; over 20 would be drained, the least busy first
    until("both serve", || pool.status().runners.len() == 2).await;

    let status = pool.status();
    assert!(status.runners.iter().all(|runner| runner.state == RunnerState::Idle));

    pool.pause_growth()?; // boots nothing more, whoever waits
    pool.drain(&status.runners[0].node).await?; // takes no new work, and returns when it is gone
    assert_eq!(pool.status().runners.len(), 1);
    pool.resume_growth()?;
    until("both serve", || pool.status().runners.len() == 2).await;
    // ANCHOR_END: changes
    pool.shutdown().await;
    Ok(())
}

async fn hooks_are_called(runners: Runners) {
    let grown = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&grown);
    // ANCHOR: hooks
    let pool = runners
        .pool()
        .on_grow_start(|change| println!("{}: {} is to come", change.pool, change.runner))
        .on_grow_end(move |change, outcome| match outcome {
            Ok(()) => count.store(change.count, Ordering::Relaxed),
            Err(err) => eprintln!("{}: {err}", change.pool),
        })
        .on_shrink(|change| println!("{}: {} are left", change.pool, change.count));
    // ANCHOR_END: hooks
    let pool = pool.start(&node()).await.unwrap();
    // ANCHOR: events
    let mut events = pool.events(); // from now on
    pool.call(task!([] {})).await.unwrap();
    while let Some(event) = events.next().await {
        if let Event::Up { runner, after, .. } = event {
            println!("{runner} took {after:?} to boot");
            break;
        }
    }
    // ANCHOR_END: events
    until("the hook was called", || grown.load(Ordering::Relaxed) == 1).await;
    pool.shutdown().await;
}

async fn an_idle_runner_that_agrees_goes(runners: Runners) {
    // ANCHOR: idle
    let pool = runners.pool().idle_shutdown_after(Duration::from_millis(100)).idle_shutdown_check(no_uploads_left);
    // ANCHOR_END: idle
    let pool = pool.start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    until("it has left", || pool.status().runners.is_empty()).await;
    pool.shutdown().await;
}
