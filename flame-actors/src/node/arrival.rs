//! Messages that have come from another node, on their way into the mailbox of an actor.
//!
//! They are put there as they came, and decoded by the actor that takes them out. A mailbox has room for bytes and for
//! a port that answers with bytes. What else belongs to a message is kept here meanwhile, under a ticket.

use std::any::TypeId;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dashmap::{DashMap, DashSet};
use ractor::message::SerializedMessage;
use ractor::{ActorCell, RpcReplyPort};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::message::{Message, Permit, ReplyTo, on_end};
use crate::node::tls;

/// What belongs to a message beside its bytes. Dropped with a mailbox, it tells the sender.
pub(crate) struct Arrival {
    pub(crate) reply: Option<ReplyTo>,
    _permit: Option<Permit>,
}

static ARRIVALS: LazyLock<DashMap<u64, Arrival>> = LazyLock::new(DashMap::new);

/// The types of messages that know how to decode themselves.
static EXPECTED: LazyLock<DashSet<TypeId>> = LazyLock::new(DashSet::new);

/// Makes messages of this type deliverable.
pub(crate) fn expect<M: Message>() {
    let id = TypeId::of::<M>();
    if !EXPECTED.contains(&id) {
        EXPECTED.insert(id);
    }
}

/// Puts a message into the mailbox of an actor of this node.
pub(super) fn deliver(
    cell: &ActorCell,
    body: Bytes,
    reply: Option<ReplyTo>,
    permit: Option<Permit>,
) -> Result<(), Error> {
    let no_actor = || Error::NoActor(cell.get_id().to_string());
    if !EXPECTED.contains(&cell.get_type_id()) {
        return Err(no_actor());
    }
    let (variant, args) = (String::new(), Vec::from(body));
    let message = if reply.is_none() && permit.is_none() {
        SerializedMessage::Cast { variant, args, metadata: None }
    } else {
        let (ticket, reply) = enter(Arrival { reply, _permit: permit });
        SerializedMessage::Call { variant, args, reply, metadata: Some(ticket) }
    };
    cell.send_serialized(message).map_err(|_| no_actor())
}

/// Keeps this until the message is taken; dropped with the mailbox, the port has it dropped.
fn enter(arrival: Arrival) -> (Vec<u8>, RpcReplyPort<Vec<u8>>) {
    // No peer can tell which tickets there are.
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(tls::number()));
    let ticket = NEXT.fetch_add(1, Ordering::Relaxed);
    ARRIVALS.insert(ticket, arrival);
    let (tx, rx) = oneshot::channel();
    on_end(rx, move |_| drop(ARRIVALS.remove(&ticket)));
    (ticket.to_be_bytes().to_vec(), tx.into())
}

/// Takes what belongs to a message.
pub(crate) fn claim(ticket: &[u8]) -> Option<Arrival> {
    let ticket = u64::from_be_bytes(ticket.try_into().ok()?);
    ARRIVALS.remove(&ticket).map(|(_, arrival)| arrival)
}
