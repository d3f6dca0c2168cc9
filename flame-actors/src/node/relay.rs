//! What passes through this node: between its runners, between them and its own parent.
//!
//! Each hop answers for what it passed on. When the way ends, those who wait on the near side of it are told here.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::frame::{Exit, Frame, Order};
use super::link::Link;
use super::route::{self, Address};
use crate::error::{Cause, ChildError, Error};
use crate::message::{Permit, ReplySink, ReplyTo};

/// Who on our near side wants to know of the end of an actor on the far side.
struct Watched {
    next: Arc<Link>,
    watchers: Vec<Arc<Link>>,
}

static WATCHED: LazyLock<Mutex<HashMap<Address, Watched>>> = LazyLock::new(Mutex::default);

/// Passes a message on. Its reply, or the lack of one, comes back through us.
pub(super) fn message(
    node: &Arc<str>,
    pid: u64,
    timeout: Option<Duration>,
    reply: Option<ReplyTo>,
    permit: Option<Permit>,
    body: Bytes,
) -> Result<(), Error> {
    let (next, to) = route::towards(node).ok_or_else(|| Error::NoActor(format!("{pid} of node {node}")))?;
    next.send_message(to, pid, timeout, reply.map(ReplySink::relay), permit, body)
}

pub(super) fn order(node: &Arc<str>, pid: u64, order: Order) {
    if let Some((next, to)) = route::towards(node) {
        // Without a link the actor is lost, which its watch tells.
        let _ = next.send(Frame::Actor { to, pid, order }, Bytes::new());
    }
}

/// Watches an actor further on for somebody behind us.
pub(super) fn watch(link: &Arc<Link>, address: Address) {
    let Some((next, to)) = route::towards(&address.node) else {
        let lost = lost(&address, &Cause::ConnectionClosed);
        return tell(link, &address, &lost);
    };
    let pid = address.pid;
    let mut watched = WATCHED.lock();
    let entry = watched.entry(address).or_insert_with(|| Watched { next: Arc::clone(&next), watchers: Vec::new() });
    let first = entry.watchers.is_empty();
    if !entry.watchers.iter().any(|watcher| Arc::ptr_eq(watcher, link)) {
        entry.watchers.push(Arc::clone(link));
    }
    drop(watched);
    if first && next.send(Frame::Watch { to, pid }, Bytes::new()).is_err() {
        link_closed(&next, &next.cause().unwrap_or(Cause::ConnectionClosed));
    }
}

/// An actor further on ended.
pub(super) fn down(address: &Address, exit: &Exit) {
    let watched = WATCHED.lock().remove(address);
    for watcher in watched.into_iter().flat_map(|watched| watched.watchers) {
        tell(&watcher, address, exit);
    }
}

/// Nothing comes from over there any more, and nobody on it wants to know anything.
pub(super) fn link_closed(link: &Arc<Link>, cause: &Cause) {
    let mut gone = Vec::new();
    WATCHED.lock().retain(|address, watched| {
        watched.watchers.retain(|watcher| !Arc::ptr_eq(watcher, link));
        if Arc::ptr_eq(&watched.next, link) {
            gone.push((address.clone(), std::mem::take(&mut watched.watchers)));
        }
        !watched.watchers.is_empty()
    });
    for (address, watchers) in gone {
        let lost = lost(&address, cause);
        watchers.iter().for_each(|watcher| tell(watcher, &address, &lost));
    }
}

fn lost(address: &Address, cause: &Cause) -> Exit {
    Exit::Failed(ChildError::RunnerLost { node: address.node.to_string(), cause: cause.clone() })
}

fn tell(watcher: &Link, address: &Address, exit: &Exit) {
    let down = Frame::Down { node: Some(Arc::clone(&address.node)), pid: address.pid, exit: exit.clone() };
    // A watcher without a link has lost everything already.
    let _ = watcher.send(down, Bytes::new());
}
