//! Calls and casts: a task goes to a runner, and its result comes straight back.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::error::{Error, Stage};
use crate::node::runtime;
use crate::pool::Pool;
use crate::runner::Pending;
use crate::task::{Encoded, Task};

/// What a call and a cast have in common.
struct Request<R> {
    pool: Pool,
    task: Task<R>,
    timeout: Option<Duration>,
    linked: bool,
}

/// A call that is about to be made; await it, or hand it to `tokio::spawn`.
///
/// # Errors
/// [`Error::Timeout`] with the stage that ran out, [`Error::RunnerLost`] when the runner ended with the task written
/// to it, [`Error::Panicked`], [`Error::Encode`], [`Error::Decode`], [`Error::TooLarge`], [`Error::UnknownTask`],
/// [`Error::Boot`] and [`Error::BuildMismatch`] when no runner comes up, [`Error::PoolClosed`].
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<R>(State<R, R>);

/// A cast that is about to be made; awaiting it waits for its acceptance only.
///
/// # Errors
/// [`Error::Encode`], [`Error::TooLarge`] and [`Error::PoolClosed`].
#[must_use = "a cast does nothing until it is awaited"]
pub struct Cast<R>(State<R, ()>);

enum State<R, T> {
    Described(Request<R>),
    Running(BoxFuture<'static, Result<T, Error>>),
    Done,
}

impl<R: Send + 'static> Call<R> {
    pub(crate) fn new(pool: Pool, task: Task<R>) -> Self {
        Self(State::Described(Request { pool, task, timeout: None, linked: true }))
    }

    /// Bounds waiting and running together. By default waiting is bounded by the pool's `boot_timeout` and running by
    /// its `timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.set(|request| request.timeout = Some(timeout));
        self
    }

    /// Whether the task stops when this future is dropped or the parent is gone; `true` by default.
    ///
    /// With `false` it is finished all the same; after the loss of the parent it has the pool's `shutdown_timeout`.
    pub fn link(mut self, linked: bool) -> Self {
        self.0.set(|request| request.linked = linked);
        self
    }
}

impl<R: Send + 'static> Cast<R> {
    pub(crate) fn new(pool: Pool, task: Task<R>) -> Self {
        Self(State::Described(Request { pool, task, timeout: None, linked: true }))
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
    let Request { pool, task, timeout, linked } = request;
    let Encoded { key, args, decode } = task.encode()?;
    let bounds =
        Bounds { wait: Some(timeout.unwrap_or_else(|| pool.boot_timeout())), run: Some(pool.timeout()), both: timeout };
    decode(&perform(&pool, &key, args, linked, bounds).await?)
}

async fn cast<R: Send + 'static>(request: Request<R>) -> Result<(), Error> {
    let Request { pool, task, timeout, linked } = request;
    let Encoded { key, args, decode: _ } = task.encode()?;
    if pool.is_closed() {
        return Err(pool.closed_error());
    }
    let bounds = Bounds { wait: timeout, run: None, both: timeout };
    runtime::spawn(async move {
        if let Err(err) = perform(&pool, &key, args, linked, bounds).await {
            tracing::warn!(pool = pool.name(), task = key, %err, "a cast failed");
        }
    });
    Ok(())
}

/// How long a request may take.
#[derive(Clone, Copy)]
struct Bounds {
    wait: Option<Duration>,
    run: Option<Duration>,
    /// Waiting and running together; takes the place of `run`.
    both: Option<Duration>,
}

async fn perform(pool: &Pool, task: &str, args: Bytes, linked: bool, bounds: Bounds) -> Result<Bytes, Error> {
    let start = Instant::now();
    let (mut pending, left) = loop {
        let wait = bounds.wait.map(|wait| wait.saturating_sub(start.elapsed()));
        let slot = pool.checkout(wait).await.map_err(|err| with_bound(err, bounds.wait))?;
        let left = match bounds.both {
            Some(both) => Some(both.saturating_sub(start.elapsed())),
            None => bounds.run,
        };
        let runner = std::sync::Arc::clone(slot.runner());
        match runner.run(slot, task, args.clone(), left, linked) {
            Ok(pending) => break (pending, left),
            // Its link had closed: nothing was written, so the call may go elsewhere.
            Err(Error::RunnerLost { .. }) => pool.retire(runner.id),
            Err(err) => return Err(err),
        }
    };
    let Some(left) = left else { return pending.result().await };
    match tokio::time::timeout(left, pending.result()).await {
        // The runner keeps the same time, and may be the first to say so.
        Ok(Err(Error::Timeout { stage: Stage::Running, .. })) => Err(ran_out(task, bounds.both.unwrap_or(left))),
        Ok(result) => result,
        Err(_) => {
            watch_over(pool.clone(), &mut pending);
            Err(ran_out(task, bounds.both.unwrap_or(left)))
        }
    }
}

fn ran_out(task: &str, after: Duration) -> Error {
    Error::Timeout { stage: Stage::Running, after, what: task.to_owned() }
}

/// The bound that the caller gave, not what was left of it.
fn with_bound(err: Error, bound: Option<Duration>) -> Error {
    match (err, bound) {
        (Error::Timeout { stage, what, .. }, Some(after)) => Error::Timeout { stage, after, what },
        (err, _) => err,
    }
}

/// A task past its deadline is aborted; one that does not yield keeps its slot, and its runner has to go.
fn watch_over(pool: Pool, pending: &mut Pending) {
    let overdue = pending.abort();
    runtime::spawn(async move {
        tokio::time::sleep(pool.shutdown_timeout()).await;
        if overdue.persists() {
            tracing::warn!(pool = pool.name(), runner = %overdue.runner.node(), "a task does not stop: its runner goes");
            pool.dismiss(&overdue.runner);
        }
    });
}
