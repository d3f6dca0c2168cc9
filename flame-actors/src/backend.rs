//! What can boot, inspect, list and destroy runner instances.

mod clock;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use self::clock::Clock;
use crate::Node;
use crate::descriptors;
use crate::error::{Cause, Error};
use crate::files::CopyPath;
use crate::node::listener::Expectation;
use crate::node::runtime::Theirs;
use crate::parent::{self, FLAME_PARENT};
use crate::pool::Event;

/// Infrastructure that runs copies of this application.
///
/// A backend boots an instance of the same executable with what [`Boot`] gives it, and can say later what became of
/// it. All else (joining, identity, deadlines, work) is done by the pool. It is asked for nothing before a pool boots
/// its first runner, since pools are declared on runners too; settings that are missing are an error of `boot`.
///
/// The futures run in tasks of their own, on a runtime that replaces a thread that waits: one that blocks delays what it
/// is asked for, and nothing else. A panic is an error like others. What they log goes to the subscriber of the process.
///
/// ```
/// use flame_actors::{Backend, Boot, BoxFuture, Error, Instance, InstanceState};
///
/// # mod cloud {
/// #     pub async fn start(_name: &str, _variable: (&str, &str)) -> Result<String, String> { Ok("1".to_owned()) }
/// #     pub async fn end(_id: &str) -> Result<(), String> { Ok(()) }
/// #     pub async fn is_up(_id: &str) -> Result<bool, String> { Ok(true) }
/// # }
/// #[derive(Debug)]
/// struct Cloud;
///
/// fn failed(reason: String) -> Error {
///     Error::Backend { backend: "cloud".to_owned(), reason }
/// }
///
/// impl Backend for Cloud {
///     fn name(&self) -> &'static str {
///         "cloud"
///     }
///
///     fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
///         Box::pin(async {
///             let (name, secret) = boot.environment().await?; // what the runner needs to join
///             cloud::start(boot.runner(), (name, &secret)).await.map(Instance::new).map_err(failed)
///         })
///     }
///
///     fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
///         Box::pin(async { cloud::end(instance.id()).await.map_err(failed) })
///     }
///
///     fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
///         Box::pin(async {
///             let is_up = cloud::is_up(instance.id()).await.map_err(failed)?;
///             Ok(if is_up { InstanceState::Running } else { InstanceState::Unknown })
///         })
///     }
/// }
/// ```
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The name in errors and logs, such as `process`.
    fn name(&self) -> &'static str;

    /// Boots one instance and returns once the infrastructure has accepted it; it joins by itself later.
    ///
    /// When the future is dropped half-way, nothing may be left running.
    ///
    /// # Errors
    /// [`Error::Backend`] with what the infrastructure answered; [`Error::Config`] if trying again would give the same,
    /// which callers are told at once unless the pool has other runners.
    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>>;

    /// Ends an instance at once, and all that it started. One that has ended already is no error.
    ///
    /// # Errors
    /// [`Error::Backend`] when the instance may still run.
    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>>;

    /// What has become of an instance.
    ///
    /// # Errors
    /// [`Error::Backend`] when the infrastructure cannot be asked.
    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>>;

    /// What the infrastructure knows of a boot that failed: state, exit, last words.
    ///
    /// It is added to the error that callers get, so it says what `inspect` does not. It is asked once, before the
    /// instance is destroyed, and waited for as long as [`patience`](Self::patience) says. Without an answer of its
    /// own: nothing.
    fn diagnose<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Option<String>> {
        let _ = instance;
        Box::pin(async { None })
    }

    /// How long the pool waits for the reason of a loss or of a failed boot before callers are told what is known.
    ///
    /// Half a second by default, which is enough on the same computer.
    fn patience(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// The instances that a former life of this parent left behind, which are then destroyed. Without an answer of its
    /// own: none.
    ///
    /// `parent` is what was given as the node's name: the names of its lives begin with that and a `-`, and so do the
    /// [`Boot::runner`]s of what they booted. An instance counts only if it was booted from this same machine and its
    /// parent is gone; no one else's may be listed. It is asked when a pool starts on a node that is no runner.
    ///
    /// # Errors
    /// [`Error::Backend`] when the infrastructure cannot be asked.
    fn list<'a>(&'a self, parent: &'a str) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        let _ = parent;
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// One booted instance, as its backend names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    id: String,
}

