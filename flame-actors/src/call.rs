//! Calls and casts: a task goes to a runner, and its result comes straight back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ractor::ActorCell;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::error::{Error, Stage};
use crate::node::{route, runtime};
use crate::pool::{Asked, Pool, Slot};
use crate::report::report;
use crate::runner::{Outgoing, Pending, Ran, Runner};
use crate::stream;
use crate::task::{Encoded, Task};
use crate::telemetry::{self, CallSpan};
use crate::yields::inbox::Inbox;

/// What a call and a cast have in common.
struct Request<R> {
    pool: Pool,
    task: Task<R>,
    timeout: Option<Duration>,
    linked: bool,
    track: bool,
}

impl<R> Request<R> {
    fn new(pool: Pool, task: Task<R>) -> Self {
        let track = pool.tracks_resources();
        Self { pool, task, timeout: None, linked: true, track }
    }
}

/// A call that is about to be made; await it, or hand it to `tokio::spawn`.
///
/// ```
/// # use flame_actors::{Error, Node, Pool, remote};
/// # #[remote] async fn add(a: u32, b: u32) -> u32 { a + b }
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let node = Node::start().await?;
/// # let pool = Pool::builder("sums").start(&node).await?;
/// let sums = (0..3).map(|n| pool.call(add(n, n)).timeout(Duration::from_secs(5)));
/// let sums: Vec<u32> = futures_util::future::try_join_all(sums).await?;
/// assert_eq!(sums, [0, 2, 4]);
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Timeout`] with the stage that ran out, [`Error::RunnerLost`] when the runner ended with the task written
/// to it, [`Error::Panicked`], [`Error::Encode`], [`Error::Decode`], [`Error::TooLarge`], [`Error::UnknownTask`],
/// [`Error::Boot`] and [`Error::BuildMismatch`] when no runner comes up, [`Error::PoolFull`], [`Error::PoolClosed`],
/// [`Error::Config`] on a runner that has not come to [`Node::serve`](crate::Node::serve).
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<R>(State<R, R>);

/// A cast that is about to be made; awaiting it waits for its acceptance only.
///
/// # Errors
/// [`Error::Encode`], [`Error::TooLarge`], [`Error::PoolFull`] and [`Error::PoolClosed`].
#[must_use = "a cast does nothing until it is awaited"]
pub struct Cast<R>(State<R, ()>);

enum State<R, T> {
    Described(Request<R>),
    Running(BoxFuture<'static, Result<T, Error>>),
    Done,
}

impl<R: Send + 'static> Call<R> {
    pub(crate) fn new(pool: Pool, task: Task<R>) -> Self {
        Self(State::Described(Request::new(pool, task)))
    }

    /// Bounds waiting and running together. By default waiting is bounded by the pool's `boot_timeout` and running by
    /// its `timeout`.
    ///
    /// What is left of it when the task reaches its runner is the task's [`deadline`](crate::deadline): there it is
    /// aborted, and what it has started elsewhere hears of that by [`cancelled`](crate::cancelled()).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.set(|request| request.timeout = Some(timeout));
        self
    }

    /// Whether the task stops when this future is dropped or the parent is gone; `true` by default.
    ///
    /// It is aborted then as by its time-out, and [`cancelled`](crate::cancelled()) tells what it has started.
    ///
    /// With `false` it is finished all the same; after the loss of the parent it has the pool's `shutdown_timeout`.
    pub fn link(mut self, linked: bool) -> Self {
        self.0.set(|request| request.linked = linked);
        self
    }

    /// Whether actors whose refs come back in the result keep the runner.
    ///
    /// Until they end they keep this call's slot on it, too. By default as the pool says with
    /// [`PoolBuilder::track_resources`](crate::PoolBuilder::track_resources).
    pub fn track_resources(mut self, track: bool) -> Self {
        self.0.set(|request| request.track = track);
        self
    }
}

impl<R: Send + 'static> Cast<R> {
    pub(crate) fn new(pool: Pool, task: Task<R>) -> Self {
        Self(State::Described(Request::new(pool, task)))
    }

    /// Bounds waiting and running together; without it neither is bounded.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.set(|request| request.timeout = Some(timeout));
        self
    }

    /// Whether the task stops when the parent is gone; `true` by default.
    pub fn link(mut self, linked: bool) -> Self {
        self.0.set(|request| request.linked = linked);
        self
    }
}

impl<R, T> State<R, T> {
    fn set(&mut self, set: impl FnOnce(&mut Request<R>)) {
        if let Self::Described(request) = self {
            set(request);
        }
    }

    /// Polls the work that `start` makes of the request.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        start: impl FnOnce(Request<R>) -> BoxFuture<'static, Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        if let Self::Described(_) = self
            && let Self::Described(request) = std::mem::replace(self, Self::Done)
        {
            *self = Self::Running(start(request));
        }
        let Self::Running(running) = self else { panic!("polled after it had ended") };
        let result = std::task::ready!(running.as_mut().poll(cx));
        *self = Self::Done;
        Poll::Ready(result)
    }
}

impl<R: Send + 'static> Future for Call<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx, |request| Box::pin(call(request)))
    }
}

impl<R: Send + 'static> Future for Cast<R> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx, |request| Box::pin(cast(request)))
    }
}

impl<R> std::fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt("Call", f)
    }
}

impl<R> std::fmt::Debug for Cast<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt("Cast", f)
    }
}

impl<R, T> State<R, T> {
    fn fmt(&self, name: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Described(request) => f.debug_tuple(name).field(&request.pool.name()).field(&request.task).finish(),
            Self::Running(_) => write!(f, "{name}(under way)"),
            Self::Done => write!(f, "{name}(ended)"),
        }
    }
}

async fn call<R: Send + 'static>(request: Request<R>) -> Result<R, Error> {
    let Request { pool, task, timeout, linked, track } = request;
    let Encoded { key, args, decode, offered: _offered } = task.encode()?;
    let bounds = Bounds::new(&pool, Some(pool.timeout()), timeout);
    let work = Work { task: key, args, linked, track, items: None };
    let (output, slot) = perform(pool.ask()?, work, bounds).await;
    result(&output?, slot, track, decode)
}

/// One of many calls, whose waiting is not bounded: that it waits is not its fault.
pub(crate) async fn one_of_many<R>(asked: Asked, task: Task<R>, run: Option<Duration>) -> Result<R, Error>
where
    R: Send + 'static,
{
    let Encoded { key, args, decode, offered: _offered } = task.encode()?;
    let pool = asked.pool();
    let bounds = Bounds { patient: true, ..Bounds::new(pool, Some(run.unwrap_or_else(|| pool.timeout())), None) };
    let track = pool.tracks_resources();
    let work = Work { task: key, args, linked: true, track, items: None };
    let (output, slot) = perform(asked, work, bounds).await;
    // Not for streams: whoever collects all results first would wait for slots that they have.
    result(&output?, slot.filter(|_| track), track, decode)
}

/// The slot is there for what is in the result: streams, and actors if these are tracked.
fn result<R>(
    output: &[u8],
    slot: Option<Slot>,
    track: bool,
    decode: fn(&[u8]) -> Result<R, Error>,
) -> Result<R, Error> {
    let Some(slot) = slot else { return decode(output) };
    let slot = Arc::new(slot);
    let (result, actors) = route::collect(|| stream::held_with(&slot, || decode(output)));
    if track {
        keep(slot, actors);
    }
    result
}

/// Keeps the slot until the actors have ended.
pub(crate) fn keep(slot: impl Send + 'static, actors: Vec<ActorCell>) {
    if actors.is_empty() {
        return;
    }
    runtime::spawn(async move {
        for actor in actors {
            // It waits without a bound, so this is no time-out.
            let _ = actor.wait(None).await;
        }
        drop(slot);
    });
}

async fn cast<R: Send + 'static>(request: Request<R>) -> Result<(), Error> {
    let Request { pool, task, timeout, linked, track: _ } = request;
    let Encoded { key, args, decode: _, offered } = task.encode()?;
    let bounds = Bounds { wait: timeout, run: None, both: timeout, patient: false };
    let work = Work { task: key.clone(), args, linked, track: false, items: None };
    let asked = pool.ask()?;
    // Opened here: it goes on where no subscriber is called, whatever its caller does meanwhile.
    let span = CallSpan::of(telemetry::cast(pool.name(), &key));
    runtime::spawn(async move {
        let _offered = offered;
        if let (Err(err), _) = perform_in(asked, work, bounds, span).await {
            let pool = pool.name().to_owned();
            report!(WARN, pool, task = key, %err, "a cast failed");
        }
    });
    Ok(())
}

/// How long a request may take.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    wait: Option<Duration>,
    run: Option<Duration>,
    /// Waiting and running together; takes the place of `run`.
    both: Option<Duration>,
    /// Waits on when `wait` is over, unless boots fail.
    patient: bool,
}

impl Bounds {
    /// Of a caller that waits for its slot as long as callers do.
    pub(crate) fn new(pool: &Pool, run: Option<Duration>, both: Option<Duration>) -> Self {
        Self { wait: Some(pool.longest_wait(both)), run, both, patient: false }
    }
}

/// What goes to a runner.
pub(crate) struct Work {
    pub(crate) task: String,
    pub(crate) args: Bytes,
    pub(crate) linked: bool,
    pub(crate) track: bool,
    /// Where its items go, if it yields.
    pub(crate) items: Option<Arc<Inbox>>,
}

pub(crate) async fn perform(asked: Asked, work: Work, bounds: Bounds) -> Ran {
    let span = telemetry::call(asked.pool().name(), &work.task);
    perform_in(asked, work, bounds, CallSpan::of(span.clone())).instrument(span).await
}

async fn perform_in(mut asked: Asked, work: Work, bounds: Bounds, span: CallSpan) -> Ran {
    let start = Instant::now();
    let Sent { pending, left, at } = match send(&mut asked, &work, bounds, start).await {
        Ok(sent) => sent,
        Err(err) => {
            asked.pool().not_run(&work.task, &err);
            return (Err(err), None);
        }
    };
    let (pool, runner) = (asked.pool(), Arc::clone(pending.runner()));
    span.got(runner.node());
    let deadline = left.and_then(|left| at.checked_add(left));
    let mut run = Run { pool, runner, task: &work.task, sent: at, deadline, pending: Some(pending), end: None };
    let ran = match left {
        None => run.result().await,
        Some(left) => {
            let ran_out = || Error::Timeout {
                stage: Stage::Running,
                after: bounds.both.unwrap_or(left),
                what: work.task.clone(),
            };
            match tokio::time::timeout(left, run.result()).await {
                // The runner keeps the same time, and may be the first to say so.
                Ok((Err(Error::Timeout { stage: Stage::Running, .. }), _)) => (Err(ran_out()), None),
                Ok(ran) => ran,
                Err(_) => {
                    if let Some(pending) = run.pending.take() {
                        pool.watch_over(pending.abort(), Duration::ZERO);
                    }
                    (Err(ran_out()), None)
                }
            }
        }
    };
    run.end = Some(ran.0.as_ref().err().cloned());
    ran
}

/// A run that is under way. Dropped, it tells the pool of its end, also when its caller goes before.
struct Run<'a> {
    pool: &'a Pool,
    runner: Arc<Runner>,
    task: &'a str,
    sent: Instant,
    deadline: Option<Instant>,
    /// `None` once it has ended.
    pending: Option<Pending>,
    end: Option<Option<Error>>,
}

impl Run<'_> {
    async fn result(&mut self) -> Ran {
        let pending = self.pending.as_mut().expect("its result is asked for once");
        let ran = pending.result().await;
        self.pending = None;
        ran
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take() {
            let now = Instant::now();
            match (pending.is_linked(), self.deadline) {
                (true, _) => self.pool.watch_over(pending.give_up(), Duration::ZERO),
                // It goes on, up to its deadline.
                (false, Some(deadline)) => {
                    self.pool.watch_over(pending.give_up(), deadline.saturating_duration_since(now));
                }
                (false, None) => {}
            }
        }
        let error = self.end.take().unwrap_or_else(|| Some(Error::Cancelled("the task".to_owned())));
        self.pool.ran(&self.runner, self.task, self.sent.elapsed(), error);
    }
}

/// A task that has been written to a runner.
struct Sent {
    pending: Pending,
    /// The time that it may run.
    left: Option<Duration>,
    at: Instant,
}

/// Takes a slot and writes the task to its runner.
async fn send(asked: &mut Asked, work: &Work, bounds: Bounds, start: Instant) -> Result<Sent, Error> {
    // The clock is read no more often than needed: in process that is a good part of a call.
    let mut wait = bounds.wait;
    let said = bounds.both.unwrap_or_else(|| asked.pool().boot_timeout());
    loop {
        let slot = loop {
            match asked.slot(wait).await {
                Err(Error::Timeout { .. }) if bounds.patient => {}
                slot => break slot.map_err(|err| err.with_bound(said))?,
            }
        };
        let at = Instant::now();
        let left = match bounds.both {
            Some(both) => Some(both.saturating_sub(at - start)),
            None => bounds.run,
        };
        let runner = Arc::clone(slot.runner());
        let (args, items) = (work.args.clone(), work.items.clone());
        let task = Outgoing { task: &work.task, args, deadline: left, linked: work.linked, items };
        match runner.run(slot, task, work.track) {
            Ok(pending) => return Ok(Sent { pending, left, at }),
            // Its link had closed: nothing was written, so the call may go elsewhere.
            Err(Error::RunnerLost { .. }) => {
                asked.again(&runner)?;
                wait = bounds.wait.map(|wait| wait.saturating_sub(at - start));
            }
            Err(err) => return Err(err),
        }
    }
}
