//! State that outlives an incarnation of a placed child.

use std::future::Future;
use std::sync::Weak;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::Error;
use crate::report::report;
use crate::runner::agent::Agent;

/// An actor that hands snapshots of its state to its guardian.
///
/// When it is placed again it starts from the last of them. It is found by `#[placeable]` when it is implemented;
/// nothing else is to be done. It matters for children with [`restart`](crate::Place::restart) only.
///
/// ```
/// use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
/// use flame_actors::{Message, Snapshot, placeable};
///
/// #[derive(Message)]
/// enum CounterMsg {
///     Add(u64),
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
///         CounterMsg::Add(number): CounterMsg,
///         sum: &mut u64,
///     ) -> Result<(), ActorProcessingErr> {
///         *sum += number;
///         Ok(())
///     }
/// }
///
/// impl Snapshot for Counter {
///     type Snapshot = u64;
///
///     fn snapshot(&self, sum: &mut u64) -> Option<u64> {
///         Some(*sum)
///     }
///
///     async fn restore(&self, _: ActorRef<CounterMsg>, _: u64, sum: u64) -> Result<u64, ActorProcessingErr> {
///         Ok(sum)
///     }
/// }
/// ```
///
/// # What it does not guarantee
///
/// It is not durable: the guardian keeps the last snapshot in the parent's memory, and it ends with the guardian. What
/// was handled after it is lost, and so is a snapshot that was on its way when the runner ended. It is not part of what
/// the messages do: an effect elsewhere may have happened that the snapshot does not know of. One that does not encode,
/// or has, with the handler and the arguments, more than [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES), is logged, and the one before it stays.
pub trait Snapshot: Actor {
    /// What is handed over: MessagePack, as messages are.
    type Snapshot: Serialize + DeserializeOwned + Send;

    /// Asked for after each message that was handled; `None` hands over nothing now.
    ///
    /// A large state says `None` most of the time, and keeps in it when it was last saved.
    fn snapshot(&self, state: &mut Self::State) -> Option<Self::Snapshot>;

    /// Starts from a snapshot, in the place of `pre_start`.
    ///
    /// # Errors
    /// As `pre_start`: the start has failed, which counts as one restart.
    fn restore(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
        snapshot: Self::Snapshot,
    ) -> impl Future<Output = Result<Self::State, ActorProcessingErr>> + Send;
}

/// What `#[placeable]` has found of [`Snapshot`].
pub struct Snapshots<A: Actor> {
    pub(super) take: Take<A>,
    pub(super) restore: Restore<A>,
}

type Take<A> = fn(&A, &mut <A as Actor>::State) -> Option<Result<Vec<u8>, Error>>;
type Restore<A> = for<'a> fn(
    &'a A,
    ActorRef<<A as Actor>::Msg>,
    <A as Actor>::Arguments,
    Bytes,
) -> BoxFuture<'a, Result<<A as Actor>::State, ActorProcessingErr>>;

impl<A: Snapshot> Snapshots<A> {
    /// Those of this actor.
    pub const OF: Self = Self { take: take::<A>, restore: restore::<A> };
}

fn take<A: Snapshot>(actor: &A, state: &mut A::State) -> Option<Result<Vec<u8>, Error>> {
    actor.snapshot(state).map(|snapshot| codec::to_bytes(&snapshot))
}

fn restore<A: Snapshot>(
    actor: &A,
    myself: ActorRef<A::Msg>,
    arguments: A::Arguments,
    snapshot: Bytes,
) -> BoxFuture<'_, Result<A::State, ActorProcessingErr>> {
    Box::pin(async move {
        let snapshot = codec::from_bytes(&snapshot)?;
        actor.restore(myself, arguments, snapshot).await
    })
}

/// The way of a child's snapshots to its guardian.
pub(crate) struct Saving {
    pub(crate) agent: Weak<Agent>,
    pub(crate) id: u64,
    /// So many bytes a snapshot may have: it travels with the handler and the arguments.
    pub(crate) room: usize,
}

impl Saving {
    pub(super) fn save(&self, actor: &str, snapshot: Result<Vec<u8>, Error>) {
        let snapshot = snapshot.and_then(|bytes| match bytes.len() {
            size if size <= self.room => Ok(bytes),
            size => Err(Error::TooLarge { what: format!("a snapshot of {actor}"), size, limit: self.room }),
        });
        match (snapshot, self.agent.upgrade()) {
            (Ok(snapshot), Some(agent)) => agent.save(self.id, snapshot.into()),
            (Err(err), _) => {
                let actor = actor.to_owned();
                report!(WARN, %err, actor, "a snapshot was not saved");
            }
            (Ok(_), None) => {}
        }
    }
}
