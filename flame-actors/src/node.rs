//! This process as a node: a parent that boots runners, or a runner that was booted.

pub(crate) mod arrival;
pub(crate) mod build;
mod builder;
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{OnceCell, watch};

pub use self::builder::NodeBuilder;
use self::join::Build;
use self::listener::Listener;
use self::session::Session;
use self::signals::Signals;
use crate::error::Error;
use crate::parent::{self, Parent};
use crate::pool::Pool;
use crate::report::report;
use crate::runner::agent::Agent;
use crate::runner::way_out;

/// After a second signal the runners have so long to be destroyed.
const DESTROY_BOUND: Duration = Duration::from_secs(5);
/// And this process has so long to leave in good order: what it has printed may wait for somebody to read it.
const EXIT_BOUND: Duration = Duration::from_millis(300);

/// This process as a node of its application.
///
/// There is one per process; it is cheap to clone. [`start`](Self::start) joins the parent when this process was
/// booted as a runner; any other process becomes a parent. A parent opens its listener when it first boots a runner
/// that needs it.
/// ```no_run
/// use flame_actors::{Error, Node, Pool};
/// # async fn serve_web(_: Pool) -> Result<(), Error> { Ok(()) }
///
/// #[tokio::main]
/// async fn main() -> Result<(), Error> {
///     let node = Node::start().await?; // a runner joins its parent here; anyone else becomes a parent
///     let pool = Pool::builder("ffmpeg").max(10).start(&node).await?;
///     if node.is_runner() {
///         return node.serve().await; // the application is up: take work until told to stop
///     }
///     serve_web(pool).await
/// }
/// ```
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    /// The name without the part that is unique per boot.
    given_name: String,
    build: Build,
    listen: Option<SocketAddr>,
    advertise: Option<String>,
    lease: Duration,
    handle_signals: bool,
    raise_descriptor_limit: bool,
    /// One for each address that a backend asked for.
    listeners: Mutex<HashMap<SocketAddr, Arc<OnceCell<Arc<Listener>>>>>,
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
    /// Whether its `main` has come to `serve`.
    has_served: AtomicBool,
}

static NODE: OnceCell<Node> = OnceCell::const_new();

