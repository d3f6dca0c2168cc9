//! The session: `ractor_cluster`'s own connection between two nodes, for membership and process groups.
//!
//! Nothing of ours travels on it. It runs inside our TLS, over ractor_cluster's external transport; the listener that
//! its `NodeServer` insists on has an address that nobody can connect to, and a cookie that nobody can guess.

mod names;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use ractor_cluster::node::{NodeConnectionMode, NodeServerSessionInformation};
use ractor_cluster::{
    BoxRead, BoxWrite, ClusterBidiStream, NodeEventSubscription, NodeServer, NodeServerMessage, NodeSessionMessage,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use self::names::Unnamed;
use super::join::Secret;
use super::{runtime, tls};
use crate::Error;

/// A multicast group: Linux lets a listener have it, and lets no TCP connection go there.
///
/// That listener bounds neither how many connections it takes nor how long they stay silent, on 127.0.0.1 not either.
/// Where a kernel refuses this address, it has to do with that one.
const UNREACHABLE: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Both sides of a session ping, after 1 to 5 s each time; this is twice that.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// All sessions of this process, by the name of the other node.
pub(crate) struct Session {
    cookie: Secret,
    server: OnceLock<ActorRef<NodeServerMessage>>,
    peers: Mutex<HashMap<String, Peer>>,
}

/// How far a session has come, and the actor that stops it.
struct Peer {
    state: watch::Sender<PeerState>,
    actor: Option<ActorRef<NodeSessionMessage>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerState {
    Opening,
    Ready,
    Closed,
}

impl Session {
    /// Starts the node server; a runner's has the cookie of its parent.
    pub(crate) async fn start(node: &str, cookie: Option<Secret>) -> Result<Arc<Self>, Error> {
        let cookie = cookie.unwrap_or_else(|| Secret(tls::token()));
        let session = Arc::new(Self { cookie, server: OnceLock::new(), peers: Mutex::default() });
        let server = session.serve(node, UNREACHABLE).await;
        let server = match server {
            Ok(server) => server,
            Err(_) => session
                .serve(node, Ipv4Addr::LOCALHOST)
                .await
                .map_err(|reason| Error::Join(format!("the session's node server did not start: {reason}")))?,
        };
        let subscription = Box::new(Events(Arc::clone(&session)));
        let _ = server.cast(NodeServerMessage::SubscribeToEvents { id: "flame".to_owned(), subscription });
        let _ = session.server.set(server);
        Ok(session)
    }

    async fn serve(&self, node: &str, listen: Ipv4Addr) -> Result<ActorRef<NodeServerMessage>, String> {
        let (cookie, isolated) = (self.cookie.0.clone(), Some(NodeConnectionMode::Isolated));
        let server = NodeServer::new(0, cookie, node.to_owned(), "flame".to_owned(), None, isolated)
            .with_listen_addr(IpAddr::V4(listen));
        let spawned = runtime::spawn(Actor::spawn(None, server, ())).await.map_err(|err| err.to_string())?;
        spawned.map(|(server, _)| server).map_err(|err| err.to_string())
    }

    pub(crate) fn cookie(&self) -> &Secret {
        &self.cookie
    }

    /// Hands a connection whose handshake is done to ractor_cluster.
    ///
    /// It is given up when nothing comes for the lease and [`LONGEST_PAUSE`].
    pub(crate) fn attach<S>(&self, stream: S, node: &str, lease: Duration, is_server: bool) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.peers.lock().entry(node.to_owned()).or_insert_with(Peer::opening);
        let stream =
            Box::new(Transport { stream, peer: node.to_owned(), silence: lease.saturating_add(LONGEST_PAUSE) });
        self.server
            .get()
            .and_then(|server| server.cast(NodeServerMessage::ConnectionOpenedExternal { stream, is_server }).ok())
            .ok_or_else(|| Error::Join("the session's node server has ended".to_owned()))
    }

    fn state(&self, node: &str) -> watch::Receiver<PeerState> {
        self.peers.lock().entry(node.to_owned()).or_insert_with(Peer::opening).state.subscribe()
    }

    /// Waits until process groups are in step with the other node; `false` when the session ended first.
    pub(crate) async fn ready(&self, node: &str) -> bool {
        let mut state = self.state(node);
        let state = state.wait_for(|state| *state != PeerState::Opening).await;
        state.is_ok_and(|state| *state == PeerState::Ready)
    }

    /// Waits for the end of the session, which may not have begun yet.
    pub(crate) async fn closed(&self, node: &str) {
        let mut state = self.state(node);
        // An error says that the session was given up.
        let _ = state.wait_for(|state| *state == PeerState::Closed).await;
    }

    /// Takes a session that is awaited as ended.
    pub(crate) fn give_up(&self, node: &str) {
        if let Some(peer) = self.peers.lock().get(node) {
            peer.state.send_replace(PeerState::Closed);
        }
    }

    /// Ends the session with a node whose link is gone.
    pub(crate) fn close(&self, node: &str) {
        if let Some(peer) = self.peers.lock().remove(node)
            && let Some(actor) = peer.actor
        {
            actor.stop(Some("the link is closed".to_owned()));
        }
    }
}

impl Peer {
    fn opening() -> Self {
        Self { state: watch::Sender::new(PeerState::Opening), actor: None }
    }
}

/// ractor_cluster names an external connection by the label that its transport gave.
struct Events(Arc<Session>);

impl Events {
    fn enter(&self, session: &NodeServerSessionInformation, state: PeerState) {
        if let Some(peer) = self.0.peers.lock().get_mut(&session.peer_addr) {
            peer.actor = Some(session.actor.clone());
            peer.state.send_replace(state);
        }
    }
}

impl NodeEventSubscription for Events {
    fn node_session_opened(&self, session: NodeServerSessionInformation) {
        self.enter(&session, PeerState::Opening);
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.enter(&session, PeerState::Closed);
    }

    fn node_session_authenticated(&self, _: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        self.enter(&session, PeerState::Ready);
    }
}

struct Transport<S> {
    stream: S,
    peer: String,
    silence: Duration,
}

impl<S> ClusterBidiStream for Transport<S>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = tokio::io::split(self.stream);
        let deadline = Box::pin(tokio::time::sleep(self.silence));
        (Box::new(Unnamed::new(Heard { read, silence: self.silence, deadline })), Box::new(write))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.peer.clone())
    }
}

/// What is read fails when nothing has come for too long: ractor_cluster itself never notices a peer that hangs.
struct Heard<R> {
    read: R,
    silence: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Heard<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(read) = Pin::new(&mut self.read).poll_read(cx, buf) else {
            return self.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        };
        if let Some(deadline) = Instant::now().checked_add(self.silence) {
            self.deadline.as_mut().reset(deadline);
        }
        Poll::Ready(read)
    }
}
