//! Messages that reach a placed child over the codec, and what it answers.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{LocalMessage, Message, placeable};

use crate::{ask, pool, stop, try_ask};

#[derive(Message)]
enum ClerkMsg {
    Close,
    Chunk(#[serde(with = "serde_bytes")] Vec<u8>),
    Pair(u8, (), Option<String>),
    Named {
        r#type: u8,
        note: String,
    },
    Ask {
        question: String,
        reply: RpcReplyPort<Result<String, String>>,
        loud: bool,
    },
    Between(u8, RpcReplyPort<u8>, u8),
    Only {
        reply: RpcReplyPort<u64>,
    },
    /// Everything that came, in order.
    Log(RpcReplyPort<Vec<String>>),
    /// Drops the port.
    Ignore(RpcReplyPort<()>),
}

struct Clerk;

#[placeable]
impl Actor for Clerk {
    type Msg = ClerkMsg;
    type State = Vec<String>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ClerkMsg>, (): ()) -> Result<Vec<String>, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<ClerkMsg>,
        message: ClerkMsg,
        log: &mut Vec<String>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ClerkMsg::Close => log.push("close".to_owned()),
            ClerkMsg::Chunk(bytes) => log.push(format!("{bytes:?}")),
            ClerkMsg::Pair(number, (), text) => log.push(format!("{number} {text:?}")),
            ClerkMsg::Named { r#type, note } => log.push(format!("{type} {note}")),
            ClerkMsg::Ask { question, reply, loud: true } => reply.send(Ok(question.to_uppercase()))?,
            ClerkMsg::Ask { question, reply, loud: false } => reply.send(Err(question))?,
            ClerkMsg::Between(a, reply, b) => reply.send(a - b)?,
            ClerkMsg::Only { reply } => reply.send(42)?,
            ClerkMsg::Log(reply) => reply.send(log.clone())?,
            ClerkMsg::Ignore(reply) => drop(reply),
        }
        Ok(())
    }
}

#[tokio::test]
async fn variants_of_all_forms_arrive_in_order() {
    let pool = pool("variants").await;
    let clerk = pool.place_child(Clerk, ()).await.unwrap();
    clerk.cast(ClerkMsg::Close).unwrap();
    clerk.cast(ClerkMsg::Chunk(vec![1, 200])).unwrap();
    clerk.cast(ClerkMsg::Pair(7, (), Some("x".to_owned()))).unwrap();
    clerk.cast(ClerkMsg::Named { r#type: 8, note: "y".to_owned() }).unwrap();
    let log = ask(&clerk, ClerkMsg::Log).await;
    assert_eq!(log, ["close", "[1, 200]", "7 Some(\"x\")", "8 y"]);
    stop(&clerk).await;
    pool.shutdown().await;
}

#[tokio::test]
async fn a_reply_port_may_stand_anywhere_among_the_fields() {
    let pool = pool("ports").await;
    let clerk = pool.place_child(Clerk, ()).await.unwrap();
    assert_eq!(ask(&clerk, |reply| ClerkMsg::Between(9, reply, 2)).await, 7);
    assert_eq!(ask(&clerk, |reply| ClerkMsg::Only { reply }).await, 42);
    let question = || "why".to_owned();
    let loud = ask(&clerk, |reply| ClerkMsg::Ask { question: question(), reply, loud: true }).await;
    let quiet = ask(&clerk, |reply| ClerkMsg::Ask { question: question(), reply, loud: false }).await;
    assert_eq!((loud, quiet), (Ok("WHY".to_owned()), Err("why".to_owned())));
    stop(&clerk).await;
    pool.shutdown().await;
}

#[tokio::test]
async fn a_reply_port_that_is_dropped_there_ends_the_wait_here() {
    let pool = pool("ignored").await;
    let clerk = pool.place_child(Clerk, ()).await.unwrap();
    assert_eq!(try_ask(&clerk, ClerkMsg::Ignore).await, None);
    stop(&clerk).await;
    pool.shutdown().await;
}

#[tokio::test]
async fn a_message_for_an_actor_of_this_process_is_not_encoded() {
    let (clerk, ended) = Actor::spawn(None, Clerk, ()).await.unwrap();
    clerk.cast(ClerkMsg::Close).unwrap();
    assert_eq!(ask(&clerk, ClerkMsg::Log).await, ["close"]);
    clerk.stop(None);
    ended.await.unwrap();
}

#[derive(LocalMessage)]
enum LocalMsg {
    Run(Box<dyn FnOnce() -> u8 + Send>, RpcReplyPort<u8>),
}

#[derive(LocalMessage)]
struct LocalArray<T: Clone, const N: usize = 3>([T; N]);

struct Local;

impl Actor for Local {
    type Msg = LocalMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<LocalMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<LocalMsg>,
        LocalMsg::Run(work, reply): LocalMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(work())?)
    }
}

#[tokio::test]
async fn a_local_message_holds_what_cannot_be_encoded() {
    let (local, ended) = Actor::spawn(None, Local, ()).await.unwrap();
    let captured = 5;
    let answer = local.call(|reply| LocalMsg::Run(Box::new(move || captured + 1), reply), None).await.unwrap();
    assert_eq!(answer.unwrap(), 6);
    local.stop(None);
    ended.await.unwrap();
}

#[test]
fn only_a_cluster_message_is_announced_to_other_nodes() {
    use flame_actors::ractor::Message as Ractors;
    assert!(!ClerkMsg::serializable());
    assert!(!LocalMsg::serializable());
    assert!(!<LocalArray<u8> as Ractors>::serializable());
    assert!(crate::cluster::GreeterMsg::serializable());
}