impl Node {
    /// Starts this process' node with the defaults, or returns the one that was started before.
    ///
    /// ```
    /// # use flame_actors::{Error, Node};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let node = Node::start().await?;
    /// assert!(!node.is_runner()); // no pool has booted this process
    /// assert_eq!(Node::start().await?.name(), node.name()); // the same one
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Join`] when this process was booted as a runner and cannot join, [`Error::BuildMismatch`] when the
    /// parent is another build, [`Error::Config`] when two tasks share a name.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Sets what differs from the defaults before the start.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flame_actors::{Error, Node};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let node = Node::builder().name("web").lease(Duration::from_secs(5)).start().await?;
    /// assert!(node.name().starts_with("web-")); // and a part that is unique per boot
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> NodeBuilder {
        NodeBuilder::new()
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
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, provided, task};
    /// struct Db(&'static str); // a pool of connections, in an application
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let node = Node::start().await?;
    /// node.provide(Db(if node.is_runner() { "one connection" } else { "ten connections" }));
    ///
    /// let pool = Pool::builder("work").start(&node).await?;
    /// let db = pool.call(task!([] -> Result<String, Error> { Ok(provided::<Db>()?.0.to_owned()) })).await??;
    /// assert_eq!(db, "ten connections"); // runners in this process share its node
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn provide<T: Send + Sync + 'static>(&self, value: T) {
        let before = self.0.provided.write().insert(TypeId::of::<T>(), Arc::new(value));
        // Without the lock: it is the application's, and its destructor may ask for something that was provided.
        drop(before);
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
    /// Before it, the pools of this runner boot nothing: their calls and placements fail with [`Error::Config`].
    ///
    /// Meanwhile SIGTERM and SIGINT mean that this runner is wanted away: it says so, gets no more work, finishes what
    /// it has within `shutdown_timeout`, and leaves; its pool boots another one where that is needed. A second signal
    /// ends its work at once. [`NodeBuilder::handle_signals`] leaves signals to the application, which has
    /// [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`Error::Config`] when this node is no runner, [`Error::Join`] when the session with the parent failed.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let node = Node::start().await?;
    /// let pool = Pool::builder("work").start(&node).await?;
    /// if node.is_runner() {
    ///     return node.serve().await; // what comes after is the parent's alone
    /// }
    /// println!("{} takes work", pool.name());
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
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
            runtime::links().spawn(async move {
                let signal = signals.next().await;
                report!(INFO, %signal, "this runner is wanted away");
                agent.leave();
                signals.next().await;
                agent.stop();
            });
        }
        runner.has_served.store(true, Ordering::Release);
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

    /// Refuses what would boot a runner from a `main` that has forgotten what it is: each of them would boot the next.
    pub(crate) fn check_serves(&self) -> Result<(), Error> {
        match &self.0.runner {
            Some(runner) if !runner.has_served.load(Ordering::Acquire) => {
                let pool = runner.parent.pool();
                let reason = format!(
                    "this process is a runner of pool \"{pool}\" and has not come to it. Say in `main`, once the pools are \
                     started and before any work: `if node.is_runner() {{ return node.serve().await }}`"
                );
                Err(Error::Config { option: "serve".to_owned(), reason })
            }
            _ => Ok(()),
        }
    }

    /// Ends every pool of this node, each as [`Pool::shutdown`] does.
    pub async fn shutdown(&self) {
        let pools = self.0.pools.lock().clone();
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
            // Where nothing waits: a second signal counts also when the application is stuck.
            runtime::links().spawn(self.clone().end_on_signal(signals, tx));
            Ok::<_, Error>(ended)
        };
        let mut ended = self.0.on_signal.get_or_try_init(listen).await?.clone();
        // The sender ends with this process.
        let _ = ended.wait_for(|ended| *ended).await;
        Ok(())
    }

    async fn end_on_signal(self, mut signals: Signals, ended: watch::Sender<bool>) {
        let signal = signals.next().await;
        let node = Arc::clone(&self.0.name);
        report!(INFO, %signal, %node, "shutting down");
        let pools = self.0.pools.lock().clone();
        let second = tokio::select! {
            () = self.shutdown() => {
                ended.send_replace(true);
                signals.next().await
            }
            signal = signals.next() => signal,
        };
        report!(WARN, signal = %second, "a second signal: this process ends at once");
        let destroyed = runtime::spawn(async move {
            futures_util::future::join_all(pools.iter().map(Pool::destroy)).await;
        });
        let _ = tokio::time::timeout(DESTROY_BOUND, destroyed).await;
        way_out::exit_within(EXIT_BOUND, second.exit_code());
    }

    pub(crate) fn given_name(&self) -> &str {
        &self.0.given_name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.0.name
    }

    pub(crate) fn build(&self) -> &Build {
        &self.0.build
    }

    pub(crate) fn raises_descriptor_limit(&self) -> bool {
        self.0.raise_descriptor_limit
    }

    pub(crate) fn lease(&self) -> Duration {
        self.0.lease
    }

    /// Enters a pool, unless there is one of its name.
    pub(crate) fn add_pool(&self, pool: &Pool) -> Result<(), Error> {
        let mut pools = self.0.pools.lock();
        pools.retain(|known| !known.has_ended());
        if pools.iter().any(|known| known.name() == pool.name() && !known.is_closed()) {
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

    pub(crate) fn build_id(&self) -> &str {
        self.0.build.id()
    }

    /// The listener where the node was told to listen, or else at this address, or else on 127.0.0.1.
    pub(crate) async fn listener(&self, address: Option<IpAddr>) -> Result<Arc<Listener>, Error> {
        let inner = &self.0;
        let by_default = || SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0);
        let listen = inner.listen.unwrap_or_else(by_default);
        let listener = Arc::clone(inner.listeners.lock().entry(listen).or_default());
        let start = || async {
            let session = Arc::clone(self.session().await?);
            Listener::start(listen, inner.advertise.clone(), inner.build.clone(), inner.lease, session).await
        };
        listener.get_or_try_init(start).await.cloned()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.0.name).field("is_runner", &self.is_runner()).finish_non_exhaustive()
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
