//! A type whose own `Deserialize` panics makes an error, and nothing else suffers.

use flame_actors::ractor::message::SerializedMessage;
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, Message as _, RpcReplyPort};
use flame_actors::{Error, Message, Pool, placeable, remote};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ask, pool, stop, try_ask};

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Grenade;

impl<'de> Deserialize<'de> for Grenade {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("boom")
    }
}

#[remote]
async fn take(_: Grenade) {}

#[remote]
async fn give() -> Grenade {
    Grenade
}

#[remote]
async fn fine() -> u8 {
    1
}

async fn assert_goes_on(pool: Pool) {
    assert_eq!(pool.call(fine()).await, Ok(1));
    pool.shutdown().await;
}

fn assert_says_boom<T>(result: Result<T, Error>) {
    let text = result.map(drop).unwrap_err().to_string();
    assert!(text.contains("boom"), "{text}");
}

#[tokio::test]
async fn an_argument_whose_decoder_panics_is_an_error() {
    let pool = pool("argument-panics").await;
    assert_says_boom(pool.call(take(Grenade)).await);
    assert_goes_on(pool).await;
}

#[tokio::test]
async fn a_result_whose_decoder_panics_is_an_error() {
    let pool = pool("result-panics").await;
    assert_says_boom(pool.call(give()).await);
    assert_goes_on(pool).await;
}

#[derive(Message)]
#[message(cluster)]
enum RangeMsg {
    Throw(Grenade),
    ThrowAndWait(Grenade, RpcReplyPort<u8>),
    Catch(RpcReplyPort<Grenade>),
    Fine(RpcReplyPort<u8>),
}

struct Range;

#[placeable]
impl Actor for Range {
    type Msg = RangeMsg;
    type State = ();
    type Arguments = Option<Grenade>;

    async fn pre_start(&self, _: ActorRef<RangeMsg>, _: Option<Grenade>) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<RangeMsg>, message: RangeMsg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match message {
            RangeMsg::Throw(Grenade) => {}
            RangeMsg::ThrowAndWait(Grenade, reply) | RangeMsg::Fine(reply) => reply.send(1)?,
            RangeMsg::Catch(reply) => reply.send(Grenade)?,
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_message_whose_decoder_panics_costs_the_child_nothing() {
    let pool = pool("message-panics").await;
    let range = pool.place_child(Range, None).await.unwrap();
    range.cast(RangeMsg::Throw(Grenade)).unwrap();
    assert_eq!(try_ask(&range, |reply| RangeMsg::ThrowAndWait(Grenade, reply)).await, None);
    assert_eq!(ask(&range, RangeMsg::Fine).await, 1);
    stop(&range).await;
    assert_goes_on(pool).await;
}

#[tokio::test]
async fn a_reply_whose_decoder_panics_ends_the_wait_for_it_alone() {
    let pool = pool("reply-panics").await;
    let range = pool.place_child(Range, None).await.unwrap();
    assert_eq!(try_ask(&range, RangeMsg::Catch).await, None);
    assert_eq!(ask(&range, RangeMsg::Fine).await, 1);
    stop(&range).await;
    assert_goes_on(pool).await;
}

#[tokio::test]
async fn arguments_of_a_child_whose_decoder_panics_are_an_error() {
    let pool = pool("start-panics").await;
    assert_says_boom(pool.place_child(Range, Some(Grenade)).await);
    assert_goes_on(pool).await;
}

#[test]
fn a_serialised_message_whose_decoder_panics_is_an_error_to_ractor() {
    let serialised = RangeMsg::Throw(Grenade).serialize().unwrap();
    assert!(matches!(serialised, SerializedMessage::Cast { .. }));
    assert!(RangeMsg::deserialize(serialised).is_err());
}
