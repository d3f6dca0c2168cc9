//! Opens streams: one actor per node, which every other node can ask.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, ActorStatus, RpcReplyPort};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::error::StreamError;
use super::offers::{self, Kind, Offer};
use super::peer::Lost;
use super::reuse::{Wire, connect};
use super::sink::ByteSink;
use super::wire::{Inbound, Outbound};
use super::{ByteStream, Remote};
use crate::error::{Cause, Error};
use crate::node::join::Invitation;
use crate::node::listener::Expectation;
use crate::node::{route, runtime};
use crate::report::report;
use crate::{Message, Node};

/// Between nodes that have no link, which may not reach each other; then it goes through those between them.
const SIBLING_BOUND: Duration = Duration::from_secs(3);
/// Whoever was invited has so long to dial.
const DIAL_BOUND: Duration = Duration::from_secs(30);

#[derive(Message)]
pub(crate) enum PorterMsg {
    /// Somebody wants a stream of ours. The answer comes when it has been dialled to, or says where to dial.
    Open(Wanted, RpcReplyPort<Result<Option<Invitation>, StreamError>>),
    /// For somebody who cannot reach where it comes from, or goes to.
    PassOn(ByteStream, RpcReplyPort<ByteStream>),
    PassBack(ByteSink, RpcReplyPort<ByteSink>),
    /// Of this node: what carried them has not arrived, or was not looked at.
    Withdraw(Vec<u64>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    id: u64,
    kind: Kind,
    /// Who wants it.
    node: Arc<str>,
    /// Where that listens; `None` when it dials.
    invitation: Option<Invitation>,
}

/// A stream of another node, once it is there.
#[derive(Debug)]
pub(super) enum Opened {
    In(Inbound),
    Out(Outbound),
    Stream(ByteStream),
    Sink(ByteSink),
}

/// A stream of another node that is being opened.
#[derive(Debug)]
pub(super) struct Opening(oneshot::Receiver<Result<Opened, StreamError>>);

impl Opening {
    pub(super) fn poll_unpin(&mut self, cx: &mut Context<'_>) -> Poll<Result<Opened, StreamError>> {
        let opened = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(opened.unwrap_or_else(|_| Err(StreamError::not_opened("this node ends"))))
    }
}

/// Begins to open a stream of another node at once: what does not ask in time finds it gone.
pub(super) fn open(remote: Remote, kind: Kind) -> Opening {
    let (tx, opening) = oneshot::channel();
    let mut opened = Box::pin(open_wherever(remote, kind));
    let _runtime = runtime::work().enter();
    // Whoever wanted it may drop it, and then that is what the other side is told.
    match opened.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(opened) => drop(tx.send(opened)),
        // The wish is on its way: the result of what is being decoded cannot overtake it and withdraw the stream.
        Poll::Pending => drop(runtime::spawn(async move { drop(tx.send(opened.await)) })),
    }
    Opening(opening)
}

async fn open_wherever(remote: Remote, kind: Kind) -> Result<Opened, StreamError> {
    let Some((link, hop)) = route::towards(&remote.node) else {
        let node = remote.node.to_string();
        return Err(StreamError::NodeLost { node, cause: Cause::ConnectionClosed });
    };
    match open_directly(&remote, kind, hop.is_none()).await {
        Ok((wire, lost)) => Ok(match kind {
            Kind::Out => Opened::In(Inbound::new(wire, lost)),
            Kind::In => Opened::Out(Outbound::new(wire, lost)),
        }),
        Err(err @ StreamError::NotOpened(_)) if hop.is_some() => {
            let (node, by) = (Arc::clone(&remote.node), Arc::clone(link.peer()));
            report!(DEBUG, %node, %by, %err, "a stream goes by another node");
            open_by(link.peer(), remote, kind).await
        }
        Err(err) => Err(err),
    }
}

async fn open_directly(remote: &Remote, kind: Kind, is_neighbour: bool) -> Result<(Wire, Lost), StreamError> {
    let me = route::me().ok_or_else(|| StreamError::not_opened(Error::NoNode))?;
    let (porter, lost) = porter_of(&remote.node)?;
    let wanted = |invitation| Wanted { id: remote.id, kind, node: Arc::clone(&me), invitation };
    let wire = if route::is_below(&remote.node, &me) {
        // It has booted over a way to this node, and there may be none to it.
        let (invitation, mut expectation) = listen(&remote.node).await.map_err(StreamError::not_opened)?;
        ask(&porter, &lost, |port| PorterMsg::Open(wanted(Some(invitation)), port)).await??;
        let dialled = tokio::time::timeout(DIAL_BOUND, expectation.joined()).await;
        dialled.map_err(|_| StreamError::not_opened("it has not dialled"))?.map_err(StreamError::not_opened)?
    } else {
        let invitation = ask(&porter, &lost, |port| PorterMsg::Open(wanted(None), port)).await??;
        let invitation = invitation.ok_or_else(|| StreamError::not_opened("it does not listen"))?;
        if is_neighbour {
            match connect(&invitation).await {
                Ok(wire) => wire,
                Err(err) => return Err(lost.within_grace().await.unwrap_or(err)),
            }
        } else {
            let late = |_| StreamError::not_opened("it cannot be reached from here");
            tokio::time::timeout(SIBLING_BOUND, connect(&invitation)).await.map_err(late)??
        }
    };
    Ok((wire, lost))
}

