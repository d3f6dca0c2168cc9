//! The supervisor of the placed children of one runner: hears how they end.

use std::sync::Weak;

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
        let (who, exit) = match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => (who, Exit::Stopped(reason)),
            SupervisionEvent::ActorFailed(who, err) => {
                let error = match err.downcast::<ChildError>() {
                    Ok(error) => *error,
                    Err(err) => ChildError::Failed(err.to_string()),
                };
                (who, Exit::Failed(error))
            }
            _ => return Ok(()),
        };
        if let Some(agent) = self.agent.upgrade() {
            agent.child_ended(who.get_id().pid(), exit);
        }
        Ok(())
    }
}
