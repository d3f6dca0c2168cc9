//! Each operation, in each direction, with each end: what `book/src/references.md` says.

use std::future::Future;
use std::time::Duration;

use flame_actors::ractor::rpc::CallResult;
use flame_actors::ractor::{Actor, ActorRef, ActorStatus, MessagingErr, RpcReplyPort};
use flame_actors::{Error, MAX_MESSAGE_BYTES, Pool, remote};
use flame_tests::{Entry, Journal, Runners, process, trials};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

use crate::peer::{Keeper, Peer, PeerMsg, Poison, added, end, last_word, pid};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        from_the_parent_to_a_runner_everything_is_as_documented,
        from_a_runner_to_the_parent_everything_is_as_documented,
        from_a_runner_to_another_everything_is_as_documented,
        from_a_runner_to_what_a_task_raised_on_another_everything_is_as_documented,
        into_a_nested_pool_everything_is_as_documented,
        out_of_a_nested_pool_everything_is_as_documented,
        from_the_parent_to_a_child_in_process_everything_is_as_documented,
        from_a_task_in_process_to_the_parent_everything_is_as_locally,
        from_a_task_to_a_child_in_process_everything_is_as_documented,
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Direction {
    ParentToRunner,
    RunnerToParent,
    RunnerToRunner,
    /// No guardian in between: the parent only relays.
    RunnerToRaised,
    IntoNested,
    OutOfNested,
    ParentToInProcess,
    /// The ref is the actor itself, and nothing is encoded.
    InProcessToParent,
    InProcessToInProcess,
}

impl Direction {
    fn runners(self) -> Runners {
        match self {
            Self::ParentToInProcess | Self::InProcessToParent | Self::InProcessToInProcess => Runners::InProcess,
            _ => Runners::Processes,
        }
    }

