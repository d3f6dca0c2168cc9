//! FLAME for Rust: run functions and actors of your application on short-lived copies of itself.
//!
//! *FLAME* (Fleeting Lambda Application for Modular Execution) treats the whole application as a lambda. Wrap any piece
//! of existing code in a call, or start any existing actor through a [`Pool`] instead of locally, and it runs in a
//! temporary copy of the same application that boots on demand and goes away when idle. The copy is the same binary,
//! so it has the same code, the same set-up and the same actors. Elixir has this; here it is for Rust, on the actor
//! framework [`ractor`].
//!
//! ```
//! use flame_actors::{Node, Pool, remote, task};
//!
//! #[remote] // the body stays as it was
//! async fn count_words(text: String) -> usize {
//!     text.split_whitespace().count()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), flame_actors::Error> {
//! let node = Node::start().await?; // a runner joins its parent here; anyone else becomes a parent
//! let pool = Pool::builder("words").max(4).start(&node).await?; // no backend: runners in this process
//! if node.is_runner() {
//!     return node.serve().await; // the application is up: take work until told to stop
//! }
//!
//! let text = "some of these words are counted elsewhere".to_owned();
//! let here = count_words(text.clone()).await;
//! let there = pool.call(count_words(text.clone())).await?; // on a runner: the one-line change
//! let inline = pool.call(task!([text: String] -> usize { text.len() })).await?;
//! assert_eq!((here, there, inline), (7, 7, 41));
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! | to | see |
//! | --- | --- |
//! | make this process a node | [`Node`], [`Parent`] |
//! | have runners | [`Pool`], [`PoolBuilder`], [`Backend`], [`InProcess`], [`shortage`]; the crate `flame-local` |
//! | see and change what a pool does | [`PoolStatus`], [`Events`], [`PoolChange`], [`Placement`]; metrics and spans: the book |
//! | run a function there | [`macro@remote`], [`task!`], [`Task`], [`Call`], [`Cast`] |
//! | read its results as they come, run it for many inputs | [`Pool::stream`], [`Yields`], [`Streaming`]; [`Pool::map`], [`Map`] |
//! | send bytes of any length, either way | [`ByteStream`], [`ByteSink`], [`StreamReceipt`], [`StreamError`] |
//! | find one's way in a task | [`runner`], [`deadline`], [`cancelled()`], [`Cancelled`], [`provided`] |
//! | start an actor there | [`macro@placeable`], [`Place`], [`ChildError`] |
//! | have it come back | [`Restart`], [`PlacementSupervisor`], [`Snapshot`] |
//! | talk to it | [`derive@Message`], [`derive@LocalMessage`], [`ActorAddr`] |
//! | handle what goes wrong | [`Error`], [`Stage`], [`Cause`]; [`AnyError`] for `anyhow` |
//!
//! The files in the order in which a request walks: `pool.rs`, `call.rs`, `runner.rs`, `runner/agent.rs`, `place.rs`;
//! below them `node/`, the connections.
//!
//! # Crates
//!
//! | crate | what it is |
//! | --- | --- |
//! | `flame-actors` | this one: nodes, pools, calls, placed actors, messages, and [`InProcess`] |
//! | `flame-actors-macros` | the macros, which are re-exported here |
//! | `flame-local` | `ProcessBackend`: runners as child processes; helpers for tests of code that uses pools |
//! | `flame-fly` | `FlyBackend`: runners as machines of Fly.io |
//! | `flame-fly-sim` | that platform's API on this computer, for tests |
//! | [`ractor`], [`ractor_cluster`] | the actors and their sessions, at exactly 0.16.5, re-exported here |
//!
//! There are no feature flags: all of it is always there. It runs on Linux, and needs Rust 1.95.
//!
//! # Goals
//!
//! - One changed line moves work to another machine.
//! - Messages, results and failures find their way back as if everything were local.
//! - Nothing is ever left behind: each side ends what the other one has lost.
//!
//! # Non-goals
//!
//! - A cluster of equals: a runner belongs to the node that booted it.
//! - Durable work: delivery is at most once, and nothing is tried again by itself.
//! - Different programs: parent and runner are the same build, and that is checked.

#![warn(clippy::missing_errors_doc)]

#[cfg(not(target_os = "linux"))]
compile_error!("flame-actors runs on Linux only");

// The macros name this crate as others do, and it uses them itself.
extern crate self as flame_actors;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod address;
mod any_error;
mod backend;
mod backoff;
mod bounded;
mod call;
mod codec;
mod descriptors;
mod error;
mod files;
mod map;
mod message;
mod node;
mod parent;
mod place;
mod pool;
mod registry;
mod report;
mod runner;
mod stream;
mod task;
mod telemetry;
mod yields;

pub use flame_actors_macros::{LocalMessage, Message, placeable, remote, task};
/// The actor framework, at exactly version 0.16.5: use it through here.
///
/// The version is pinned because messages and links rely on what exactly it does. Another version beside it would have
/// other types: an `Actor` of that one is none of this one's.
pub use ractor;
/// Sessions between nodes, at exactly version 0.16.5, as [`ractor`].
///
/// Needed by name only for [`ractor::pg`] across nodes and for actors that `#[message(cluster)]` announces.
pub use ractor_cluster;

pub use self::address::{ActorAddr, actor_ref};
pub use self::any_error::AnyError;
pub use self::backend::{Backend, Boot, InProcess, Instance, InstanceState};
pub use self::bounded::BoundedSender;
pub use self::call::{Call, Cast};
pub use self::codec::MAX_MESSAGE_BYTES;
pub use self::descriptors::shortage;
pub use self::error::{Cause, ChildError, Error, Stage};
pub use self::map::{Map, MapProgress};
pub use self::message::Message;
pub use self::node::{Node, NodeBuilder};
pub use self::parent::{FLAME_PARENT, Parent};
pub use self::place::{Place, Placeable, PlacementSupervisor, PlacementSupervisorMsg, Restart, Snapshot, Strategy};
pub use self::pool::{
    Candidate, Event, Events, LeastLoaded, Leave, MostLoaded, Placement, Pool, PoolBuilder, PoolChange, PoolStatus,
    RunnerState, RunnerStatus,
};
pub use self::stream::{ByteSink, ByteStream, StreamError, StreamReceipt};
pub use self::task::Task;
pub use self::task::cancelled::Cancelled;
pub use self::task::context::{cancelled, deadline, provided, runner};
pub use self::yields::Yields;
pub use self::yields::streaming::Streaming;

/// A boxed future, as [`Backend`]'s methods return it.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
