//! This process as a node: a parent that boots runners, or a runner that was booted.

pub(crate) mod build;
pub(crate) mod frame;
pub(crate) mod gate;
pub(crate) mod join;
pub(crate) mod lease;
pub(crate) mod link;
pub(crate) mod listener;
mod proxy;
mod relay;
pub(crate) mod route;
pub(crate) mod runtime;
pub(crate) mod session;
mod signals;
pub(crate) mod tls;
mod watcher;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};

use self::join::{Build, Purpose, Welcome};
use self::lease::Side;
use self::link::Link;
use self::listener::Listener;
use self::session::Session;
use self::signals::Signals;
use crate::error::{Cause, Error};
use crate::parent::{self, Booted, Parent};
use crate::pool::Pool;
use crate::registry;
use crate::runner::agent::Agent;

/// Both sides of a link give up after this long without hearing from the other.
const DEFAULT_LEASE: Duration = Duration::from_secs(15);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// A runner whose parent is gone, and whose work has ended, has this long to leave `main` by itself.
const EXIT_GRACE: Duration = Duration::from_millis(300);
/// After a second signal the runners have so long to be destroyed.
const DESTROY_BOUND: Duration = Duration::from_secs(5);

/// This process as a node of its application.
///
/// There is one per process; it is cheap to clone. [`start`](Self::start) joins the parent when this process was
/// booted as a runner; any other process becomes a parent. A parent opens its listener when it first boots a runner
/// that needs it.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    /// The name without the part that is unique per boot.
    given_name: String,
    build: Build,
    listen: SocketAddr,
    advertise: Option<String>,
    lease: Duration,
    handle_signals: bool,
    listener: OnceCell<Arc<Listener>>,
    session: OnceCell<Arc<Session>>,
    /// Told when the pools have ended for a signal; set once somebody waits for one.
    on_signal: OnceCell<watch::Receiver<bool>>,
    provided: RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    pools: Mutex<Vec<Pool>>,
    runner: Option<AsRunner>,
}

/// What a node has that was booted.
struct AsRunner {
    parent: Parent,
    agent: Arc<Agent>,
    /// Then it was booted as a process on its parent's computer, and what its work has started is there too.
    has_lifeline: bool,
}

static NODE: OnceCell<Node> = OnceCell::const_new();

impl Node {
    /// Starts this process' node with the defaults, or returns the one that was started before.
    ///
    /// # Errors
    /// [`Error::Join`] when this process was booted as a runner and cannot join, [`Error::BuildMismatch`] when the
    /// parent is another build, [`Error::Config`] when two tasks share a name.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Sets what differs from the defaults before the start.
    pub fn builder() -> NodeBuilder {
        NodeBuilder {
            name: None,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            advertise: None,
            lease: DEFAULT_LEASE,
            build_id: None,
            handle_signals: true,
        }
    }

    /// The node that was started in this process, if any.
    pub fn current() -> Option<Self> {
        NODE.get().cloned()
    }

    /// The node's name: unique per boot, and a path that begins with the parent's.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether this process was booted by a pool.
    pub fn is_runner(&self) -> bool {
        self.0.runner.is_some()
    }

    /// The process that booted this one; `None` when nobody did.
    pub fn parent(&self) -> Option<&Parent> {
        self.0.runner.as_ref().map(|runner| &runner.parent)
    }

