//! Described function calls. What a task can find around itself is in `task/`.

pub(crate) mod cancelled;
pub(crate) mod context;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use crate::registry::task_key;
use crate::stream::{self, Offered};
use crate::{Error, codec};

/// What one function that can run here or on a runner takes and gives. Implemented by the macros.
pub trait Remote: 'static {
    /// The function's path.
    const NAME: &'static str;
    /// Where it stands in the source.
    const LOCATION: &'static str;
    /// The arguments, as a tuple.
    type Args: Send + 'static;
    /// What it returns, or what each of its items is.
    type Output: Send + 'static;

    /// Encodes the arguments.
    ///
    /// # Errors
    /// [`Error::Encode`] when an argument refuses.
    fn encode_args(args: Self::Args) -> Result<Vec<u8>, Error>;
    /// Decodes the arguments.
    ///
    /// # Errors
    /// [`Error::Decode`] when the bytes are not these arguments.
    fn decode_args(bytes: &[u8]) -> Result<Self::Args, Error>;
    /// Encodes the result, or an item.
    ///
    /// # Errors
    /// [`Error::Encode`] when it refuses.
    fn encode_output(output: Self::Output) -> Result<Vec<u8>, Error>;
    /// Decodes the result, or an item.
    ///
    /// # Errors
    /// [`Error::Decode`] when the bytes are not this result.
    fn decode_output(bytes: &[u8]) -> Result<Self::Output, Error>;
}

/// A function that returns once.
pub trait Returns: Remote {
    /// Runs the body.
    fn run(args: Self::Args) -> impl Future<Output = Self::Output> + Send + 'static;
}

/// A call that is described and not yet made: awaited it runs here, given to a pool it runs on a runner.
///
/// Calling a `#[remote]` function returns one, and so does [`task!`](crate::task!). What it runs finds where and until
/// when with [`runner`](crate::runner) and [`deadline`](crate::deadline), and hears by [`cancelled`](crate::cancelled()) that
/// it ends before its time; awaited here it has neither a deadline nor anybody to cancel it.
///
/// ```
/// use flame_actors::{Error, InProcess, Node, Pool, remote};
///
/// #[remote]
/// async fn add(a: u32, b: u32) -> u32 {
///     a + b
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let node = Node::start().await?;
/// let pool = Pool::builder("sums").backend(InProcess::new()).start(&node).await?;
/// assert_eq!(add(1, 2).await, 3);
/// assert_eq!(pool.call(add(1, 2)).await?, 3);
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a task does nothing until it is awaited or given to a pool"]
pub struct Task<R>(State<R>);

enum State<R> {
    Described(Box<dyn Described<R>>),
    Running(BoxFuture<'static, R>),
    Done,
}

/// A function with its arguments, the types of both forgotten.
trait Described<R>: Send {
    fn key(&self) -> String;
    fn encode(self: Box<Self>) -> Result<Encoded<R>, Error>;
    fn run(self: Box<Self>) -> BoxFuture<'static, R>;
}

struct With<F: Returns>(F::Args);

impl<F: Returns> Described<F::Output> for With<F> {
    fn key(&self) -> String {
        task_key(F::NAME, F::LOCATION)
    }

    fn encode(self: Box<Self>) -> Result<Encoded<F::Output>, Error> {
        Encoded::of::<F>(self.0)
    }

    fn run(self: Box<Self>) -> BoxFuture<'static, F::Output> {
        Box::pin(F::run(self.0))
    }
}

/// A task as it is sent to a runner.
pub(crate) struct Encoded<R> {
    pub(crate) key: String,
    pub(crate) args: bytes::Bytes,
    pub(crate) decode: fn(&[u8]) -> Result<R, Error>,
    /// To be kept until the task has ended.
    pub(crate) offered: Offered,
}

impl<R> Encoded<R> {
    /// What a runner gets of a function and its arguments.
    pub(crate) fn of<F: Remote<Output = R>>(args: F::Args) -> Result<Self, Error> {
        let key = task_key(F::NAME, F::LOCATION);
        let (args, offered) = stream::collect(|| F::encode_args(args));
        let args = codec::within_limit(args, || format!("the arguments of {key}"))?;
        Ok(Self { key, args, decode: F::decode_output, offered })
    }

    /// The error of a description that is none any more.
    pub(crate) fn started_here() -> Error {
        let reason = "it was started here already".to_owned();
        Error::Encode { what: "a task".to_owned(), reason }
    }
}

impl<R: Send + 'static> Task<R> {
    /// Describes a call; the macros use it.
    #[doc(hidden)]
    pub fn of<F: Returns<Output = R>>(args: F::Args) -> Self {
        Self(State::Described(Box::new(With::<F>(args))))
    }

    /// Makes of it what a runner gets.
    pub(crate) fn encode(self) -> Result<Encoded<R>, Error> {
        match self.0 {
            State::Described(described) => described.encode(),
            State::Running(_) | State::Done => Err(Encoded::<R>::started_here()),
        }
    }
}

impl<R> Future for Task<R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        if let State::Described(_) = self.0
            && let State::Described(described) = std::mem::replace(&mut self.0, State::Done)
        {
            self.0 = State::Running(described.run());
        }
        match &mut self.0 {
            State::Running(future) => {
                let result = std::task::ready!(future.as_mut().poll(cx));
                self.0 = State::Done;
                Poll::Ready(result)
            }
            State::Described(_) | State::Done => panic!("a task was polled after it had ended"),
        }
    }
}

impl<R> std::fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            State::Described(described) => f.debug_tuple("Task").field(&described.key()).finish(),
            State::Running(_) => f.write_str("Task(running here)"),
            State::Done => f.write_str("Task(ended)"),
        }
    }
}
