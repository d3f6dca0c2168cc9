//! A task that yields, on a runner, and its items as they come from there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt};
use ractor::ActorCell;

use super::Yields;
use super::credit::{Takings, WINDOW_ITEMS};
use super::inbox::Inbox;
use super::pieces::Pieces;
use crate::call::{Bounds, Work, keep, perform};
use crate::error::Error;
use crate::node::route;
use crate::pool::{Pool, Slot};
use crate::runner::Ran;
use crate::task::Encoded;

/// The items of a task that yields on a runner, as they come; from [`Pool::stream`].
///
/// A [`Stream`] of `Result<T, Error>`. The task starts when it is first asked for an item, and has one slot until it
/// ends. An item can hold what a result can, refs to actors among it; one that is a `Result<T, E>` itself comes as
/// `Ok(Result<T, E>)`.
///
/// # The end
/// `None` says that the body has ended by itself. Anything else is one `Err` and then `None`: what was yielded before
/// comes first, nothing comes after. After the loss of a runner what had arrived is still there.
///
/// Dropping it stops the task at once, as it stops that of a [`Call`](crate::Call).
///
/// # Back-pressure
/// The body is asked for its next item only while fewer than 1,024 items, and less than 1 MiB of them, are on their way
/// or wait to be read; [`window`](Self::window) sets another number. So a reader that rests stops the body, and what a
/// stream holds in both processes together is bounded by 1 MiB and one item. An item may have
/// [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES). On the link items go behind all else, in pieces of 32 KiB: calls
/// do not wait for them, and what the task sends to actors after an item may come before it, never the other way round.
///
/// # Time-outs
/// Waiting for a slot is bounded by `boot_timeout`. The run has no bound, the pool's `timeout` least of all, which is
/// meant for one result; [`timeout`](Self::timeout) gives it one. To bound the wait for each item, use
/// `tokio::time::timeout` on [`next`](Self::next), which loses nothing when it is dropped.
///
/// # Errors
/// Those of a [`Call`](crate::Call): [`Error::Panicked`], [`Error::RunnerLost`], [`Error::Timeout`],
/// [`Error::TooLarge`] and [`Error::Encode`] for the arguments or an item, [`Error::Decode`], [`Error::PoolFull`],
/// [`Error::PoolClosed`], …
///
/// ```
/// use flame_actors::{Error, InProcess, Node, Pool, remote};
/// use futures_util::{Stream, stream};
///
/// #[remote]
/// fn lines(text: String) -> impl Stream<Item = String> {
///     stream::iter(text.lines().map(str::to_owned).collect::<Vec<_>>())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let node = Node::start().await?;
/// let pool = Pool::builder("text").backend(InProcess::new()).start(&node).await?;
/// let mut lines = pool.stream(lines("one\ntwo\nthree".to_owned()));
/// while let Some(line) = lines.next().await {
///     println!("{}", line?); // as they come
/// }
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing until its items are asked for"]
pub struct Streaming<T>(State<T>);

enum State<T> {
    Described(Request<T>),
    Running(Box<Running<T>>),
    Done,
}

struct Request<T> {
    pool: Pool,
    task: Yields<T>,
    timeout: Option<Duration>,
    linked: bool,
    track: bool,
    window: u32,
}

struct Running<T> {
    /// `None` once it has ended.
    run: Option<BoxFuture<'static, Ran>>,
    /// What comes after the last item.
    end: Option<Error>,
    inbox: Arc<Inbox>,
    pieces: Pieces,
    takings: Takings,
    decode: fn(&[u8]) -> Result<T, Error>,
    /// The actors in its items, if they keep the slot.
    tracked: Option<Vec<ActorCell>>,
    slot: Option<Slot>,
}