    /// Gives tasks and actors on this node something to find with [`provided`](crate::provided).
    ///
    /// One value per type; a second one takes the place of the first.
    pub fn provide<T: Send + Sync + 'static>(&self, value: T) {
        self.0.provided.write().insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(crate) fn provided<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = self.0.provided.read().get(&TypeId::of::<T>()).cloned()?;
        value.downcast().ok()
    }

    /// Takes work until told to stop: what a runner does once the application is up.
    ///
    /// Returns when the pool sends the runner away, or when the parent is gone; `main` is to return then. A process
    /// that stays is ended by force: after `shutdown_timeout` by its backend, and a third of a second after the loss
    /// of its parent by itself.
    ///
    /// Meanwhile SIGTERM and SIGINT mean that this runner is wanted away: it says so, gets no more work, finishes what
    /// it has within `shutdown_timeout`, and leaves; its pool boots another one where that is needed. A second signal
    /// ends its work at once. [`NodeBuilder::handle_signals`] leaves signals to the application, which has
    /// [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`Error::Config`] when this node is no runner, [`Error::Join`] when the session with the parent failed.
    pub async fn serve(&self) -> Result<(), Error> {
        let Some(runner) = &self.0.runner else {
            let reason = "only a runner serves, and this process was not booted as one".to_owned();
            return Err(Error::Config { option: "serve".to_owned(), reason });
        };
        let session = self.session().await?;
        tokio::select! {
            ready = session.ready(runner.parent.name()) => {
                if !ready && !runner.agent.is_leaving() {
                    return Err(Error::Join("the session with the parent has ended".to_owned()));
                }
            }
            () = runner.agent.stopped() => {}
        }
        if self.0.handle_signals {
            let (mut signals, agent) = (signals::listen()?, Arc::clone(&runner.agent));
            runtime::spawn(async move {
                let signal = signals.next().await;
                tracing::info!(%signal, "this runner is wanted away");
                agent.leave();
                signals.next().await;
                agent.stop();
            });
        }
        runner.agent.ready();
        runner.agent.stopped().await;
        runner.agent.reported().await;
        if runner.agent.lost_its_parent() && runner.has_lifeline {
            parent::end_process_group();
        }
        Ok(())
    }

    /// Has this runner leave: it gets no more work, finishes what it has within `shutdown_timeout`, and
    /// [`serve`](Self::serve) returns. For an application that handles signals itself.
    ///
    /// # Errors
    /// [`Error::Config`] when this node is no runner.
    pub fn leave(&self) -> Result<(), Error> {
        let Some(runner) = &self.0.runner else {
            let reason = "only a runner leaves, and this process was not booted as one".to_owned();
            return Err(Error::Config { option: "leave".to_owned(), reason });
        };
        runner.agent.leave();
        Ok(())
    }

    /// Ends every pool of this node, each as [`Pool::shutdown`] does.
    pub async fn shutdown(&self) {
        let pools = std::mem::take(&mut *self.0.pools.lock());
        futures_util::future::join_all(pools.iter().map(Pool::shutdown)).await;
    }

    /// Waits for SIGTERM or SIGINT, and shuts every pool of this node down then: what a parent does in a rolling
    /// deploy. When this returns, `main` is to return.
    ///
    /// Pools take no new work from the signal on ([`Error::PoolClosed`]), what runs has `shutdown_timeout`, then the
    /// runners stop. A second signal destroys the runners at once, and ends this process with code 128 and the
    /// signal's number.
    ///
    /// The first call takes the signals over for good: whoever drops this future may call again and waits for the same
    /// end. An application with signal handling of its own calls [`shutdown`](Self::shutdown) instead.
    ///
    /// ```no_run
    /// # use flame_actors::{Error, Node, Pool};
    /// # async fn serve_web(_: Pool) -> Result<(), Error> { Ok(()) }
    /// # async fn example(node: Node, pool: Pool) -> Result<(), Error> {
    /// tokio::select! {
    ///     served = serve_web(pool) => served,
    ///     ended = node.shutdown_on_signal() => ended,
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when the system does not let this process handle signals.
    pub async fn shutdown_on_signal(&self) -> Result<(), Error> {
        let listen = || async {
            let (signals, (tx, ended)) = (signals::listen()?, watch::channel(false));
            // On our runtime: a second signal counts also when the application is stuck.
            runtime::spawn(self.clone().end_on_signal(signals, tx));
            Ok::<_, Error>(ended)
        };
        let mut ended = self.0.on_signal.get_or_try_init(listen).await?.clone();
        // The sender ends with this process.
        let _ = ended.wait_for(|ended| *ended).await;
        Ok(())
    }

    async fn end_on_signal(self, mut signals: Signals, ended: watch::Sender<bool>) {
        let signal = signals.next().await;
        tracing::info!(%signal, node = self.name(), "shutting down");
        let pools = self.0.pools.lock().clone();
        let second = tokio::select! {
            () = self.shutdown() => {
                ended.send_replace(true);
                signals.next().await
            }
            signal = signals.next() => signal,
        };
        tracing::warn!(signal = %second, "a second signal: this process ends at once");
        let destroyed = futures_util::future::join_all(pools.iter().map(Pool::destroy));
        let _ = tokio::time::timeout(DESTROY_BOUND, destroyed).await;
        std::process::exit(second.exit_code());
    }

    pub(crate) fn given_name(&self) -> &str {
        &self.0.given_name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.0.name
    }

    pub(crate) fn lease(&self) -> Duration {
        self.0.lease
    }

    /// Enters a pool, unless there is one of its name.
    pub(crate) fn add_pool(&self, pool: &Pool) -> Result<(), Error> {
        let mut pools = self.0.pools.lock();
        pools.retain(|known| !known.is_closed());
        if pools.iter().any(|known| known.name() == pool.name()) {
            let reason = format!("there is a pool \"{}\" already", pool.name());
            return Err(Error::Config { option: "name".to_owned(), reason });
        }
        pools.push(pool.clone());
        Ok(())
    }

    pub(crate) fn pool(&self, name: &str) -> Option<Pool> {
        self.0.pools.lock().iter().find(|pool| pool.name() == name && !pool.is_closed()).cloned()
    }

    pub(crate) async fn session(&self) -> Result<&Arc<Session>, Error> {
        self.0.session.get_or_try_init(|| Session::start(&self.0.name, None)).await
    }

    pub(crate) async fn listener(&self) -> Result<&Arc<Listener>, Error> {
        let inner = &self.0;
        let start = || async {
            let session = Arc::clone(self.session().await?);
            Listener::start(inner.listen, inner.advertise.clone(), inner.build.clone(), inner.lease, session).await
        };
        inner.listener.get_or_try_init(start).await
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.0.name).field("is_runner", &self.is_runner()).finish_non_exhaustive()
    }
}

