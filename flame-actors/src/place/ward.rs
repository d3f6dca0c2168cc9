//! Keeps a child through its incarnations: takes its end, and places it again or ends with it.
//!
//! It is an actor of its own under the guardian, since an actor can only fail from a handler of its own, and the
//! guardian's own messages are the child's.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use super::Encoded;
use super::restart::{History, Intensity, Restart};
use crate::error::{ChildError, Error, Stage};
use crate::node::frame::{Exit, Order};
use crate::node::gate::Gate;
use crate::node::runtime;
use crate::pool::{Event, Pool};
use crate::runner::{ChildHandle, Runner, Unplaced};

/// How a child is placed, and placed again.
pub(super) struct Plan {
    pub(super) pool: Pool,
    pub(super) child: Encoded,
    pub(super) restart: Restart,
    pub(super) intensity: Intensity,
}

impl Plan {
    pub(super) fn comes_back(&self) -> bool {
        self.child.comes_back
    }
}

/// What a ward begins with.
pub(super) struct Keep {
    pub(super) guardian: u64,
    pub(super) plan: Plan,
    pub(super) gate: Arc<Gate>,
    /// The incarnation that lives, for the guardian to kill.
    pub(super) child: Arc<Mutex<Option<ChildHandle>>>,
    pub(super) exit: Arc<OnceLock<Exit>>,
}

pub(super) struct WardActor;

pub(crate) enum Ward {
    /// The child has ended.
    Ended(Exit),
    /// It was placed again, or not.
    Placed(Result<(Unplaced, u64), Error>),
    /// It is to end for good.
    Stop,
}

impl ractor::Message for Ward {}

pub(super) struct Keeping {
    keep: Keep,
    history: History,
    stopping: bool,
    placing: Option<JoinHandle<()>>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if let Some(placing) = &self.placing {
            placing.abort();
        }
        // Killed in the middle: the guardian may have gone before this child was there to be seen.
        if self.keep.exit.get().is_none()
            && let Some(child) = &*self.keep.child.lock()
        {
            child.order(Order::Kill);
        }
    }
}

impl Actor for WardActor {
    type Msg = Ward;
    type State = Keeping;
    type Arguments = Keep;

