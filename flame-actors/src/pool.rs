//! The pool: an elastic set of runners, and the way to their slots.
//!
//! A caller takes a slot straight from the shared state and talks to the runner itself; its result does not pass
//! through here. The pool's actor only does what takes time: it boots, shrinks, and ends runners.

mod actor;
mod config;
mod queue;
mod scale;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorRef};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use self::actor::{PoolActor, PoolMsg};
pub use self::config::PoolBuilder;
use self::queue::Ticket;
use self::scale::Scale;
use crate::call::{Call, Cast};
use crate::error::{Error, Stage};
use crate::node::runtime;
use crate::place::{Place, Placeable};
use crate::runner::Runner;
use crate::task::Task;
use crate::{Message, Node};

/// An elastic set of runners that take calls, casts and placed children.
///
/// It is cheap to clone, and does not end when the last clone is dropped, but by [`shutdown`](Self::shutdown), with
/// its node, or with the supervisor given to [`PoolBuilder::linked_to`].
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    config: PoolBuilder,
    node: Node,
    app: Handle,
    state: Mutex<State>,
    actor: std::sync::OnceLock<ActorRef<PoolMsg>>,
    closed: AtomicBool,
    /// Told to boots that are under way when the pool closes.
    closing: watch::Sender<bool>,
    /// Each boot holds a clone of the sender until nothing is left of it; `None` once the pool is closed.
    boots: Mutex<Option<(mpsc::Sender<Infallible>, mpsc::Receiver<Infallible>)>>,
}

struct State {
    scale: Scale<oneshot::Sender<Result<Slot, Error>>>,
    runners: HashMap<u64, Arc<Runner>>,
    failures: Failures,
}

/// Boots that failed since the last one that did not.
#[derive(Default)]
struct Failures {
    count: u32,
    last: Option<Error>,
    not_before: Option<Instant>,
}

impl Pool {
    /// Describes a pool of this name: 1 to 64 letters, digits, `-` or `_`, unique on its node.
    pub fn builder(name: impl Into<String>) -> PoolBuilder {
        PoolBuilder::new(name.into())
    }

    /// The pool of this name that was started on this process' node.
    pub fn named(name: &str) -> Option<Self> {
        Node::current()?.pool(name)
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// Runs a task on a runner and waits for its result.
    ///
    /// Waiting for a slot is bounded by `boot_timeout`, running by `timeout`; [`Call::timeout`] bounds both together.
    /// Dropping the future stops the task, unless [`Call::link`] says otherwise.
    pub fn call<R: Send + 'static>(&self, task: Task<R>) -> Call<R> {
        Call::new(self.clone(), task)
    }

