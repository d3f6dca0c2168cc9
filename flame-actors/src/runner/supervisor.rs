//! The supervisor of the placed children of one runner: hears how they end.

use std::sync::{Arc, Weak};

use ractor::actor::messages::BoxedState;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::agent::Agent;
use crate::error::ChildError;
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
        let (who, state, exit) = match event {
            SupervisionEvent::ActorTerminated(who, state, reason) => (who, state, Exit::Stopped(reason)),
            SupervisionEvent::ActorFailed(who, err) => {
                let error = match err.downcast::<ChildError>() {
                    Ok(error) => *error,
                    Err(err) => ChildError::Failed(err.to_string()),
                };
                (who, None, Exit::Failed(error))
            }
            _ => return Ok(()),
        };
        if let Some(agent) = self.agent.upgrade() {
            agent.bury(Ended { agent: Arc::clone(&agent), state, pid: who.get_id().pid(), exit: Some(exit) });
        }
        Ok(())
    }
}

/// A child that has ended. Dropped, it is reported, after its state was dropped.
pub(super) struct Ended {
    agent: Arc<Agent>,
    state: Option<BoxedState>,
    pid: u64,
    exit: Option<Exit>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.state.take());
        if let Some(exit) = self.exit.take() {
            self.agent.child_ended(self.pid, exit);
        }
    }
}
