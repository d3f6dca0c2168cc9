//! The role whose messages and replies do harm, on the way to a runner and on the way back.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorRef, call_t};
use flame_actors::{Pool, remote};
use flame_tests::Runners;

use crate::harm::{Bystanders, case, noting};
use crate::traps::{At, Trap, Victim, VictimMsg};

/// After that a caller gives up, in milliseconds.
const SOON: u64 = 300;
/// After that one does who waits for its answer.
const LATE: u64 = 60_000;

/// What is done with a victim.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
enum What {
    Send(At),
    Ask(At),
    AskAndLeave(At),
    /// The same as `Send`, to one that has ended.
    SendToDead(At),
}

impl What {
    fn of(case: &str) -> Self {
        match case {
            "decoding a message" => Self::Send(At::Decode),
            "encoding a message" => Self::Send(At::Encode),
            "decoding a reply" => Self::Ask(At::Decode),
            "encoding a reply" => Self::Ask(At::Encode),
            "decoding a late reply" => Self::AskAndLeave(At::Decode),
            "encoding a late reply" => Self::AskAndLeave(At::Encode),
            "dropping a late reply" => Self::AskAndLeave(At::Drop),
            "decoding a message to the dead" => Self::SendToDead(At::Decode),
            "dropping a message to the dead" => Self::SendToDead(At::Drop),
            other => panic!("no such case: {other}"),
        }
    }
}

/// The victim is on a runner, or, for a case of that end, at the parent.
pub(crate) async fn play() {
    noting(async {
        let (harmed, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
        let bystanders = Bystanders::begin(&harmed, &other).await;
        match case().expect("the trial gives one").rsplit_once(' ').expect("what, and where") {
            (what, "there") => at_a_runner(&harmed, What::of(what)).await,
            (what, "here") => at_the_parent(&harmed, What::of(what)).await,
            other => panic!("no such case: {other:?}"),
        }
        bystanders.unharmed().await
    })
    .await;
}

async fn at_a_runner(pool: &Pool, what: What) {
    let victim = pool.place_child(Victim, ()).await.expect("it starts");
    // It may be harmed itself.
    let _ = tokio::spawn(harm(victim.clone(), what)).await;
    victim.stop(None);
}

async fn at_the_parent(pool: &Pool, what: What) {
    let (victim, _) = Actor::spawn(None, Victim, ()).await.expect("it starts");
    let _ = pool.call(harm_from_there(victim.clone(), what)).timeout(Duration::from_millis(LATE)).await;
    victim.stop(None);
}

#[remote]
async fn harm_from_there(victim: ActorRef<VictimMsg>, what: What) {
    harm(victim, what).await;
}

async fn harm(victim: ActorRef<VictimMsg>, what: What) {
    // Errors are the victim's.
    match what {
        What::Send(at) => {
            let _ = victim.cast(VictimMsg::Take(Trap::new(at)));
            let _ = call_t!(victim, VictimMsg::Ping, LATE);
        }
        What::Ask(at) => {
            let _ = call_t!(victim, VictimMsg::Give, LATE, at);
        }
        What::AskAndLeave(at) => {
            let _ = call_t!(victim, VictimMsg::Keep, SOON);
            let _ = victim.cast(VictimMsg::GiveLate(at));
            let _ = call_t!(victim, VictimMsg::Ping, LATE);
        }
        What::SendToDead(at) => {
            // Some of them arrive after the end and have left before that is known here.
            victim.stop(None);
            while victim.cast(VictimMsg::Take(Trap::new(at))).is_ok() {
                tokio::task::yield_now().await;
            }
        }
    }
}
