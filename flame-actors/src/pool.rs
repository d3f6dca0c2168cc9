//! The pool: an elastic set of runners, and the way to their slots.
//!
//! A caller takes a slot straight from the shared state and talks to the runner itself; its result does not pass
//! through here. The pool's actor only does what takes time: it boots, shrinks, and ends runners.

mod actor;
mod config;
mod events;
mod failures;
mod hooks;
mod losses;
mod metrics;
mod placement;
mod queue;
mod scale;
mod slots;
mod status;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorRef};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use self::actor::{PoolActor, PoolMsg};
pub use self::config::PoolBuilder;
pub use self::events::{Event, Events, Leave};
use self::failures::Failures;
pub use self::hooks::PoolChange;
pub use self::placement::{Candidate, LeastLoaded, MostLoaded, Placement};
pub use self::scale::RunnerState;
use self::scale::Scale;
use self::slots::Waiter;
pub(crate) use self::slots::{Asked, Slot};
pub use self::status::{PoolStatus, RunnerStatus};
use crate::backend::Backend;
use crate::call::{Call, Cast};
use crate::descriptors;
use crate::error::Error;
use crate::map::Map;
use crate::node::runtime::{self, Theirs};
use crate::place::{Place, Placeable};
use crate::report::report;
use crate::runner::Runner;
use crate::task::Task;
use crate::yields::Yields;
use crate::yields::streaming::Streaming;
use crate::{Message, Node};

/// What it takes at the most to find out why a boot has failed, and to tell.
const TELLING: Duration = Duration::from_secs(1);

/// An elastic set of runners that take calls, casts and placed children.
///
/// It is cheap to clone, and does not end when the last clone is dropped, but by [`shutdown`](Self::shutdown), with
/// its node, or with the supervisor given to [`PoolBuilder::linked_to`].
///
/// ```
/// use flame_actors::{Error, Node, Pool, remote};
///
/// #[remote]
/// async fn add(a: u32, b: u32) -> u32 {
///     a + b
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let node = Node::start().await?;
/// let pool = Pool::builder("sums").max(4).max_concurrency(10).start(&node).await?;
/// let (one, other) = tokio::try_join!(pool.call(add(1, 2)), pool.call(add(3, 4)))?;
/// assert_eq!((one, other), (3, 7));
/// pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    config: Theirs<PoolBuilder>,
    node: Node,
    app: Handle,
    state: Mutex<State>,
    actor: std::sync::OnceLock<ActorRef<PoolMsg>>,
    /// Whether the actor has a request to grow in its mailbox.
    grow_told: AtomicBool,
    closed: AtomicBool,
    /// Whether somebody sees to its end.
    is_ending: AtomicBool,
    /// Nothing of it is left.
    ended: watch::Sender<bool>,
    /// Told to boots that are under way when the pool closes.
    closing: watch::Sender<bool>,
    /// Each boot holds a clone of the sender until nothing is left of it; `None` once the pool is closed.
    boots: Mutex<Option<(mpsc::Sender<Infallible>, mpsc::Receiver<Infallible>)>>,
    /// Whether the gauges are about to be set.
    numbers_changed: AtomicBool,
    events: events::Telling,
    hooks: hooks::Caller,
    metrics: metrics::Metrics,
}

struct State {
    scale: Scale<Waiter>,
    /// By the pool's number, which is the order of their boots.
    runners: BTreeMap<u64, Up>,
    failures: Failures,
}

/// A runner that serves or has served.
struct Up {
    runner: Arc<Runner>,
    since: SystemTime,
    /// Nothing is sent: its end is that of this entry.
    entered: watch::Sender<()>,
}

impl Pool {
    /// Describes a pool of this name: 1 to 64 letters, digits, `-` or `_`, unique on its node.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flame_actors::{Error, Node, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// let pool = Pool::builder("ffmpeg").max(10).max_concurrency(4).timeout(Duration::from_secs(60));
    /// let pool = pool.start(&node).await?;
    /// assert_eq!((pool.name(), pool.status().max), ("ffmpeg", 10));
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(name: impl Into<String>) -> PoolBuilder {
        PoolBuilder::new(name.into())
    }

