//! The link between two nodes: everything of ours, in order.
//!
//! Whoever has something to say encodes it and queues it here, in its own thread; one task writes, one reads, one
//! keeps the lease. So what one sender sends stays in the order in which it sent it, whatever kind it is.
//! An in-process runner has a link too, whose two ends hand frames to each other directly.

mod wire;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsStream;

use super::frame::{self, Frame, Hop};
use super::lease::{Lease, Moment, Side, Standing};
use super::route;
use super::runtime;
use crate::error::{Cause, Error};
use crate::message::{Permit, ReplySink};
use crate::report::report;

/// What a link is for on this side: the parent's view of a runner, or the agent on it.
pub(crate) trait Role: Send + Sync + 'static {
    /// Takes a frame that is not about actors in general.
    fn receive(&self, link: &Arc<Link>, frame: Frame, body: Bytes);
    /// The link is gone. Called once.
    fn closed(&self, cause: &Cause);
}

/// What is made in pieces, each when the link writes it.
///
/// It waits behind all that is queued, and sources take turns: nobody waits for more than a few pieces.
pub(crate) trait Source: Send + Sync + 'static {
    /// The next piece. After `None` the link is to be told when there is more.
    fn take(&self) -> Option<(Frame, Bytes)>;
}

/// One end of a link.
pub(crate) struct Link {
    peer: Arc<str>,
    /// Where this node is reached by the other one, and maybe by others that it reaches.
    local: OnceLock<IpAddr>,
    lease: Mutex<Lease>,
    /// Told when the lease is in good standing again.
    proven: Notify,
    out: Outgoing,
    role: Mutex<Option<Arc<dyn Role>>>,
    waiting: Mutex<Waiting>,
    closed: watch::Sender<Option<Cause>>,
    /// How many of the two directions have ended.
    ended: watch::Sender<u8>,
}

enum Outgoing {
    Wire(WriteQueue),
    Memory(OnceLock<Weak<Link>>),
}

#[derive(Default)]
struct WriteQueue {
    frames: Mutex<Vec<(Vec<u8>, Bytes)>>,
    sources: Mutex<VecDeque<Arc<dyn Source>>>,
    /// Heartbeats, which do not wait behind what is queued: a lease is not to end for much to say.
    beats: Mutex<Vec<Vec<u8>>>,
    ready: Notify,
}

/// What the other side owes us.
#[derive(Default)]
struct Waiting {
    next: u64,
    replies: HashMap<u64, ReplySink>,
    /// At this many, those whose caller has gone are thrown out.
    sweep_at: usize,
    permits: HashMap<u64, Permit>,
}

impl Waiting {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn reply(&mut self, sink: ReplySink) -> u64 {
        if self.replies.len() >= self.sweep_at {
            self.replies.retain(|_, sink| !sink.is_closed());
            self.sweep_at = (self.replies.len() * 2).max(FIRST_SWEEP);
        }
        let id = self.id();
        self.replies.insert(id, sink);
        id
    }

    fn permit(&mut self, permit: Permit) -> u64 {
        let id = self.id();
        self.permits.insert(id, permit);
        id
    }
}

/// The kernel takes no more to send than this, beside what is on its way.
const UNSENT_BYTES: u32 = 128 * 1024;
/// Fewer abandoned calls than this are not looked for.
const FIRST_SWEEP: usize = 256;

impl Link {
    fn new(peer: Arc<str>, lease: Lease, out: Outgoing, role: Arc<dyn Role>) -> Arc<Self> {
        Arc::new(Self {
            peer,
            local: OnceLock::new(),
            lease: Mutex::new(lease),
            proven: Notify::new(),
            out,
            role: Mutex::new(Some(role)),
            waiting: Mutex::default(),
            closed: watch::Sender::new(None),
            ended: watch::Sender::new(0),
        })
    }

    /// A link over a connection whose handshake is done; `start` sets it going.
    pub(crate) fn over_wire(peer: Arc<str>, side: Side, lease: Duration, role: Arc<dyn Role>) -> Arc<Self> {
        let lease = Lease::new(side, lease, Moment::now());
        Self::new(peer, lease, Outgoing::Wire(WriteQueue::default()), role)
    }

    /// Both ends of a link inside this process.
    pub(crate) fn in_memory(peer: &Arc<str>, near: Arc<dyn Role>, far: Arc<dyn Role>) -> (Arc<Self>, Arc<Self>) {
        // It never starts, so its leases are never looked at.
        let end = |role, side| {
            let lease = Lease::new(side, Duration::MAX, Moment::now());
            Self::new(Arc::clone(peer), lease, Outgoing::Memory(OnceLock::new()), role)
        };
        let (near, far) = (end(near, Side::Parent), end(far, Side::Runner));
        near.join_memory(&far);
        far.join_memory(&near);
        (near, far)
    }

