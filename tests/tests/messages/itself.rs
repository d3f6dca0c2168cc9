//! The ref that a placed child has of itself.

use flame_actors::ractor::rpc::CallResult;
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{ActorAddr, Message, placeable};
use flame_tests::{Journal, Runners, eventually, everywhere, trials};
use libtest_mimic::Trial;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::peer::{Keeper, Peer, PeerMsg, end, pid};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        the_ref_a_child_sends_home_is_the_guardian,
        what_is_sent_to_a_starting_child_arrives_in_order_once_it_has_started,
        a_call_to_a_child_that_refuses_to_start_ends_at_once,
    ];
    trials.extend(trials![
        a_ref_that_comes_back_to_its_runner_is_the_child_itself,
        a_ref_that_comes_back_to_a_child_in_process_is_its_guardian,
    ]);
    trials
}

async fn the_ref_a_child_sends_home_is_the_guardian(on: Runners) {
    let pool = on.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let named = call!(child, PeerMsg::Myself).unwrap();
    assert_eq!((named.get_id(), &named), (child.get_id(), &child));
    end(&named).await;
    pool.shutdown().await;
}

async fn a_ref_that_comes_back_to_its_runner_is_the_child_itself() {
    let pool = Runners::Processes.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let sibling = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let named = call!(child, PeerMsg::Myself).unwrap();
    assert!(call!(child, PeerMsg::IsMe, named.clone()).unwrap());
    assert!(call!(child, PeerMsg::IsMe, child.clone()).unwrap());
    assert!(!call!(child, PeerMsg::IsMe, sibling.clone()).unwrap());
    end(&child).await;
    end(&sibling).await;
    pool.shutdown().await;
}

async fn a_ref_that_comes_back_to_a_child_in_process_is_its_guardian() {
    let pool = Runners::InProcess.start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let sibling = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let named = call!(child, PeerMsg::Myself).unwrap();
    assert_eq!(named, child);
    assert!(!call!(child, PeerMsg::IsMe, named).unwrap());
    assert!(!call!(sibling, PeerMsg::IsMe, child.clone()).unwrap());
    end(&child).await;
    end(&sibling).await;
    pool.shutdown().await;
}

/// Tells its ref before it has started.
struct Early;

#[derive(Message)]
enum EarlyMsg {
    Add(u64),
    Added(RpcReplyPort<Vec<u64>>),
}

#[derive(Message)]
enum CradleMsg {
    /// A child that is starting; it waits for the answer.
    Born(ActorRef<EarlyMsg>, RpcReplyPort<()>),
}

/// Sends to the child that is starting.
struct Cradle(Mutex<Option<oneshot::Sender<Cried>>>);

struct Cried {
    child: ActorRef<EarlyMsg>,
    /// How a call ended that began before the child had started.
    call: tokio::task::JoinHandle<Option<Vec<u64>>>,
}

const EARLY: u64 = 1000;

impl Actor for Cradle {
    type Msg = CradleMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<CradleMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<CradleMsg>,
        CradleMsg::Born(child, started): CradleMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        for number in 0..EARLY {
            child.cast(EarlyMsg::Add(number))?;
        }
        let (tx, rx) = oneshot::channel();
        child.cast(EarlyMsg::Added(tx.into()))?;
        let call = tokio::spawn(async { rx.await.ok() });
        if let Some(cried) = self.0.lock().take() {
            let _ = cried.send(Cried { child, call });
        }
        started.send(())?;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct EarlyArgs {
    cradle: ActorAddr<CradleMsg>,
    refuse: bool,
}

#[placeable]
impl Actor for Early {
    type Msg = EarlyMsg;
    type State = Vec<u64>;
    type Arguments = EarlyArgs;

    async fn pre_start(&self, myself: ActorRef<EarlyMsg>, args: EarlyArgs) -> Result<Vec<u64>, ActorProcessingErr> {
        match args.cradle.call(|reply| CradleMsg::Born(myself, reply), None).await? {
            CallResult::Success(()) if args.refuse => Err("no, after all".into()),
            CallResult::Success(()) => Ok(Vec::new()),
            _ => Err("the cradle does not answer".into()),
        }
    }

    async fn handle(
        &self,
        _: ActorRef<EarlyMsg>,
        message: EarlyMsg,
        added: &mut Vec<u64>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EarlyMsg::Add(number) => added.push(number),
            EarlyMsg::Added(reply) => reply.send(added.clone())?,
        }
        Ok(())
    }
}

async fn cradle() -> (ActorRef<CradleMsg>, oneshot::Receiver<Cried>) {
    let (tx, rx) = oneshot::channel();
    let (cradle, _) = Actor::spawn(None, Cradle(Mutex::new(Some(tx))), ()).await.expect("it starts");
    (cradle, rx)
}

async fn what_is_sent_to_a_starting_child_arrives_in_order_once_it_has_started(on: Runners) {
    let pool = on.start().await;
    let (cradle, cried) = cradle().await;
    let arguments = EarlyArgs { cradle: (&cradle).into(), refuse: false };
    let child = pool.place_child(Early, arguments).await.unwrap();
    for number in EARLY..2 * EARLY {
        child.cast(EarlyMsg::Add(number)).unwrap();
    }
    let cried = cried.await.unwrap();
    // In process nothing is encoded between the child and an actor that it sends to, so that one has the child's own ref.
    assert_eq!(cried.child == child, on != Runners::InProcess);
    let early = eventually("the early call", cried.call).await.unwrap().expect("it was answered");
    assert!(early.into_iter().eq(0..EARLY));
    assert!(call!(child, EarlyMsg::Added).unwrap().into_iter().eq(0..2 * EARLY));
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn a_call_to_a_child_that_refuses_to_start_ends_at_once(on: Runners) {
    let pool = on.start().await;
    let (cradle, cried) = cradle().await;
    let arguments = EarlyArgs { cradle: (&cradle).into(), refuse: true };
    pool.place_child(Early, arguments).await.map(drop).unwrap_err();
    let cried = cried.await.unwrap();
    assert_eq!(eventually("the early call", cried.call).await.unwrap(), None);
    eventually("the end of its ref", cried.child.wait(None)).await.unwrap();
    // The runner is as good as before.
    let (keeper, _) = Keeper::start().await;
    let child = pool.place_child(Peer, Journal::new().entry()).linked_to(&keeper).await.unwrap();
    pid(&child).await;
    end(&child).await;
    pool.shutdown().await;
}
