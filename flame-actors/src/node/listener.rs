//! The one listener of a node: takes connections of runners that were booted, and of nobody else.

mod door;
mod quota;
mod refusal;
mod room;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::server::{StartHandshake, TlsStream};

use self::refusal::Refusal;
use super::join::{self, Build, Hello, Invitation, PROTOCOL, Purpose, Secret, Welcome};
use super::runtime;
use super::session::Session;
use super::tls::{self, Authority};
use crate::Error;
use crate::descriptors::shortage;
use crate::report::report;
use crate::stream::{IDLE_AT_LISTENER, Wire};

/// So long after its link a runner may open its session.
const SESSION_DEADLINE: Duration = Duration::from_secs(60);
/// So often a knock gives precedence: whoever saw it on its way may repeat it.
const KNOCKS: u8 = 8;
/// A runner that is not awaited has so long for its hello, and hears why it is refused.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A runner that has joined: its connection, ready to become a link.
pub(crate) struct Joined {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) process: u32,
}

pub(crate) struct Listener {
    address: SocketAddr,
    /// Where runners are told to dial, if that was said.
    advertised: Option<String>,
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
    knock: String,
    knocks: u8,
    since: Instant,
}

enum Wanted {
    Link { joined: oneshot::Sender<Result<Joined, Error>>, shutdown_timeout: Duration },
    Session,
    Stream(oneshot::Sender<Result<Wire, Error>>),
}

impl Expected {
    fn new(node: &Arc<str>, certificate: &[u8], token: &Secret, purpose: Wanted) -> Self {
        let (node, certificate, knock) = (Arc::clone(node), certificate.to_vec(), tls::knock(token));
        Self { node, certificate, purpose, knock, knocks: 0, since: Instant::now() }
    }

    /// A link is expected until its boot times out, a session right after its link.
    fn is_stale(&self) -> bool {
        matches!(self.purpose, Wanted::Session) && self.since.elapsed() > SESSION_DEADLINE
    }
}

/// A node that was invited and has not joined yet, or opened its stream. Dropped, its token is void.
pub(crate) struct Expectation<T = Joined> {
    listener: Arc<Listener>,
    token: Secret,
    joined: oneshot::Receiver<Result<T, Error>>,
}

impl<T> Expectation<T> {
    /// Waits until the node is there, or was refused.
    pub(crate) async fn joined(&mut self) -> Result<T, Error> {
        (&mut self.joined)
            .await
            .unwrap_or_else(|_| Err(Error::Join("the runner's connection broke in its join".to_owned())))
    }
}

