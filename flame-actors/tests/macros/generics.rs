//! Generic messages.

use flame_actors::ractor::{Actor, ActorRef, RpcReplyPort};
use flame_actors::{Message, Node};
use serde::{Deserialize, Serialize};

use crate::cluster::{Greeter, GreeterMsg};
use crate::wire::{port, travelled};

#[derive(Message, Debug)]
#[message(cluster)]
enum Generic<T, R, M = GreeterMsg, const N: usize = 2>
where
    T: Clone,
    M: Message,
{
    Item(T, Vec<T>),
    Array(Sized<N>),
    Call(T, RpcReplyPort<R>),
    Tell(ActorRef<M>),
    Myself(Option<ActorRef<Self>>),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sized<const N: usize>(u8);

type Texts = Generic<String, u8>;

#[test]
fn a_type_parameter_is_a_field() {
    let item = travelled(Texts::Item("a".to_owned(), vec!["b".to_owned()]));
    assert!(matches!(item, Texts::Item(one, many) if one == "a" && many == ["b"]));
}

#[test]
fn a_const_parameter_is_part_of_a_field() {
    assert!(matches!(travelled(Texts::Array(Sized(1))), Texts::Array(Sized::<2>(1))));
    let wider: Generic<u8, u8, GreeterMsg, 5> = Generic::Array(Sized(1));
    assert!(matches!(travelled(wider), Generic::Array(Sized::<5>(1))));
}

#[tokio::test]
async fn a_type_parameter_is_the_reply_alone() {
    let (port, reply) = port();
    let Texts::Call(text, port) = travelled(Texts::Call("x".to_owned(), port)) else {
        panic!("another variant");
    };
    assert_eq!(text, "x");
    port.send(3).unwrap();
    assert_eq!(reply.await, Ok(3));
}

#[tokio::test]
async fn a_type_parameter_is_the_message_of_a_reference() {
    // An address begins with the node's name.
    Node::start().await.unwrap();
    let (greeter, ended) = Actor::spawn(None, Greeter, ()).await.unwrap();
    assert!(matches!(travelled(Texts::Tell(greeter.clone())), Generic::Tell(same) if same == greeter));
    assert!(matches!(travelled(Texts::Myself(None)), Generic::Myself(None)));
    greeter.stop(None);
    ended.await.unwrap();
}

#[derive(Message, Debug, PartialEq, Eq)]
#[message(cluster)]
struct Bounded<T, U: Default + PartialEq>
where
    Vec<T>: Clone,
    T: Default,
{
    #[serde(default)]
    many: Vec<T>,
    #[serde(skip)]
    skipped: U,
    one: T,
}

#[test]
fn attributes_and_bounds_go_together() {
    let message = Bounded { many: vec![1_u8], skipped: 4_u32, one: 2_u8 };
    assert_eq!(travelled(message), Bounded { many: vec![1], skipped: 0, one: 2 });
}
