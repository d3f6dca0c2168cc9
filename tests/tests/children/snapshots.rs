//! Children that hand over their state.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{Message, Pool, Restart, Snapshot, placeable};
use flame_tests::{Runners, eventually, everywhere, process, trials};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_child_starts_again_from_its_last_snapshot,
        without_a_snapshot_it_starts_from_its_arguments,
        a_snapshot_that_is_too_large_is_not_taken_and_harms_nobody,
    ];
    trials.extend(trials![a_snapshot_outlives_the_runner]);
    trials
}

#[derive(Message)]
enum TallyMsg {
    Add(u64),
    /// The state is handed over after this one.
    Save,
    /// The state is handed over with so many bytes more.
    Swell(usize),
    Told(RpcReplyPort<State>),
    Pid(RpcReplyPort<u32>),
    Fail,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    sum: u64,
    restored: bool,
    #[serde(skip)]
    due: Option<usize>,
    #[serde(with = "serde_bytes")]
    ballast: Vec<u8>,
}

struct Tally;

#[placeable]
impl Actor for Tally {
    type Msg = TallyMsg;
    type State = State;
    type Arguments = u64;

    async fn pre_start(&self, _: ActorRef<TallyMsg>, sum: u64) -> Result<State, ActorProcessingErr> {
        Ok(State { sum, ..State::default() })
    }

    async fn handle(
        &self,
        _: ActorRef<TallyMsg>,
        message: TallyMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TallyMsg::Add(number) => state.sum += number,
            TallyMsg::Save => state.due = Some(0),
            TallyMsg::Swell(bytes) => state.due = Some(bytes),
            TallyMsg::Told(reply) => reply.send(state.clone())?,
            TallyMsg::Pid(reply) => reply.send(std::process::id())?,
            TallyMsg::Fail => return Err("on purpose".into()),
        }
        Ok(())
    }
}

impl Snapshot for Tally {
    type Snapshot = State;

    fn snapshot(&self, state: &mut State) -> Option<State> {
        let bytes = state.due.take()?;
        Some(State { ballast: vec![0; bytes], ..state.clone() })
    }

    async fn restore(&self, _: ActorRef<TallyMsg>, _: u64, last: State) -> Result<State, ActorProcessingErr> {
        Ok(State { restored: true, ..last })
    }
}

async fn place(pool: &Pool) -> ActorRef<TallyMsg> {
    pool.place_child(Tally, 100).restart(Restart::Permanent).await.expect("it starts")
}

/// Its first answer after it has failed.
async fn again(tally: &ActorRef<TallyMsg>) -> State {
    tally.cast(TallyMsg::Fail).unwrap();
    // What reached it before its end was known is lost; ask until somebody answers.
    eventually("it answers", async {
        loop {
            match call!(tally, TallyMsg::Told) {
                Ok(state) => break state,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

async fn a_child_starts_again_from_its_last_snapshot(on: Runners) {
    let pool = on.start().await;
    let tally = place(&pool).await;
    for message in [TallyMsg::Add(1), TallyMsg::Save, TallyMsg::Add(10), TallyMsg::Save, TallyMsg::Add(5)] {
        tally.cast(message).unwrap();
    }
    let state = again(&tally).await;
    assert_eq!((state.sum, state.restored), (111, true), "what came after the last snapshot is lost");
    tally.cast(TallyMsg::Add(1)).unwrap();
    tally.cast(TallyMsg::Save).unwrap();
    assert_eq!(again(&tally).await.sum, 112, "and so on");
    pool.shutdown().await;
}

async fn without_a_snapshot_it_starts_from_its_arguments(on: Runners) {
    let pool = on.start().await;
    let tally = place(&pool).await;
    tally.cast(TallyMsg::Add(1)).unwrap();
    let state = again(&tally).await;
    assert_eq!((state.sum, state.restored), (100, false));
    pool.shutdown().await;
}

async fn a_snapshot_that_is_too_large_is_not_taken_and_harms_nobody(on: Runners) {
    let pool = on.start().await;
    let tally = place(&pool).await;
    tally.cast(TallyMsg::Save).unwrap();
    tally.cast(TallyMsg::Add(1)).unwrap();
    tally.cast(TallyMsg::Swell(flame_actors::MAX_MESSAGE_BYTES)).unwrap();
    assert_eq!(call!(tally, TallyMsg::Told).unwrap().sum, 101, "it lives on");
    let state = again(&tally).await;
    assert_eq!((state.sum, state.restored), (100, true), "the one before it stays");
    pool.shutdown().await;
}

async fn a_snapshot_outlives_the_runner() {
    let pool = Runners::Processes.start().await;
    let tally = place(&pool).await;
    tally.cast(TallyMsg::Add(1)).unwrap();
    tally.cast(TallyMsg::Save).unwrap();
    // Answered after the snapshot, on the same link.
    let first = call!(tally, TallyMsg::Pid).unwrap();
    process::kill(first);
    let state = eventually("it answers", async {
        loop {
            match call!(tally, TallyMsg::Told) {
                Ok(state) if state.restored => break state,
                _ => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(state.await.sum, 101);
    assert_ne!(call!(tally, TallyMsg::Pid).unwrap(), first);
    pool.shutdown().await;
}
