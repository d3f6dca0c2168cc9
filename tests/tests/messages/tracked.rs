//! Actors whose refs come back in a result keep their runner and their slot.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorRef};
use flame_actors::{Error, Pool, Stage, remote, task};
use flame_tests::{Entry, Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::peer::{Peer, PeerMsg, end, pid};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        an_actor_tracked_by_its_call_keeps_its_slot_until_it_ends,
        an_actor_tracked_by_its_pool_keeps_its_slot_until_it_ends,
        several_tracked_actors_keep_the_slot_until_the_last_has_ended,
        an_actor_that_is_not_tracked_keeps_no_slot,
    ];
    trials.extend(trials![
        a_tracked_actor_keeps_its_runner_until_it_ends,
        a_tracked_actor_on_a_lost_runner_keeps_nothing,
    ]);
    trials
}

const IDLE: Duration = Duration::from_millis(100);

#[remote]
async fn raise(journal: Entry) -> ActorRef<PeerMsg> {
    Actor::spawn(None, Peer, journal).await.expect("it starts").0
}

#[remote]
async fn raise_two(journal: Entry) -> (ActorRef<PeerMsg>, Vec<ActorRef<PeerMsg>>) {
    let (one, _) = Actor::spawn(None, Peer, journal.clone()).await.expect("it starts");
    let (two, _) = Actor::spawn(None, Peer, journal).await.expect("it starts");
    (one, vec![two])
}

async fn one_slot(on: Runners, tracks: bool) -> Pool {
    on.pool().max_concurrency(1).idle_shutdown_after(IDLE).track_resources(tracks).start(&node()).await.unwrap()
}

/// The next call waits until `peer` has ended.
async fn keeps_its_slot(pool: &Pool, peer: &ActorRef<PeerMsg>) {
    let err = pool.call(task!([] {})).timeout(3 * IDLE).await.unwrap_err();
    assert!(matches!(err, Error::Timeout { stage: Stage::Waiting, .. }), "{err}");
    let next = tokio::spawn(pool.call(task!([] {})));
    pid(peer).await;
    assert!(!next.is_finished(), "the slot was free");
    end(peer).await;
    eventually("the slot is free", next).await.unwrap().unwrap();
}

async fn an_actor_tracked_by_its_call_keeps_its_slot_until_it_ends(on: Runners) {
    let pool = one_slot(on, false).await;
    let peer = pool.call(raise(Journal::new().entry())).track_resources(true).await.unwrap();
    keeps_its_slot(&pool, &peer).await;
    pool.shutdown().await;
}

async fn an_actor_tracked_by_its_pool_keeps_its_slot_until_it_ends(on: Runners) {
    let pool = one_slot(on, true).await;
    let peer = pool.call(raise(Journal::new().entry())).await.unwrap();
    keeps_its_slot(&pool, &peer).await;
    pool.shutdown().await;
}

async fn several_tracked_actors_keep_the_slot_until_the_last_has_ended(on: Runners) {
    let pool = one_slot(on, true).await;
    let (one, two) = pool.call(raise_two(Journal::new().entry())).await.unwrap();
    end(&one).await;
    keeps_its_slot(&pool, &two[0]).await;
    pool.shutdown().await;
}

async fn an_actor_that_is_not_tracked_keeps_no_slot(on: Runners) {
    let pool = one_slot(on, true).await;
    let peer = pool.call(raise(Journal::new().entry())).track_resources(false).await.unwrap();
    eventually("the slot is free", pool.call(task!([] {}))).await.unwrap();
    end(&peer).await;
    pool.shutdown().await;
}

async fn a_tracked_actor_keeps_its_runner_until_it_ends() {
    let pool = one_slot(Runners::Processes, true).await;
    let peer = pool.call(raise(Journal::new().entry())).await.unwrap();
    let there = pid(&peer).await;
    // What may not happen has time to.
    tokio::time::sleep(10 * IDLE).await;
    assert_eq!(pid(&peer).await, there);
    end(&peer).await;
    until("the idle runner is gone", || !process::is_alive(there)).await;
    pool.shutdown().await;
}

async fn a_tracked_actor_on_a_lost_runner_keeps_nothing() {
    let pool = one_slot(Runners::Processes, true).await;
    let peer = pool.call(raise(Journal::new().entry())).await.unwrap();
    process::kill(pid(&peer).await);
    eventually("the end of its ref", peer.wait(None)).await.unwrap();
    eventually("a slot is free", pool.call(task!([] {}))).await.unwrap();
    pool.shutdown().await;
}