/// Opens it by way of a neighbour, who reads it for us, or writes into it.
async fn open_by(neighbour: &Arc<str>, remote: Remote, kind: Kind) -> Result<Opened, StreamError> {
    let (porter, lost) = porter_of(neighbour)?;
    match kind {
        Kind::Out => {
            let stream = ByteStream::unopened(remote);
            ask(&porter, &lost, |port| PorterMsg::PassOn(stream, port)).await.map(Opened::Stream)
        }
        Kind::In => {
            let sink = ByteSink::unopened(remote);
            ask(&porter, &lost, |port| PorterMsg::PassBack(sink, port)).await.map(Opened::Sink)
        }
    }
}

async fn ask<T: Send + 'static>(
    porter: &ActorRef<PorterMsg>,
    lost: &Lost,
    message: impl FnOnce(RpcReplyPort<T>) -> PorterMsg,
) -> Result<T, StreamError> {
    match porter.call(message, None).await {
        Ok(CallResult::Success(answer)) => Ok(answer),
        // The answer's way has ended, and with it its node, which is told a moment later.
        _ => Err(lost.within_grace().await.unwrap_or_else(|| StreamError::not_opened("its node gives no answer"))),
    }
}

/// The porter of another node, and what tells when that node is lost.
fn porter_of(node: &Arc<str>) -> Result<(ActorRef<PorterMsg>, Lost), StreamError> {
    let (porter, end) = route::porter_of::<PorterMsg>(node).map_err(StreamError::not_opened)?;
    let end = end.ok_or_else(|| StreamError::NodeLost { node: node.to_string(), cause: Cause::ConnectionClosed })?;
    Ok((porter, Lost::new(Arc::clone(node), end)))
}

/// This node's own, which is started when it is first needed, or has ended: another node can stop it, as any actor.
pub(crate) fn porter() -> ActorRef<PorterMsg> {
    static PORTER: Mutex<Option<ActorRef<PorterMsg>>> = Mutex::new(None);
    let mut porter = PORTER.lock();
    match &*porter {
        Some(porter) if porter.get_status() < ActorStatus::Draining => porter.clone(),
        _ => {
            let _runtime = runtime::work().enter();
            route::expect::<PorterMsg>();
            let (actor, _) = ActorRuntime::spawn_instant(None, Porter, ()).expect("it has no name that could be taken");
            porter.insert(actor).clone()
        }
    }
}

struct Porter;

impl Actor for Porter {
    type Msg = PorterMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<PorterMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<PorterMsg>, message: PorterMsg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match message {
            PorterMsg::Open(wanted, reply) => {
                if offers::claim(wanted.id, wanted.kind) {
                    runtime::spawn(hand_over(wanted, reply));
                } else {
                    let _ = reply.send(Err(StreamError::not_offered()));
                }
            }
            PorterMsg::PassOn(stream, reply) => drop(reply.send(stream)),
            PorterMsg::PassBack(sink, reply) => drop(reply.send(sink)),
            PorterMsg::Withdraw(ids) => offers::withdraw(&ids),
        }
        Ok(())
    }
}

/// Connects what was offered with who wants it.
async fn hand_over(wanted: Wanted, reply: RpcReplyPort<Result<Option<Invitation>, StreamError>>) {
    let Wanted { id, kind: _, node, invitation } = wanted;
    let mut lost = match porter_of(&node) {
        Ok((_, lost)) => lost,
        Err(err) => return offers::release(id, Some(err)),
    };
    let wire = tokio::select! {
        wire = wire_to(&node, invitation, reply) => wire,
        err = std::future::poll_fn(|cx| lost.poll(cx)) => return offers::release(id, Some(err)),
    };
    let Some(wire) = wire else {
        // It may ask again, by way of a neighbour of both.
        return offers::release(id, None);
    };
    match offers::take(id) {
        Some(Offer::Out(source)) => source.send(wire, lost),
        Some(Offer::In(target)) => target.receive(wire, lost),
        None => Outbound::new(wire, lost).fail(StreamError::not_offered()),
    }
}

/// Makes the connection, one way or the other, if it can be made.
async fn wire_to(
    node: &Arc<str>,
    invitation: Option<Invitation>,
    reply: RpcReplyPort<Result<Option<Invitation>, StreamError>>,
) -> Option<Wire> {
    if let Some(invitation) = invitation {
        let wire = connect(&invitation).await;
        let (wire, answer) = match wire {
            Ok(wire) => (Some(wire), Ok(None)),
            Err(err) => (None, Err(err)),
        };
        let _ = reply.send(answer);
        return wire;
    }
    match listen(node).await {
        Ok((invitation, mut expectation)) => {
            let _ = reply.send(Ok(Some(invitation)));
            let dialled = tokio::time::timeout(DIAL_BOUND, expectation.joined()).await;
            dialled.ok().and_then(Result::ok)
        }
        Err(err) => {
            let _ = reply.send(Err(StreamError::not_opened(err)));
            None
        }
    }
}

/// Listens where that node, or what lies between, talks to this one already.
async fn listen(node: &Arc<str>) -> Result<(Invitation, Expectation<Wire>), Error> {
    let here = Node::current().ok_or(Error::NoNode)?;
    let me = route::me().ok_or(Error::NoNode)?;
    let address = route::towards(node).and_then(|(link, _)| link.local_ip());
    here.listener(address).await?.invite_stream(&me, node, address)
}