/// Settings of a [`Node`], from [`Node::builder`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    name: Option<String>,
    listen: SocketAddr,
    advertise: Option<String>,
    lease: Duration,
    build_id: Option<String>,
    handle_signals: bool,
}

impl NodeBuilder {
    /// The first part of the node's name, to which a unique id is added; by default the executable's name.
    ///
    /// A runner's name is given to it by its parent.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where runners can reach this node; by default a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The host, or `host:port`, that runners dial; by default the listener's own address.
    #[must_use]
    pub fn advertise(mut self, host: impl Into<String>) -> Self {
        self.advertise = Some(host.into());
        self
    }

    /// How long one side believes in the other without hearing from it: 15 s by default, 1 s at the least.
    ///
    /// A node that wakes up after its lease takes and answers nothing more; code of the application may run on it for a
    /// moment before that is noticed.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Stands for the build in the comparison between parent and runner; by default the executable's ELF build id.
    ///
    /// For images that carry another build of the same source.
    #[must_use]
    pub fn build_id(mut self, id: impl Into<String>) -> Self {
        self.build_id = Some(id.into());
        self
    }

    /// Whether a runner that serves takes SIGTERM and SIGINT as the wish that it leaves; `true` by default.
    ///
    /// See [`Node::serve`]. A parent takes no signal before [`Node::shutdown_on_signal`] is called.
    #[must_use]
    pub fn handle_signals(mut self, handle: bool) -> Self {
        self.handle_signals = handle;
        self
    }

    /// Starts this process' node, or returns the one that was started before, whatever these settings are.
    ///
    /// # Errors
    /// As [`Node::start`]; [`Error::Config`] names a setting that cannot work.
    pub async fn start(self) -> Result<Node, Error> {
        NODE.get_or_try_init(|| self.start_first()).await.cloned()
    }

    async fn start_first(self) -> Result<Node, Error> {
        registry::check()?;
        if self.lease < SHORTEST_LEASE {
            let reason = format!("{:?} is shorter than {SHORTEST_LEASE:?}", self.lease);
            return Err(Error::Config { option: "lease".to_owned(), reason });
        }
        let build = Build::of_this_process(self.build_id.as_deref().unwrap_or_else(|| build::id()));
        match parent::booted().await? {
            None => {
                let name = match self.name.clone() {
                    Some(name) => checked("name", name)?,
                    None => executable_name(),
                };
                let full: Arc<str> = format!("{name}-{}", unique()).into();
                route::set_name(&full);
                Ok(self.into_node(full, name, build, OnceCell::new(), None))
            }
            Some(booted) => self.join(build, booted).await,
        }
    }

