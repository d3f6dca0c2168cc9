//! The actor that the trials send to, at home or placed, and one that supervises it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flame_actors::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, call};
use flame_actors::{LocalMessage, Message, placeable};
use flame_tests::{Entry, OnDrop};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize};

#[derive(Message)]
pub(crate) enum PeerMsg {
    Pid(RpcReplyPort<u32>),
    Add(u64),
    /// Everything that was added, in order.
    Added(RpcReplyPort<Vec<u64>>),
    Ignore(RpcReplyPort<u32>),
    /// Keeps the port, of the last few.
    Keep(RpcReplyPort<u32>),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    BytesAndPid(#[serde(with = "serde_bytes")] Vec<u8>, RpcReplyPort<u32>),
    /// Takes its time with each.
    Chew(#[serde(with = "serde_bytes")] Vec<u8>, Duration),
    Poison(Poison),
    PoisonAndPid(Poison, RpcReplyPort<u32>),
    Stop(Option<String>),
    Fail(String),
    Sleep(Duration),
    Myself(RpcReplyPort<ActorRef<PeerMsg>>),
    /// Whether this ref is the actor itself.
    IsMe(ActorRef<PeerMsg>, RpcReplyPort<bool>),
}

/// Can be sent and not be received.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Poison;

impl<'de> Deserialize<'de> for Poison {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("it is poison"))
    }
}

/// An actor that notes `post_stop` and `dropped`.
pub(crate) struct Peer;

pub(crate) struct State {
    journal: Entry,
    added: Vec<u64>,
    kept: VecDeque<RpcReplyPort<u32>>,
    _dropped: OnDrop,
}

const KEPT: usize = 64;

#[placeable]
impl Actor for Peer {
    type Msg = PeerMsg;
    type State = State;
    type Arguments = Entry;

    async fn pre_start(&self, _: ActorRef<PeerMsg>, journal: Entry) -> Result<State, ActorProcessingErr> {
        let dropped = journal.on_drop("dropped");
        Ok(State { journal, added: Vec::new(), kept: VecDeque::new(), _dropped: dropped })
    }

    async fn post_stop(&self, _: ActorRef<PeerMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.journal.note("post_stop");
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<PeerMsg>,
        message: PeerMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Callers may have gone, which is their choice.
        match message {
            PeerMsg::Pid(reply) | PeerMsg::BytesAndPid(_, reply) | PeerMsg::PoisonAndPid(_, reply) => {
                let _ = reply.send(std::process::id());
            }
            PeerMsg::Add(number) => state.added.push(number),
            PeerMsg::Added(reply) => {
                let _ = reply.send(state.added.clone());
            }
            PeerMsg::Ignore(reply) => drop(reply),
            PeerMsg::Keep(reply) => {
                state.kept.push_back(reply);
                if state.kept.len() > KEPT {
                    state.kept.pop_front();
                }
            }
            PeerMsg::Bytes(bytes) => state.added.push(bytes.len() as u64),
            PeerMsg::Chew(bytes, time) => {
                tokio::time::sleep(time).await;
                state.added.push(bytes.len() as u64);
            }
            PeerMsg::Poison(_) => state.added.push(u64::MAX),
            PeerMsg::Stop(reason) => myself.stop(reason),
            PeerMsg::Fail(text) => return Err(text.into()),
            PeerMsg::Sleep(time) => tokio::time::sleep(time).await,
            PeerMsg::Myself(reply) => {
                let _ = reply.send(myself);
            }
            PeerMsg::IsMe(actor, reply) => {
                let _ = reply.send(actor == myself && actor.get_id() == myself.get_id());
            }
        }
        Ok(())
    }
}

/// Where a peer runs.
pub(crate) async fn pid(peer: &ActorRef<PeerMsg>) -> u32 {
    call!(peer, PeerMsg::Pid).expect("it answers")
}

/// What it was told to add.
pub(crate) async fn added(peer: &ActorRef<PeerMsg>) -> Vec<u64> {
    call!(peer, PeerMsg::Added).expect("it answers")
}

/// Ends a peer of a trial, and waits for it.
pub(crate) async fn end(peer: &ActorRef<PeerMsg>) {
    // Not stop_and_wait: it refuses an actor that is stopping already.
    peer.stop(None);
    peer.wait(None).await.expect("there is no bound");
}

/// Sends what ends the peer. Its stand-in here may end before the sending has returned: that the mailbox was closed says
/// nothing then.
pub(crate) fn last_word(peer: &ActorRef<PeerMsg>, message: PeerMsg) {
    let _ = peer.cast(message);
}

/// Supervises and monitors, and survives it.
pub(crate) struct Keeper(Heard);

/// The ends that a keeper heard of.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

#[derive(LocalMessage)]
pub(crate) struct Nothing;

impl Keeper {
    pub(crate) async fn start() -> (ActorCell, Heard) {
        let heard = Heard::default();
        let (keeper, _) = Actor::spawn(None, Self(heard.clone()), ()).await.expect("it starts");
        (keeper.get_cell(), heard)
    }
}

impl Heard {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

impl Actor for Keeper {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Nothing>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(_, _, reason) => {
                self.0.0.lock().push(format!("terminated: {}", reason.unwrap_or_default()));
            }
            SupervisionEvent::ActorFailed(_, err) => self.0.0.lock().push(format!("failed: {err}")),
            _ => {}
        }
        Ok(())
    }
}
