//! The supervisor of the placed children of one runner: hears how they end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use ractor::actor::messages::BoxedState;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::agent::Agent;
use crate::error::{ChildError, panic_text};
use crate::node::frame::Exit;

/// The supervisor of all placed children of this runner.
pub(super) struct Supervisor {
    pub(super) agent: Weak<Agent>,
}

pub(super) enum SupervisorMsg {}

impl ractor::Message for SupervisorMsg {}

impl Actor for Supervisor {
    type Msg = SupervisorMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<SupervisorMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let (who, end) = match event {
            SupervisionEvent::ActorTerminated(who, state, reason) => (who, End::Terminated(state, reason)),
            SupervisionEvent::ActorFailed(who, err) => (who, End::Failed(err)),
            _ => return Ok(()),
        };
        if let Some(agent) = self.agent.upgrade() {
            agent.drop_on_app(Ended { agent: Arc::clone(&agent), pid: who.get_id().pid(), end: Some(end) });
        }
        Ok(())
    }
}

/// A child that has ended. Dropped, it is reported, after its state was dropped.
pub(super) struct Ended {
    agent: Arc<Agent>,
    pid: u64,
    end: Option<End>,
}

/// How it has ended, with what is the user's.
enum End {
    Terminated(Option<BoxedState>, Option<String>),
    Failed(ActorProcessingErr),
}

impl End {
    fn exit(self) -> Exit {
        match self {
            Self::Terminated(state, reason) => {
                drop(state);
                Exit::Stopped(reason)
            }
            Self::Failed(err) => Exit::Failed(match err.downcast::<ChildError>() {
                Ok(error) => *error,
                Err(err) => ChildError::Failed(err.to_string()),
            }),
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Some(end) = self.end.take() else { return };
        // Its end is reported whatever a destructor or the text of an error does.
        let exit = catch_unwind(AssertUnwindSafe(|| end.exit()));
        let exit = exit.unwrap_or_else(|panic| Exit::Failed(ChildError::Panicked(panic_text(panic))));
        self.agent.child_ended(self.pid, exit);
    }
}