    /// Becomes a runner: opens the link and, while the application starts, the session.
    async fn join(self, build: Build, booted: Booted) -> Result<Node, Error> {
        let Booted { invitation, lifeline } = booted;
        let name = Arc::clone(&invitation.node);
        let (stream, welcome) = invitation.dial::<Welcome>(Purpose::Link, invitation.token.clone(), &build).await?;
        route::set_name(&name);
        let agent = Agent::start(Arc::clone(&name), Handle::current(), welcome.shutdown_timeout);
        let link =
            Link::over_wire(Arc::clone(&invitation.parent), Side::Runner, welcome.lease, Arc::new(Arc::clone(&agent)));
        agent.attach(&link);
        route::add_parent(&link);

        let session = Session::start(&name, Some(welcome.cookie.clone())).await?;
        let parent = invitation.parent();
        let has_lifeline = lifeline.is_some();
        let runner = AsRunner { parent, agent: Arc::clone(&agent), has_lifeline };
        let given_name = name.to_string();
        let node = self.into_node(
            name,
            given_name,
            build.clone(),
            OnceCell::new_with(Some(Arc::clone(&session))),
            Some(runner),
        );

        link.start(stream);
        runtime::spawn(open_session(session, invitation, welcome, build, Arc::clone(&link)));
        if let Some(lifeline) = lifeline {
            runtime::spawn(async move {
                parent::cut(lifeline).await;
                link.close(Cause::ConnectionClosed);
            });
        }
        runtime::spawn(async move {
            agent.stopped().await;
            if agent.lost_its_parent() {
                tokio::time::sleep(EXIT_GRACE).await;
                tracing::warn!("the parent is gone and this runner has not left main: exiting");
                if has_lifeline {
                    parent::end_process_group();
                }
                std::process::exit(1);
            }
        });
        Ok(node)
    }

    fn into_node(
        self,
        name: Arc<str>,
        given_name: String,
        build: Build,
        session: OnceCell<Arc<Session>>,
        runner: Option<AsRunner>,
    ) -> Node {
        Node(Arc::new(Inner {
            name,
            given_name,
            build,
            listen: self.listen,
            advertise: self.advertise,
            lease: self.lease,
            handle_signals: self.handle_signals,
            listener: OnceCell::new(),
            session,
            on_signal: OnceCell::new(),
            provided: RwLock::default(),
            pools: Mutex::default(),
            runner,
        }))
    }
}

/// Losing the session is losing the parent, as losing the link is.
async fn open_session(
    session: Arc<Session>,
    invitation: join::Invitation,
    welcome: Welcome,
    build: Build,
    link: Arc<Link>,
) {
    let opened = invitation.dial::<()>(Purpose::Session, welcome.session_token, &build).await;
    match opened.and_then(|(stream, ())| session.attach(stream, &invitation.parent, welcome.lease, false)) {
        Ok(()) => {
            session.closed(&invitation.parent).await;
            link.close(Cause::ConnectionClosed);
        }
        Err(err) => {
            tracing::warn!(%err, "no session with the parent");
            link.close(Cause::Refused(err.to_string()));
        }
    }
}

/// An id that no other boot has.
pub(crate) fn unique() -> String {
    ulid::Ulid::new().to_string().to_lowercase()
}

/// A random factor from a half to one, so that those who wait for the same do not come back together.
pub(crate) fn jitter() -> f64 {
    0.5 + 0.5 * (ulid::Ulid::new().random() % 1024) as f64 / 1024.0
}

/// Names become parts of node names, which are paths.
pub(crate) fn checked(option: &str, name: String) -> Result<String, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(name);
    }
    let reason = format!("\"{name}\" is not 1 to 64 letters, digits, - or _");
    Err(Error::Config { option: option.to_owned(), reason })
}

fn executable_name() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').take(64).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}