    fn join_memory(&self, other: &Arc<Self>) {
        if let Outgoing::Memory(slot) = &self.out {
            let _ = slot.set(Arc::downgrade(other));
        }
    }

    /// Starts reading, writing and the lease on our runtime.
    pub(crate) fn start(self: &Arc<Self>, stream: impl Into<TlsStream<TcpStream>>) {
        let stream = stream.into();
        let socket = stream.get_ref().0;
        // Heartbeats go before what is queued here, and cannot go before what the kernel has taken. An error says that
        // this kernel has no such option.
        let _ = SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES);
        if let Ok(address) = socket.local_addr() {
            let _ = self.local.set(address.ip().to_canonical());
        }
        let (read, write) = tokio::io::split(stream);
        runtime::links().spawn(wire::read_loop(Arc::clone(self), read));
        runtime::links().spawn(wire::write_loop(Arc::clone(self), write));
        runtime::links().spawn(wire::lease_loop(Arc::clone(self)));
    }

    /// The name of the node at the other end.
    pub(crate) fn peer(&self) -> &Arc<str> {
        &self.peer
    }

    /// The address of this computer that the other node talks to; `None` in memory.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        self.local.get().copied()
    }

    /// Whether both ends are in this process.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.out, Outgoing::Memory(_))
    }

    /// Queues a frame. An error says that the link is closed; nothing was sent then.
    pub(crate) fn send(&self, frame: Frame, body: Bytes) -> Result<(), Error> {
        if let Some(cause) = self.cause() {
            return Err(self.lost(cause));
        }
        match &self.out {
            Outgoing::Wire(queue) => {
                let is_beat = matches!(frame, Frame::Ping(_) | Frame::Pong(_));
                let head = frame::head(frame)?;
                if is_beat {
                    queue.beats.lock().push(head);
                } else {
                    queue.frames.lock().push((head, body));
                }
                queue.ready.notify_one();
                Ok(())
            }
            Outgoing::Memory(other) => match other.get().and_then(Weak::upgrade) {
                Some(other) => {
                    other.dispatch(frame, body);
                    Ok(())
                }
                None => Err(self.lost(Cause::ConnectionClosed)),
            },
        }
    }

    /// Has a source written, until it has nothing more for the moment; who else sends goes first.
    ///
    /// An error says that the link is closed.
    pub(crate) fn send_from(&self, source: Arc<dyn Source>) -> Result<(), Error> {
        if let Some(cause) = self.cause() {
            return Err(self.lost(cause));
        }
        match &self.out {
            Outgoing::Wire(queue) => {
                queue.sources.lock().push_back(source);
                queue.ready.notify_one();
            }
            Outgoing::Memory(_) => {
                while let Some((frame, body)) = source.take() {
                    self.send(frame, body)?;
                }
            }
        }
        Ok(())
    }

    /// Sends a message to an actor. Its reply goes to `sink`, and its permit is given back when it is taken from the
    /// mailbox; both are dropped with the link.
    pub(crate) fn send_message(
        &self,
        to: Hop,
        pid: u64,
        timeout: Option<Duration>,
        sink: Option<ReplySink>,
        permit: Option<Permit>,
        body: Bytes,
    ) -> Result<(), Error> {
        let (reply, ack) = if sink.is_none() && permit.is_none() {
            (None, None)
        } else {
            let mut waiting = self.waiting.lock();
            (sink.map(|sink| waiting.reply(sink)), permit.map(|permit| waiting.permit(permit)))
        };
        let timeout_ms = timeout.map(frame::millis);
        let sent = self.send(Frame::Message { to, pid, reply, ack, timeout_ms }, body);
        // The link may have closed, and dropped what waits, between the insertion and the sending.
        if sent.is_err() || self.cause().is_some() {
            let mut waiting = self.waiting.lock();
            let sink = reply.and_then(|id| waiting.replies.remove(&id));
            let permit = ack.and_then(|id| waiting.permits.remove(&id));
            drop(waiting);
            drop((sink, permit));
        }
        sent
    }

    /// Why the link is closed, or `None` while it is open.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.closed.borrow().clone()
    }

    /// Waits for the end of the link.
    pub(crate) async fn wait_closed(&self) -> Cause {
        let mut closed = self.closed.subscribe();
        let cause = closed.wait_for(Option::is_some).await.expect("the sender lives in self");
        cause.clone().expect("waited for it")
    }

    /// Waits until the other side has all that was queued before the close, as far as it will; not for a link in memory.
    pub(crate) async fn wait_ended(&self) {
        // The sender lives in self.
        let _ = self.ended.subscribe().wait_for(|ended| *ended == 2).await;
    }

    /// Does some writing, unless the lease ends before: a side that takes nothing keeps nobody for longer than that.
    async fn unless_expired<T>(&self, writing: impl Future<Output = std::io::Result<T>>) -> Result<(), Cause> {
        tokio::select! {
            // First, so that no timer is made for what does not wait.
            biased;
            written = writing => written.map(drop).map_err(|_| Cause::ConnectionClosed),
            () = self.expired() => Err(Cause::LeaseExpired),
        }
    }

    async fn expired(&self) {
        loop {
            let left = {
                let (mut lease, now) = (self.lease.lock(), Moment::now());
                if lease.standing(now) == Standing::Expired {
                    return;
                }
                lease.left(now)
            };
            tokio::time::sleep(left + Duration::from_millis(1)).await;
        }
    }

    /// Whether what is read may be taken, and what is queued may be written.
    fn standing(&self) -> Standing {
        self.lease.lock().standing(Moment::now())
    }

    /// How long it takes until its lease has ended, without another word of the other side.
    pub(crate) fn lease_left(&self) -> Duration {
        let (mut lease, now) = (self.lease.lock(), Moment::now());
        match lease.standing(now) {
            Standing::Expired => Duration::ZERO,
            _ => lease.left(now).max(Duration::from_millis(1)),
        }
    }

    /// Closes the link; what waits on it ends with `cause`. Frames that are queued are still written, unless its lease
    /// is over.
    pub(crate) fn close(self: &Arc<Self>, cause: Cause) {
        let first = self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                *closed = Some(cause.clone());
            }
            first
        });
        if !first {
            return;
        }
        // Dropped outside the lock: what is dropped may send.
        let waiting = std::mem::take(&mut *self.waiting.lock());
        drop(waiting);
        route::link_closed(self, &cause);
        let role = self.role.lock().take();
        if let Some(role) = role {
            role.closed(&cause);
        }
        match &self.out {
            Outgoing::Wire(queue) => queue.ready.notify_one(),
            Outgoing::Memory(other) => {
                if let Some(other) = other.get().and_then(Weak::upgrade) {
                    other.close(cause);
                }
            }
        }
    }

    fn answered(&self, id: u64, outcome: Result<(), Error>, body: Bytes) {
        let sink = self.waiting.lock().replies.remove(&id);
        match sink {
            Some(sink) => sink.answer(outcome.map(|()| body)),
            None => {
                let peer = Arc::clone(&self.peer);
                report!(DEBUG, %peer, id, "a reply that nobody waits for");
            }
        }
    }

    fn taken(&self, id: u64) {
        let permit = self.waiting.lock().permits.remove(&id);
        drop(permit);
    }

    fn lost(&self, cause: Cause) -> Error {
        Error::RunnerLost { node: self.peer.to_string(), cause }
    }

    fn dispatch(self: &Arc<Self>, frame: Frame, body: Bytes) {
        match frame {
            Frame::Ping(number) => {
                let _ = self.send(Frame::Pong(number), Bytes::new());
            }
            Frame::Pong(number) => {
                self.lease.lock().acknowledged(number);
                self.proven.notify_one();
            }
            Frame::Reply { id, outcome } => self.answered(id, outcome, body),
            Frame::Taken { id } => self.taken(id),
            Frame::Message { .. } | Frame::Actor { .. } | Frame::Watch { .. } | Frame::Down { .. } => {
                route::receive(self, frame, body)
            }
            other => {
                let role = self.role.lock().clone();
                if let Some(role) = role {
                    role.receive(self, other, body);
                }
            }
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).field("closed", &self.cause()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Encoded;
    use ractor::RpcReplyPort;
    use tokio::sync::oneshot;

    #[test]
    fn calls_that_are_never_answered_are_forgotten_when_their_callers_have_gone() {
        let mut waiting = Waiting::default();
        let mut call = || {
            let (port, caller) = oneshot::channel::<()>();
            let port: RpcReplyPort<()> = port.into();
            let sink = Encoded::call(Vec::new(), port, |_| Ok(())).reply.expect("it has a port");
            waiting.reply(sink);
            (caller, waiting.replies.len())
        };
        let patient: Vec<_> = (0..1000).map(|_| call().0).collect();
        let most = (0..100_000).map(|_| call().1).max();
        assert!(most <= Some(4 * patient.len()), "{most:?}");
        assert!(waiting.replies.values().filter(|sink| !sink.is_closed()).count() == patient.len());
    }
}
