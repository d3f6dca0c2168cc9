//! The one listener of a node: takes connections of runners that were booted, and of nobody else.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio_rustls::server::TlsStream;

use super::join::{self, Build, HANDSHAKE_DEADLINE, Hello, Invitation, PROTOCOL, Purpose, Secret, Welcome};
use super::runtime;
use super::session::Session;
use super::tls::Authority;
use crate::Error;

/// So many connections may be in their handshake at once; further ones wait in the kernel's queue.
const MAX_HANDSHAKES: usize = 512;

/// So long after its link a runner may open its session.
const SESSION_DEADLINE: Duration = Duration::from_secs(60);

/// A runner that has joined: its connection, ready to become a link.
pub(crate) struct Joined {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) process: u32,
}

pub(crate) struct Listener {
    address: SocketAddr,
    advertised: String,
    authority: Authority,
    build: Build,
    lease: Duration,
    session: Arc<Session>,
    expected: Mutex<HashMap<Secret, Expected>>,
}

/// Who may present a token, once.
struct Expected {
    node: Arc<str>,
    certificate: Vec<u8>,
    purpose: Wanted,
    since: Instant,
}

enum Wanted {
    Link { joined: oneshot::Sender<Result<Joined, Error>>, shutdown_timeout: Duration },
    Session,
}

impl Expected {
    /// A link is expected until its boot times out, a session right after its link.
    fn is_stale(&self) -> bool {
        matches!(self.purpose, Wanted::Session) && self.since.elapsed() > SESSION_DEADLINE
    }
}

/// A runner that was invited and has not joined yet. Dropped, its token is void.
pub(crate) struct Expectation {
    listener: Arc<Listener>,
    token: Secret,
    joined: oneshot::Receiver<Result<Joined, Error>>,
}

impl Expectation {
    /// Waits until the runner has joined, or was refused.
    pub(crate) async fn joined(&mut self) -> Result<Joined, Error> {
        (&mut self.joined).await.unwrap_or_else(|_| Err(Error::Join("the listener has ended".to_owned())))
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        self.listener.expected.lock().remove(&self.token);
    }
}

impl Listener {
    /// Binds and starts to accept, on our runtime.
    pub(crate) async fn start(
        address: SocketAddr,
        advertise: Option<String>,
        build: Build,
        lease: Duration,
        session: Arc<Session>,
    ) -> Result<Arc<Self>, Error> {
        let authority = Authority::mint()?;
        runtime::spawn(async move {
            let cannot = |err: std::io::Error| Error::Config {
                option: "listen".to_owned(),
                reason: format!("cannot listen on {address}: {err}"),
            };
            let socket = TcpListener::bind(address).await.map_err(cannot)?;
            let address = socket.local_addr().map_err(cannot)?;
            let advertised = match advertise {
                Some(host) if host.parse::<SocketAddr>().is_ok() => host,
                Some(host) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{}", address.port()),
                Some(host) => format!("{host}:{}", address.port()),
                None => address.to_string(),
            };
            let listener =
                Arc::new(Self { address, advertised, authority, build, lease, session, expected: Mutex::default() });
            runtime::spawn(accept_loop(Arc::downgrade(&listener), socket));
            Ok(listener)
        })
        .await
        .map_err(|err| Error::Join(format!("the listener did not start: {err}")))?
    }

    /// Makes an identity and a token for one runner.
    pub(crate) fn invite(
        self: &Arc<Self>,
        parent: &Arc<str>,
        node: &Arc<str>,
        pool: &str,
        shutdown_timeout: Duration,
    ) -> Result<(Invitation, Expectation), Error> {
        let identity = self.authority.identity()?;
        let token = Secret(super::tls::token());
        let (tx, joined) = oneshot::channel();
        let expected = Expected {
            node: Arc::clone(node),
            certificate: identity.certificate().to_vec(),
            purpose: Wanted::Link { joined: tx, shutdown_timeout },
            since: Instant::now(),
        };
        let mut book = self.expected.lock();
        book.retain(|_, expected| !expected.is_stale());
        book.insert(token.clone(), expected);
        drop(book);
        let invitation = Invitation {
            address: self.advertised.clone(),
            parent: Arc::clone(parent),
            node: Arc::clone(node),
            pool: pool.to_owned(),
            token: token.clone(),
            identity,
        };
        Ok((invitation, Expectation { listener: Arc::clone(self), token, joined }))
    }