    async fn pre_start(&self, _: ActorRef<Ward>, keep: Keep) -> Result<Keeping, ActorProcessingErr> {
        Ok(Keeping { keep, history: History::default(), stopping: false, placing: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Ward>,
        message: Ward,
        keeping: &mut Keeping,
    ) -> Result<(), ActorProcessingErr> {
        let end = match message {
            Ward::Ended(exit) => keeping.ended(&myself, exit),
            Ward::Placed(Ok((unplaced, pid))) => keeping.placed(&myself, unplaced, pid),
            Ward::Placed(Err(err)) => keeping.not_placed(&myself, &err),
            Ward::Stop => keeping.stop(),
        };
        match end {
            None => Ok(()),
            Some(exit) => {
                let _ = keeping.keep.exit.set(exit.clone());
                keeping.tell_dropped(keeping.keep.gate.take_dropped());
                match exit {
                    Exit::Stopped(reason) => {
                        myself.stop(reason);
                        Ok(())
                    }
                    Exit::Failed(error) => Err(Box::new(error)),
                }
            }
        }
    }
}

impl Keeping {
    /// Given is how the ward ends, if it does.
    fn ended(&mut self, myself: &ActorRef<Ward>, exit: Exit) -> Option<Exit> {
        let child = self.keep.child.lock().take();
        if self.stopping || !self.keep.plan.restart.applies(&exit) {
            return Some(exit);
        }
        self.keep.gate.shut();
        // Its old incarnation may live as long as its runner does: after a loss that has to be gone first.
        let lost = match &exit {
            Exit::Failed(ChildError::RunnerLost { .. }) => child.map(|child| Arc::clone(child.runner())),
            _ => None,
        };
        self.again(myself, exit.to_string(), lost)
    }

    fn again(&mut self, myself: &ActorRef<Ward>, end: String, lost: Option<Arc<Runner>>) -> Option<Exit> {
        let Keep { plan, guardian, .. } = &self.keep;
        let (pool, actor, child) = (plan.pool.clone(), plan.child.actor, *guardian);
        pool.tell_event(|| Event::ChildEnded { actor: actor.to_owned(), child, end: end.clone() });
        tracing::info!(pool = pool.name(), actor, child, end, "a placed child ended, and is placed again");
        let Some(after) = self.history.add(end, plan.intensity, Instant::now()) else {
            let Intensity { max_restarts, period } = plan.intensity;
            let history = std::mem::take(&mut self.history).into_texts();
            return Some(Exit::Failed(ChildError::TooManyRestarts { max_restarts, period, history }));
        };
        let (guardian, encoded, ward) = (*guardian, plan.child.clone(), myself.clone());
        self.placing = Some(runtime::spawn(async move {
            if let Some(lost) = lost {
                // An error says the same.
                let _ = lost.gone().wait_for(|gone| *gone).await;
            }
            tokio::time::sleep(after).await;
            let placed = place_again(&pool, guardian, encoded).await;
            // A ward that has ended takes the child with it: what is in the message is dropped.
            let _ = ward.cast(Ward::Placed(placed));
        }));
        None
    }

    fn placed(&mut self, myself: &ActorRef<Ward>, unplaced: Unplaced, pid: u64) -> Option<Exit> {
        let child = unplaced.into_child()?;
        let Keep { plan, guardian, gate, .. } = &self.keep;
        let (actor, runner) = (plan.child.actor, child.runner().node().to_string());
        plan.pool.tell_event(|| Event::ChildPlaced { actor: actor.to_owned(), child: *guardian, runner });
        *self.keep.child.lock() = Some(child.clone());
        let dropped = gate.open(child.link(), pid);
        self.tell_dropped(dropped);
        child.guard(myself);
        None
    }

    fn not_placed(&mut self, myself: &ActorRef<Ward>, err: &Error) -> Option<Exit> {
        match err {
            // There is nothing to place it on any more.
            Error::PoolClosed { .. } => Some(Exit::Failed(ChildError::Failed(err.to_string()))),
            err => self.again(myself, format!("it was not placed again: {err}"), None),
        }
    }

    fn stop(&mut self) -> Option<Exit> {
        self.stopping = true;
        match &*self.keep.child.lock() {
            Some(child) => {
                child.order(Order::Stop(None));
                None
            }
            None => Some(Exit::Stopped(None)),
        }
    }

    fn tell_dropped(&self, messages: u64) {
        let Keep { plan, guardian, .. } = &self.keep;
        if messages > 0 {
            let (actor, child) = (plan.child.actor, *guardian);
            tracing::warn!(pool = plan.pool.name(), actor, child, messages, "dropped while the child was down");
            plan.pool.tell_event(|| Event::MessagesDropped { actor: actor.to_owned(), child, messages });
        }
    }
}

/// Starts one more incarnation, on whatever runner has a slot.
async fn place_again(pool: &Pool, guardian: u64, child: Encoded) -> Result<(Unplaced, u64), Error> {
    let mut asked = pool.ask_anew()?;
    loop {
        let slot = asked.slot(Some(pool.boot_timeout())).await?;
        let runner = Arc::clone(slot.runner());
        let mut unplaced = match runner.place(slot, guardian, child.clone()) {
            Ok(unplaced) => unplaced,
            Err(Error::RunnerLost { .. }) => {
                asked.again(&runner)?;
                continue;
            }
            Err(err) => return Err(err),
        };
        let after: Duration = pool.timeout();
        let late = |_| Error::Timeout { stage: Stage::Running, after, what: format!("the start of {}", child.actor) };
        let err = match tokio::time::timeout(after, unplaced.placed()).await {
            Ok(Ok(pid)) => return Ok((unplaced, pid)),
            Ok(Err(err)) => err,
            Err(elapsed) => {
                unplaced.give_up().await;
                late(elapsed)
            }
        };
        // There is never more than one of it, and a start on a lost runner may live as long as that does.
        runner.gone_if_closed().await;
        return Err(err);
    }
}
