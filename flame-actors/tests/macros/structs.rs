//! Structs as messages.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{Message, placeable};
use serde_json::json;

use crate::wire::{port, readable, travelled};
use crate::{ask, pool, stop};

#[derive(Message)]
struct Question {
    number: u8,
    reply: RpcReplyPort<u8>,
}

struct Doubler;

#[placeable]
impl Actor for Doubler {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Question>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Question>,
        Question { number, reply }: Question,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(number * 2)?)
    }
}

#[tokio::test]
async fn a_struct_is_a_message_of_one_kind() {
    let pool = pool("struct").await;
    let doubler = pool.place_child(Doubler, ()).await.unwrap();
    assert_eq!(ask(&doubler, |reply| Question { number: 4, reply }).await, 8);
    stop(&doubler).await;
    pool.shutdown().await;
}

#[derive(Message, Debug, PartialEq, Eq)]
#[message(cluster)]
struct Tick;

#[derive(Message, Debug, PartialEq, Eq)]
#[message(cluster)]
#[serde(transparent)]
struct Number(u8);

#[derive(Message, Debug, PartialEq, Eq)]
#[message(cluster)]
struct Pair(u8, String);

#[test]
fn structs_of_all_forms_travel() {
    assert_eq!(travelled(Tick), Tick);
    assert_eq!(travelled(Number(4)), Number(4));
    assert_eq!(travelled(Pair(4, "x".to_owned())), Pair(4, "x".to_owned()));
}

#[test]
fn a_transparent_struct_is_its_field_on_the_wire() {
    assert_eq!(readable(Number(4)), json!(4));
}

#[derive(Message)]
#[message(cluster)]
struct OnlyReply(RpcReplyPort<u8>);

#[tokio::test]
async fn a_struct_may_be_nothing_but_its_reply_port() {
    let (port, reply) = port();
    travelled(OnlyReply(port)).0.send(3).unwrap();
    assert_eq!(reply.await, Ok(3));
}

#[derive(Message, Debug)]
#[message(cluster)]
enum Never {}

#[test]
fn an_enum_without_variants_is_a_message_that_nothing_decodes_to() {
    assert!(Never::decode(b"\x05", None).is_err());
    assert!(Never::decode(b"\xa5Wrong", None).is_err());
}
