//! Slots of placed children, and placements that were given up.

use std::time::Duration;

use flame_actors::{Error, Pool, Stage, task};
use flame_tests::{Journal, Runners, eventually, everywhere, node, until};
use futures_util::FutureExt;
use libtest_mimic::Trial;

use crate::home::Home;
use crate::probe::{Args, Probe, ProbeMsg, Start, last_word, pid, place};

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![
        a_child_holds_its_slot_until_it_ends,
        a_placement_that_takes_too_long_leaves_nothing_behind,
        a_placement_that_blocks_too_long_leaves_nothing_behind,
        a_placement_dropped_at_any_point_leaves_nothing_behind,
        placements_dropped_at_any_moment_leave_nothing_behind,
        a_placement_under_a_dead_supervisor_leaves_nothing_behind,
    ]
}

async fn one_slot(on: Runners) -> Pool {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    pool
}

/// The only slot is free, and every child that was started has gone.
async fn assert_nothing_left(pool: &Pool, journal: &Journal) {
    eventually("the slot is free", pool.call(task!([] {}))).await.expect("the slot is free");
    let started = || journal.lines().iter().filter(|line| line.starts_with("pre_start")).count();
    until("all children are gone", || journal.count("dropped") == started()).await;
}

async fn a_child_holds_its_slot_until_it_ends(on: Runners) {
    let pool = one_slot(on).await;
    let (home, ends) = Home::start().await;
    for end in [ProbeMsg::Stop(None), ProbeMsg::Fail("x".to_owned()), ProbeMsg::Panic("x".to_owned())] {
        let child = place(&pool, &Journal::new(), &home).await;
        let err = pool.call(task!([] {})).timeout(Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(err, Error::Timeout { stage: Stage::Waiting, .. }), "{err}");
        last_word(&child, end);
        ends.of(&child).await;
        pool.call(task!([] {})).await.expect("the slot is free");
    }
    let child = place(&pool, &Journal::new(), &home).await;
    child.kill();
    eventually("the slot is free", pool.call(task!([] {}))).await.unwrap();
    pool.shutdown().await;
}

async fn a_placement_that_takes_too_long_leaves_nothing_behind(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let limit = Duration::from_millis(300);
    let err = pool.place_child(Probe, Args::new(&journal, Start::Hang)).timeout(limit).await.map(drop).unwrap_err();
    match err {
        Error::Timeout { stage: Stage::Running, after, .. } => assert_eq!(after, limit),
        other => panic!("{other}"),
    }
    assert_nothing_left(&pool, &journal).await;
    pool.shutdown().await;
}

/// Its start cannot be aborted, so the child comes to life after it was given up.
async fn a_placement_that_blocks_too_long_leaves_nothing_behind(on: Runners) {
    let pool = one_slot(on).await;
    let journal = Journal::new();
    let arguments = Args::new(&journal, Start::Block(Duration::from_millis(800)));
    pool.place_child(Probe, arguments).timeout(Duration::from_millis(200)).await.map(drop).unwrap_err();
    assert_nothing_left(&pool, &journal).await;
    pool.shutdown().await;
}

/// Drops it when it has been polled once, twice, and so on: at every point at which it waits.
async fn a_placement_dropped_at_any_point_leaves_nothing_behind(on: Runners) {
    let pool = one_slot(on).await;
    let (home, _) = Home::start().await;
    for polls in 1..8 {
        let journal = Journal::new();
        let mut placement = Box::pin(pool.place_child(Probe, Args::well(&journal)).linked_to(&home));
        let mut left = polls;
        let placed = std::future::poll_fn(|cx| {
            left -= 1;
            match placement.poll_unpin(cx) {
                std::task::Poll::Ready(placed) => std::task::Poll::Ready(Some(placed)),
                std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        })
        .await;
        drop(placement);
        if let Some(placed) = placed {
            let child = placed.unwrap();
            pid(&child).await;
            child.stop_and_wait(None, None).await.unwrap();
        }
        assert_nothing_left(&pool, &journal).await;
    }
    pool.shutdown().await;
}

async fn placements_dropped_at_any_moment_leave_nothing_behind(on: Runners) {
    let pool = on.pool().max_concurrency(4).start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    let journal = Journal::new();
    let storm: Vec<_> = (0..300_u64)
        .map(|n| {
            let placement = pool.place_child(Probe, Args::well(&journal));
            tokio::spawn(async move {
                let patience = Duration::from_micros(n * 97 % 4000);
                if let Ok(placed) = tokio::time::timeout(patience, placement).await {
                    placed.unwrap().stop_and_wait(None, None).await.unwrap();
                }
            })
        })
        .collect();
    for one in storm {
        one.await.unwrap();
    }
    assert_nothing_left(&pool, &journal).await;
    pool.shutdown().await;
}

async fn a_placement_under_a_dead_supervisor_leaves_nothing_behind(on: Runners) {
    let pool = one_slot(on).await;
    let (home, _) = Home::start().await;
    home.stop_and_wait(None, None).await.unwrap();
    let journal = Journal::new();
    let placed = eventually("a placement", pool.place_child(Probe, Args::well(&journal)).linked_to(&home)).await;
    if let Ok(child) = placed {
        eventually("the end of its ref", child.wait(None)).await.unwrap();
    }
    assert_nothing_left(&pool, &journal).await;
    pool.shutdown().await;
}
