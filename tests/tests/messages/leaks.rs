//! Short-lived refs and calls leave nothing behind.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorRef};
use flame_tests::{Journal, Runners, eventually, trials, until};
use futures_util::FutureExt;
use futures_util::future::join_all;
use libtest_mimic::Trial;

use crate::measure::{MIB, handles, memory};
use crate::peer::{Peer, PeerMsg, end, pid};

pub(crate) fn trials() -> Vec<Trial> {
    trials![short_lived_refs_and_abandoned_calls_leave_both_processes_where_they_were]
}

/// Of eight refs and calls each: half of them abandoned.
const ROUNDS: usize = 15_000;
const BATCH: usize = 100;
const ROOM: u64 = 32 * MIB;

async fn round(child: &ActorRef<PeerMsg>, dead: &ActorRef<PeerMsg>, journal: &Journal) {
    // Two refs, to actors that end: one is told so by its actor, one while the ref is on its way.
    let (one, _) = Actor::spawn(None, Peer, journal.entry()).await.expect("it starts");
    let (two, _) = Actor::spawn(None, Peer, journal.entry()).await.expect("it starts");
    assert!(!child.call(|reply| PeerMsg::IsMe(one.clone(), reply), None).await.unwrap().unwrap());
    two.kill();
    let _ = child.call(|reply| PeerMsg::IsMe(two, reply), None).await.unwrap();
    one.stop(None);
    // Two calls that are answered and dropped by the actor.
    assert!(child.call(PeerMsg::Pid, None).await.unwrap().is_success());
    assert!(!child.call(PeerMsg::Ignore, None).await.unwrap().is_success());
    // Four that are given up: at once, by a time-out, unanswered, and to a dead actor.
    let _ = child.call(PeerMsg::Pid, None).now_or_never();
    let _ = child.call(PeerMsg::Keep, None).now_or_never();
    let _ = child.call(PeerMsg::Keep, Some(Duration::from_micros(10))).await;
    let _ = dead.call(PeerMsg::Pid, None).await;
}

async fn short_lived_refs_and_abandoned_calls_leave_both_processes_where_they_were() {
    let pool = Runners::Processes.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let dead = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    end(&dead).await;
    let pids = [std::process::id(), pid(&child).await];
    let journal = Journal::new();
    let handles_before = pids.map(handles);
    let mut before = None;
    for done in (0..ROUNDS).step_by(BATCH) {
        if done == ROUNDS / 10 {
            before = Some(pids.map(memory));
        }
        let batch = join_all((0..BATCH).map(|_| round(&child, &dead, &journal)));
        eventually("a batch of short-lived refs and calls", batch).await;
    }
    let before = before.expect("it was measured");
    for ((pid, bytes), handles_before) in pids.into_iter().zip(before).zip(handles_before) {
        // A runtime's idle threads come and go, and so do the files that count them.
        let few_more =
            |(threads, files): (usize, usize)| threads < handles_before.0 + 16 && files < handles_before.1 + 16;
        until(&format!("process {pid} has about as many threads and files as before"), || few_more(handles(pid))).await;
        let now = memory(pid);
        assert!(now < bytes + ROOM, "process {pid} grew from {bytes} to {now} bytes");
    }
    end(&child).await;
    pool.shutdown().await;
}
