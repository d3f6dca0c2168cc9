//! The placing actor: it takes what children send, and keeps how they end.

use std::sync::Arc;

use flame_actors::ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, call,
};
use flame_actors::{ChildError, Message};
use flame_tests::until;
use parking_lot::Mutex;

#[derive(Message)]
pub(crate) enum HomeMsg {
    Note(u64),
    /// Everything that was noted, in order.
    Noted(RpcReplyPort<Vec<u64>>),
    /// Twice the number.
    Double(u64, RpcReplyPort<u64>),
    /// Never answered.
    Ignore(RpcReplyPort<u64>),
}

/// How a child ended, as its supervisor saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Stopped(Option<String>),
    Failed(ChildError),
    /// An error that is no `ChildError`.
    Other(String),
}

#[derive(Clone, Default)]
pub(crate) struct Ends(Arc<Mutex<Vec<(ActorId, End)>>>);

impl Ends {
    pub(crate) fn all(&self) -> Vec<(ActorId, End)> {
        self.0.lock().clone()
    }

    /// Waits for the end of this child.
    pub(crate) async fn of(&self, child: &ActorCell) -> End {
        let find = || self.0.lock().iter().find(|(id, _)| *id == child.get_id()).map(|(_, end)| end.clone());
        until("the end of a child reaches its supervisor", || find().is_some()).await;
        find().expect("waited for it")
    }
}

pub(crate) struct Home(Ends);

impl Home {
    pub(crate) async fn start() -> (ActorRef<HomeMsg>, Ends) {
        let ends = Ends::default();
        let (home, _) = Actor::spawn(None, Self(ends.clone()), ()).await.expect("it starts");
        (home, ends)
    }
}

/// What was noted there.
pub(crate) async fn noted(home: &ActorRef<HomeMsg>) -> Vec<u64> {
    call!(home, HomeMsg::Noted).expect("it answers")
}

impl Actor for Home {
    type Msg = HomeMsg;
    type State = Vec<u64>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<HomeMsg>, (): ()) -> Result<Vec<u64>, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<HomeMsg>,
        message: HomeMsg,
        noted: &mut Vec<u64>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HomeMsg::Note(number) => noted.push(number),
            HomeMsg::Noted(reply) => reply.send(noted.clone())?,
            HomeMsg::Double(number, reply) => reply.send(2 * number)?,
            HomeMsg::Ignore(reply) => drop(reply),
        }
        Ok(())
    }

    /// It goes on whatever becomes of its children.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<HomeMsg>,
        event: SupervisionEvent,
        _: &mut Vec<u64>,
    ) -> Result<(), ActorProcessingErr> {
        let (who, end) = match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => (who, End::Stopped(reason)),
            SupervisionEvent::ActorFailed(who, err) => match err.downcast::<ChildError>() {
                Ok(error) => (who, End::Failed(*error)),
                Err(err) => (who, End::Other(err.to_string())),
            },
            _ => return Ok(()),
        };
        self.0.0.lock().push((who.get_id(), end));
        Ok(())
    }
}