    /// Whether this end can be tried.
    fn has(self, end: End) -> bool {
        match end {
            End::WayLost => self == Self::IntoNested,
            // A runner in this process is lost with it.
            End::NodeLost => self.runners() == Runners::Processes,
            _ => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Operation {
    Cast,
    Call,
    CallWithTimeout,
    SendAfter,
    Stop,
    Kill,
    StopAndWait,
    Drain,
    GetStatus,
    Link,
    Unlink,
    Monitor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    /// All goes well.
    Answered,
    PortDropped,
    TimedOut,
    /// With a call pending.
    Dies,
    /// With a reason of its own.
    StopsItself,
    GoneBefore,
    /// Its end is on its way.
    JustGone,
    Undecodable,
    OverLimit,
    /// The actor's node, or the sender's where the actor is the parent's.
    NodeLost,
    /// The node in between.
    WayLost,
    SupervisorEnds,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cell {
    direction: Direction,
    operation: Operation,
    end: End,
}

const TABLE: &[(Operation, &[End])] = {
    use End::*;
    use Operation::*;
    &[
        (Cast, &[Answered, GoneBefore, JustGone, Undecodable, OverLimit, NodeLost, WayLost]),
        (Call, &[Answered, PortDropped, Dies, GoneBefore, JustGone, Undecodable, OverLimit, NodeLost, WayLost]),
        (
            CallWithTimeout,
            &[Answered, TimedOut, PortDropped, Dies, GoneBefore, JustGone, Undecodable, OverLimit, NodeLost, WayLost],
        ),
        (SendAfter, &[Answered, GoneBefore, Undecodable, OverLimit, NodeLost, WayLost]),
        (Stop, &[Answered, Dies, GoneBefore, JustGone, NodeLost, WayLost]),
        (Kill, &[Answered, Dies, GoneBefore, JustGone, NodeLost, WayLost]),
        (StopAndWait, &[Answered, Dies, GoneBefore, JustGone, NodeLost, WayLost]),
        (Drain, &[Answered, Dies, GoneBefore, JustGone, NodeLost, WayLost]),
        (GetStatus, &[Answered, GoneBefore, NodeLost, WayLost]),
        (Link, &[Answered, Dies, StopsItself, GoneBefore, NodeLost, WayLost, SupervisorEnds]),
        (Unlink, &[Answered, SupervisorEnds]),
        (Monitor, &[Answered, Dies, StopsItself, GoneBefore, NodeLost, WayLost, SupervisorEnds]),
    ]
};

/// What an operation may take that ends "at once", on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(5);
/// A time-out that is not to be reached.
const LONG: Duration = Duration::from_secs(600);
const TOO_MUCH: usize = MAX_MESSAGE_BYTES + 1;
const SHORT: Duration = Duration::from_millis(50);

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into()) }
}

async fn at_once<F: Future>(what: &str, future: F) -> Result<F::Output, String> {
    tokio::time::timeout(AT_ONCE, future).await.map_err(|_| format!("not at once: {what}"))
}

async fn soon(what: &str, condition: impl Fn() -> bool) -> Checked {
    at_once(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// What the operation is tried on, as it travels to where it is tried.
#[derive(Serialize, Deserialize)]
struct Subject {
    cell: Cell,
    journal: Entry,
    /// Who is killed when a node is to be lost; `None` is whoever tries.
    victim: Option<u32>,
}

/// Tries a cell, on whatever node this is called.
#[remote]
async fn attempt(subject: Subject, peer: ActorRef<PeerMsg>) -> Checked {
    let Subject { cell, journal, victim } = subject;
    let trial = Attempt { cell, journal, victim, peer };
    match cell.end {
        End::GoneBefore => {
            last_word(&trial.peer, PeerMsg::Stop(None));
            at_once("the end is known", trial.peer.wait(None)).await?.map_err(|err| err.to_string())?;
        }
        End::JustGone => last_word(&trial.peer, PeerMsg::Stop(None)),
        _ => {}
    }
    trial.run().await
}

struct Attempt {
    cell: Cell,
    journal: Entry,
    victim: Option<u32>,
    peer: ActorRef<PeerMsg>,
}

impl Attempt {
    async fn run(&self) -> Checked {
        match self.cell.operation {
            Operation::Cast => self.cast().await,
            Operation::SendAfter => self.send_after().await,
            Operation::Call => self.call(None).await,
            Operation::CallWithTimeout => self.call(Some(LONG)).await,
            Operation::Stop | Operation::Kill | Operation::StopAndWait | Operation::Drain => self.stop().await,
            Operation::GetStatus => self.status().await,
            Operation::Link | Operation::Unlink | Operation::Monitor => self.supervise().await,
        }
    }

    fn lose(&self) {
        process::kill(self.victim.unwrap_or_else(std::process::id));
    }

    fn noted(&self, line: &str) -> bool {
        let text = std::fs::read_to_string(self.journal.path()).unwrap_or_default();
        text.lines().any(|known| known == line)
    }

    async fn ended(&self) -> Checked {
        at_once("the ref ends", self.peer.wait(None)).await?.map_err(|err| err.to_string())?;
        ensure(self.peer.get_status() == ActorStatus::Stopped, "it has ended and is not stopped")
    }

    /// After the end: whatever is sent fails, at once.
    async fn is_dead(&self) -> Checked {
        self.ended().await?;
        ensure(self.peer.cast(PeerMsg::Add(1)).is_err(), "a cast to a dead actor succeeded")?;
        let called = at_once("a call to a dead actor", self.peer.call(PeerMsg::Pid, None)).await?;
        ensure(called.is_err(), "a call to a dead actor was sent")
    }

    async fn lives(&self, expected: &[u64]) -> Checked {
        let found = at_once("it lives", added(&self.peer)).await?;
        ensure(found == expected, format!("it got {found:?} and not {expected:?}"))
    }

    fn message(&self) -> PeerMsg {
        match self.cell.end {
            End::Undecodable => PeerMsg::Poison(Poison),
            End::OverLimit => PeerMsg::Bytes(vec![0; TOO_MUCH]),
            _ => PeerMsg::Add(7),
        }
    }

    /// What the actor has of a message that cannot cross to another node, when it did not have to.
    fn uncrossed(&self) -> Option<u64> {
        match self.cell {
            Cell { direction: Direction::InProcessToParent, end: End::Undecodable, .. } => Some(u64::MAX),
            Cell { direction: Direction::InProcessToParent, end: End::OverLimit, .. } => Some(TOO_MUCH as u64),
            _ => None,
        }
    }

    async fn cast(&self) -> Checked {
        let sent = || self.peer.cast(self.message());
        if let Some(added) = self.uncrossed() {
            sent().map_err(|err| err.to_string())?;
            return self.lives(&[added]).await;
        }
        match self.cell.end {
            End::Answered => {
                sent().map_err(|err| err.to_string())?;
                self.lives(&[7]).await
            }
            End::GoneBefore => {
                ensure(matches!(sent(), Err(MessagingErr::SendErr(_))), "no SendErr")?;
                self.is_dead().await
            }
            End::JustGone => {
                let _ = sent();
                self.is_dead().await
            }
            End::Undecodable => {
                sent().map_err(|err| err.to_string())?;
                self.lives(&[]).await
            }
            End::OverLimit => {
                ensure(matches!(sent(), Err(MessagingErr::InvalidActorType)), "no InvalidActorType")?;
                self.lives(&[]).await
            }
            End::NodeLost | End::WayLost => {
                self.lose();
                let _ = sent();
                self.is_dead().await
            }
            other => Err(format!("no such end: {other:?}")),
        }
    }

    async fn send_after(&self) -> Checked {
        if matches!(self.cell.end, End::NodeLost | End::WayLost) {
            self.lose();
            self.ended().await?;
        }
        let message = self.message();
        let sent = at_once("the timer", self.peer.send_after(SHORT, || message)).await?;
        let sent = sent.map_err(|err| err.to_string())?;
        if let Some(added) = self.uncrossed() {
            sent.map_err(|err| err.to_string())?;
            return self.lives(&[added]).await;
        }
        match self.cell.end {
            End::Answered => {
                sent.map_err(|err| err.to_string())?;
                self.lives(&[7]).await
            }
            End::Undecodable => {
                sent.map_err(|err| err.to_string())?;
                self.lives(&[]).await
            }
            End::OverLimit => {
                ensure(matches!(sent, Err(MessagingErr::InvalidActorType)), "no InvalidActorType")?;
                self.lives(&[]).await
            }
            _ => {
                ensure(sent.is_err(), "it was sent to a dead actor")?;
                self.is_dead().await
            }
        }
    }

    async fn call(&self, timeout: Option<Duration>) -> Checked {
        let peer = &self.peer;
        let kept = || at_once("a call", peer.call(PeerMsg::Keep, timeout));
        let outcome = match self.cell.end {
            End::Answered => at_once("a call", peer.call(PeerMsg::Pid, timeout)).await?,
            End::PortDropped => at_once("a call", peer.call(PeerMsg::Ignore, timeout)).await?,
            End::TimedOut => at_once("a call", peer.call(PeerMsg::Keep, Some(SHORT))).await?,
            End::GoneBefore | End::JustGone => kept().await?,
            End::Undecodable => {
                let poison = |reply: RpcReplyPort<u32>| PeerMsg::PoisonAndPid(Poison, reply);
                at_once("a call", peer.call(poison, timeout)).await?
            }
            End::OverLimit => {
                let much = |reply| PeerMsg::BytesAndPid(vec![0; TOO_MUCH], reply);
                at_once("a call", peer.call(much, timeout)).await?
            }
            End::Dies => self.while_called(timeout, || last_word(peer, PeerMsg::Fail("it fails".to_owned()))).await?,
            End::NodeLost | End::WayLost => self.while_called(timeout, || self.lose()).await?,
            other => return Err(format!("no such end: {other:?}")),
        };
        let found = match &outcome {
            Ok(CallResult::Success(_)) => "Success",
            Ok(CallResult::Timeout) => "Timeout",
            Ok(CallResult::SenderError) => "SenderError",
            Err(MessagingErr::InvalidActorType) => "InvalidActorType",
            Err(MessagingErr::ChannelClosed) => "ChannelClosed",
            Err(MessagingErr::SendErr(_)) => "SendErr",
        };
        let expected: &[&str] = match self.cell.end {
            End::Answered => &["Success"],
            _ if self.uncrossed().is_some() => &["Success"],
            End::TimedOut => &["Timeout"],
            End::GoneBefore => &["SendErr"],
            End::JustGone => &["SenderError", "SendErr"],
            End::OverLimit => &["InvalidActorType"],
            _ => &["SenderError"],
        };
        ensure(expected.contains(&found), format!("{found} and not {expected:?}"))?;
        match self.cell.end {
            End::Dies | End::GoneBefore | End::JustGone | End::NodeLost | End::WayLost => self.is_dead().await,
            _ => self.lives(&[]).await,
        }
    }

    /// Does something while a call is pending over there.
    async fn while_called(
        &self,
        timeout: Option<Duration>,
        act: impl FnOnce(),
    ) -> Result<Result<CallResult<u32>, MessagingErr<PeerMsg>>, String> {
        let peer = self.peer.clone();
        let call = tokio::spawn(async move { peer.call(PeerMsg::Keep, timeout).await });
        // The first call to a new peer: once a second one is answered it is pending there.
        tokio::task::yield_now().await;
        at_once("a call besides", pid(&self.peer)).await?;
        act();
        at_once("the pending call", call).await?.map_err(|err| err.to_string())
    }

    async fn stop(&self) -> Checked {
        let peer = &self.peer;
        let reason = || Some("enough".to_owned());
        let lost = matches!(self.cell.end, End::NodeLost | End::WayLost);
        let pending = (self.cell.end == End::Dies).then(|| {
            let peer = peer.clone();
            tokio::spawn(async move { peer.call(PeerMsg::Keep, None).await })
        });
        if pending.is_some() {
            tokio::task::yield_now().await;
            at_once("a call besides", pid(peer)).await?;
        }
        if lost {
            self.lose();
        }
        match self.cell.operation {
            Operation::Stop => peer.stop(reason()),
            Operation::Kill => peer.kill(),
            Operation::Drain => drop(peer.drain()),
            _ => drop(at_once("a stop", peer.stop_and_wait(reason(), None)).await?),
        }
        self.ended().await?;
        let stops = matches!(self.cell.operation, Operation::Stop | Operation::StopAndWait);
        ensure(lost || !stops || self.noted("post_stop"), "the ref ended before the actor's post_stop had run")?;
        if let Some(pending) = pending {
            let call = at_once("the pending call", pending).await?.map_err(|err| err.to_string())?;
            let failed = !matches!(call, Ok(CallResult::Success(_) | CallResult::Timeout));
            ensure(failed, "the pending call was answered")?;
        }
        if !lost {
            soon("the real actor is gone", || self.noted("dropped")).await?;
            if self.cell.operation == Operation::Kill {
                let killed = matches!(self.cell.end, End::Answered | End::Dies);
                ensure(!killed || !self.noted("post_stop"), "it was stopped and not killed")?;
            } else {
                ensure(self.noted("post_stop"), "it was killed and not stopped")?;
            }
        }
        self.is_dead().await
    }

    async fn status(&self) -> Checked {
        match self.cell.end {
            // One that has just arrived is starting for a moment.
            End::Answered => soon("it runs", || self.peer.get_status() == ActorStatus::Running).await,
            End::GoneBefore => ensure(self.peer.get_status() == ActorStatus::Stopped, "it is not stopped"),
            _ => {
                self.lose();
                soon("it is stopped", || self.peer.get_status() == ActorStatus::Stopped).await
            }
        }
    }

    async fn supervise(&self) -> Checked {
        let (keeper, heard) = Keeper::start().await;
        let peer = self.peer.get_cell();
        match self.cell.operation {
            Operation::Link => peer.link(keeper.clone()),
            Operation::Unlink => {
                peer.link(keeper.clone());
                peer.unlink(keeper.clone());
            }
            _ => keeper.monitor(peer.clone()),
        }
        let expected = match self.cell.end {
            End::Answered => {
                peer.stop(Some("enough".to_owned()));
                "enough"
            }
            End::Dies => {
                last_word(&self.peer, PeerMsg::Fail("the disk is full".to_owned()));
                "the disk is full"
            }
            End::StopsItself => {
                last_word(&self.peer, PeerMsg::Stop(Some("it is done".to_owned())));
                "it is done"
            }
            End::NodeLost | End::WayLost => {
                // A ref that has just arrived is watched once something has come back.
                at_once("it answers", pid(&self.peer)).await?;
                self.lose();
                "was lost"
            }
            // As locally: nothing comes of it, and nobody is harmed.
            End::GoneBefore => return Ok(()),
            End::SupervisorEnds => {
                at_once("the supervisor's end", keeper.stop_and_wait(None, None))
                    .await?
                    .map_err(|err| err.to_string())?;
                if self.cell.operation == Operation::Link {
                    soon("the real actor is gone", || self.noted("dropped")).await?;
                    ensure(!self.noted("post_stop"), "it was stopped and not killed")?;
                    return self.is_dead().await;
                }
                return self.lives(&[]).await;
            }
            other => return Err(format!("no such end: {other:?}")),
        };
        self.ended().await?;
        if self.cell.operation == Operation::Unlink {
            keeper.stop_and_wait(None, None).await.map_err(|err| err.to_string())?;
            return ensure(heard.all().is_empty(), format!("unlinked, it heard {:?}", heard.all()));
        }
        soon("the supervisor hears of it", || !heard.all().is_empty()).await?;
        let all = heard.all();
        keeper.stop(None);
        ensure(all.len() == 1 && all[0].contains(expected), format!("it heard {all:?} and not \"{expected}\""))
    }
}

// ---- where it is tried -----------------------------------------------------------------------------------------

fn nested() -> Pool {
    Pool::named("nested").expect("each runner of the tests has it")
}

/// A peer that nobody placed.
#[remote]
async fn raise(journal: Entry) -> ActorRef<PeerMsg> {
    Actor::spawn(None, Peer, journal).await.expect("it starts").0
}

/// A peer on a runner of this runner.
#[remote]
async fn place_nested(journal: Entry) -> Result<(ActorRef<PeerMsg>, u32), Error> {
    // It lives until its pool or its runner ends.
    Ok((nested().place_child(Peer, journal).await?, std::process::id()))
}

/// Tries a cell on a runner of this runner.
#[remote]
async fn attempt_nested(subject: Subject, peer: ActorRef<PeerMsg>) -> Result<Checked, Error> {
    nested().call(attempt(subject, peer)).await
}

struct Place {
    /// Where the actors are.
    actors: Pool,
    /// Where operations are tried.
    senders: Pool,
}

impl Place {
    async fn new(direction: Direction) -> Self {
        let runners = direction.runners();
        Self { actors: runners.start().await, senders: runners.start().await }
    }

    async fn peer(&self, direction: Direction, journal: &Journal) -> Result<(ActorRef<PeerMsg>, Option<u32>), Error> {
        let journal = journal.entry();
        Ok(match direction {
            Direction::ParentToRunner
            | Direction::RunnerToRunner
            | Direction::ParentToInProcess
            | Direction::InProcessToInProcess => (self.actors.place_child(Peer, journal).await?, None),
            Direction::RunnerToRaised => (self.actors.call(raise(journal)).track_resources(true).await?, None),
            Direction::RunnerToParent | Direction::OutOfNested | Direction::InProcessToParent => {
                (Actor::spawn(None, Peer, journal).await.expect("it starts").0, None)
            }
            Direction::IntoNested => {
                let (peer, between) = self.actors.call(place_nested(journal)).await??;
                (peer, Some(between))
            }
        })
    }

    async fn run(&self, cell: Cell) -> Checked {
        let text = |err: Error| err.to_string();
        let journal = Journal::new();
        let (peer, between) = self.peer(cell.direction, &journal).await.map_err(text)?;
        let is_ours = matches!(cell.direction, Direction::RunnerToParent | Direction::OutOfNested);
        let is_lost = matches!(cell.end, End::NodeLost | End::WayLost);
        let victim = match cell.end {
            End::NodeLost if is_ours => None,
            End::WayLost => between,
            _ => Some(pid(&peer).await),
        };
        let subject = Subject { cell, journal: journal.entry(), victim };
        let travelling = peer.clone();
        let outcome = match cell.direction {
            Direction::ParentToRunner | Direction::IntoNested | Direction::ParentToInProcess => {
                attempt_here(subject, travelling).await
            }
            Direction::RunnerToParent
            | Direction::RunnerToRunner
            | Direction::RunnerToRaised
            | Direction::InProcessToParent
            | Direction::InProcessToInProcess => self.senders.call(attempt(subject, travelling)).await,
            Direction::OutOfNested => {
                self.senders.call(attempt_nested(subject, travelling)).await.and_then(|nested| nested)
            }
        };
        match outcome {
            Err(Error::RunnerLost { .. }) if is_lost && is_ours => {
                ensure(peer.get_status() == ActorStatus::Running, "it ended with its sender")?;
                at_once("it answers", pid(&peer)).await?;
            }
            other => other.map_err(text)??,
        }
        end(&peer).await;
        Ok(())
    }

    async fn leave(self) {
        self.senders.shutdown().await;
        self.actors.shutdown().await;
    }
}

async fn attempt_here(subject: Subject, peer: ActorRef<PeerMsg>) -> Result<Checked, Error> {
    // In a task of its own, as on a runner.
    Ok(tokio::spawn(attempt(subject, peer)).await.unwrap_or_else(|err| Err(err.to_string())))
}

async fn everything(direction: Direction) {
    let steady = Place::new(direction).await;
    let lossy = Place::new(direction).await;
    let (sibling, _) = steady.peer(direction, &Journal::new()).await.unwrap();
    let home = pid(&sibling).await;
    let mut faults = Vec::new();
    let mut tried = 0;
    for (operation, ends) in TABLE {
        for end in *ends {
            if !direction.has(*end) {
                continue;
            }
            let cell = Cell { direction, operation: *operation, end: *end };
            let place = if matches!(end, End::NodeLost | End::WayLost) { &lossy } else { &steady };
            tried += 1;
            if let Err(fault) = place.run(cell).await {
                faults.push(format!("{direction:?} × {operation:?} × {end:?}: {fault}"));
            }
            // The link still works, and nobody else was harmed.
            match at_once("a sibling lives", sibling.call(PeerMsg::Pid, None)).await {
                Ok(Ok(CallResult::Success(there))) if there == home => {}
                _ => panic!("{direction:?} × {operation:?} × {end:?} harmed a sibling; before: {faults:#?}"),
            }
        }
    }
    assert!(faults.is_empty(), "{} of {tried} cells: {faults:#?}", faults.len());
    end(&sibling).await;
    steady.leave().await;
    lossy.leave().await;
}

async fn from_the_parent_to_a_runner_everything_is_as_documented() {
    everything(Direction::ParentToRunner).await;
}

async fn from_a_runner_to_the_parent_everything_is_as_documented() {
    everything(Direction::RunnerToParent).await;
}

async fn from_a_runner_to_another_everything_is_as_documented() {
    everything(Direction::RunnerToRunner).await;
}

async fn from_a_runner_to_what_a_task_raised_on_another_everything_is_as_documented() {
    everything(Direction::RunnerToRaised).await;
}

async fn into_a_nested_pool_everything_is_as_documented() {
    everything(Direction::IntoNested).await;
}

async fn out_of_a_nested_pool_everything_is_as_documented() {
    everything(Direction::OutOfNested).await;
}

async fn from_the_parent_to_a_child_in_process_everything_is_as_documented() {
    everything(Direction::ParentToInProcess).await;
}

async fn from_a_task_in_process_to_the_parent_everything_is_as_locally() {
    everything(Direction::InProcessToParent).await;
}

async fn from_a_task_to_a_child_in_process_everything_is_as_documented() {
    everything(Direction::InProcessToInProcess).await;
}
