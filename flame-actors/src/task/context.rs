//! What a task can find around itself.

use std::any::type_name;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use super::cancelled::{Cancelled, Run};
use crate::{Error, Node};

tokio::task_local! {
    static CONTEXT: Context;
}

struct Context {
    runner: Arc<str>,
    /// Of a task; a placed actor has none.
    run: Option<Arc<Run>>,
}

/// Runs a future as work of this runner; with a run, as that of a task.
pub(crate) fn on_runner<F: Future>(
    runner: Arc<str>,
    run: Option<Arc<Run>>,
    work: F,
) -> impl Future<Output = F::Output> {
    CONTEXT.scope(Context { runner, run }, work)
}

/// The node name of the runner that this code runs on.
///
/// `None` outside tasks and placed actors. With the in-process backend it is a name too, that of the runner that lives in this process.
///
/// ```
/// use flame_actors::{Error, Node, Pool, runner, task};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let node = Node::start().await?;
/// # let pool = Pool::builder("work").start(&node).await?;
/// assert_eq!(runner(), None);
/// let there = pool.call(task!([] -> bool { runner().is_some() })).await?;
/// assert!(there);
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn runner() -> Option<Arc<str>> {
    CONTEXT.try_with(|context| Arc::clone(&context.runner)).ok()
}

fn run() -> Option<Arc<Run>> {
    CONTEXT.try_with(|context| context.run.clone()).ok().flatten()
}

/// When the running task will be aborted.
///
/// `None` outside tasks, in placed actors, and in a task without a bound, as a cast is unless
/// [`Cast::timeout`](crate::Cast::timeout) gives one. Like [`runner`] it is known in the task itself and not in what
/// that spawns.
///
/// ```
/// use std::time::{Duration, Instant};
/// use flame_actors::{Error, Node, Pool, deadline, task};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let node = Node::start().await?;
/// # let pool = Pool::builder("work").start(&node).await?;
/// let left = task!([] -> Option<Duration> { Some(deadline()?.saturating_duration_since(Instant::now())) });
/// let left = pool.call(left).timeout(Duration::from_secs(5)).await?;
/// assert!(left.is_some_and(|left| left <= Duration::from_secs(5)));
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn deadline() -> Option<Instant> {
    run()?.deadline.map(tokio::time::Instant::into_std)
}

/// A handle that fires when the running task ends before its time.
///
/// The task itself needs none: it is aborted, that is its future is dropped. The handle is for what it has started
/// elsewhere, on blocking threads, in spawned tasks, as child processes; and for a body that blocks. Take it in the
/// task itself: what it spawns does not know which task it belongs to.
///
/// It fires when the caller has dropped its future, at the [`deadline`], when the runner stops its work (the parent of
/// a linked task is lost, or the grace of a shutdown is over), and when the task panics. It never fires once the task
/// has returned, with an error or without: what is still running then may go on. Outside tasks and in placed actors it
/// never fires; those have `post_stop` and the `Drop` of their state.
///
/// ```
/// use flame_actors::{Error, InProcess, Node, Pool, cancelled, remote};
///
/// #[remote]
/// async fn count_primes(limit: u32) -> Option<usize> {
///     let cancelled = cancelled(); // here, and not on the other thread
///     let count = tokio::task::spawn_blocking(move || {
///         let mut primes = Vec::new();
///         for n in 2..limit {
///             if cancelled.is_cancelled() {
///                 return None; // nobody waits for the rest
///             }
///             if primes.iter().all(|prime| n % prime != 0) {
///                 primes.push(n);
///             }
///         }
///         Some(primes.len())
///     });
///     count.await.ok().flatten()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let node = Node::start().await?;
/// let pool = Pool::builder("primes").backend(InProcess::new()).start(&node).await?;
/// assert_eq!(pool.call(count_primes(30)).await?, Some(10));
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub fn cancelled() -> Cancelled {
    run().map_or(Cancelled::NEVER, |run| run.handle())
}

/// What [`Node::provide`] was given of this type.
///
/// ```
/// use flame_actors::{Error, Node, provided};
///
/// struct Greeting(&'static str);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let node = Node::start().await?;
/// node.provide(Greeting("hello")); // on the parent and, by the same line, on each runner
/// assert_eq!(provided::<Greeting>()?.0, "hello");
/// assert!(matches!(provided::<String>(), Err(Error::NotProvided(_))));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NoNode`] before [`Node::start`], [`Error::NotProvided`] with the type's name.
pub fn provided<T: Send + Sync + 'static>() -> Result<Arc<T>, Error> {
    let node = Node::current().ok_or(Error::NoNode)?;
    node.provided::<T>().ok_or_else(|| Error::NotProvided(type_name::<T>().to_owned()))
}
