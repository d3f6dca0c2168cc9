//! Keeps a child through its incarnations: takes its end, and places it again or ends with it.
//!
//! It is an actor of its own under the guardian, since an actor can only fail from a handler of its own, and the
//! guardian's own messages are the child's.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use super::Encoded;
use super::restart::{History, Intensity, Losses, Restart};
use super::supervisor::{PlacementSupervisorMsg, Told};
use crate::error::{ChildError, Error, Stage};
use crate::node::frame::{Exit, Order};
use crate::node::gate::Gate;
use crate::node::{self, runtime};
use crate::pool::{Event, Pool};
use crate::report::report;
use crate::runner::{ChildHandle, Runner, Unplaced};

/// How a child is placed, and placed again.
pub(super) struct Plan {
    pub(super) pool: Pool,
    pub(super) child: Encoded,
    pub(super) restart: Restart,
    pub(super) intensity: Intensity,
    /// So many messages wait while the child is down.
    pub(super) hold: usize,
    /// Who decides about restarts instead.
    pub(super) group: Option<ActorRef<PlacementSupervisorMsg>>,
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
    /// It has handed over its state.
    Saved(Bytes),
    /// It is to be placed again, after a while.
    Begin(Duration),
    /// It is to leave this runner for another one, if it is there and comes back at all.
    Move(Arc<Runner>),
    /// It is to end until it is placed again.
    Halt,
    /// It is to end for good.
    Stop,
}

impl ractor::Message for Ward {}

pub(super) struct Keeping {
    keep: Keep,
    history: History,
    losses: Losses,
    /// When the incarnation started that lives.
    since: Option<Instant>,
    /// Whether the end of the child is wanted, and for what.
    wanted: Option<Wanted>,
    /// The runner that has to be gone before the child is placed again.
    lost: Option<Arc<Runner>>,
    placing: Option<JoinHandle<()>>,
    snapshot: Option<Bytes>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// To be placed again at once.
    Moved,
    /// Until its supervisor has it placed again.
    Halted,
    /// For good.
    Ended,
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

    async fn pre_start(&self, myself: ActorRef<Ward>, keep: Keep) -> Result<Keeping, ActorProcessingErr> {
        let (history, losses, since) = (History::default(), Losses::default(), Some(Instant::now()));
        let keeping = Keeping { keep, history, losses, since, wanted: None, lost: None, placing: None, snapshot: None };
        let child = keeping.keep.guardian;
        keeping.tell_group(Told::Joined { child, ward: myself });
        Ok(keeping)
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
            Ward::Saved(snapshot) => {
                keeping.snapshot = Some(snapshot);
                None
            }
            Ward::Begin(after) => {
                keeping.begin(&myself, after);
                None
            }
            Ward::Move(from) => {
                keeping.leave(&from);
                None
            }
            Ward::Halt => keeping.halt(),
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
        self.losses.lived(self.since.take().map_or(Duration::ZERO, |since| since.elapsed()));
        // A child may have failed with the loss of another runner, of a pool of its own.
        let lost = match &exit {
            Exit::Failed(ChildError::RunnerLost { node, .. }) => Some(node.as_str()),
            _ => None,
        };
        // Its old incarnation may live as long as its runner does: after a loss that has to be gone first.
        self.lost = child.map(|child| Arc::clone(child.runner())).filter(|runner| lost == Some(&**runner.node()));
        match self.wanted.take() {
            Some(Wanted::Moved) => {
                self.keep.gate.shut();
                self.begin(myself, Duration::ZERO);
                None
            }
            Some(Wanted::Halted) if self.keep.plan.comes_back() => {
                self.keep.gate.shut();
                self.tell_group(Told::Halted { child: self.keep.guardian });
                None
            }
            Some(_) => Some(exit),
            None if self.keep.plan.restart.applies(&exit) => {
                self.keep.gate.shut();
                self.again(myself, exit.to_string(), self.lost.is_some())
            }
            None => Some(exit),
        }
    }

    /// Has it placed again, or whoever supervises it decide. An end that its runner is to blame for does not count.
    fn again(&mut self, myself: &ActorRef<Ward>, end: String, is_lost: bool) -> Option<Exit> {
        let Keep { plan, guardian, .. } = &self.keep;
        let (child, intensity) = (*guardian, plan.intensity);
        let ended = Ended { pool: plan.pool.clone(), actor: plan.child.actor, child, end };
        let pause = is_lost.then(|| self.losses.add(node::jitter()));
        if plan.group.is_some() {
            self.tell_group(Told::Ended { child, ended, pause });
            return None;
        }
        let after = pause.or_else(|| self.history.add(ended.end.clone(), intensity, Instant::now()));
        ended.tell(after);
        match after {
            Some(after) => {
                self.begin(myself, after);
                None
            }
            None => Some(Exit::Failed(std::mem::take(&mut self.history).too_many(intensity))),
        }
    }

    fn begin(&mut self, myself: &ActorRef<Ward>, after: Duration) {
        if self.placing.is_some() || self.keep.child.lock().is_some() {
            return;
        }
        let Keep { plan, guardian, .. } = &self.keep;
        let (pool, guardian, ward) = (plan.pool.clone(), *guardian, myself.clone());
        let child = Encoded { snapshot: self.snapshot.clone(), ..plan.child.clone() };
        let lost = self.lost.take();
        self.placing = Some(runtime::spawn(async move {
            if let Some(lost) = lost {
                lost.gone_if_closed().await;
            }
            tokio::time::sleep(after).await;
            let placed = place_again(&pool, guardian, child).await;
            // A ward that has ended takes the child with it: what is in the message is dropped.
            let _ = ward.cast(Ward::Placed(placed));
        }));
    }

