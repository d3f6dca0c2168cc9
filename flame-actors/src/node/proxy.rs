//! Proxies: local actors that stand for actors of other nodes.
//!
//! There is one per address and process, with the real actor's message type. Its messages leave when they are sent
//! (see `message.rs`); a stop or kill of it acts on the real actor, and it ends when that does.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime, ActorStatus};
use tokio::sync::watch;

use super::frame::{Exit, Frame, Hop, Order};
use super::link::Link;
use super::route::{self, Address, Route};
use super::runtime;
use crate::error::{Cause, ChildError, Error};
use crate::message::Message;

struct Proxy<M>(PhantomData<fn(M)>);

struct ProxyState {
    link: Arc<Link>,
    to: Hop,
    address: Address,
    end: Arc<End>,
    started: bool,
}

/// How the actor behind a proxy ended, once that is known.
type End = watch::Sender<Option<Exit>>;

struct Known {
    cell: ActorCell,
    link: Arc<Link>,
    end: Arc<End>,
}

static PROXIES: LazyLock<Mutex<HashMap<Address, Known>>> = LazyLock::new(Mutex::default);

/// The proxy for an actor of another node.
pub(super) fn proxy<M: Message>(address: &Address) -> Result<ActorRef<M>, Error> {
    let mut proxies = PROXIES.lock();
    if let Some(known) = proxies.get(address) {
        return route::typed(known.cell.clone(), address);
    }
    let Some((link, to)) = route::towards(&address.node) else { return gone() };
    let end = Arc::new(End::new(None));
    let state = ProxyState {
        link: Arc::clone(&link),
        to: to.clone(),
        address: address.clone(),
        end: Arc::clone(&end),
        started: false,
    };
    let actor = spawn_now(Proxy::<M>(PhantomData), state)?;
    let route = Route::Actor { link: Arc::clone(&link), to: to.clone(), address: address.clone() };
    route::add(actor.get_id().pid(), route);
    proxies.insert(address.clone(), Known { cell: actor.get_cell(), link: Arc::clone(&link), end });
    drop(proxies);
    if link.send(Frame::Watch { to, pid: address.pid }, Bytes::new()).is_err() {
        link_closed(&link, &link.cause().unwrap_or(Cause::ConnectionClosed));
    }
    Ok(actor)
}

/// Spawns on our runtime, at once: a ref is needed while a message is being decoded.
fn spawn_now<A: Actor>(actor: A, arguments: A::Arguments) -> Result<ActorRef<A::Msg>, Error> {
    let _runtime = runtime::work().enter();
    let (actor, _) = ActorRuntime::spawn_instant(None, actor, arguments)
        .map_err(|err| Error::NoActor(format!("(a stand-in could not be started: {err})")))?;
    Ok(actor)
}

impl<M: Message> Actor for Proxy<M> {
    type Msg = M;
    type State = ProxyState;
    type Arguments = ProxyState;

    async fn pre_start(&self, _: ActorRef<M>, mut state: ProxyState) -> Result<ProxyState, ActorProcessingErr> {
        state.started = true;
        Ok(state)
    }

    /// What another node sent to this as a member of a process group, over a session. All else leaves when it is sent.
    async fn handle(&self, myself: ActorRef<M>, message: M, _: &mut ProxyState) -> Result<(), ActorProcessingErr> {
        route::pass_on(&myself.get_id(), message);
        Ok(())
    }

    /// A stop is the real actor's to carry out, and the proxy has ended when that has.
    async fn post_stop(&self, _: ActorRef<M>, state: &mut ProxyState) -> Result<(), ActorProcessingErr> {
        if state.end.borrow().is_none() {
            state.order(Order::Stop(None));
            let _ = state.end.subscribe().wait_for(Option::is_some).await;
        }
        Ok(())
    }
}

impl ProxyState {
    fn order(&self, order: Order) {
        let frame = Frame::Actor { to: self.to.clone(), pid: self.address.pid, order };
        // On a closed link there is nobody to give orders to.
        let _ = self.link.send(frame, Bytes::new());
    }
}

impl Drop for ProxyState {
    fn drop(&mut self) {
        // It may never have started, and has a route all the same.
        let known = PROXIES.lock().remove(&self.address).map(|known| known.cell);
        if self.end.borrow().is_none() {
            // ractor does not start an actor that is drained first: a drain is a stop here.
            let drained =
                !self.started && known.as_ref().is_some_and(|cell| cell.get_status() >= ActorStatus::Draining);
            self.order(if drained { Order::Stop(None) } else { Order::Kill });
        }
        if let Some(cell) = known {
            route::remove(&cell.get_id());
        }
    }
}

/// Tells how the actor behind a proxy ends; `None` without a way to it.
pub(super) fn end_of(address: &Address) -> Option<watch::Receiver<Option<Exit>>> {
    PROXIES.lock().get(address).map(|known| known.end.subscribe())
}

/// The actor behind a proxy ended.
pub(super) fn ended(address: &Address, exit: Exit) {
    let known = PROXIES.lock().get(address).map(|known| (known.cell.clone(), Arc::clone(&known.end)));
    if let Some((cell, end)) = known {
        let reason = match &exit {
            Exit::Stopped(reason) => reason.clone(),
            Exit::Failed(error) => Some(error.to_string()),
        };
        end.send_replace(Some(exit));
        cell.stop(reason);
    }
}

/// All actors that were reached over this link are lost.
pub(super) fn link_closed(link: &Arc<Link>, cause: &Cause) {
    let lost: Vec<Address> = {
        let proxies = PROXIES.lock();
        let over = proxies.iter().filter(|(_, known)| Arc::ptr_eq(&known.link, link));
        over.map(|(address, _)| address.clone()).collect()
    };
    for address in lost {
        let node = address.node.to_string();
        ended(&address, Exit::Failed(ChildError::RunnerLost { node, cause: cause.clone() }));
    }
}

/// An actor that is not there any more.
struct Gone<M>(PhantomData<fn(M)>);

impl<M: Message> Actor for Gone<M> {
    type Msg = M;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<M>, (): ()) -> Result<(), ActorProcessingErr> {
        Err("the actor is gone".into())
    }
}

/// A ref to an actor that has ended.
pub(super) fn gone<M: Message>() -> Result<ActorRef<M>, Error> {
    spawn_now(Gone::<M>(PhantomData), ())
}