    /// Runs a task on a runner without waiting for its result; `Ok` says that the pool has accepted it.
    ///
    /// It has no run time-out unless given. A failure goes to `tracing`.
    pub fn cast<R: Send + 'static>(&self, task: Task<R>) -> Cast<R> {
        Cast::new(self.clone(), task)
    }

    /// Starts an actor on a runner; what comes back is an ordinary ref to it.
    ///
    /// It holds a slot until it ends. See [`Place`] for links.
    pub fn place_child<A>(&self, actor: A, arguments: A::Arguments) -> Place<A>
    where
        A: Placeable,
        A::Msg: Message,
        A::Arguments: serde::Serialize + serde::de::DeserializeOwned,
    {
        Place::new(self.clone(), actor, arguments)
    }

    /// Ends the pool: takes no more work, lets what runs end within `shutdown_timeout`, then stops the runners.
    ///
    /// Returns when they are gone. Whoever waits for a slot gets [`Error::PoolClosed`].
    pub async fn shutdown(&self) {
        if let Some(actor) = self.0.actor.get() {
            // An error means that it has ended already.
            let _ = actor.call(PoolMsg::Shutdown, None).await;
            let _ = actor.wait(None).await;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.0.config.timeout
    }

    pub(crate) fn boot_timeout(&self) -> Duration {
        self.0.config.boot_timeout
    }

    pub(crate) fn tracks_resources(&self) -> bool {
        self.0.config.track_resources
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.0.config.shutdown_timeout
    }

    /// The cell under which children live that nobody else is the supervisor of.
    pub(crate) fn cell(&self) -> Option<ActorCell> {
        self.0.actor.get().map(ActorRef::get_cell)
    }

    async fn start(config: PoolBuilder, node: &Node) -> Result<Self, Error> {
        let state = State { scale: Scale::new(config.limits), runners: HashMap::new(), failures: Failures::default() };
        let pool = Self(Arc::new(Inner {
            node: node.clone(),
            app: Handle::current(),
            state: Mutex::new(state),
            actor: std::sync::OnceLock::new(),
            closed: AtomicBool::new(false),
            closing: watch::Sender::new(false),
            boots: Mutex::new(Some(mpsc::channel(1))),
            config,
        }));
        node.add_pool(&pool)?;
        let (actor, arguments) = (PoolActor, pool.clone());
        let supervisor = pool.0.config.supervisor.clone();
        let spawned = runtime::spawn(async move {
            match supervisor {
                Some(supervisor) => Actor::spawn_linked(None, actor, arguments, supervisor).await,
                None => Actor::spawn(None, actor, arguments).await,
            }
        });
        let spawned =
            spawned.await.map_err(|err| err.to_string()).and_then(|spawned| spawned.map_err(|err| err.to_string()));
        match spawned {
            Ok(_) => Ok(pool),
            Err(reason) => {
                pool.0.closed.store(true, Ordering::Release);
                Err(Error::Config { option: format!("pool \"{}\": linked_to", pool.name()), reason })
            }
        }
    }

    // ---- slots ----

    /// Takes a slot, or waits for one; `bound` is the longest wait.
    pub(crate) async fn checkout(&self, bound: Option<Duration>) -> Result<Slot, Error> {
        let (ticket, granted) = {
            let mut state = self.0.state.lock();
            if self.is_closed() {
                return Err(self.closed_error());
            }
            if let Some(id) = state.scale.acquire() {
                return Ok(self.slot(&state, id));
            }
            let (tx, granted) = oneshot::channel();
            (state.scale.queue.push(tx), granted)
        };
        let place = PlaceInQueue { pool: self, ticket };
        self.tell(PoolMsg::Grow);
        let granted = match bound {
            None => granted.await,
            Some(bound) => match tokio::time::timeout(bound, granted).await {
                Ok(granted) => granted,
                Err(_) => return Err(self.waited(bound)),
            },
        };
        drop(place);
        granted.unwrap_or_else(|_| Err(self.closed_error()))
    }

    fn slot(&self, state: &State, id: u64) -> Slot {
        let runner = state.runners.get(&id).expect("runners with slots are known");
        Slot { pool: self.clone(), runner: Arc::clone(runner), held: true }
    }

    fn release(&self, id: u64) {
        let mut state = self.0.state.lock();
        state.scale.release(id, Instant::now());
        self.grant(&mut state);
    }

    /// Serves those who wait.
    fn grant(&self, state: &mut State) {
        while let Some((waiter, id)) = state.scale.grant() {
            if let Err(unwanted) = waiter.send(Ok(self.slot(state, id))) {
                // Its caller has just gone. The slot is put back here, since its own drop would lock again.
                if let Ok(mut slot) = unwanted {
                    slot.held = false;
                }
                state.scale.release(id, Instant::now());
            }
        }
    }

    /// The runner gets no more work, as its link is closed or about to be.
    pub(crate) fn retire(&self, id: u64) {
        self.0.state.lock().scale.retire(id);
    }

    /// Sends away a runner that keeps work which was told to end.
    pub(crate) fn dismiss(&self, runner: &Arc<Runner>) {
        self.tell(PoolMsg::Dismiss(Arc::clone(runner)));
    }

    fn tell(&self, message: PoolMsg) {
        if let Some(actor) = self.0.actor.get() {
            // A pool that has ended grows no more.
            let _ = actor.cast(message);
        }
    }

    // ---- errors ----

    pub(crate) fn closed_error(&self) -> Error {
        Error::PoolClosed { pool: self.name().to_owned() }
    }

    fn waited(&self, bound: Duration) -> Error {
        let state = self.0.state.lock();
        match &state.failures.last {
            Some(last) => {
                Error::Boot { pool: self.name().to_owned(), attempts: state.failures.count, reason: last.to_string() }
            }
            None => {
                let (scale, max) = (&state.scale, state.scale.limits().max);
                let (serving, booting) = (scale.serving(), scale.booting());
                let what = format!(
                    "pool \"{}\" ({serving} of {max} runners up, {booting} booting, {} waiting)",
                    self.name(),
                    scale.queue.len()
                );
                Error::Timeout { stage: Stage::Waiting, after: bound, what }
            }
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name()).field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// The right to run one thing on one runner. Dropped, it goes to whoever waits longest.
pub(crate) struct Slot {
    pool: Pool,
    runner: Arc<Runner>,
    held: bool,
}

impl Slot {
    pub(crate) fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.held {
            self.pool.release(self.runner.id);
        }
    }
}

/// Leaves the queue when its caller goes.
struct PlaceInQueue<'a> {
    pool: &'a Pool,
    ticket: Ticket,
}

impl Drop for PlaceInQueue<'_> {
    fn drop(&mut self) {
        self.pool.0.state.lock().scale.queue.remove(self.ticket);
    }
}
