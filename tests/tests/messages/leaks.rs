//! A million short-lived refs and calls leave nothing behind.

use std::time::Duration;

use flame_actors::Pool;
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use flame_tests::{Journal, Runners, eventually, trials, until};
use futures_util::FutureExt;
use futures_util::future::join_all;
use libtest_mimic::Trial;

use crate::measure::{MIB, handles, memory};
use crate::peer::{Peer, PeerMsg, end, pid};

// Each kind in a trial of its own: one that fails says what is kept.
pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_hundred_thousand_short_lived_refs_leave_both_processes_where_they_were,
        many_calls_leave_both_processes_where_they_were,
        as_many_abandoned_calls_leave_both_processes_where_they_were,
    ]
}

/// Half of them to actors that die before they arrive.
const REFS: usize = 100_000;
/// Half of them dropped by the actor.
const CALLS: usize = 450_000;
const ABANDONED: usize = 450_000;
const _: () = assert!(REFS + CALLS + ABANDONED == 1_000_000);

const BATCH: usize = 500;
const ROOM: u64 = 8 * MIB;

struct There {
    pool: Pool,
    child: ActorRef<PeerMsg>,
    dead: ActorRef<PeerMsg>,
}

/// Repeats what does so many things at a time, and measures both processes.
async fn leaves_nothing(things: usize, at_a_time: usize, act: impl AsyncFn(&There)) {
    let pool = Runners::Processes.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let dead = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    end(&dead).await;
    let there = There { pool, child, dead };
    let pids = [std::process::id(), pid(&there.child).await];
    let handles_before = pids.map(handles);
    let batches = things / (at_a_time * BATCH);
    let mut before = None;
    for batch in 0..batches {
        if batch == batches / 10 {
            before = Some(pids.map(memory));
        }
        eventually("a batch", join_all((0..BATCH).map(|_| act(&there)))).await;
        // Nobody waited for what was abandoned. All of it was there before this call.
        eventually("a call after a batch", pid(&there.child)).await;
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
    end(&there.child).await;
    there.pool.shutdown().await;
}

/// An actor that costs little.
struct Brief;

impl Actor for Brief {
    type Msg = PeerMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<PeerMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

async fn a_hundred_thousand_short_lived_refs_leave_both_processes_where_they_were() {
    leaves_nothing(REFS, 2, async |there| {
        let (one, _) = Actor::spawn(None, Brief, ()).await.expect("it starts");
        let (two, _) = Actor::spawn(None, Brief, ()).await.expect("it starts");
        assert!(!there.child.call(|reply| PeerMsg::IsMe(one.clone(), reply), None).await.unwrap().unwrap());
        two.kill();
        let _ = there.child.call(|reply| PeerMsg::IsMe(two, reply), None).await.unwrap();
        one.stop(None);
    })
    .await;
}

async fn many_calls_leave_both_processes_where_they_were() {
    leaves_nothing(CALLS, 2, async |there| {
        assert!(there.child.call(PeerMsg::Pid, None).await.unwrap().is_success());
        assert!(!there.child.call(PeerMsg::Ignore, None).await.unwrap().is_success());
    })
    .await;
}

async fn as_many_abandoned_calls_leave_both_processes_where_they_were() {
    leaves_nothing(ABANDONED, 5, async |there| {
        // Given up at once, answered or not; by a time-out; and to a dead actor.
        let _ = there.child.call(PeerMsg::Pid, None).now_or_never();
        let _ = there.child.call(PeerMsg::Pid, None).now_or_never();
        let _ = there.child.call(PeerMsg::Keep, None).now_or_never();
        let _ = there.dead.call(PeerMsg::Pid, None).await;
        let _ = there.child.call(PeerMsg::Keep, Some(Duration::from_micros(10))).await;
    })
    .await;
}
