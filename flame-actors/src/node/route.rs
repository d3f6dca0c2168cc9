//! Which actors live elsewhere, and how to reach them.
//!
//! On the wire an actor is an [`Address`]. Its own node resolves that to the actor itself, any other to a proxy (see
//! `proxy.rs`). A placed child's guardian has a route as a proxy has.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::RwLock;
use ractor::{ActorCell, ActorId, ActorRef};
use serde::{Deserialize, Serialize};

use super::frame::{Frame, Hop, Order};
use super::link::Link;
use super::{proxy, watcher};
use crate::codec;
use crate::error::{Cause, Error};
use crate::message::{Encoded, Message, ReplyTo};

// ---- nodes ---------------------------------------------------------------------------------------------------

/// The nodes that this one has a link to.
struct Neighbours {
    me: Arc<str>,
    parent: OnceLock<Arc<Link>>,
    runners: RwLock<HashMap<Arc<str>, Arc<Link>>>,
}

static NEIGHBOURS: OnceLock<Neighbours> = OnceLock::new();

/// Gives this process its node name. The first name stays.
pub(crate) fn set_name(me: &Arc<str>) {
    NEIGHBOURS.get_or_init(|| Neighbours { me: Arc::clone(me), parent: OnceLock::new(), runners: RwLock::default() });
}

pub(crate) fn add_parent(link: &Arc<Link>) {
    if let Some(neighbours) = NEIGHBOURS.get() {
        let _ = neighbours.parent.set(Arc::clone(link));
    }
}

pub(crate) fn add_runner(link: &Arc<Link>) {
    if let Some(neighbours) = NEIGHBOURS.get() {
        neighbours.runners.write().insert(Arc::clone(link.peer()), Arc::clone(link));
    }
}

fn is_me(node: &str) -> bool {
    NEIGHBOURS.get().is_some_and(|neighbours| *neighbours.me == *node)
}

/// The link towards a node. Names are paths, so a request goes down by prefix and otherwise up.
pub(super) fn towards(node: &Arc<str>) -> Option<(Arc<Link>, Hop)> {
    let neighbours = NEIGHBOURS.get()?;
    let below = |name: &str| node.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let link = if below(&neighbours.me) {
        let runners = neighbours.runners.read();
        match runners.get(node) {
            Some(link) => Arc::clone(link),
            None => runners.iter().find(|(name, _)| below(name)).map(|(_, link)| Arc::clone(link))?,
        }
    } else {
        Arc::clone(neighbours.parent.get()?)
    };
    let hop = (link.peer() != node).then(|| Arc::clone(node));
    Some((link, hop))
}

// ---- addresses -----------------------------------------------------------------------------------------------

/// An actor on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(super) node: Arc<str>,
    pub(super) pid: u64,
}

/// The address under which an actor is reached from other nodes.
pub(crate) fn address_of<M: Message>(actor: &ActorRef<M>) -> Result<Address, Error> {
    expect::<M>();
    if let Some(address) = to(&actor.get_id()).and_then(|route| route.address.clone()) {
        return Ok(address);
    }
    let neighbours = NEIGHBOURS.get().ok_or(Error::NoNode)?;
    Ok(Address { node: Arc::clone(&neighbours.me), pid: actor.get_id().pid() })
}

/// A local ref for an address.
pub(crate) fn resolve<M: Message>(address: &Address) -> Result<ActorRef<M>, Error> {
    expect::<M>();
    if is_me(&address.node) {
        return match ractor::registry::where_is_pid(ActorId::Local(address.pid)) {
            Some(cell) => typed(cell, address),
            None => proxy::gone(),
        };
    }
    proxy::proxy(address)
}

pub(super) fn typed<M: Message>(cell: ActorCell, address: &Address) -> Result<ActorRef<M>, Error> {
    if cell.is_message_type_of::<M>() == Some(true) {
        return Ok(cell.into());
    }
    let reason = format!("actor {} of node {} takes other messages", address.pid, address.node);
    Err(Error::Decode { what: std::any::type_name::<ActorRef<M>>().to_owned(), reason })
}

// ---- routes --------------------------------------------------------------------------------------------------

/// The way to an actor elsewhere, by the pid of the local actor that stands for it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(super) link: Arc<Link>,
    pub(super) to: Hop,
    pub(super) pid: u64,
    /// What travels for the local actor; `None` for a guardian, whose own address does.
    pub(super) address: Option<Address>,
}

static ROUTES: LazyLock<DashMap<u64, Route>> = LazyLock::new(DashMap::new);
/// Spares every local message the look-up in a process where nothing lives elsewhere.
static ROUTE_COUNT: AtomicUsize = AtomicUsize::new(0);

/// The route of a local pid, if it stands for an actor elsewhere.
pub(crate) fn to(pid: &ActorId) -> Option<Route> {
    if ROUTE_COUNT.load(Ordering::Acquire) == 0 || !pid.is_local() {
        return None;
    }
    ROUTES.get(&pid.pid()).map(|route| route.clone())
}

/// Sends what is meant for a guardian on to its child.
pub(crate) fn add_guardian(guardian: &ActorId, link: &Arc<Link>, child: u64) {
    add(guardian.pid(), Route { link: Arc::clone(link), to: None, pid: child, address: None });
}

pub(super) fn add(pid: u64, route: Route) {
    if ROUTES.insert(pid, route).is_none() {
        ROUTE_COUNT.fetch_add(1, Ordering::Release);
    }
}

pub(crate) fn remove(pid: &ActorId) {
    if ROUTES.remove(&pid.pid()).is_some() {
        ROUTE_COUNT.fetch_sub(1, Ordering::Release);
    }
}

