//! How this process becomes a node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::join::{self, Build, Purpose, Welcome};
use super::lease::Side;
use super::link::Link;
use super::session::Session;
use super::{AsRunner, Inner, NODE, Node, build, checked, route, runtime, unique};
use crate::descriptors::shortage;
use crate::error::{Cause, Error};
use crate::parent::{self, Booted};
use crate::registry;
use crate::report::report;
use crate::runner::agent::Agent;
use crate::runner::way_out;

/// Both sides of a link give up after this long without hearing from the other.
const DEFAULT_LEASE: Duration = Duration::from_secs(15);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// A runner that does not reach its parent within this time gives up.
const FAILSAFE: Duration = Duration::from_secs(20);
/// Settings of a [`Node`], from [`Node::builder`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    name: Option<String>,
    listen: Option<SocketAddr>,
    advertise: Option<String>,
    lease: Duration,
    build_id: Option<String>,
    handle_signals: bool,
    failsafe: Duration,
    raise_descriptor_limit: bool,
}

impl NodeBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: None,
            listen: None,
            advertise: None,
            lease: DEFAULT_LEASE,
            build_id: None,
            handle_signals: true,
            failsafe: FAILSAFE,
            raise_descriptor_limit: true,
        }
    }

    /// The first part of the node's name, to which a unique id is added; by default the executable's name.
    ///
    /// A runner's name is given to it by its parent.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where runners can reach this node; by default a free port where the backend says that it is reached, which is
    /// 127.0.0.1 for runners on this computer.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
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

    /// How long a runner may take to reach its parent; 20 s by default. Then its start fails, and `main` is to end.
    #[must_use]
    pub fn failsafe(mut self, bound: Duration) -> Self {
        self.failsafe = bound;
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

    /// Sets whether this process' soft limit of descriptors is raised to its hard limit when its first pool starts, on a
    /// runner when that boots a runner of its own. Default: `true`; it is logged at `info`.
    ///
    /// A runner takes five descriptors of its parent, and the usual soft limit is 1,024. The processes of a
    /// `ProcessBackend` begin with the limit that this process had.
    #[must_use]
    pub fn raise_descriptor_limit(mut self, raise: bool) -> Self {
        self.raise_descriptor_limit = raise;
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
        runtime::start().map_err(|err| {
            let reason = shortage(&err).unwrap_or_else(|| err.to_string());
            Error::Config { option: "start".to_owned(), reason: format!("the node's threads do not start: {reason}") }
        })?;
        if self.lease < SHORTEST_LEASE {
            let reason = format!("{:?} is shorter than {SHORTEST_LEASE:?}", self.lease);
            return Err(Error::Config { option: "lease".to_owned(), reason });
        }
        let build = Build::of_this_process(self.build_id.as_deref().unwrap_or_else(|| build::id()));
        let failsafe = self.failsafe;
        let late = |_| Error::Join(format!("the parent was not reached within {failsafe:?}"));
        let start = Instant::now();
        match tokio::time::timeout(failsafe, parent::booted()).await.map_err(late)?? {
            None => {
                let name = match self.name.clone() {
                    Some(name) => checked("name", name)?,
                    None => executable_name(),
                };
                let full: Arc<str> = format!("{name}-{}", unique()).into();
                route::set_name(&full);
                Ok(self.into_node(full, name, build, OnceCell::new(), None))
            }
            Some(booted) => {
                let left = failsafe.saturating_sub(start.elapsed());
                tokio::time::timeout(left, self.join(build, booted)).await.map_err(late)?
            }
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
        let has_served = AtomicBool::new(false);
        let runner = AsRunner { parent, agent: Arc::clone(&agent), has_lifeline, has_served };
        let given_name = name.to_string();
        let node = self.into_node(
            name,
            given_name,
            build.clone(),
            OnceCell::new_with(Some(Arc::clone(&session))),
            Some(runner),
        );

        way_out::guard(&agent, &link, lifeline, welcome.shutdown_timeout)?;
        link.start(stream);
        runtime::spawn(open_session(session, invitation, welcome, build, link));
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
            raise_descriptor_limit: self.raise_descriptor_limit,
            listeners: Mutex::default(),
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
            let why = err.to_string();
            report!(WARN, %err, "no session with the parent");
            link.close(Cause::Refused(why));
        }
    }
}

fn executable_name() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').take(64).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}
