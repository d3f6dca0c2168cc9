//! A supervisor of placed children, with OTP's strategies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::restart::{History, Intensity};
use super::ward::{Ended, Ward};
use crate::error::ChildError;
use crate::report::report;

/// An actor that supervises placed children together, and places them again by a [`Strategy`].
///
/// It is an ordinary actor, to be spawned under any supervisor; children are placed under it by
/// [`Place::supervised_by`](crate::Place::supervised_by), and start in the order in which they are placed. Which of them
/// come back is said to each by [`Place::restart`](crate::Place::restart); their refs stay valid. The intensity is one
/// for all of them together, 3 restarts within 5 s by default: past it the supervisor fails with
/// [`ChildError::TooManyRestarts`], which its own supervisor gets, and its children end. Losses of runners do not count.
///
/// ```
/// # use flame_actors::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
/// # use flame_actors::{Message, PlacementSupervisor, Pool, Restart, Strategy, placeable};
/// # #[derive(Message)] enum RoomMsg { Say(String) }
/// # struct Room;
/// # #[placeable]
/// # impl Actor for Room {
/// #     type Msg = RoomMsg; type State = (); type Arguments = String;
/// #     async fn pre_start(&self, _: ActorRef<RoomMsg>, _: String) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # async fn example(pool: Pool, me: ActorCell) -> anyhow::Result<()> {
/// let rooms = PlacementSupervisor::new(Strategy::OneForOne);
/// let (rooms, _) = Actor::spawn_linked(None, rooms, (), me).await?;
/// let lobby = pool.place_child(Room, "lobby".to_owned()).restart(Restart::Permanent).supervised_by(&rooms).await?;
/// lobby.cast(RoomMsg::Say("hello".to_owned()))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PlacementSupervisor {
    strategy: Strategy,
    intensity: Intensity,
}

/// Which children are placed again when one has ended that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// That one.
    OneForOne,
    /// All: the others are stopped, the last one first, and then they start in order.
    OneForAll,
    /// That one and those that were placed after it, likewise.
    RestForOne,
}

impl PlacementSupervisor {
    /// A supervisor with this strategy.
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, intensity: Intensity::default() }
    }

    /// Sets how many restarts are made within a period, of all children together. Default: 3 within 5 s.
    ///
    /// Losses of runners do not count: see [`Place::max_restarts`](crate::Place::max_restarts).
    #[must_use]
    pub fn max_restarts(mut self, max_restarts: usize, period: Duration) -> Self {
        self.intensity = Intensity { max_restarts, period };
        self
    }
}

/// What the supervisor's children tell it; nothing for others to send.
#[derive(Debug)]
pub struct PlacementSupervisorMsg(pub(super) Told);

#[derive(Debug)]
pub(super) enum Told {
    /// A child was placed, and this keeps it.
    Joined { child: u64, ward: ActorRef<Ward> },
    /// It has ended, or could not be placed again, and is to come back. After the loss of its runner, which does not
    /// count, with the pause before that.
    Ended { child: u64, ended: Ended, pause: Option<Duration> },
    /// It was stopped, as it was asked to.
    Halted { child: u64 },
    /// It runs again.
    Began { child: u64 },
}

impl ractor::Message for PlacementSupervisorMsg {}

/// The children of a [`PlacementSupervisor`].
#[derive(Debug, Default)]
pub struct Supervised {
    /// By the pid of their guardian, which is the order in which they were placed.
    children: BTreeMap<u64, Child>,
    /// Those that are to be down all at the same time, before they begin in order.
    together: BTreeSet<u64>,
    history: History,
    after: Duration,
}

#[derive(Debug)]
struct Child {
    ward: ActorRef<Ward>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Up,
    Halting,
    Down,
    Beginning,
}