impl Instance {
    /// An instance of this id.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into() }
    }

    /// The backend's id: a process id, a machine id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// What has become of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceState {
    /// It is starting or running.
    Running,
    /// It has ended, for this reason.
    Ended(Cause),
    /// The backend knows nothing of it.
    Unknown,
}

/// One boot that a pool asks a backend for.
pub struct Boot {
    node: Node,
    pool: String,
    runner: Arc<str>,
    timeouts: Timeouts,
    app: Handle,
    files: Vec<CopyPath>,
    joining: Mutex<Option<Joining>>,
    clock: Clock,
    tell: Tell,
    kept: Theirs<Mutex<Vec<Box<dyn Send>>>>,
}

/// What tells the pool's listeners.
pub(crate) type Tell = Box<dyn Fn(Event) + Send + Sync>;

/// The pool's bounds that concern a boot.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) boot: Duration,
    pub(crate) shutdown: Duration,
}

/// How the runner that is booted will join.
pub(crate) enum Joining {
    Remote(Expectation),
    InProcess,
}

impl Boot {
    pub(crate) fn new(node: Node, pool: &str, runner: Arc<str>, timeouts: Timeouts, app: Handle, tell: Tell) -> Self {
        let (pool, clock) = (pool.to_owned(), Clock::new(timeouts.boot));
        let (files, joining, kept) = (Vec::new(), Mutex::default(), Theirs::new(Mutex::default()));
        Self { node, pool, runner, timeouts, app, files, joining, clock, tell, kept }
    }

    /// The node name of the runner: unique, made of letters, digits, `-`, `_` and `.`.
    pub fn runner(&self) -> &str {
        &self.runner
    }

    /// The node name of the parent.
    pub fn parent(&self) -> &str {
        self.node.name()
    }

    /// The name of the pool.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// The parent's build id, which the runner's has to be too.
    pub fn build(&self) -> &str {
        self.node.build_id()
    }

    /// When the pool gives this boot up, as things are.
    pub fn deadline(&self) -> Instant {
        self.clock.deadline()
    }

    /// Waits for something that is no part of the boot, such as its turn: `boot_timeout` begins anew after it.
    pub async fn untimed<T>(&self, wait: impl Future<Output = T>) -> T {
        let _stopped = self.clock.stop();
        wait.await
    }

    /// Keeps a value until this boot has ended: the runner serves, or the boot has failed or was given up.
    ///
    /// For what is taken for the time of a boot, such as one of a number of turns. It is dropped then.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use flame_actors::Boot;
    /// # use tokio::sync::Semaphore;
    /// async fn wait_for_a_turn(boot: &Boot, turns: &Arc<Semaphore>) {
    ///     let turn = boot.untimed(Arc::clone(turns).acquire_owned()).await;
    ///     boot.keep(turn);
    /// }
    /// ```
    pub fn keep(&self, value: impl Send + 'static) {
        self.kept.lock().push(Box::new(value));
    }

    /// Tells the pool's listeners that the runner is booted in another way, and why.
    pub fn fell_back(&self, from: impl Into<String>, to: impl Into<String>, reason: impl Into<String>) {
        let (runner, from, to, reason) = (self.runner.to_string(), from.into(), to.into(), reason.into());
        (self.tell)(Event::FellBack { runner, from, to, reason });
    }

    /// The variable that makes the booted process a runner of this node: its name and its value, which is a secret.
    ///
    /// Starts this node's listener when it has none yet.
    ///
    /// # Errors
    /// [`Error::Config`] when the listener cannot be bound, [`Error::Join`] when this process has too few file descriptors
    /// left for one more runner.
    pub async fn environment(&self) -> Result<(&'static str, String), Error> {
        self.invite(None).await
    }

