//! How the handler of a `#[placeable]` actor gets to its runner.

use std::marker::PhantomData;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{ActorAddr, Message, Placeable, placeable};
use serde::{Deserialize, Serialize};

use crate::{ask, pool, stop};

#[derive(Message)]
struct What(RpcReplyPort<String>);

/// Without serde, and without a field.
struct Unit;

#[placeable]
impl Actor for Unit {
    type Msg = What;
    type State = String;
    type Arguments = String;

    async fn pre_start(&self, _: ActorRef<What>, text: String) -> Result<String, ActorProcessingErr> {
        Ok(text)
    }

    async fn handle(&self, _: ActorRef<What>, What(reply): What, text: &mut String) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(text.clone())?)
    }
}

#[tokio::test]
async fn a_unit_handler_needs_no_serde() {
    assert_eq!(Unit.encode_handler(), Ok(Vec::new()));
    let Unit = Unit::decode_handler(b"").unwrap();
    let pool = pool("unit").await;
    let child = pool.place_child(Unit, "x".to_owned()).await.unwrap();
    assert_eq!(ask(&child, What).await, "x");
    stop(&child).await;
    pool.shutdown().await;
}

/// As little as `Unit`, although it has fields.
struct Hollow {
    none: [&'static str; 0],
    marker: PhantomData<fn() -> String>,
}

#[placeable]
impl Actor for Hollow {
    type Msg = What;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<What>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<What>, What(reply): What, (): &mut ()) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(format!("{:?} {}", self.marker, self.none.len()))?)
    }
}

#[tokio::test]
async fn a_handler_whose_fields_take_no_room_needs_no_serde() {
    let pool = pool("hollow").await;
    let child = pool.place_child(Hollow { none: [], marker: PhantomData }, ()).await.unwrap();
    assert!(ask(&child, What).await.ends_with(" 0"));
    stop(&child).await;
    pool.shutdown().await;
}

/// With a field; the `impl` names the type that it is generic over.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Worker<T> {
    number: T,
}

#[placeable]
impl Actor for Worker<u8> {
    type Msg = What;
    type State = Open;
    type Arguments = Open;

    async fn pre_start(&self, _: ActorRef<What>, open: Open) -> Result<Open, ActorProcessingErr> {
        Ok(open)
    }

    async fn handle(&self, _: ActorRef<What>, What(reply): What, open: &mut Open) -> Result<(), ActorProcessingErr> {
        let other = match &open.other {
            Some(other) => ask(other, What).await,
            None => "nobody".to_owned(),
        };
        Ok(reply.send(format!("{} and {other}", self.number))?)
    }
}

#[derive(Serialize, Deserialize)]
struct Open {
    other: Option<ActorAddr<What>>,
}

#[tokio::test]
async fn a_handler_with_fields_goes_by_serde() {
    let pool = pool("worker").await;
    let first = pool.place_child(Worker { number: 1_u8 }, Open { other: None }).await.unwrap();
    let second = pool.place_child(Worker { number: 2_u8 }, Open { other: Some((&first).into()) }).await.unwrap();
    assert_eq!(ask(&second, What).await, "2 and 1 and nobody");
    stop(&second).await;
    stop(&first).await;
    pool.shutdown().await;
}

#[test]
fn bytes_that_are_no_handler_are_an_error() {
    let bytes = Worker { number: 7_u8 }.encode_handler().unwrap();
    assert_eq!(Worker::<u8>::decode_handler(&bytes), Ok(Worker { number: 7 }));
    assert!(Worker::<u8>::decode_handler(b"\xc1").is_err());
    assert!(Worker::<u8>::decode_handler(b"").is_err());
}

#[test]
fn an_actor_is_named_by_its_path_and_its_types() {
    assert_eq!(Unit::NAME, "macros::handlers::Unit");
    assert_eq!(Worker::<u8>::NAME, "macros::handlers::Worker<u8>");
}
