//! A value that does harm where it is encoded, decoded or dropped, and an actor that takes and gives such values.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{Message, placeable};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harm::harm;

/// Where a trap does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum At {
    Encode,
    Decode,
    Drop,
}

#[derive(Debug)]
pub(crate) struct Trap {
    at: At,
    /// Whoever made it may drop it.
    arrived: bool,
}

impl Trap {
    pub(crate) fn new(at: At) -> Self {
        Self { at, arrived: false }
    }
}

impl Serialize for Trap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.at == At::Encode {
            harm();
        }
        self.at.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let at = At::deserialize(deserializer)?;
        if at == At::Decode {
            harm();
        }
        Ok(Self { at, arrived: true })
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        if self.arrived && self.at == At::Drop {
            harm();
        }
    }
}

#[derive(Message)]
pub(crate) enum VictimMsg {
    Take(Trap),
    /// Answers with a trap.
    Give(At, RpcReplyPort<Trap>),
    /// Keeps the port until it is told to use it.
    Keep(RpcReplyPort<Trap>),
    GiveLate(At),
    Ping(RpcReplyPort<()>),
}

/// Runs here or there.
pub(crate) struct Victim;

#[placeable]
impl Actor for Victim {
    type Msg = VictimMsg;
    type State = Option<RpcReplyPort<Trap>>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<VictimMsg>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn handle(
        &self,
        _: ActorRef<VictimMsg>,
        message: VictimMsg,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // Callers may have gone: that is what is tried.
        match message {
            VictimMsg::Take(trap) => drop(trap),
            VictimMsg::Give(at, reply) => {
                let _ = reply.send(Trap::new(at));
            }
            VictimMsg::Keep(reply) => *kept = Some(reply),
            VictimMsg::GiveLate(at) => {
                if let Some(reply) = kept.take() {
                    let _ = reply.send(Trap::new(at));
                }
            }
            VictimMsg::Ping(reply) => {
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}