impl<T: Send + 'static> Streaming<T> {
    pub(crate) fn new(pool: Pool, task: Yields<T>) -> Self {
        let track = pool.tracks_resources();
        Self(State::Described(Request { pool, task, timeout: None, linked: true, track, window: WINDOW_ITEMS }))
    }

    /// Bounds waiting for a slot and the whole run together, however slow its reader is; no bound by default.
    ///
    /// What is left of it when the task reaches its runner is the task's [`deadline`](crate::deadline).
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|request| request.timeout = Some(timeout))
    }

    /// Whether the task stops when this stream is dropped or the parent is gone; `true` by default.
    ///
    /// With `false` its body goes on to its end, and its items are thrown away; after the loss of the parent it has the
    /// pool's `shutdown_timeout`.
    pub fn link(self, linked: bool) -> Self {
        self.set(|request| request.linked = linked)
    }

    /// So many items may be made that are not read yet; 1,024 by default, 1 at the least.
    ///
    /// Fewer keep a costly body from working ahead; more are for a parent that is far away and small items: a window
    /// comes through in one round trip. Whatever it is, nothing more is made once 1 MiB is not read.
    pub fn window(self, items: u32) -> Self {
        self.set(|request| request.window = items.max(1))
    }

    /// Whether actors whose refs come in items keep the runner, and this stream's slot on it, until they end.
    ///
    /// By default as the pool says with [`PoolBuilder::track_resources`](crate::PoolBuilder::track_resources). It is the
    /// stream that was read to its end which leaves them the slot.
    pub fn track_resources(self, track: bool) -> Self {
        self.set(|request| request.track = track)
    }

    fn set(mut self, set: impl FnOnce(&mut Request<T>)) -> Self {
        if let State::Described(request) = &mut self.0 {
            set(request);
        }
        self
    }

    /// The next item; `None` when there are no more. Dropped before it is ready, it has lost nothing.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        StreamExt::next(self).await
    }
}

impl<T: Send + 'static> Request<T> {
    fn start(self) -> Result<Running<T>, Error> {
        let Self { pool, task, timeout, linked, track, window } = self;
        let Encoded { key, args, decode, offered } = task.encode()?;
        let inbox = Inbox::new(window);
        let bounds = Bounds::new(&pool, None, timeout);
        let work = Work { task: key, args, linked, track, items: Some(Arc::clone(&inbox)) };
        let asked = pool.ask()?;
        let run = async move {
            let _offered = offered;
            perform(asked, work, bounds).await
        };
        let run = Some(run.boxed());
        let (pieces, takings) = (Pieces::default(), Takings::new(window));
        Ok(Running { run, end: None, inbox, pieces, takings, decode, tracked: track.then(Vec::new), slot: None })
    }
}

impl<T> Running<T> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        loop {
            if let Some(item) = self.read() {
                return Poll::Ready(Some(item));
            }
            if let Some(piece) = self.inbox.take(cx) {
                self.pieces.add(piece);
                continue;
            }
            let Some(run) = &mut self.run else {
                if let (Some(slot), Some(actors)) = (self.slot.take(), self.tracked.take()) {
                    keep(slot, actors);
                }
                return Poll::Ready(self.end.take().map(Err));
            };
            let (outcome, slot) = ready!(run.as_mut().poll(cx));
            self.run = None;
            (self.end, self.slot) = (outcome.err(), slot);
            // All its items came before, and perhaps just now.
        }
    }

    /// The next item of what has come.
    fn read(&mut self) -> Option<Result<T, Error>> {
        let (decode, tracked, takings) = (self.decode, &mut self.tracked, &mut self.takings);
        let read = self.pieces.next(|item| {
            let decoded = match tracked {
                None => decode(item),
                Some(tracked) => {
                    let (decoded, actors) = route::collect(|| decode(item));
                    tracked.extend(actors);
                    decoded
                }
            };
            (decoded, takings.take(item.len()))
        });
        match read {
            Ok(None) => None,
            Ok(Some((item, credit))) => {
                if let Some((items, bytes)) = credit {
                    self.inbox.give_credit(items, bytes);
                }
                Some(item)
            }
            Err(len) => {
                let (what, reason) = (std::any::type_name::<T>().to_owned(), format!("an item of {len} bytes"));
                Some(Err(Error::Decode { what, reason }))
            }
        }
    }
}

impl<T: Send + 'static> Stream for Streaming<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // A reader of much that is there already is to leave others their turn.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        if let State::Described(_) = self.0
            && let State::Described(request) = std::mem::replace(&mut self.0, State::Done)
        {
            match request.start() {
                Ok(running) => self.0 = State::Running(Box::new(running)),
                Err(err) => return Poll::Ready(Some(Err(err))),
            }
        }
        let State::Running(running) = &mut self.0 else { return Poll::Ready(None) };
        let item = ready!(running.poll_next(cx));
        budget.made_progress();
        if !matches!(item, Some(Ok(_))) {
            // An item that cannot be made out is the last one, too: the task is cancelled.
            self.0 = State::Done;
        }
        Poll::Ready(item)
    }
}

impl<T> std::fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            State::Described(Request { pool, task, .. }) => {
                f.debug_tuple("Streaming").field(&pool.name()).field(task).finish()
            }
            State::Running(_) => f.write_str("Streaming(under way)"),
            State::Done => f.write_str("Streaming(ended)"),
        }
    }
}
