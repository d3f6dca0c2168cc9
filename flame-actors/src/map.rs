//! Many inputs over a pool: a call for each, so many at a time.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::call::one_of_many;
use crate::error::Error;
use crate::pool::{Asked, Pool};
use crate::task::Task;

/// The results of many calls, as they come; from [`Pool::map`].
///
/// A [`Stream`] of `Result<R, Error>`, one for each input, in the order of the inputs. A call that fails is an `Err` in
/// its place, and the others go on. Nothing runs until it is asked for a result, and dropping it cancels what runs and
/// takes nothing more.
///
/// Inputs are taken one by one, when there is room: so many calls are under way as the pool can run at a time, `max`
/// times `max_concurrency`, or as [`in_flight`](Self::in_flight) says. A result that waits for its turn counts as under
/// way, so that a slow call holds up those far behind it; [`unordered`](Self::unordered) has none wait.
///
/// Each call may run for the pool's `timeout`, or for what [`timeout`](Self::timeout) says. How long it waits for its slot
/// is not bounded, since it waits for others of its kind, except that [`Error::Boot`] says when no runner can be booted. Others
/// have their place beside it: when [`max_waiting`](crate::PoolBuilder::max_waiting) callers wait, it asks for no more
/// slots, and no input is lost to [`Error::PoolFull`].
///
/// A [`ByteStream`](crate::ByteStream) in a result keeps no slot here, or whoever collects all results before they read
/// any would wait for ever: its runner stays for it only as long as it has other work, or is not idle for too long.
///
/// ```
/// use flame_actors::{Error, InProcess, Node, Pool, remote};
/// use futures_util::StreamExt;
///
/// #[remote]
/// async fn shout(word: String) -> String {
///     word.to_uppercase()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let node = Node::start().await?;
/// let pool = Pool::builder("words").max(8).backend(InProcess::new()).start(&node).await?;
/// let words = ["many", "words"].map(String::from);
/// let shouted: Vec<Result<String, Error>> = pool.map(words, shout).collect().await;
/// assert_eq!(shouted, [Ok("MANY".to_owned()), Ok("WORDS".to_owned())]);
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a map does nothing until its results are asked for"]
pub struct Map<'a, R> {
    pool: Pool,
    /// `None` once they have all been taken.
    tasks: Option<BoxStream<'a, Task<R>>>,
    /// One for which the pool had no room.
    held: Option<Task<R>>,
    in_flight: Option<usize>,
    ordered: bool,
    timeout: Option<Duration>,
    calls: FuturesUnordered<BoxFuture<'static, (u64, Result<R, Error>)>>,
    /// How many have been started.
    started: u64,
    /// Results that wait for their turn.
    early: BTreeMap<u64, Result<R, Error>>,
    /// Whose turn it is.
    next: u64,
    progress: watch::Sender<MapProgress>,
}

/// How far a [`Map`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MapProgress {
    /// Calls that have ended with a result; a task's own `Err` is one.
    pub done: u64,
    /// Calls that have ended with an [`Error`].
    pub failed: u64,
    /// Calls that run or wait for a slot.
    pub running: u64,
    /// How many inputs there are in all, where that is known: when their iterator says so, and once all were taken.
    pub total: Option<u64>,
}

