//! Which actors live elsewhere, and how to reach them.
//!
//! On the wire an actor is an [`Address`]. Its own node resolves that to the actor itself, any other to a proxy (see
//! `proxy.rs`). A placed child's guardian has a route as a proxy has.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::RwLock;
use ractor::{ActorCell, ActorId, ActorRef};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use super::arrival::expect;
use super::frame::{Exit, Frame, Hop, Order};
use super::gate::Gate;
use super::link::Link;
use super::{arrival, proxy, relay, runtime, watcher};
use crate::error::{Cause, Error};
use crate::message::{Ack, Encoded, Message, Permit, ReplySink, ReplyTo};
use crate::report::report;
use crate::{codec, stream};

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

/// This process' node name, once it has one.
pub(crate) fn me() -> Option<Arc<str>> {
    NEIGHBOURS.get().map(|neighbours| Arc::clone(&neighbours.me))
}

pub(crate) fn is_me(node: &str) -> bool {
    NEIGHBOURS.get().is_some_and(|neighbours| *neighbours.me == *node)
}

/// Whether a node was booted by this one, or by one that is below it.
pub(crate) fn is_below(node: &str, above: &str) -> bool {
    node.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}

/// The link towards a node. Names are paths, so a request goes down by prefix and otherwise up.
pub(crate) fn towards(node: &Arc<str>) -> Option<(Arc<Link>, Hop)> {
    let neighbours = NEIGHBOURS.get()?;
    let link = if is_below(node, &neighbours.me) {
        let runners = neighbours.runners.read();
        match runners.get(node) {
            Some(link) => Arc::clone(link),
            None => runners.iter().find(|(name, _)| is_below(node, name)).map(|(_, link)| Arc::clone(link))?,
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
    if let Some(Route::Actor { address, .. }) = to(&actor.get_id()) {
        return Ok(address);
    }
    if let Some(guardian) = CHILDREN.read().guardians.get(&actor.get_id().pid()) {
        return Ok(guardian.clone());
    }
    let neighbours = NEIGHBOURS.get().ok_or(Error::NoNode)?;
    Ok(Address { node: Arc::clone(&neighbours.me), pid: actor.get_id().pid() })
}

/// A local ref for an address.
pub(crate) fn resolve<M: Message>(address: &Address) -> Result<ActorRef<M>, Error> {
    expect::<M>();
    let child = CHILDREN.read().pids.get(address).copied();
    let actor: ActorRef<M> = if is_me(&address.node) || child.is_some() {
        match ractor::registry::where_is_pid(ActorId::Local(child.unwrap_or(address.pid))) {
            Some(cell) => typed(cell, address)?,
            None => proxy::gone()?,
        }
    } else {
        proxy::proxy(address)?
    };
    RESOLVED.with_borrow_mut(|resolved| {
        if let Some(resolved) = resolved {
            resolved.push(actor.get_cell());
        }
    });
    Ok(actor)
}

thread_local! {
    /// The actors that were resolved during `collect`.
    static RESOLVED: RefCell<Option<Vec<ActorCell>>> = const { RefCell::new(None) };
}

/// Runs `decode` and gives the actors whose refs came out of it, too.
pub(crate) fn collect<T>(decode: impl FnOnce() -> T) -> (T, Vec<ActorCell>) {
    let before = RESOLVED.replace(Some(Vec::new()));
    let result = decode();
    (result, RESOLVED.replace(before).unwrap_or_default())
}

pub(super) fn typed<M: Message>(cell: ActorCell, address: &Address) -> Result<ActorRef<M>, Error> {
    if cell.is_message_type_of::<M>() == Some(true) {
        return Ok(cell.into());
    }
    let reason = format!("actor {} of node {} takes other messages", address.pid, address.node);
    Err(Error::Decode { what: std::any::type_name::<ActorRef<M>>().to_owned(), reason })
}

/// The actor of this pid at the other end of a link; in memory both ends are this node.
pub(crate) fn address_on(link: &Link, pid: u64) -> Address {
    match NEIGHBOURS.get() {
        Some(neighbours) if link.is_in_memory() => Address { node: Arc::clone(&neighbours.me), pid },
        _ => Address { node: Arc::clone(link.peer()), pid },
    }
}

/// The children that were placed here. Elsewhere they are known by their guardians, which stay when they are placed anew.
#[derive(Default)]
struct Children {
    guardians: HashMap<u64, Address>,
    /// The other way round, for guardians of other nodes: here their child is itself. Not one that is placed again, since
    /// what is resolved to it would end with it.
    pids: HashMap<Address, u64>,
}

static CHILDREN: LazyLock<RwLock<Children>> = LazyLock::new(RwLock::default);

/// Lets a placed child be known by its guardian. Dropped, it is not any more.
pub(crate) struct Alias {
    child: u64,
    guardian: Address,
}

impl Alias {
    pub(crate) fn new(child: &ActorId, guardian: Address, comes_back: bool) -> Self {
        let child = child.pid();
        let mut children = CHILDREN.write();
        children.guardians.insert(child, guardian.clone());
        if !comes_back && !is_me(&guardian.node) {
            children.pids.insert(guardian.clone(), child);
        }
        Self { child, guardian }
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        let mut children = CHILDREN.write();
        children.guardians.remove(&self.child);
        if children.pids.get(&self.guardian) == Some(&self.child) {
            children.pids.remove(&self.guardian);
        }
    }
}

// ---- routes --------------------------------------------------------------------------------------------------

/// The way to an actor elsewhere, by the pid of the local actor that stands for it.
#[derive(Clone)]
pub(crate) enum Route {
    /// Of a proxy; its address is what travels.
    Actor { link: Arc<Link>, to: Hop, address: Address },
    /// Of a guardian, whose own address travels.
    Child(Arc<Gate>),
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

/// The route of an actor of this node that stands for one elsewhere.
fn onward(pid: u64) -> Option<Route> {
    to(&ActorId::Local(pid))
}

/// Has what is sent to a guardian go through this gate.
pub(crate) fn add_guardian(guardian: &ActorId, hold: Option<usize>) -> Arc<Gate> {
    let gate = Arc::new(Gate::new(hold));
    add(guardian.pid(), Route::Child(Arc::clone(&gate)));
    gate
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
    pub(crate) fn forward(&self, encoded: Encoded, permit: Option<Permit>) -> Result<Bytes, Error> {
        let body = codec::within_limit(Ok(encoded.body), || "a message".to_owned())?;
        self.pass(encoded.timeout, encoded.reply, permit, body.clone())?;
        Ok(body)
    }

    /// The same for one that is encoded.
    fn pass(
        &self,
        timeout: Option<Duration>,
        reply: Option<ReplySink>,
        permit: Option<Permit>,
        body: Bytes,
    ) -> Result<(), Error> {
        match self {
            Self::Actor { link, to, address } => {
                link.send_message(to.clone(), address.pid, timeout, reply, permit, body)
            }
            Self::Child(gate) => gate.pass(timeout, reply, permit, body),
        }
    }
}

/// Sends on what arrived in the mailbox of an actor that stands for another.
pub(crate) fn pass_on<M: Message>(stand_in: &ActorId, message: M) {
    // Without a route it has ended, and drops what is in its mailbox as any other.
    let Some(route) = to(stand_in) else { return };
    let encoded = runtime::foreign_now(|| message.encode());
    if let Err(err) = encoded.and_then(|encoded| route.forward(encoded, None)) {
        report!(WARN, %err, message = std::any::type_name::<M>(), "a message was not sent on");
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
    relay::link_closed(link, cause);
    watcher::link_closed(link);
}

// ---- arrivals ------------------------------------------------------------------------------------------------

/// In the place of a pid: the node's own porter (see `stream/porter.rs`), which every node can ask.
const PORTER: u64 = u64::MAX;

/// Tells how an actor elsewhere ends.
pub(crate) type Ending = watch::Receiver<Option<Exit>>;

/// The porter of another node, and how it ends, which it does with its node.
pub(crate) fn porter_of<M: Message>(node: &Arc<str>) -> Result<(ActorRef<M>, Option<Ending>), Error> {
    expect::<M>();
    let address = Address { node: Arc::clone(node), pid: PORTER };
    let porter = proxy::proxy(&address)?;
    Ok((porter, proxy::end_of(&address)))
}

pub(super) fn local(pid: u64) -> Result<ActorCell, Error> {
    if pid == PORTER {
        return Ok(stream::porter().get_cell());
    }
    let id = ActorId::Local(pid);
    ractor::registry::where_is_pid(id).ok_or_else(|| Error::NoActor(id.to_string()))
}

/// Takes a frame that is about an actor: one of ours, or one further on.
pub(crate) fn receive(link: &Arc<Link>, frame: Frame, body: Bytes) {
    let elsewhere = |to: &Hop| to.as_ref().filter(|node| !is_me(node)).cloned();
    match frame {
        Frame::Message { to, pid, reply, ack, timeout_ms } => {
            let timeout = timeout_ms.map(Duration::from_millis);
            let reply = reply.map(|id| ReplyTo::over(Arc::clone(link), id, timeout));
            let permit = ack.map(|id| Permit::acknowledging(Ack { link: Arc::clone(link), id }));
            let arrived = match elsewhere(&to) {
                Some(node) => relay::message(&node, pid, timeout, reply, permit, body),
                None => match onward(pid) {
                    // Its bytes go on as they are: what is in them means the same everywhere.
                    Some(route) => route.pass(timeout, reply.map(ReplySink::relay), permit, body),
                    None => local(pid).and_then(|cell| arrival::deliver(&cell, body, reply, permit)),
                },
            };
            if let Err(err) = arrived {
                let from = Arc::clone(link.peer());
                report!(DEBUG, %err, %from, "a message did not arrive");
            }
        }
        Frame::Actor { to, pid, order } => match (elsewhere(&to), order) {
            (Some(node), order) => relay::order(&node, pid, order),
            (None, order) => match (local(pid), order) {
                (Ok(cell), Order::Stop(reason)) => cell.stop(reason),
                (Ok(cell), Order::Kill) => cell.kill(),
                // It ended by itself in the meantime, which its watch tells.
                (Err(_), _) => {}
            },
        },
        Frame::Watch { to, pid } => match elsewhere(&to) {
            Some(node) => relay::watch(link, Address { node, pid }),
            None => watcher::watch(link, pid),
        },
        Frame::Down { node, pid, exit } => {
            let node = node.unwrap_or_else(|| Arc::clone(link.peer()));
            let address = Address { node, pid };
            relay::down(&address, &exit);
            proxy::ended(&address, exit);
        }
        other => report!(DEBUG, ?other, "not about an actor"),
    }
}
