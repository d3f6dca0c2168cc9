//! Described calls of functions that yield. What a pool makes of one is in `yields/streaming.rs`.

pub(crate) mod credit;
pub(crate) mod inbox;
pub(crate) mod pieces;
pub(crate) mod streaming;

use std::pin::Pin;
use std::task::{Context, Poll};

pub use futures_util::Stream;
use futures_util::stream::BoxStream;

use crate::Error;
use crate::registry::task_key;
use crate::task::{Encoded, Remote};

/// A function that yields. Implemented by the macros.
pub trait YieldsItems: Remote {
    /// Runs the body.
    fn run(args: Self::Args) -> impl Stream<Item = Self::Output> + Send + 'static;
}

/// A call of a function that yields, described and not yet made: polled it runs here, given to a pool on a runner.
///
/// A `#[remote]` function that returns `impl Stream<Item = T>` gives one. It is a [`Stream`] of `T` itself, so that
/// code that reads it here stays as it was; [`Pool::stream`](crate::Pool::stream) makes a
/// [`Streaming`](crate::Streaming) of it, whose items come from a runner. Its body can be made by the crate
/// `async-stream`, by `futures_util::stream::unfold`, or of a channel. What is to be awaited first is awaited in the
/// stream.
///
/// ```
/// use flame_actors::{Error, InProcess, Node, Pool, remote};
/// use futures_util::{Stream, StreamExt, stream};
///
/// #[remote]
/// fn squares(up_to: u64) -> impl Stream<Item = u64> {
///     stream::iter(1..=up_to).then(async |n| n * n)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let node = Node::start().await?;
/// let pool = Pool::builder("squares").backend(InProcess::new()).start(&node).await?;
///
/// let here: Vec<u64> = squares(4).collect().await;
/// let mut there = pool.stream(squares(4)); // the same, on a runner
/// for square in here {
///     assert_eq!(there.next().await, Some(Ok(square)));
/// }
/// assert_eq!(there.next().await, None);
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a task does nothing until its items are asked for or it is given to a pool"]
pub struct Yields<T>(State<T>);

enum State<T> {
    Described(Box<dyn Described<T>>),
    Running(BoxStream<'static, T>),
    Done,
}

/// A function with its arguments, the types of both forgotten.
trait Described<T>: Send {
    fn key(&self) -> String;
    fn encode(self: Box<Self>) -> Result<Encoded<T>, Error>;
    fn run(self: Box<Self>) -> BoxStream<'static, T>;
}

struct With<F: YieldsItems>(F::Args);

impl<F: YieldsItems> Described<F::Output> for With<F> {
    fn key(&self) -> String {
        task_key(F::NAME, F::LOCATION)
    }

    fn encode(self: Box<Self>) -> Result<Encoded<F::Output>, Error> {
        Encoded::of::<F>(self.0)
    }

    fn run(self: Box<Self>) -> BoxStream<'static, F::Output> {
        Box::pin(F::run(self.0))
    }
}

impl<T: Send + 'static> Yields<T> {
    /// Describes a call; the macros use it.
    #[doc(hidden)]
    pub fn of<F: YieldsItems<Output = T>>(args: F::Args) -> Self {
        Self(State::Described(Box::new(With::<F>(args))))
    }

    /// Makes of it what a runner gets.
    pub(crate) fn encode(self) -> Result<Encoded<T>, Error> {
        match self.0 {
            State::Described(described) => described.encode(),
            State::Running(_) | State::Done => Err(Encoded::<T>::started_here()),
        }
    }
}

impl<T> Stream for Yields<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let State::Described(_) = self.0
            && let State::Described(described) = std::mem::replace(&mut self.0, State::Done)
        {
            self.0 = State::Running(described.run());
        }
        let State::Running(items) = &mut self.0 else { return Poll::Ready(None) };
        let item = std::task::ready!(items.as_mut().poll_next(cx));
        if item.is_none() {
            self.0 = State::Done;
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            State::Described(_) => (0, None),
            State::Running(items) => items.size_hint(),
            State::Done => (0, Some(0)),
        }
    }
}

impl<T> std::fmt::Debug for Yields<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            State::Described(described) => f.debug_tuple("Yields").field(&described.key()).finish(),
            State::Running(_) => f.write_str("Yields(running here)"),
            State::Done => f.write_str("Yields(ended)"),
        }
    }
}