    /// The same for an instance elsewhere: the node listens at this address of its computer, unless it was told where
    /// to listen by [`NodeBuilder::listen`](crate::NodeBuilder::listen).
    ///
    /// # Errors
    /// As [`environment`](Self::environment).
    pub async fn environment_at(&self, address: IpAddr) -> Result<(&'static str, String), Error> {
        self.invite(Some(address)).await
    }

    async fn invite(&self, address: Option<IpAddr>) -> Result<(&'static str, String), Error> {
        descriptors::check_room().map_err(|err| {
            let reason = descriptors::shortage(&err).unwrap_or_else(|| err.to_string());
            Error::Join(format!("runner {} was not booted: {reason}", self.runner))
        })?;
        let (invitation, expectation) = self.node.listener(address).await?.invite(
            self.node.shared_name(),
            &self.runner,
            &self.pool,
            self.timeouts.shutdown,
            address,
        )?;
        *self.joining.lock() = Some(Joining::Remote(expectation));
        Ok((FLAME_PARENT, parent::to_text(&invitation)?))
    }

    /// The same for a process of this computer that gets an end of this pipe as its standard input: the variable, which
    /// holds no secret, and the line to write into the pipe. The other end is to be kept open as long as this process
    /// lives.
    ///
    /// # Errors
    /// As [`environment`](Self::environment), and [`Error::Join`] when it is no pipe.
    pub async fn over_stdin(&self, pipe: impl AsFd) -> Result<((&'static str, String), String), Error> {
        let value = parent::naming(pipe).map_err(|err| Error::Join(format!("no runner over standard input: {err}")))?;
        let (name, mut line) = self.environment().await?;
        line.push('\n');
        Ok(((name, value), line))
    }

    /// The soft limit of open files with which this process began, where its node has raised it: for a backend whose
    /// runners would inherit the raised one. See
    /// [`NodeBuilder::raise_descriptor_limit`](crate::NodeBuilder::raise_descriptor_limit).
    pub fn descriptor_limit(&self) -> Option<u64> {
        descriptors::limit_before()
    }

    pub(crate) fn in_process(&self) {
        *self.joining.lock() = Some(Joining::InProcess);
    }

    /// Has the runner bring these along.
    pub(crate) fn with_files(mut self, files: &[CopyPath]) -> Self {
        self.files = files.to_vec();
        self
    }

    pub(crate) fn files(&self) -> &[CopyPath] {
        &self.files
    }

    pub(crate) fn joining(&self) -> Option<Joining> {
        self.joining.lock().take()
    }

    pub(crate) fn app(&self) -> &Handle {
        &self.app
    }

    pub(crate) fn runner_name(&self) -> &Arc<str> {
        &self.runner
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.timeouts.shutdown
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boot").field("runner", &self.runner).field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// Runners inside this process: the default of a pool without a backend.
///
/// The interface and the semantics are those of every other backend, codec, limits and guardians included, so that a
/// mistake shows in development. A runner is no second node, and its work shares this process' memory, threads and end.
///
/// ```
/// use std::process::id;
/// use flame_actors::{Error, InProcess, Node, Pool, task};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let node = Node::start().await?;
/// let pool = Pool::builder("here").backend(InProcess::new()).start(&node).await?;
/// assert_eq!(pool.call(task!([] -> u32 { id() })).await?, id());
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct InProcess;

impl InProcess {
    /// The backend.
    pub fn new() -> Self {
        Self
    }
}

impl Backend for InProcess {
    fn name(&self) -> &'static str {
        "in-process"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        boot.in_process();
        Box::pin(async { Ok(Instance::new(boot.runner())) })
    }

    fn destroy<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn inspect<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        Box::pin(async { Ok(InstanceState::Unknown) })
    }
}
