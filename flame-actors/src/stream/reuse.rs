//! The connections of streams: dialled, taken, and used again.
//!
//! A stream's connection is one that its listener has admitted for a one-time token. After a stream that ended in good
//! order both sides keep it for a while: the next token to the same node then costs no handshake.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::error::StreamError;
use super::peer::Lost;
use crate::Node;
use crate::node::join::{self, Invitation, Purpose};
use crate::node::listener::Listener;
use crate::node::runtime;

/// The side that dials keeps an idle connection so long.
const IDLE: Duration = Duration::from_secs(10);
/// The side that listens keeps it longer, so that it is there for who still has it.
pub(crate) const IDLE_AT_LISTENER: Duration = Duration::from_secs(15);
/// So many idle connections are kept to one node.
const IDLE_MAX: usize = 8;
/// How long is waited for the other side to hang up.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection that is admitted for a stream.
pub(crate) struct Wire {
    tls: Box<TlsStream<TcpStream>>,
    origin: Origin,
}

/// What becomes of a connection after the last words on it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// It is kept for the next stream, or closed.
    Reuse,
    HangUp,
}

enum Origin {
    /// To the node of this name.
    Dialled(Arc<str>),
    /// From the node of this name.
    Accepted(Weak<Listener>, Arc<str>),
}

/// By the name of the node that was dialled.
static IDLE_WIRES: LazyLock<Mutex<HashMap<Arc<str>, Vec<Idle>>>> = LazyLock::new(Mutex::default);

struct Idle {
    wire: Wire,
    since: Instant,
}

/// Takes the one that was used last.
fn take_idle(node: &str) -> Option<Wire> {
    IDLE_WIRES.lock().get_mut(node)?.pop().map(|idle| idle.wire)
}

fn forget_old() {
    IDLE_WIRES.lock().retain(|_, wires| {
        wires.retain(|idle| idle.since.elapsed() < IDLE);
        !wires.is_empty()
    });
}

impl Wire {
    pub(crate) fn accepted(tls: TlsStream<TcpStream>, listener: Weak<Listener>, node: Arc<str>) -> Self {
        Self { tls: Box::new(tls), origin: Origin::Accepted(listener, node) }
    }

    pub(super) fn tls(&mut self) -> &mut TlsStream<TcpStream> {
        &mut self.tls
    }

    /// Says this, unless the other node is lost before it wants to hear it.
    pub(super) fn farewell(mut self, words: Vec<u8>, then: Then, mut lost: Lost) {
        // It may be long until a slow reader has come to them, and what is left unread may be a lot.
        runtime::bulk().spawn(async move {
            let said = async {
                self.tls.write_all(&words).await?;
                self.tls.flush().await
            };
            let said = tokio::select! {
                said = said => said.is_ok(),
                _ = std::future::poll_fn(|cx| lost.poll(cx)) => false,
            };
            match (said, then) {
                (false, _) => {}
                (true, Then::Reuse) => self.reuse(),
                (true, Then::HangUp) => {
                    // What is left unread makes the system reset the connection, and the words are lost.
                    let hang_up = async {
                        let _ = self.tls.shutdown().await;
                        let mut rest = vec![0; 16 * 1024];
                        while matches!(self.tls.read(&mut rest).await, Ok(1..)) {}
                    };
                    let _ = tokio::time::timeout(FAREWELL, hang_up).await;
                }
            }
        });
    }

    /// Keeps the connection for the next stream to or from that node.
    pub(crate) fn reuse(self) {
        match &self.origin {
            Origin::Accepted(listener, node) => {
                if let Some(listener) = listener.upgrade() {
                    let node = Arc::clone(node);
                    runtime::spawn(async move { listener.hear_again(*self.tls, &node).await });
                }
            }
            Origin::Dialled(node) => {
                let mut idle = IDLE_WIRES.lock();
                let wires = idle.entry(Arc::clone(node)).or_default();
                if wires.len() < IDLE_MAX {
                    wires.push(Idle { wire: self, since: Instant::now() });
                    runtime::spawn(async {
                        tokio::time::sleep(IDLE).await;
                        forget_old();
                    });
                }
            }
        }
    }
}

/// Dials for a stream, or takes a connection that is there.
pub(super) async fn connect(invitation: &Invitation) -> Result<Wire, StreamError> {
    let build = Node::current().ok_or_else(|| StreamError::not_opened("this process is no node yet"))?.build().clone();
    while let Some(mut wire) = take_idle(&invitation.parent) {
        let hello = invitation.hello(Purpose::Stream, invitation.token.clone(), &build);
        let talk = async {
            join::say(&mut *wire.tls, &hello).await?;
            join::hear::<Result<(), crate::Error>, _>(&mut *wire.tls).await?
        };
        // One that the other side has closed has not spent the token.
        if let Ok(Ok(())) = tokio::time::timeout(join::HANDSHAKE_DEADLINE, talk).await {
            return Ok(wire);
        }
    }
    let dialled = invitation.dial::<()>(Purpose::Stream, invitation.token.clone(), &build).await;
    let (tls, ()) = dialled.map_err(StreamError::not_opened)?;
    Ok(Wire { tls: Box::new(TlsStream::Client(tls)), origin: Origin::Dialled(Arc::clone(&invitation.parent)) })
}
