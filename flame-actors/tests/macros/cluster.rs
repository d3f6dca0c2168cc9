//! `#[message(cluster)]`: messages for everyone, by ractor's own remoting.

use flame_actors::ractor::message::SerializedMessage;
use flame_actors::ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, Message as _, RpcReplyPort};
use flame_actors::{Message, placeable};

use crate::wire::{port, travelled};
use crate::{ask, pool, stop};

#[derive(Message, Debug)]
#[message(cluster)]
pub(crate) enum GreeterMsg {
    Say(String),
    Greet(String, RpcReplyPort<String>),
}

#[derive(Debug)]
pub(crate) struct Greeter;

#[placeable]
impl Actor for Greeter {
    type Msg = GreeterMsg;
    type State = String;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<GreeterMsg>, (): ()) -> Result<String, ActorProcessingErr> {
        Ok("hello".to_owned())
    }

    async fn handle(
        &self,
        _: ActorRef<GreeterMsg>,
        message: GreeterMsg,
        greeting: &mut String,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            GreeterMsg::Say(text) => *greeting = text,
            GreeterMsg::Greet(name, reply) => reply.send(format!("{greeting} {name}"))?,
        }
        Ok(())
    }
}

const ELSEWHERE: ActorId = ActorId::Remote { node_id: 1, pid: 1 };

#[test]
fn a_cluster_message_for_another_node_is_boxed_as_bytes() {
    assert!(GreeterMsg::serializable());
    let boxed = GreeterMsg::Say("x".to_owned()).box_message(&ELSEWHERE).unwrap();
    assert!(matches!(boxed.serialized_msg, Some(SerializedMessage::Cast { .. })));
    let back = GreeterMsg::from_boxed(boxed);
    assert!(matches!(back, Ok(GreeterMsg::Say(text)) if text == "x"));
}

#[test]
fn a_cluster_message_for_this_node_is_boxed_as_it_is() {
    let boxed = GreeterMsg::Say("x".to_owned()).box_message(&ActorId::Local(1)).unwrap();
    assert!(boxed.serialized_msg.is_none());
    let back = GreeterMsg::from_boxed(boxed);
    assert!(matches!(back, Ok(GreeterMsg::Say(text)) if text == "x"));
}

#[tokio::test]
async fn a_reply_comes_back_through_a_serialised_call() {
    let (port, reply) = port();
    let boxed = GreeterMsg::Greet("you".to_owned(), port).box_message(&ELSEWHERE).unwrap();
    assert!(matches!(boxed.serialized_msg, Some(SerializedMessage::Call { .. })));
    let Ok(GreeterMsg::Greet(name, port)) = GreeterMsg::from_boxed(boxed) else {
        panic!("another variant");
    };
    port.send(format!("hello {name}")).unwrap();
    assert_eq!(reply.await, Ok("hello you".to_owned()));
}

#[tokio::test]
async fn a_port_that_is_dropped_there_closes_the_one_here() {
    let (port, reply) = port();
    drop(travelled(GreeterMsg::Greet("you".to_owned(), port)));
    assert!(reply.await.is_err());
}

#[test]
fn bytes_that_are_no_message_are_an_error_to_ractor() {
    let wrong = SerializedMessage::Cast { variant: String::new(), args: vec![0xc1], metadata: None };
    assert!(GreeterMsg::deserialize(wrong).is_err());
    let reply = SerializedMessage::CallReply(1, Vec::new());
    assert!(GreeterMsg::deserialize(reply).is_err());
}

#[tokio::test]
async fn a_call_that_comes_without_its_port_is_an_error() {
    let (port, _reply) = port();
    let body = crate::wire::body(GreeterMsg::Greet("you".to_owned(), port));
    let refused = GreeterMsg::decode(&body, None).unwrap_err();
    assert!(refused.to_string().contains("reply port"), "{refused}");
}

#[tokio::test]
async fn a_placed_child_takes_cluster_messages_too() {
    let pool = pool("cluster").await;
    let greeter = pool.place_child(Greeter, ()).await.unwrap();
    greeter.cast(GreeterMsg::Say("good day".to_owned())).unwrap();
    assert_eq!(ask(&greeter, |reply| GreeterMsg::Greet("you".to_owned(), reply)).await, "good day you");
    stop(&greeter).await;
    pool.shutdown().await;
}
