//! Everything this executable can run on request: the tasks and placeable actors that the macros submitted.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use ractor::{ActorCell, SpawnErr};

use crate::place::{self, Identity, Placeable};
use crate::task::{Remote, Returns};
use crate::yields::YieldsItems;
use crate::{Error, codec, stream};

/// One `#[remote]` function or `task!` block.
pub struct TaskEntry {
    pub(crate) name: &'static str,
    pub(crate) location: &'static str,
    pub(crate) body: Body,
}

/// What a runner does with the arguments.
pub(crate) enum Body {
    Returns(fn(Bytes) -> BoxFuture<'static, Result<Output, Error>>),
    Yields(fn(Bytes) -> Result<Items, Error>),
}

/// What a task yields, encoded.
pub(crate) type Items = BoxStream<'static, Result<Bytes, Error>>;

impl TaskEntry {
    /// The entry of a described function.
    pub const fn of<F: Returns>() -> Self {
        Self { name: F::NAME, location: F::LOCATION, body: Body::Returns(run::<F>) }
    }

    /// The entry of a function that yields.
    pub const fn of_stream<F: YieldsItems>() -> Self {
        Self { name: F::NAME, location: F::LOCATION, body: Body::Yields(items::<F>) }
    }
}

inventory::collect!(TaskEntry);

/// An encoded result.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) bytes: Bytes,
    /// Whether streams of this node are in it, which need it as long as they are open.
    pub(crate) has_streams: bool,
}

fn run<F: Returns>(args: Bytes) -> BoxFuture<'static, Result<Output, Error>> {
    Box::pin(async move {
        let output = F::run(F::decode_args(&args)?).await;
        let (bytes, offered) = stream::collect(|| F::encode_output(output));
        let bytes = within_limit::<F>(bytes, "the result")?;
        Ok(Output { bytes, has_streams: offered.are_sent() })
    })
}

fn items<F: YieldsItems>(args: Bytes) -> Result<Items, Error> {
    Ok(Box::pin(F::run(F::decode_args(&args)?).map(|item| within_limit::<F>(F::encode_output(item), "an item"))))
}

fn within_limit<F: Remote>(encoded: Result<Vec<u8>, Error>, what: &str) -> Result<Bytes, Error> {
    codec::within_limit(encoded, || format!("{what} of {}", task_key(F::NAME, F::LOCATION)))
}

/// How to start a placed child: its handler, its arguments, who it is, and its supervisor.
pub(crate) type Start =
    fn(Bytes, Bytes, Identity, ActorCell) -> BoxFuture<'static, Result<Result<ActorCell, SpawnErr>, Error>>;

/// One `#[placeable]` actor.
pub struct ActorEntry {
    pub(crate) name: &'static str,
    pub(crate) start: Start,
}

impl ActorEntry {
    /// The entry of a placeable actor.
    pub const fn of<A: Placeable>() -> Self
    where
        A::Arguments: serde::Serialize + serde::de::DeserializeOwned,
        A::Msg: crate::Message,
    {
        Self { name: A::NAME, start: place::start::<A> }
    }
}

inventory::collect!(ActorEntry);

/// The name under which a task is known: its path and, since two blocks may share one, where it stands.
pub(crate) fn task_key(name: &str, location: &str) -> String {
    format!("{name} ({location})")
}

struct Registry {
    tasks: HashMap<String, &'static TaskEntry>,
    actors: HashMap<&'static str, &'static ActorEntry>,
    digest: String,
    twice: Option<String>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut twice = None;
    let mut tasks = HashMap::new();
    for entry in inventory::iter::<TaskEntry> {
        let key = task_key(entry.name, entry.location);
        if tasks.insert(key.clone(), entry).is_some() {
            twice = Some(key);
        }
    }
    let mut actors = HashMap::new();
    for entry in inventory::iter::<ActorEntry> {
        if actors.insert(entry.name, entry).is_some() {
            twice = Some(entry.name.to_owned());
        }
    }
    let mut names: Vec<&str> = tasks.keys().map(String::as_str).chain(actors.keys().copied()).collect();
    names.sort_unstable();
    let digest = crate::node::build::digest(names.join("\n").as_bytes());
    Registry { tasks, actors, digest, twice }
});

/// The task of this key, as [`task_key`] makes it.
pub(crate) fn task(key: &str) -> Option<&'static TaskEntry> {
    REGISTRY.tasks.get(key).copied()
}

/// The placeable actor of this name.
pub(crate) fn actor(name: &str) -> Option<&'static ActorEntry> {
    REGISTRY.actors.get(name).copied()
}

/// A digest of all names, which parent and runner compare.
pub(crate) fn digest() -> &'static str {
    &REGISTRY.digest
}

/// Checks that no two entries share a name.
pub(crate) fn check() -> Result<(), Error> {
    match &REGISTRY.twice {
        None => Ok(()),
        Some(name) => Err(Error::Config { option: name.clone(), reason: "described twice in this program".to_owned() }),
    }
}