impl<T> Drop for Expectation<T> {
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
        // Now, while there is room for it: a boot has looked.
        door::strangers();
        // Most of what it accepts becomes a link.
        let links = runtime::links();
        links
            .spawn(async move {
                let cannot = |err: std::io::Error| Error::Config {
                    option: "listen".to_owned(),
                    reason: format!("cannot listen on {address}: {err}"),
                };
                let socket = TcpListener::bind(address).await.map_err(cannot)?;
                let address = socket.local_addr().map_err(cannot)?;
                let advertised = advertise.map(|host| with_port(host, address.port()));
                let expected = Mutex::default();
                let listener = Arc::new(Self { address, advertised, authority, build, lease, session, expected });
                links.spawn(door::accept_loop(Arc::downgrade(&listener), socket));
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
        at: Option<IpAddr>,
    ) -> Result<(Invitation, Expectation), Error> {
        let (tx, joined) = oneshot::channel();
        let invitation = self.expect(parent, node, pool, Wanted::Link { joined: tx, shutdown_timeout }, at)?;
        let token = invitation.token.clone();
        Ok((invitation, Expectation { listener: Arc::clone(self), token, joined }))
    }

    /// Makes an identity and a token for the connection of one stream.
    pub(crate) fn invite_stream(
        self: &Arc<Self>,
        me: &Arc<str>,
        node: &Arc<str>,
        at: Option<IpAddr>,
    ) -> Result<(Invitation, Expectation<Wire>), Error> {
        let (tx, joined) = oneshot::channel();
        let invitation = self.expect(me, node, "", Wanted::Stream(tx), at)?;
        let token = invitation.token.clone();
        Ok((invitation, Expectation { listener: Arc::clone(self), token, joined }))
    }

    fn expect(
        &self,
        me: &Arc<str>,
        node: &Arc<str>,
        pool: &str,
        purpose: Wanted,
        at: Option<IpAddr>,
    ) -> Result<Invitation, Error> {
        let identity = self.authority.identity(node)?;
        let token = Secret(tls::token());
        let expected = Expected::new(node, identity.certificate(), &token, purpose);
        let mut book = self.expected.lock();
        book.retain(|_, expected| !expected.is_stale());
        book.insert(token.clone(), expected);
        drop(book);
        let (address, pool) = (self.address_for(at), pool.to_owned());
        Ok(Invitation { address, parent: Arc::clone(me), node: Arc::clone(node), pool, token, identity })
    }

    /// What a node is to dial that reaches this computer at such an address.
    fn address_for(&self, at: Option<IpAddr>) -> String {
        match (&self.advertised, at) {
            (Some(advertised), _) => advertised.clone(),
            // That one listens on every address is not where one is reached.
            (None, Some(ip)) if self.address.ip().is_unspecified() => {
                SocketAddr::new(ip, self.address.port()).to_string()
            }
            (None, _) => self.address.to_string(),
        }
    }

    /// Fails what is awaited: the connections that would bring it cannot be accepted.
    fn fail_all(&self, err: &std::io::Error) {
        let Some(reason) = shortage(err) else { return };
        let expected = std::mem::take(&mut *self.expected.lock());
        let err = Error::Join(format!("a connection of the runner cannot be taken: {reason}"));
        for Expected { node, purpose, .. } in expected.into_values() {
            match purpose {
                Wanted::Link { joined, .. } => drop(joined.send(Err(err.clone()))),
                Wanted::Stream(opened) => drop(opened.send(Err(err.clone()))),
                Wanted::Session => self.session.give_up(&node),
            }
        }
    }

    /// Whether this is the knock of a runner that is awaited.
    fn is_knock(&self, knock: &str) -> bool {
        let mut book = self.expected.lock();
        let expected = book.values_mut().find(|expected| expected.knock == knock && expected.knocks < KNOCKS);
        expected.map(|expected| expected.knocks += 1).is_some()
    }

    /// What follows the first words of TLS, up to a runner that has joined or was refused.
    async fn shake_hands(self: Arc<Self>, start: StartHandshake<TcpStream>) -> Result<(), Refusal> {
        let mut stream = start.into_stream(self.authority.server()).await.map_err(Refusal::of_tls)?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
        let (certificate, node) = certificate
            .and_then(|certificate| tls::node_of(&certificate).map(|node| (certificate, node)))
            .ok_or(Refusal::NoCertificate)?;
        let admitted = self.hear(&mut stream, &certificate, node).await;
        let refusal = match admitted {
            Ok((hello, Wanted::Link { joined, shutdown_timeout })) => match self.build.check(&hello.build) {
                Ok(()) => return self.welcome(stream, hello, &certificate, joined, shutdown_timeout).await,
                Err(err) => {
                    let _ = joined.send(Err(err.clone()));
                    Refusal::Build(err)
                }
            },
            Ok((hello, Wanted::Session)) => {
                join::say(&mut stream, &Ok::<_, Error>(())).await.map_err(|_| Refusal::Left)?;
                return self
                    .session
                    .attach(stream, &hello.node, self.lease, true)
                    .map_err(|err| Refusal::Session(err.to_string()));
            }
            Ok((hello, Wanted::Stream(opened))) => return self.open_stream(stream, hello.node, opened).await,
            Err(refusal) => refusal,
        };
        if let Some(answer) = refusal.answer() {
            let _ = join::say(&mut stream, &Err::<Welcome, _>(answer)).await;
            let _ = stream.shutdown().await;
        }
        Err(refusal)
    }

    /// Hears who it is and what for; a token that was shown is spent.
    async fn hear(
        &self,
        stream: &mut TlsStream<TcpStream>,
        certificate: &[u8],
        node: String,
    ) -> Result<(Hello, Wanted), Refusal> {
        let is_awaited = {
            let mut book = self.expected.lock();
            book.retain(|_, expected| !expected.is_stale());
            book.values().any(|expected| expected.certificate == certificate)
        };
        if !is_awaited {
            let _ = tokio::time::timeout(LAST_WORDS, join::hear::<Hello, _>(stream)).await;
            return Err(Refusal::NotAwaited { node });
        }
        let hello = join::hear::<Hello, _>(stream).await.map_err(Refusal::of_hello)?;
        let wanted = self.admit(&hello, certificate, node)?;
        Ok((hello, wanted))
    }

    /// Takes the token out of the book: whatever comes of it, it is spent.
    fn admit(&self, hello: &Hello, certificate: &[u8], node: String) -> Result<Wanted, Refusal> {
        if hello.protocol != PROTOCOL {
            return Err(Refusal::Protocol { node, theirs: hello.protocol });
        }
        let expected = self.expected.lock().remove(&hello.token);
        let Some(expected) = expected.filter(|expected| !expected.is_stale()) else {
            return Err(Refusal::Token { node });
        };
        let refusal = if expected.certificate != certificate || *expected.node != *node {
            Refusal::AnotherRunner { node, token_of: expected.node }
        } else if hello.node != expected.node {
            // What it says is not repeated: it may be anything.
            Refusal::Name { node }
        } else {
            match (&expected.purpose, hello.purpose) {
                (Wanted::Link { .. }, Purpose::Link)
                | (Wanted::Session, Purpose::Session)
                | (Wanted::Stream(_), Purpose::Stream) => return Ok(expected.purpose),
                _ => Refusal::Purpose { node },
            }
        };
        if let Wanted::Link { joined, .. } = expected.purpose {
            // The runner itself cannot join any more.
            let _ = joined.send(Err(Error::Join(refusal.to_string())));
        }
        Err(refusal)
    }

    async fn open_stream(
        self: &Arc<Self>,
        mut stream: TlsStream<TcpStream>,
        node: Arc<str>,
        opened: oneshot::Sender<Result<Wire, Error>>,
    ) -> Result<(), Refusal> {
        join::say(&mut stream, &Ok::<_, Error>(())).await.map_err(|_| Refusal::Left)?;
        let wire = Wire::accepted(tokio_rustls::TlsStream::Server(stream), Arc::downgrade(self), Arc::clone(&node));
        opened.send(Ok(wire)).map_err(|_| Refusal::Late { node: node.to_string() })
    }

    /// Waits for the token of another stream on a connection whose last one has ended in good order.
    pub(crate) async fn hear_again(self: Arc<Self>, stream: tokio_rustls::TlsStream<TcpStream>, node: &Arc<str>) {
        let tokio_rustls::TlsStream::Server(mut stream) = stream else { return };
        let hello = tokio::time::timeout(IDLE_AT_LISTENER, join::hear::<Hello, _>(&mut stream)).await;
        let Ok(Ok(hello)) = hello else { return };
        let wanted = {
            let mut book = self.expected.lock();
            // Its certificate is of an earlier stream; that it is of this node was seen then.
            let fits = |expected: &Expected| {
                matches!(expected.purpose, Wanted::Stream(_)) && expected.node == *node && hello.node == *node
            };
            let is_awaited = hello.purpose == Purpose::Stream && book.get(&hello.token).is_some_and(fits);
            if is_awaited { book.remove(&hello.token) } else { None }
        };
        let opened = match wanted.map(|expected| expected.purpose) {
            Some(Wanted::Stream(opened)) => self.open_stream(stream, hello.node, opened).await,
            _ => Err(Refusal::Token { node: node.to_string() }),
        };
        if let Err(refusal) = opened {
            report!(DEBUG, why = %refusal, "an idle connection was closed");
        }
    }

    async fn welcome(
        &self,
        mut stream: TlsStream<TcpStream>,
        hello: Hello,
        certificate: &[u8],
        joined: oneshot::Sender<Result<Joined, Error>>,
        shutdown_timeout: Duration,
    ) -> Result<(), Refusal> {
        let welcome = Welcome {
            session_token: Secret(tls::token()),
            cookie: self.session.cookie().clone(),
            lease: self.lease,
            shutdown_timeout,
        };
        let expected = Expected::new(&hello.node, certificate, &welcome.session_token, Wanted::Session);
        self.expected.lock().insert(welcome.session_token.clone(), expected);
        join::say(&mut stream, &Ok::<_, Error>(welcome)).await.map_err(|_| Refusal::Left)?;
        joined
            .send(Ok(Joined { stream, process: hello.process }))
            .map_err(|_| Refusal::Late { node: hello.node.to_string() })
    }
}

/// A host, or `host:port`, with the listener's port where it has none.
fn with_port(host: String, port: u16) -> String {
    if host.parse::<Ipv6Addr>().is_ok() {
        return format!("[{host}]:{port}");
    }
    let named = |port: &str| port.parse::<u16>().is_ok();
    if host.rsplit_once(':').is_some_and(|(_, port)| named(port)) { host } else { format!("{host}:{port}") }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