impl Route {
    /// Queues a message on the link; gives its body back, which is shared and not copied.
    pub(crate) fn forward(&self, encoded: Encoded) -> Result<Bytes, Error> {
        let body = codec::within_limit(encoded.body, || "a message".to_owned())?;
        let frame = |reply| Frame::Message {
            to: self.to.clone(),
            pid: self.pid,
            reply,
            timeout_ms: encoded.timeout.map(|timeout| timeout.as_millis() as u64),
        };
        match encoded.reply {
            None => self.link.send(frame(None), body.clone())?,
            Some(sink) => self.link.send_call(sink, body.clone(), |id| frame(Some((None, id))))?,
        }
        Ok(body)
    }
}

/// Forgets a node whose link is closed, and everything that was reached over it.
pub(crate) fn link_closed(link: &Arc<Link>, cause: &Cause) {
    if let Some(neighbours) = NEIGHBOURS.get() {
        let mut runners = neighbours.runners.write();
        if runners.get(link.peer()).is_some_and(|known| Arc::ptr_eq(known, link)) {
            runners.remove(link.peer());
        }
    }
    proxy::link_closed(link, cause);
    watcher::link_closed(link);
}

// ---- arrivals ------------------------------------------------------------------------------------------------

type Deliver = fn(&ActorCell, &[u8], Option<ReplyTo>) -> Result<(), Error>;

/// How messages that arrive are decoded: by the message type of the actor they are for.
static DELIVER: LazyLock<DashMap<TypeId, Deliver>> = LazyLock::new(DashMap::new);

/// Makes messages of this type deliverable.
pub(crate) fn expect<M: Message>() {
    DELIVER.entry(TypeId::of::<M>()).or_insert(deliver::<M>);
}

fn deliver<M: Message>(cell: &ActorCell, body: &[u8], reply: Option<ReplyTo>) -> Result<(), Error> {
    let message = M::decode(body, reply)?;
    // Through the ref and not the cell: a message for a guardian or proxy of this node goes on from here.
    ActorRef::<M>::from(cell.clone()).send_message(message).map_err(|_| Error::NoActor(cell.get_id().to_string()))
}

fn local(pid: u64) -> Result<ActorCell, Error> {
    let id = ActorId::Local(pid);
    ractor::registry::where_is_pid(id).ok_or_else(|| Error::NoActor(id.to_string()))
}

/// Takes a frame that is about an actor: one of ours, or on its way through us.
pub(crate) fn receive(link: &Arc<Link>, frame: Frame, body: Bytes) {
    let to = match &frame {
        Frame::Message { to, .. }
        | Frame::Reply { to, .. }
        | Frame::Actor { to, .. }
        | Frame::Watch { to, .. }
        | Frame::Down { to, .. } => to.clone(),
        _ => None,
    };
    if let Some(node) = to.filter(|node| !is_me(node)) {
        return relay(link, &node, frame, body);
    }
    match frame {
        Frame::Message { pid, reply, timeout_ms, .. } => {
            let timeout = timeout_ms.map(Duration::from_millis);
            let reply = reply.map(|(to, id)| ReplyTo::over(Arc::clone(link), to, id, timeout));
            let arrived = local(pid).and_then(|cell| match DELIVER.get(&cell.get_type_id()).map(|entry| *entry) {
                Some(deliver) => deliver(&cell, &body, reply),
                None => Err(Error::NoActor(cell.get_id().to_string())),
            });
            if let Err(err) = arrived {
                tracing::debug!(%err, from = %link.peer(), "a message did not arrive");
            }
        }
        Frame::Reply { id, outcome, .. } => link.answered(id, outcome, body),
        Frame::Actor { pid, order, .. } => match (local(pid), order) {
            (Ok(cell), Order::Stop(reason)) => cell.stop(reason),
            (Ok(cell), Order::Kill) => cell.kill(),
            // It ended by itself in the meantime, which its watch tells.
            (Err(_), _) => {}
        },
        Frame::Watch { pid, from, .. } => watcher::watch(link, from, pid),
        Frame::Down { node, pid, exit, .. } => {
            let node = node.unwrap_or_else(|| Arc::clone(link.peer()));
            proxy::ended(&Address { node, pid }, exit);
        }
        other => tracing::debug!(?other, "not about an actor"),
    }
}

/// Passes a frame on, and notes where its answer has to go.
fn relay(link: &Arc<Link>, node: &Arc<str>, frame: Frame, body: Bytes) {
    let here = |hop: Hop| Some(hop.unwrap_or_else(|| Arc::clone(link.peer())));
    let Some((next, to)) = towards(node) else {
        tracing::debug!(%node, from = %link.peer(), "no way to that node");
        if let Frame::Message { reply: Some((to, id)), .. } = frame {
            drop(ReplyTo::over(Arc::clone(link), to, id, None));
        }
        return;
    };
    let frame = match frame {
        Frame::Message { pid, reply, timeout_ms, .. } => {
            Frame::Message { to, pid, reply: reply.map(|(from, id)| (here(from), id)), timeout_ms }
        }
        Frame::Reply { id, outcome, .. } => Frame::Reply { to, id, outcome },
        Frame::Actor { pid, order, .. } => Frame::Actor { to, pid, order },
        Frame::Watch { pid, from, .. } => Frame::Watch { to, pid, from: here(from) },
        Frame::Down { node, pid, exit, .. } => Frame::Down { to, node: here(node), pid, exit },
        other => other,
    };
    if next.send(frame, body).is_err() {
        tracing::debug!(%node, from = %link.peer(), "the link to that node is closed");
    }
}
