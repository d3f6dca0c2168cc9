//! On the parent: the actor that stands for a placed child.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SpawnErr, SupervisionEvent};
use tokio::task::JoinHandle;

use super::ward::{Keep, Plan, Ward, WardActor};
use crate::Message;
use crate::error::Error;
use crate::node::frame::{Exit, Order};
use crate::node::gate::Gate;
use crate::node::route;
use crate::node::runtime;
use crate::pool::Slot;
use crate::runner::ChildHandle;

/// A guardian that is starting. Dropped before it is claimed, it leaves nothing behind.
pub(super) struct Starting<M> {
    guardian: Option<ActorRef<M>>,
    started: JoinHandle<Result<JoinHandle<()>, SpawnErr>>,
}

/// Why a guardian did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPlaced {
    #[error("the runner's link had closed before anything was sent")]
    NotSent,
    #[error("{0}")]
    Failed(Error),
}

impl<M: Message> Starting<M> {
    /// Begins at once, on our runtime: a supervisor that blocks its threads does not keep a child's end from being
    /// noted.
    pub(super) fn begin(charge: Charge, supervisor: ActorCell) -> Result<Self, Error> {
        let _runtime = runtime::work().enter();
        let actor = charge.plan.child.actor;
        let begun = ActorRuntime::spawn_linked_instant(None, Guardian::<M>(PhantomData), charge, supervisor);
        let (guardian, started) =
            begun.map_err(|err| Error::NotStarted { actor: actor.to_owned(), reason: err.to_string() })?;
        Ok(Self { guardian: Some(guardian), started })
    }

    pub(super) async fn claim(mut self) -> Result<ActorRef<M>, NotPlaced> {
        let failed = |reason: String| {
            NotPlaced::Failed(Error::NotStarted { actor: "the guardian of a placed child".to_owned(), reason })
        };
        match (&mut self.started).await.map_err(|err| failed(err.to_string()))? {
            Ok(_) => self.guardian.take().ok_or_else(|| failed("it was claimed before".to_owned())),
            Err(SpawnErr::StartupFailed(reason)) => match reason.downcast::<NotPlaced>() {
                Ok(reason) => Err(*reason),
                Err(reason) => Err(failed(reason.to_string())),
            },
            Err(err) => Err(failed(err.to_string())),
        }
    }
}

impl<M> Drop for Starting<M> {
    fn drop(&mut self) {
        if let Some(guardian) = self.guardian.take() {
            self.started.abort();
            guardian.kill();
        }
    }
}

/// Stands for a placed child, through all its incarnations.
struct Guardian<M>(PhantomData<fn(M)>);

/// A child that is to be placed.
pub(super) struct Charge {
    pub(super) slot: Slot,
    pub(super) plan: Plan,
}

/// What a guardian has. Dropped, however the guardian ends, it takes the child with it.
struct Guarded {
    _gate: Gated,
    child: Arc<Mutex<Option<ChildHandle>>>,
    ward: ActorRef<Ward>,
    exit: Arc<OnceLock<Exit>>,
}

impl<M: Message> Actor for Guardian<M> {
    type Msg = M;
    type State = Guarded;
    type Arguments = Charge;

    async fn pre_start(&self, myself: ActorRef<M>, charge: Charge) -> Result<Guarded, ActorProcessingErr> {
        let Charge { slot, plan } = charge;
        let me = myself.get_id();
        route::expect::<M>();
        // The child may tell its ref, which is this actor's, before it has started.
        let gate = Gated { me, gate: route::add_guardian(&me, plan.comes_back().then_some(plan.hold)) };
        let runner = Arc::clone(slot.runner());
        let mut unplaced = runner.place(slot, me.pid(), plan.child.clone()).map_err(|err| match err {
            Error::RunnerLost { .. } => NotPlaced::NotSent,
            err => NotPlaced::Failed(err),
        })?;
        let pid = unplaced.placed().await.map_err(NotPlaced::Failed)?;
        let (child, exit) = (Arc::default(), Arc::new(OnceLock::new()));
        let keep = Keep {
            guardian: me.pid(),
            plan,
            gate: Arc::clone(&gate.gate),
            child: Arc::clone(&child),
            exit: Arc::clone(&exit),
        };
        let (ward, _) = Actor::spawn_linked(None, WardActor, keep, myself.get_cell()).await?;
        let placed = unplaced.into_child().ok_or("the child has ended")?;
        *child.lock() = Some(placed.clone());
        gate.gate.open(placed.link(), pid);
        placed.guard(&ward);
        Ok(Guarded { _gate: gate, child, ward, exit })
    }

    /// What another node sent to this as a member of a process group, over a session. All else leaves when it is sent.
    async fn handle(&self, myself: ActorRef<M>, message: M, _: &mut Guarded) -> Result<(), ActorProcessingErr> {
        route::pass_on(&myself.get_id(), message);
        Ok(())
    }

    /// A stop is the child's to carry out, and the guardian has ended when that has.
    async fn post_stop(&self, _: ActorRef<M>, guarded: &mut Guarded) -> Result<(), ActorProcessingErr> {
        if guarded.exit.get().is_none() {
            let _ = guarded.ward.cast(Ward::Stop);
            let _ = guarded.ward.wait(None).await;
            if let Some(Exit::Failed(error)) = guarded.exit.get() {
                return Err(Box::new(error.clone()));
            }
        }
        Ok(())
    }

    /// The ward ended as the child did; so does the guardian.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<M>,
        event: SupervisionEvent,
        _: &mut Guarded,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(_, _, reason) => myself.stop(reason),
            SupervisionEvent::ActorFailed(_, err) => return Err(err),
            _ => {}
        }
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.exit.get().is_none()
            && let Some(child) = &*self.child.lock()
        {
            child.order(Order::Kill);
        }
    }
}

/// Where messages for a child go. Dropped, they go nowhere.
struct Gated {
    me: ActorId,
    gate: Arc<Gate>,
}

impl Drop for Gated {
    fn drop(&mut self) {
        route::remove(&self.me);
    }
}