    async fn shake_hands(self: Arc<Self>, socket: TcpStream) -> Result<(), Error> {
        socket.set_nodelay(true).map_err(|err| Error::Join(err.to_string()))?;
        let mut stream = self
            .authority
            .acceptor()
            .accept(socket)
            .await
            .map_err(|err| Error::Join(format!("no mutual TLS: {err}")))?;
        let hello: Hello = join::hear(&mut stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.map(|certificate| certificate.to_vec()).unwrap_or_default();

        match self.admit(&hello, &certificate) {
            Ok(Wanted::Link { joined, shutdown_timeout }) => {
                if let Err(err) = self.build.check(&hello.build) {
                    join::say(&mut stream, &Err::<Welcome, _>(err.clone())).await?;
                    let _ = joined.send(Err(err.clone()));
                    return Err(err);
                }
                let welcome = Welcome {
                    session_token: Secret(super::tls::token()),
                    cookie: self.session.cookie().clone(),
                    lease: self.lease,
                    shutdown_timeout,
                };
                let (node, since) = (Arc::clone(&hello.node), Instant::now());
                let expected = Expected { node, certificate, purpose: Wanted::Session, since };
                self.expected.lock().insert(welcome.session_token.clone(), expected);
                join::say(&mut stream, &Ok::<_, Error>(welcome)).await?;
                joined
                    .send(Ok(Joined { stream, process: hello.process }))
                    .map_err(|_| Error::Join(format!("runner {} came too late", hello.node)))
            }
            Ok(Wanted::Session) => {
                join::say(&mut stream, &Ok::<_, Error>(())).await?;
                self.session.attach(stream, &hello.node, self.lease, true)
            }
            Err(err) => {
                join::say(&mut stream, &Err::<Welcome, _>(err.clone())).await?;
                Err(err)
            }
        }
    }

    /// Takes the token out of the book: whatever comes of it, it is spent.
    fn admit(&self, hello: &Hello, certificate: &[u8]) -> Result<Wanted, Error> {
        let refuse = |why: String| Err(Error::Join(format!("runner {} was refused: {why}", hello.node)));
        if hello.protocol != PROTOCOL {
            return refuse(format!("it speaks protocol {}, this node speaks {PROTOCOL}", hello.protocol));
        }
        let Some(expected) = self.expected.lock().remove(&hello.token) else {
            return refuse("its join token is unknown, used or expired".to_owned());
        };
        let purpose = match &expected.purpose {
            Wanted::Link { .. } => Purpose::Link,
            Wanted::Session => Purpose::Session,
        };
        if purpose != hello.purpose || expected.node != hello.node || expected.certificate != certificate {
            return refuse("its join token was made for another node, identity or purpose".to_owned());
        }
        Ok(expected.purpose)
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn accept_loop(listener: Weak<Listener>, socket: TcpListener) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let permit = Arc::clone(&handshakes).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = socket.accept().await;
        let Some(listener) = listener.upgrade() else { return };
        match accepted {
            Ok((stream, from)) => {
                runtime::spawn(async move {
                    let _permit = permit;
                    let outcome = tokio::time::timeout(HANDSHAKE_DEADLINE, listener.shake_hands(stream)).await;
                    match outcome {
                        Ok(Ok(())) => {}
                        Ok(Err(err)) => tracing::warn!(%from, %err, "a connection was refused"),
                        Err(_) => tracing::warn!(%from, "a connection was refused: no hello in time"),
                    }
                });
            }
            Err(err) => {
                // Most likely too many open files: give those in their handshake time to end.
                tracing::warn!(%err, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
