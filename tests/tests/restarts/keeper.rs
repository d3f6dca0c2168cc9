//! The supervisor of these trials: it hears how children end, and survives it.

use std::sync::Arc;

use flame_actors::LocalMessage;
use flame_actors::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use flame_tests::until;
use parking_lot::Mutex;

pub(crate) struct Keeper(Heard);

#[derive(LocalMessage)]
pub(crate) struct Nothing;

/// The ends that a keeper heard of.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    /// Waits for the one end, as `stopped: reason` or `failed: error`.
    pub(crate) async fn end(&self) -> String {
        until("the end of a child reaches its supervisor", || !self.all().is_empty()).await;
        let ends = self.all();
        assert_eq!(ends.len(), 1, "{ends:?}");
        ends[0].clone()
    }
}

impl Keeper {
    pub(crate) async fn start() -> (ActorCell, Heard) {
        let heard = Heard::default();
        let (keeper, _) = Actor::spawn(None, Self(heard.clone()), ()).await.expect("it starts");
        (keeper.get_cell(), heard)
    }
}

impl Actor for Keeper {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Nothing>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(_, _, reason) => {
                self.0.0.lock().push(format!("stopped: {}", reason.unwrap_or_default()));
            }
            SupervisionEvent::ActorFailed(_, err) => self.0.0.lock().push(format!("failed: {err}")),
            _ => {}
        }
        Ok(())
    }
}
