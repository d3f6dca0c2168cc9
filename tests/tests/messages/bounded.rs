//! Sending with back-pressure.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flame_actors::ractor::{Actor, ActorRef};
use flame_actors::{BoundedSender, remote};
use flame_tests::{Journal, Runners, eventually, everywhere, process, trials};
use libtest_mimic::Trial;

use crate::measure::{MIB, memory};
use crate::peer::{Peer, PeerMsg, added, end, pid};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_fast_producer_does_not_fill_a_slow_actor,
        a_flush_waits_until_all_were_taken,
        a_waiting_send_goes_on_when_the_actor_dies,
        a_message_that_cannot_be_sent_gives_its_place_back,
    ];
    trials.extend(trials![
        a_fast_producer_on_another_runner_does_not_fill_the_way,
        a_fast_producer_on_a_runner_does_not_fill_the_parent,
        a_waiting_send_goes_on_when_the_node_is_lost,
    ]);
    trials
}

const IN_FLIGHT: usize = 8;
const MESSAGES: usize = 150;
/// Without a bound it would be 150 MiB.
const ROOM: u64 = 64 * MIB;

fn big() -> PeerMsg {
    PeerMsg::Chew(vec![1; MIB as usize], Duration::from_millis(4))
}

#[remote]
async fn produce(peer: ActorRef<PeerMsg>) -> Result<(), String> {
    let sender = BoundedSender::new(peer, IN_FLIGHT);
    for _ in 0..MESSAGES {
        sender.send(big()).await.map_err(|err| err.to_string())?;
    }
    sender.flush().await;
    Ok(())
}

/// Runs it, and fails when one of these processes grows too much meanwhile.
async fn bounded<T>(pids: &[u32], work: impl Future<Output = T>) -> T {
    let before: Vec<_> = pids.iter().map(|pid| memory(*pid)).collect();
    let mut work = std::pin::pin!(work);
    let mut most = vec![0; pids.len()];
    loop {
        let done = tokio::time::timeout(Duration::from_millis(5), &mut work).await;
        for (n, pid) in pids.iter().enumerate() {
            most[n] = most[n].max(memory(*pid).saturating_sub(before[n]));
        }
        if let Ok(done) = done {
            assert!(most.iter().all(|most| *most < ROOM), "they grew by {most:?} bytes");
            return done;
        }
    }
}

async fn a_fast_producer_does_not_fill_a_slow_actor(on: Runners) {
    let pool = on.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let there = pid(&child).await;
    let work = tokio::spawn(produce(child.clone()));
    bounded(&[std::process::id(), there], work).await.unwrap().unwrap();
    assert_eq!(added(&child).await, [MIB; MESSAGES]);
    end(&child).await;
    pool.shutdown().await;
}

async fn a_fast_producer_on_a_runner_does_not_fill_the_parent() {
    let pool = Runners::Processes.start().await;
    let (home, _) = Actor::spawn(None, Peer, Journal::new().entry()).await.unwrap();
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let there = pid(&child).await;
    bounded(&[std::process::id(), there], pool.call(produce(home.clone()))).await.unwrap().unwrap();
    assert_eq!(added(&home).await, [MIB; MESSAGES]);
    end(&child).await;
    end(&home).await;
    pool.shutdown().await;
}

async fn a_fast_producer_on_another_runner_does_not_fill_the_way() {
    let (producers, consumers) = (Runners::Processes.start().await, Runners::Processes.start().await);
    let child = consumers.place_child(Peer, Journal::new().entry()).await.unwrap();
    let other = producers.place_child(Peer, Journal::new().entry()).await.unwrap();
    let pids = [std::process::id(), pid(&child).await, pid(&other).await];
    bounded(&pids, producers.call(produce(child.clone()))).await.unwrap().unwrap();
    assert_eq!(added(&child).await, [MIB; MESSAGES]);
    end(&child).await;
    end(&other).await;
    producers.shutdown().await;
    consumers.shutdown().await;
}

async fn a_flush_waits_until_all_were_taken(on: Runners) {
    let pool = on.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let sender = BoundedSender::new(child.clone(), IN_FLIGHT);
    let start = Instant::now();
    let each = Duration::from_millis(50);
    for _ in 0..5 {
        sender.send(PeerMsg::Chew(Vec::new(), each)).await.unwrap();
    }
    eventually("a flush", sender.flush()).await;
    // The last was taken when the four before it had been handled.
    assert!(start.elapsed() >= 4 * each, "{:?}", start.elapsed());
    end(&child).await;
    eventually("a flush for a dead actor", sender.flush()).await;
    pool.shutdown().await;
}

/// A sender whose bound is reached, and a send that waits.
async fn waiting(child: &ActorRef<PeerMsg>) -> (BoundedSender<PeerMsg>, tokio::task::JoinHandle<Result<(), String>>) {
    let sender = BoundedSender::new(child.clone(), IN_FLIGHT);
    child.cast(PeerMsg::Sleep(Duration::from_secs(600))).unwrap();
    for number in 0..IN_FLIGHT as u64 {
        eventually("a send within the bound", sender.send(PeerMsg::Add(number))).await.unwrap();
    }
    let begun = Arc::new(AtomicBool::new(false));
    let send = tokio::spawn({
        let (sender, begun) = (sender.clone(), Arc::clone(&begun));
        async move {
            begun.store(true, Ordering::Release);
            sender.send(PeerMsg::Add(0)).await.map_err(|err| err.to_string())
        }
    });
    flame_tests::until("the send has begun", || begun.load(Ordering::Acquire)).await;
    assert!(!send.is_finished(), "it did not wait");
    (sender, send)
}

async fn a_waiting_send_goes_on_when_the_actor_dies(on: Runners) {
    let pool = on.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let (sender, send) = waiting(&child).await;
    child.kill();
    // It may have been sent to an actor whose end was not known yet.
    let _ = eventually("the waiting send", send).await.unwrap();
    eventually("a flush", sender.flush()).await;
    child.wait(None).await.unwrap();
    eventually("a send to a dead actor", sender.send(PeerMsg::Add(0))).await.unwrap_err();
    pool.shutdown().await;
}

async fn a_waiting_send_goes_on_when_the_node_is_lost() {
    let pool = Runners::Processes.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let there = pid(&child).await;
    let (sender, send) = waiting(&child).await;
    process::kill(there);
    let _ = eventually("the waiting send", send).await.unwrap();
    eventually("a flush", sender.flush()).await;
    child.wait(None).await.unwrap();
    eventually("a send to a lost actor", sender.send(PeerMsg::Add(0))).await.unwrap_err();
    pool.shutdown().await;
}

/// Neither refused here nor there, more often than the bound.
async fn a_message_that_cannot_be_sent_gives_its_place_back(on: Runners) {
    let pool = on.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let sender = BoundedSender::new(child.clone(), 2);
    for _ in 0..5 {
        let much = PeerMsg::Bytes(vec![0; flame_actors::MAX_MESSAGE_BYTES + 1]);
        let sent = eventually("a send", sender.send(much)).await;
        assert!(sent.is_err());
        eventually("a send", sender.send(PeerMsg::Poison(crate::peer::Poison))).await.unwrap();
    }
    eventually("a flush", sender.flush()).await;
    pid(&child).await;
    end(&child).await;
    pool.shutdown().await;
}