impl Actor for PlacementSupervisor {
    type Msg = PlacementSupervisorMsg;
    type State = Supervised;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<PlacementSupervisorMsg>, (): ()) -> Result<Supervised, ActorProcessingErr> {
        Ok(Supervised::default())
    }

    async fn handle(
        &self,
        _: ActorRef<PlacementSupervisorMsg>,
        PlacementSupervisorMsg(told): PlacementSupervisorMsg,
        supervised: &mut Supervised,
    ) -> Result<(), ActorProcessingErr> {
        match told {
            Told::Joined { child, ward } => {
                supervised.children.insert(child, Child { ward, stage: Stage::Up });
            }
            Told::Ended { child, ended, pause } => supervised.ended(child, &ended, pause, self)?,
            // One that had ended before it was told to tells both, and one that was moved begins by itself.
            Told::Halted { child } if supervised.stage(child) == Some(Stage::Halting) => {
                supervised.set(child, Stage::Down);
            }
            Told::Began { child } if supervised.stage(child) == Some(Stage::Beginning) => {
                supervised.set(child, Stage::Up);
                supervised.together.remove(&child);
            }
            Told::Halted { .. } | Told::Began { .. } => {}
        }
        supervised.advance();
        Ok(())
    }

    /// A child has ended for good.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<PlacementSupervisorMsg>,
        event: SupervisionEvent,
        supervised: &mut Supervised,
    ) -> Result<(), ActorProcessingErr> {
        let who = match event {
            SupervisionEvent::ActorTerminated(who, ..) => who,
            SupervisionEvent::ActorFailed(who, err) => {
                let child = who.get_id();
                report!(WARN, %child, %err, "a supervised child ended for good");
                who
            }
            _ => return Ok(()),
        };
        supervised.forget(who.get_id().pid());
        supervised.advance();
        Ok(())
    }
}

impl Supervised {
    fn set(&mut self, child: u64, stage: Stage) {
        if let Some(child) = self.children.get_mut(&child) {
            child.stage = stage;
        }
    }

    fn ended(
        &mut self,
        child: u64,
        ended: &Ended,
        pause: Option<Duration>,
        supervisor: &PlacementSupervisor,
    ) -> Result<(), ChildError> {
        let PlacementSupervisor { strategy, intensity } = *supervisor;
        let was = self.stage(child);
        self.set(child, Stage::Down);
        if self.together.contains(&child) && was != Some(Stage::Beginning) {
            // It was to go down with the others: lost with the same runner, it is one restart of them all.
            self.after = self.after.max(pause.unwrap_or_default());
            ended.tell(Some(self.after));
            return Ok(());
        }
        let after = pause.or_else(|| self.history.add(ended.end.clone(), intensity, Instant::now()));
        ended.tell(after);
        let Some(after) = after else { return Err(std::mem::take(&mut self.history).too_many(intensity)) };
        match strategy {
            Strategy::OneForOne => {
                self.order(child, Stage::Beginning, Ward::Begin(after));
            }
            Strategy::OneForAll => self.together.extend(self.children.keys()),
            Strategy::RestForOne => self.together.extend(self.children.range(child..).map(|(child, _)| child)),
        }
        self.after = after;
        Ok(())
    }

    /// Takes the next step with those that go down and come up together, one child at a time.
    fn advance(&mut self) {
        loop {
            let stages = self.together.iter().filter_map(|child| Some((*child, self.stage(*child)?)));
            let stages: Vec<(u64, Stage)> = stages.collect();
            if stages.iter().any(|(_, stage)| matches!(stage, Stage::Halting | Stage::Beginning)) {
                return;
            }
            let told = match (stages.iter().rev().find(|(_, stage)| *stage == Stage::Up), stages.first()) {
                (Some((child, _)), _) => self.order(*child, Stage::Halting, Ward::Halt),
                (None, Some((child, _))) => self.order(*child, Stage::Beginning, Ward::Begin(self.after)),
                (None, None) => return,
            };
            if told {
                return;
            }
        }
    }

    /// `false`: it has ended for good, and is forgotten. Its end may have been heard before it had joined.
    fn order(&mut self, child: u64, stage: Stage, order: Ward) -> bool {
        self.set(child, stage);
        let told = self.children.get(&child).is_some_and(|child| child.ward.cast(order).is_ok());
        if !told {
            self.forget(child);
        }
        told
    }

    fn forget(&mut self, child: u64) {
        self.children.remove(&child);
        self.together.remove(&child);
    }

    fn stage(&self, child: u64) -> Option<Stage> {
        self.children.get(&child).map(|child| child.stage)
    }
}
