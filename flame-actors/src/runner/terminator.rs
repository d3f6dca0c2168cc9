//! Decides when this runner leaves: told by its pool or its platform, or bereft of its parent.

use std::sync::Weak;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::agent::Agent;
use crate::error::Cause;

pub(crate) struct Terminator {
    pub(crate) agent: Weak<Agent>,
    /// What unlinked work has after the loss of the parent, and all work after a signal to leave.
    pub(crate) shutdown_timeout: Duration,
}

pub(crate) enum TerminatorMsg {
    /// This runner is wanted away, by its platform or by itself.
    Asked,
    /// The pool sends this runner away; what runs has this grace.
    Leave(Duration),
    /// The link is closed.
    ParentLost(Cause),
    /// Some work ended while leaving.
    WorkEnded,
    GraceOver,
}

impl ractor::Message for TerminatorMsg {}

impl Actor for Terminator {
    type Msg = TerminatorMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<TerminatorMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<TerminatorMsg>,
        message: TerminatorMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Some(agent) = self.agent.upgrade() else {
            myself.stop(None);
            return Ok(());
        };
        let over = match message {
            TerminatorMsg::Asked => {
                // The pool has work on its way: only when it has answered nothing more will come.
                agent.ask_to_leave();
                myself.send_after(self.shutdown_timeout, || TerminatorMsg::GraceOver);
                false
            }
            TerminatorMsg::Leave(grace) => {
                agent.set_leaving(false);
                myself.send_after(grace, || TerminatorMsg::GraceOver);
                agent.may_stop()
            }
            TerminatorMsg::ParentLost(cause) => {
                // Closing the link is also how a runner that was sent away ends.
                let orphaned = cause != Cause::Stopped;
                if orphaned {
                    tracing::warn!(%cause, "the parent is gone: this runner leaves");
                }
                agent.set_leaving(orphaned);
                agent.abort_work(false);
                myself.send_after(self.shutdown_timeout, || TerminatorMsg::GraceOver);
                agent.may_stop()
            }
            TerminatorMsg::WorkEnded => agent.may_stop(),
            TerminatorMsg::GraceOver => true,
        };
        if over {
            agent.stop();
            myself.stop(None);
        }
        Ok(())
    }
}