impl<'a, R: Send + 'static> Map<'a, R> {
    pub(crate) fn new(pool: Pool, tasks: impl Stream<Item = Task<R>> + Send + 'a) -> Self {
        let total = match tasks.size_hint() {
            (least, Some(most)) if least == most => Some(most as u64),
            _ => None,
        };
        Self {
            pool,
            tasks: Some(tasks.boxed()),
            held: None,
            in_flight: None,
            ordered: true,
            timeout: None,
            calls: FuturesUnordered::new(),
            started: 0,
            early: BTreeMap::new(),
            next: 0,
            progress: watch::Sender::new(MapProgress { total, ..MapProgress::default() }),
        }
    }

    /// So many calls are under way at the most, 1 at the least; by default as many as the pool can run at a time.
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = Some(calls.max(1));
        self
    }

    /// Gives the results as they come, not in the order of the inputs.
    pub fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// Bounds the run of each call, in place of the pool's `timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Tells how far it is, from anywhere; its sender is gone when the map is.
    ///
    /// ```
    /// # use flame_actors::{Error, Map, Pool};
    /// # use futures_util::StreamExt;
    /// # async fn run(thumbnails: Map<'static, String>) {
    /// let mut progress = thumbnails.progress();
    /// tokio::spawn(async move {
    ///     while progress.changed().await.is_ok() {
    ///         let now = *progress.borrow_and_update();
    ///         println!("{} done, {} failed, {} under way", now.done, now.failed, now.running);
    ///     }
    /// });
    /// let thumbnails: Vec<Result<String, Error>> = thumbnails.collect().await;
    /// # }
    /// ```
    pub fn progress(&self) -> watch::Receiver<MapProgress> {
        self.progress.subscribe()
    }

    /// Starts calls as far as there is room for them. `true`: there will be no more.
    fn fill(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.held.is_none() && self.tasks.is_none() {
                return true;
            }
            let in_flight = self.in_flight.unwrap_or_else(|| self.pool.capacity().max(1));
            if self.calls.len() + self.early.len() >= in_flight {
                return false;
            }
            if self.held.is_none() {
                let Some(tasks) = &mut self.tasks else { return true };
                match tasks.poll_next_unpin(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(None) => {
                        self.tasks = None;
                        self.progress.send_modify(|progress| progress.total = Some(self.started));
                        return true;
                    }
                    Poll::Ready(task) => self.held = task,
                }
            }
            let asked = match self.ask() {
                Some(Ok(asked)) => Ok(asked),
                Some(Err(err)) => Err(err),
                None => return false,
            };
            if let Some(task) = self.held.take() {
                self.start(task, asked);
            }
        }
    }

    /// Asks for a slot; `None` while others have no room for it in the queue.
    fn ask(&self) -> Option<Result<Asked, Error>> {
        match self.pool.ask() {
            Err(Error::PoolFull { .. }) if !self.calls.is_empty() => None,
            // One waits in any case, so that it goes on.
            Err(Error::PoolFull { .. }) => Some(self.pool.ask_anew()),
            asked => Some(asked),
        }
    }

    fn start(&mut self, task: Task<R>, asked: Result<Asked, Error>) {
        let (number, timeout) = (self.started, self.timeout);
        self.started += 1;
        self.progress.send_modify(|progress| progress.running += 1);
        self.calls.push(Box::pin(async move {
            let result = match asked {
                Ok(asked) => one_of_many(asked, task, timeout).await,
                Err(err) => Err(err),
            };
            (number, result)
        }));
    }

    fn ended(&self, result: &Result<R, Error>) {
        self.progress.send_modify(|progress| {
            progress.running -= 1;
            let count = if result.is_ok() { &mut progress.done } else { &mut progress.failed };
            *count += 1;
        });
    }
}

impl<R: Send + 'static> Stream for Map<'_, R> {
    type Item = Result<R, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let map = self.get_mut();
        loop {
            let is_all = map.fill(cx);
            if map.ordered
                && let Some(result) = map.early.remove(&map.next)
            {
                map.next += 1;
                return Poll::Ready(Some(result));
            }
            match map.calls.poll_next_unpin(cx) {
                Poll::Ready(Some((number, result))) => {
                    map.ended(&result);
                    if !map.ordered {
                        return Poll::Ready(Some(result));
                    }
                    map.early.insert(number, result);
                }
                Poll::Ready(None) if is_all => return Poll::Ready(None),
                _ => return Poll::Pending,
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let taken = self.calls.len() + self.early.len() + usize::from(self.held.is_some());
        let (least, most) = self.tasks.as_ref().map_or((0, Some(0)), |tasks| tasks.size_hint());
        (least.saturating_add(taken), most.and_then(|most| most.checked_add(taken)))
    }
}

impl<R> std::fmt::Debug for Map<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pool, progress, .. } = self;
        f.debug_struct("Map").field("pool", &pool.name()).field("progress", &*progress.borrow()).finish_non_exhaustive()
    }
}