    fn placed(&mut self, myself: &ActorRef<Ward>, unplaced: Unplaced, pid: u64) -> Option<Exit> {
        self.placing = None;
        let child = unplaced.into_child()?;
        let Keep { plan, guardian, gate, .. } = &self.keep;
        let (actor, runner) = (plan.child.actor, child.runner().node().to_string());
        plan.pool.tell_event(|| Event::ChildPlaced { actor: actor.to_owned(), child: *guardian, runner });
        *self.keep.child.lock() = Some(child.clone());
        self.since = Some(Instant::now());
        if self.wanted.is_some() {
            // What waits goes to the next one.
            self.order_stop_in_time();
        } else {
            let dropped = gate.open(child.link(), pid);
            self.tell_dropped(dropped);
            self.tell_group(Told::Began { child: self.keep.guardian });
        }
        child.guard(myself);
        None
    }

    fn not_placed(&mut self, myself: &ActorRef<Ward>, err: &Error) -> Option<Exit> {
        self.placing = None;
        match (self.wanted.take(), err) {
            (Some(Wanted::Halted), _) => {
                self.tell_group(Told::Halted { child: self.keep.guardian });
                None
            }
            // There is nothing to place it on any more.
            (_, Error::PoolClosed { .. }) => Some(Exit::Failed(ChildError::Failed(err.to_string()))),
            (_, err) => {
                let is_lost = matches!(err, Error::RunnerLost { .. } | Error::Boot { .. });
                self.again(myself, format!("it was not placed again: {err}"), is_lost)
            }
        }
    }

    /// Its runner takes no more work, and goes when it has none: the child goes on elsewhere.
    fn leave(&mut self, from: &Arc<Runner>) {
        let is_there = self.keep.child.lock().as_ref().is_some_and(|child| Arc::ptr_eq(child.runner(), from));
        if is_there && self.wanted.is_none() && self.keep.plan.comes_back() {
            self.wanted = Some(Wanted::Moved);
            self.order_stop_in_time();
        }
    }

    /// The child is to be down. What is being placed comes up first, so that there is never one too many.
    fn halt(&mut self) -> Option<Exit> {
        if self.keep.child.lock().is_none() && self.placing.is_none() {
            self.tell_group(Told::Halted { child: self.keep.guardian });
            return None;
        }
        self.wanted = Some(Wanted::Halted);
        self.order_stop_in_time();
        None
    }

    fn order_stop_in_time(&self) {
        self.order_stop();
        // One that does not stop in time is killed, as OTP's supervisors do.
        let (child, grace) = (Arc::clone(&self.keep.child), self.keep.plan.pool.shutdown_timeout());
        let then = child.lock().clone();
        runtime::spawn(async move {
            tokio::time::sleep(grace).await;
            if let (Some(then), Some(now)) = (&then, &*child.lock())
                && then.is(now)
            {
                now.order(Order::Kill);
            }
        });
    }

    fn stop(&mut self) -> Option<Exit> {
        self.wanted = Some(Wanted::Ended);
        if self.order_stop() { None } else { Some(Exit::Stopped(None)) }
    }

    /// `false`: there is no child to be told.
    fn order_stop(&self) -> bool {
        let child = self.keep.child.lock();
        child.iter().for_each(|child| child.order(Order::Stop(None)));
        child.is_some()
    }

    fn tell_group(&self, told: Told) {
        if let Some(group) = &self.keep.plan.group {
            // A supervisor that has ended takes its children with it.
            let _ = group.cast(PlacementSupervisorMsg(told));
        }
    }

    fn tell_dropped(&self, messages: u64) {
        let Keep { plan, guardian, .. } = &self.keep;
        if messages > 0 {
            let (actor, child) = (plan.child.actor, *guardian);
            let pool = plan.pool.name().to_owned();
            report!(WARN, pool, actor, child, messages, "dropped while the child was down");
            plan.pool.tell_event(|| Event::MessagesDropped { actor: actor.to_owned(), child, messages });
        }
    }
}

/// An end of a child that comes back, to be told once somebody has decided when.
#[derive(Debug)]
pub(super) struct Ended {
    pool: Pool,
    actor: &'static str,
    child: u64,
    /// How it ended, or why it could not be placed again.
    pub(super) end: String,
}

impl Ended {
    /// Tells that the child is placed again after so long, or not any more.
    pub(super) fn tell(&self, again_in: Option<Duration>) {
        let Self { pool, actor, child, end } = self;
        let (name, kind, which, why) = (pool.name().to_owned(), *actor, *child, end.clone());
        match again_in {
            Some(after) => {
                report!(
                    INFO,
                    pool = name,
                    actor = kind,
                    child = which,
                    end = why,
                    ?after,
                    "a placed child ended, and comes back"
                );
            }
            None => {
                report!(
                    WARN,
                    pool = name,
                    actor = kind,
                    child = which,
                    end = why,
                    "a placed child ended once too often"
                );
            }
        }
        let (actor, end) = (|| (*actor).to_owned(), || end.clone());
        pool.tell_event(|| Event::ChildEnded { actor: actor(), child: *child, end: end(), again_in });
    }
}

/// Starts one more incarnation, on whatever runner has a slot.
async fn place_again(pool: &Pool, guardian: u64, child: Encoded) -> Result<(Unplaced, u64), Error> {
    let mut asked = pool.ask_anew()?;
    loop {
        let slot = asked.slot(Some(pool.longest_wait(None))).await?;
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
