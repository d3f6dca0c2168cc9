//! placed-actors.md.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, call};
use flame_actors::{
    ChildError, LocalMessage, Message, PlacementSupervisor, Pool, Restart, Snapshot, Strategy, placeable,
};
use flame_tests::{Runners, everywhere};
use libtest_mimic::Trial;
use tokio::sync::mpsc;

use crate::answers;

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![a_child_fails_towards_its_supervisor, a_child_comes_back, children_come_back_together]
}

// ANCHOR: counter
#[derive(Message)]
enum CounterMsg {
    Add(u64),
    Total(RpcReplyPort<u64>),
    Fail,
}

struct Counter;

#[placeable]
impl Actor for Counter {
    type Msg = CounterMsg;
    type State = u64;
    type Arguments = u64;

    async fn pre_start(&self, _: ActorRef<CounterMsg>, start: u64) -> Result<u64, ActorProcessingErr> {
        Ok(start)
    }

    async fn handle(
        &self,
        _: ActorRef<CounterMsg>,
        msg: CounterMsg,
        total: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            CounterMsg::Add(number) => *total += number,
            CounterMsg::Total(reply) => reply.send(*total)?,
            CounterMsg::Fail => return Err("the disk is full".into()),
        }
        Ok(())
    }
}
// ANCHOR_END: counter

// ANCHOR: snapshot
impl Snapshot for Counter {
    type Snapshot = u64;

    fn snapshot(&self, total: &mut u64) -> Option<u64> {
        Some(*total) // after each message
    }

    async fn restore(&self, _: ActorRef<CounterMsg>, _: u64, total: u64) -> Result<u64, ActorProcessingErr> {
        Ok(total) // in the place of pre_start
    }
}
// ANCHOR_END: snapshot

/// A supervisor that says what it hears.
struct Boss;

#[derive(LocalMessage)]
struct Nothing;

// ANCHOR: boss
impl Actor for Boss {
    type Msg = Nothing;
    type State = mpsc::UnboundedSender<String>;
    type Arguments = mpsc::UnboundedSender<String>;

    async fn pre_start(&self, _: ActorRef<Nothing>, said: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        Ok(said)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Nothing>,
        event: SupervisionEvent,
        said: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        said.send(match event {
            SupervisionEvent::ActorTerminated(_, _, reason) => format!("it stopped: {reason:?}"),
            SupervisionEvent::ActorFailed(_, err) => match err.downcast_ref::<ChildError>() {
                Some(ChildError::Failed(text)) => format!("it failed: {text}"),
                Some(ChildError::RunnerLost { cause, .. }) => format!("its runner is gone: {cause}"),
                Some(other) => other.to_string(), // a panic, or one restart too many
                None => err.to_string(),
            },
            _ => return Ok(()),
        })?;
        Ok(())
    }
}
// ANCHOR_END: boss

async fn a_child_fails_towards_its_supervisor(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    let (tx, mut said) = mpsc::unbounded_channel();
    let (boss, _) = Actor::spawn(None, Boss, tx).await?;
    // ANCHOR: linked
    let counter = pool.place_child(Counter, 40).linked_to(&boss.get_cell()).await?;
    counter.cast(CounterMsg::Add(2))?;
    assert_eq!(call!(counter, CounterMsg::Total)?, 42);
    let _ = counter.cast(CounterMsg::Fail); // an error, if the child has ended before this returns
    // ANCHOR_END: linked
    assert_eq!(said.recv().await.unwrap(), "it failed: the disk is full");
    let counter = pool.place_child(Counter, 40).linked_to(&boss.get_cell()).await?;
    counter.stop(Some("enough".to_owned()));
    assert!(said.recv().await.unwrap().starts_with("it stopped"));
    boss.stop(None);
    pool.shutdown().await;
    Ok(())
}

async fn total(counter: &ActorRef<CounterMsg>) -> u64 {
    call!(counter, CounterMsg::Total).unwrap_or_default()
}

async fn a_child_comes_back(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    // ANCHOR: restart
    let counter = pool
        .place_child(Counter, 40)
        .restart(Restart::Transient) // when it fails, panics, is killed or loses its runner
        .max_restarts(10, Duration::from_secs(60)) // one more fails it for good
        .hold_while_down(100) // so many messages wait for it meanwhile
        .await?;
    counter.cast(CounterMsg::Add(2))?;
    counter.cast(CounterMsg::Fail)?;
    // ANCHOR_END: restart
    answers(42, async || total(&counter).await).await;
    pool.shutdown().await;
    Ok(())
}

// ANCHOR: group
async fn place(
    pool: &Pool,
    group: &ActorRef<flame_actors::PlacementSupervisorMsg>,
) -> anyhow::Result<Vec<ActorRef<CounterMsg>>> {
    let mut counters = Vec::new();
    for start in [1, 2, 3] {
        let counter = pool.place_child(Counter, start).restart(Restart::Permanent).supervised_by(group);
        counters.push(counter.await?);
    }
    Ok(counters)
}
// ANCHOR_END: group

async fn children_come_back_together(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    // ANCHOR: strategy
    let group = PlacementSupervisor::new(Strategy::OneForAll).max_restarts(5, Duration::from_secs(60));
    let (group, _) = Actor::spawn(None, group, ()).await?;
    // ANCHOR_END: strategy
    let counters = place(&pool, &group).await?;
    counters[0].cast(CounterMsg::Add(10))?;
    counters[1].cast(CounterMsg::Fail)?;
    answers((11, 2), async || (total(&counters[0]).await, total(&counters[1]).await)).await;
    group.stop(None);
    pool.shutdown().await;
    Ok(())
}