    /// The pool of this name that was started on this process' node.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// let same = Pool::named("sums").expect("it was started above");
    /// assert_eq!(same.name(), pool.name());
    /// assert!(Pool::named("products").is_none());
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, remote};
    /// # #[remote] async fn add(a: u32, b: u32) -> u32 { a + b }
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// let sum = pool.call(add(1, 2)).await?;
    /// assert_eq!(sum, 3);
    /// let sum = pool.call(add(3, 4)).timeout(Duration::from_secs(5)).await?;
    /// assert_eq!(sum, 7);
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Call`], once it is awaited.
    pub fn call<R: Send + 'static>(&self, task: Task<R>) -> Call<R> {
        Call::new(self.clone(), task)
    }

    /// Runs a task on a runner without waiting for its result; `Ok` says that the pool has accepted it.
    ///
    /// It has no run time-out unless given. A failure goes to `tracing`.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, remote};
    /// # #[remote] async fn add(a: u32, b: u32) -> u32 { a + b }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// pool.cast(add(1, 2)).await?; // accepted; its result is dropped
    /// pool.cast(add(3, 4)).link(false).await?; // finished also when this process is gone
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Cast`], once it is awaited.
    pub fn cast<R: Send + 'static>(&self, task: Task<R>) -> Cast<R> {
        Cast::new(self.clone(), task)
    }

    /// Runs a task that yields on a runner; its items come as they are made.
    ///
    /// See [`Streaming`] for ends, back-pressure and time-outs.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, remote};
    /// # use futures_util::{Stream, StreamExt, stream};
    /// #[remote]
    /// fn squares(to: u32) -> impl Stream<Item = u32> {
    ///     stream::iter(1..=to).map(|n| n * n)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// let mut squares = pool.stream(squares(3));
    /// let mut sum = 0;
    /// while let Some(square) = squares.next().await {
    ///     sum += square?; // as soon as it is made
    /// }
    /// assert_eq!(sum, 14);
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream<T: Send + 'static>(&self, task: Yields<T>) -> Streaming<T> {
        Streaming::new(self.clone(), task)
    }

    /// Runs a task for each of many inputs; the results come in their order.
    ///
    /// Inputs are taken as there is room for them. See [`Map`] for how many run at a time, for results as they come, and
    /// for progress.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, remote};
    /// # #[remote] async fn square(n: u32) -> u32 { n * n }
    /// use futures_util::TryStreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").max(4).start(&node).await?;
    /// let squares: Vec<u32> = pool.map(1..=3, square).try_collect().await?; // a call for each
    /// assert_eq!(squares, [1, 4, 9]);
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<'a, I, R>(&self, items: I, task: impl FnMut(I::Item) -> Task<R> + Send + 'a) -> Map<'a, R>
    where
        I: IntoIterator<IntoIter: Send + 'a>,
        R: Send + 'static,
    {
        Map::new(self.clone(), stream::iter(items.into_iter().map(task)))
    }

    /// The same for inputs that come as a stream.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, remote};
    /// # #[remote] async fn square(n: u32) -> u32 { n * n }
    /// use futures_util::{StreamExt, TryStreamExt, stream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").max(4).start(&node).await?;
    /// let numbers = stream::unfold(1, async |n| Some((n, n + 1))).take(3); // a channel, a file, a query
    /// let sum = pool.map_stream(numbers, square).unordered().try_fold(0, async |sum, n| Ok(sum + n)).await?;
    /// assert_eq!(sum, 14);
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_stream<'a, S, R>(&self, items: S, task: impl FnMut(S::Item) -> Task<R> + Send + 'a) -> Map<'a, R>
    where
        S: Stream + Send + 'a,
        R: Send + 'static,
    {
        Map::new(self.clone(), items.map(task))
    }

    /// Starts an actor on a runner; what comes back is an ordinary ref to it.
    ///
    /// It holds a slot until it ends. See [`Place`] for links.
    ///
    /// ```
    /// use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
    /// use flame_actors::{Message, Node, Pool, placeable};
    ///
    /// #[derive(Message)]
    /// enum CounterMsg {
    ///     Add(u64),
    ///     Total(RpcReplyPort<u64>),
    /// }
    ///
    /// struct Counter;
    ///
    /// #[placeable]
    /// impl Actor for Counter {
    ///     type Msg = CounterMsg;
    ///     type State = u64;
    ///     type Arguments = u64;
    ///
    ///     async fn pre_start(&self, _: ActorRef<CounterMsg>, start: u64) -> Result<u64, ActorProcessingErr> {
    ///         Ok(start)
    ///     }
    ///
    ///     async fn handle(
    ///         &self,
    ///         _: ActorRef<CounterMsg>,
    ///         msg: CounterMsg,
    ///         total: &mut u64,
    ///     ) -> Result<(), ActorProcessingErr> {
    ///         match msg {
    ///             CounterMsg::Add(n) => *total += n,
    ///             CounterMsg::Total(reply) => reply.send(*total)?,
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let node = Node::start().await?;
    /// let pool = Pool::builder("counters").start(&node).await?;
    /// let counter = pool.place_child(Counter, 40).await?; // instead of Actor::spawn(None, Counter, 40)
    /// counter.cast(CounterMsg::Add(2))?;
    /// assert_eq!(call!(counter, CounterMsg::Total)?, 42);
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Place`], once it is awaited.
    pub fn place_child<A>(&self, actor: A, arguments: A::Arguments) -> Place<A>
    where
        A: Placeable,
        A::Msg: Message,
        A::Arguments: serde::Serialize + serde::de::DeserializeOwned,
    {
        Place::new(self.clone(), actor, arguments)
    }

    /// What happens in the pool from now on, as a stream.
    ///
    /// ```
    /// # use flame_actors::{Error, Event, Node, Pool, remote};
    /// # #[remote] async fn add(a: u32, b: u32) -> u32 { a + b }
    /// # use futures_util::StreamExt as _;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// let mut events = pool.events();
    /// pool.call(add(1, 2)).await?;
    /// while let Some(event) = events.next().await {
    ///     if let Event::Finished { task, ran, .. } = event {
    ///         println!("{task} took {ran:?}");
    ///         break;
    ///     }
    /// }
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        self.0.events.listen()
    }

    /// A snapshot: runners with their state and slots, who waits, what boots, and what went wrong last.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, remote};
    /// # #[remote] async fn add(a: u32, b: u32) -> u32 { a + b }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// pool.call(add(1, 2)).await?;
    /// let status = pool.status();
    /// assert_eq!((status.runners.len(), status.waiting, status.failed_boots), (1, 0, 0));
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn status(&self) -> PoolStatus {
        let state = self.0.state.lock();
        let limits = state.scale.limits();
        let runners = state.runners.iter().filter_map(|(id, up)| {
            // By one clock, so that it is the same each time.
            let idle_since = state.scale.idle_after(*id).and_then(|after| up.since.checked_add(after));
            let (state, slots_used) = state.scale.state(*id)?;
            Some(RunnerStatus {
                node: up.runner.node().to_string(),
                instance: up.runner.instance().to_owned(),
                state,
                slots_used,
                up_since: up.since,
                idle_since,
            })
        });
        PoolStatus {
            pool: self.name().to_owned(),
            min: limits.min,
            max: limits.max,
            max_concurrency: limits.max_concurrency,
            paused: state.scale.is_paused(),
            closed: self.is_closed(),
            runners: runners.collect(),
            booting: state.scale.booting(),
            waiting: state.scale.queue.len(),
            failed_boots: state.failures.count(),
            last_boot_error: state.failures.last().cloned(),
        }
    }

    /// Sets new bounds. Runners that `min` asks for are booted, those over `max` are drained, the least busy first.
    ///
    /// On a node that is a runner itself `min` counts as 0, as in [`PoolBuilder::min`].
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// pool.resize(0, 20)?;
    /// assert_eq!(pool.status().max, 20);
    /// assert!(pool.resize(2, 1).is_err());
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when `max` is 0 or less than `min`; [`Error::PoolClosed`].
    pub fn resize(&self, min: usize, max: usize) -> Result<(), Error> {
        self.0.config.check_bounds(min, max)?;
        let min = if self.0.node.is_runner() { 0 } else { min };
        self.change(|state| state.scale.resize(min, max))
    }

    /// Boots no more runners until [`resume_growth`](Self::resume_growth), whoever waits; those that are booting come
    /// up.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// pool.pause_growth()?; // while a migration runs, say
    /// assert!(pool.status().paused);
    /// pool.resume_growth()?;
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::PoolClosed`].
    pub fn pause_growth(&self) -> Result<(), Error> {
        self.change(|state| {
            state.scale.pause(true);
            Vec::new()
        })
    }

    /// Boots runners again, at once if they are wanted.
    ///
    /// # Errors
    /// [`Error::PoolClosed`].
    pub fn resume_growth(&self) -> Result<(), Error> {
        self.change(|state| {
            state.scale.pause(false);
            Vec::new()
        })
    }

    /// Sends the runner of this node name away once its work has ended.
    ///
    /// It gets no more work from now on.
    /// Placed children that come back ([`Restart`](crate::Restart)) are stopped there and placed on another runner.
    /// Returns when it is gone; dropped before, the runner is drained all the same. The pool boots another one where
    /// `min`, `buffer` or those who wait ask for it, and `max` has room, which this one takes up until it is gone.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, remote};
    /// # #[remote] async fn add(a: u32, b: u32) -> u32 { a + b }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// pool.call(add(1, 2)).await?;
    /// let runner = pool.status().runners[0].node.clone();
    /// pool.drain(&runner).await?;
    /// assert!(pool.status().runners.is_empty());
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoRunner`] when the pool has none of this name; [`Error::PoolClosed`].
    pub async fn drain(&self, node: &str) -> Result<(), Error> {
        let no_runner = || Error::NoRunner { pool: self.name().to_owned(), node: node.to_owned() };
        let mut entered = {
            let state = self.0.state.lock();
            let mut runners = state.runners.values();
            let up = runners.find(|up| &**up.runner.node() == node).ok_or_else(no_runner)?;
            let (id, entered) = (up.runner.id, up.entered.subscribe());
            drop(state);
            self.change(|state| if state.scale.drain(id) { vec![id] } else { Vec::new() })?;
            entered
        };
        // The error that the entry is gone.
        let _ = entered.changed().await;
        Ok(())
    }

    /// Changes the state, and drains those runners to the end that are without work after it.
    fn change(&self, change: impl FnOnce(&mut State) -> Vec<u64>) -> Result<(), Error> {
        let mut state = self.0.state.lock();
        if self.is_closed() {
            return Err(self.closed_error());
        }
        let leaving = change(&mut state);
        let leaving: Vec<_> = state.all(leaving);
        let draining = state.draining();
        self.changed(&state);
        drop(state);
        leaving.iter().for_each(|runner| self.send_away(runner, Leave::Drained));
        draining.iter().for_each(Runner::move_children);
        self.tell(PoolMsg::Look);
        Ok(())
    }

    /// Ends the pool: takes no more work, lets what runs end within `shutdown_timeout`, then stops the runners.
    ///
    /// Returns when they are gone. Whoever waits for a slot gets [`Error::PoolClosed`].
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, remote};
    /// # #[remote] async fn add(a: u32, b: u32) -> u32 { a + b }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let pool = Pool::builder("sums").start(&node).await?;
    /// pool.shutdown().await;
    /// assert!(matches!(pool.call(add(1, 2)).await, Err(Error::PoolClosed { .. })));
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self) {
        if let Some(actor) = self.0.actor.get() {
            // An error means that it has ended, and the pool is ending for that.
            let _ = actor.cast(PoolMsg::Shutdown);
            self.ended().await;
            let _ = actor.wait(None).await;
        }
    }

    /// Destroys all runners, with what they run, and those that boot; returns when they are gone.
    pub(crate) async fn destroy(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.closing.send_replace(true);
        let runners: Vec<_> = self.0.state.lock().runners.values().map(|up| Arc::clone(&up.runner)).collect();
        futures_util::future::join_all(runners.iter().map(|runner| runner.destroy())).await;
        self.shutdown().await;
    }

    /// Returns when nothing is left of the pool.
    async fn ended(&self) {
        let _ = self.0.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Whether nothing is left of it.
    pub(crate) fn has_ended(&self) -> bool {
        *self.0.ended.borrow()
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

    /// How long a caller waits for a slot, with this time-out of its own. Without one it hears how the boot failed that
    /// began when it came, and that takes a moment longer than the boot.
    pub(crate) fn longest_wait(&self, timeout: Option<Duration>) -> Duration {
        timeout.unwrap_or_else(|| self.boot_timeout().saturating_add(TELLING))
    }

    /// How much can run at a time, with all the runners that there may be.
    pub(crate) fn capacity(&self) -> usize {
        let state = self.0.state.lock();
        let limits = state.scale.limits();
        limits.max.saturating_mul(limits.max_concurrency)
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
        // A runner declares pools as its parent does, and may never boot anything.
        if node.raises_descriptor_limit() && !node.is_runner() {
            descriptors::raise_limit();
        }
        let scale = Scale::new(config.limits.clone(), config.placement.clone());
        let state = State { scale, runners: BTreeMap::new(), failures: Failures::default() };
        let app = Handle::current();
        let pool = Self(Arc::new(Inner {
            node: node.clone(),
            state: Mutex::new(state),
            actor: std::sync::OnceLock::new(),
            grow_told: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            closing: watch::Sender::new(false),
            boots: Mutex::new(Some(mpsc::channel(1))),
            numbers_changed: AtomicBool::new(false),
            events: events::Telling::new(),
            hooks: hooks::Caller::new(config.hooks.clone(), &app),
            metrics: metrics::Metrics::new(&config.name),
            app,
            config: Theirs::new(config),
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
            Ok(_) => {
                if !node.is_runner() {
                    let swept = sweep(node.given_name().to_owned(), Arc::clone(&pool.0.config.backend));
                    runtime::spawn(async { drop(runtime::foreign(swept).await) });
                }
                Ok(pool)
            }
            Err(reason) => {
                pool.0.closed.store(true, Ordering::Release);
                if !pool.0.is_ending.swap(true, Ordering::AcqRel) {
                    pool.0.ended.send_replace(true);
                }
                Err(Error::Config { option: format!("pool \"{}\": linked_to", pool.name()), reason })
            }
        }
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
}

/// Destroys what a former life of this parent left behind.
///
/// The backend may block, and the lines are its user's.
async fn sweep(parent: String, backend: Arc<dyn Backend>) {
    let left = match backend.list(&parent).await {
        Ok(left) => left,
        // A backend that lacks its settings says so when it is to boot something.
        Err(err) => {
            let backend = backend.name();
            return report!(DEBUG, backend, %err, "cannot look for what was left behind");
        }
    };
    for instance in left {
        let (destroyed, backend, id) = (backend.destroy(&instance).await, backend.name(), instance.id().to_owned());
        match destroyed {
            Ok(()) => report!(INFO, backend, instance = id, "left behind, and destroyed"),
            Err(err) => report!(ERROR, backend, %err, instance = id, "an instance was left behind"),
        }
    }
}

impl State {
    /// Those that go when they have no more work.
    fn draining(&self) -> Vec<Arc<Runner>> {
        let drains = |id: &u64| matches!(self.scale.state(*id), Some((RunnerState::Draining, _)));
        self.runners.iter().filter(|(id, _)| drains(id)).map(|(_, up)| Arc::clone(&up.runner)).collect()
    }

    /// The runners of these numbers.
    fn all(&self, ids: impl IntoIterator<Item = u64>) -> Vec<Arc<Runner>> {
        ids.into_iter().filter_map(|id| self.runners.get(&id)).map(|up| Arc::clone(&up.runner)).collect()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name()).field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
