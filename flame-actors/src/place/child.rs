//! On the runner: the user's actor, started from its encoded form.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use serde::de::DeserializeOwned;

use super::{Placeable, Saving};
use crate::error::{ChildError, Error, panic_text};
use crate::node::route::{self, Address, Alias};
use crate::task::context::on_runner;
use crate::{Message, codec};

/// Who a placed child is.
pub(crate) struct Identity {
    /// Its runner's node name.
    pub(crate) node: Arc<str>,
    /// Whom it is known as elsewhere.
    pub(crate) guardian: Address,
    /// Whether the guardian has it placed again when it ends.
    pub(crate) comes_back: bool,
    /// What its last incarnation has left.
    pub(crate) snapshot: Option<Bytes>,
    pub(crate) saving: Saving,
}

/// Starts a placed child from its encoded form.
pub(crate) fn start<A>(
    handler: Bytes,
    arguments: Bytes,
    identity: Identity,
    supervisor: ActorCell,
) -> BoxFuture<'static, Result<Result<ActorCell, SpawnErr>, Error>>
where
    A: Placeable,
    A::Msg: Message,
    A::Arguments: DeserializeOwned,
{
    Box::pin(async move {
        let handler = A::decode_handler(&handler)?;
        let arguments: A::Arguments = codec::from_bytes(&arguments)?;
        route::expect::<A::Msg>();
        let placed = Placed { actor: handler, identity, alias: OnceLock::new() };
        let spawned = Actor::spawn_linked(None, placed, arguments, supervisor).await;
        Ok(spawned.map(|(actor, _)| actor.get_cell()))
    })
}

/// The user's actor, with its panics told from its errors.
struct Placed<A> {
    actor: A,
    identity: Identity,
    alias: OnceLock<Alias>,
}

impl<A: Placeable> Placed<A> {
    async fn guarded<T>(
        &self,
        work: impl Future<Output = Result<T, ActorProcessingErr>> + Send,
    ) -> Result<T, ActorProcessingErr> {
        let work = on_runner(Arc::clone(&self.identity.node), None, work);
        let result = AssertUnwindSafe(work).catch_unwind().await;
        result.unwrap_or_else(|panic| Err(Box::new(ChildError::Panicked(panic_text(panic)))))
    }
}

impl<A: Placeable> Actor for Placed<A> {
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        let Identity { guardian, comes_back, .. } = &self.identity;
        let _ = self.alias.set(Alias::new(&myself.get_id(), guardian.clone(), *comes_back));
        let start = async {
            match (A::snapshots(), &self.identity.snapshot) {
                (Some(snapshots), Some(last)) => {
                    (snapshots.restore)(&self.actor, myself, arguments, last.clone()).await
                }
                _ => self.actor.pre_start(myself, arguments).await,
            }
        };
        self.guarded(start).await
    }

    async fn post_start(&self, myself: ActorRef<A::Msg>, state: &mut A::State) -> Result<(), ActorProcessingErr> {
        self.guarded(async { self.actor.post_start(myself, state).await }).await
    }

    async fn post_stop(&self, myself: ActorRef<A::Msg>, state: &mut A::State) -> Result<(), ActorProcessingErr> {
        self.guarded(async { self.actor.post_stop(myself, state).await }).await
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        let handle = async {
            self.actor.handle(myself, message, state).await?;
            if let Some(snapshots) = A::snapshots()
                && let Some(snapshot) = (snapshots.take)(&self.actor, state)
            {
                self.identity.saving.save(A::NAME, snapshot);
            }
            Ok(())
        };
        self.guarded(handle).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.guarded(async { self.actor.handle_supervisor_evt(myself, event, state).await }).await
    }
}
