//! References to actors in every place where they may stand. One that comes home is the original.

use std::collections::HashMap;

use flame_actors::ractor::concurrency::JoinHandle;
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{ActorAddr, Message, placeable, remote, task};
use serde::{Deserialize, Serialize};

use crate::{ask, pool, stop};

#[derive(Message)]
enum HubMsg {
    Note(u8),
    Notes(RpcReplyPort<Vec<u8>>),
    /// Sends back what came, from wherever it stood.
    Echo(ActorRef<Self>, Option<ActorRef<Self>>, RpcReplyPort<(ActorRef<Self>, Vec<ActorRef<Self>>)>),
    /// Notes the number at each of them.
    Spread {
        among: Vec<ActorRef<Self>>,
        number: u8,
    },
}

struct Hub;

#[placeable]
impl Actor for Hub {
    type Msg = HubMsg;
    type State = Vec<u8>;
    type Arguments = Vec<u8>;

    async fn pre_start(&self, _: ActorRef<HubMsg>, notes: Vec<u8>) -> Result<Vec<u8>, ActorProcessingErr> {
        Ok(notes)
    }

    async fn handle(
        &self,
        _: ActorRef<HubMsg>,
        message: HubMsg,
        notes: &mut Vec<u8>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HubMsg::Note(number) => notes.push(number),
            HubMsg::Notes(reply) => reply.send(notes.clone())?,
            HubMsg::Echo(one, maybe, reply) => reply.send((one, maybe.into_iter().collect()))?,
            HubMsg::Spread { among, number } => {
                for hub in among {
                    hub.cast(HubMsg::Note(number))?;
                }
            }
        }
        Ok(())
    }
}

async fn hub() -> (ActorRef<HubMsg>, JoinHandle<()>) {
    Actor::spawn(None, Hub, Vec::new()).await.unwrap()
}

async fn end((hub, ended): (ActorRef<HubMsg>, JoinHandle<()>)) {
    hub.stop(None);
    ended.await.unwrap();
}

#[remote]
async fn same(hub: ActorRef<HubMsg>) -> ActorRef<HubMsg> {
    hub.cast(HubMsg::Note(1)).unwrap();
    hub
}

#[tokio::test]
async fn a_reference_that_travels_and_comes_home_equals_the_original() {
    let pool = pool("home").await;
    let home = hub().await;
    let back = pool.call(same(home.0.clone())).await.unwrap();
    assert_eq!(back, home.0);
    back.cast(HubMsg::Note(2)).unwrap();
    assert_eq!(ask(&home.0, HubMsg::Notes).await, [1, 2]);
    end(home).await;
    pool.shutdown().await;
}

#[remote]
async fn unpack(
    option: Option<ActorRef<HubMsg>>,
    vec: Vec<ActorRef<HubMsg>>,
    (number, tuple): (u8, ActorRef<HubMsg>),
    result: Result<ActorRef<HubMsg>, String>,
    boxed: Box<ActorRef<HubMsg>>,
) -> (u8, Vec<ActorRef<HubMsg>>) {
    let mut all = vec;
    all.extend(option);
    all.push(tuple);
    all.extend(result.ok());
    all.push(*boxed);
    (number, all)
}

#[tokio::test]
async fn a_reference_stands_in_option_vec_tuple_result_and_box() {
    let pool = pool("containers").await;
    let home = hub().await;
    let to = || home.0.clone();
    let (number, all) =
        pool.call(unpack(Some(to()), vec![to(), to()], (9, to()), Ok(to()), Box::new(to()))).await.unwrap();
    assert_eq!(number, 9);
    assert_eq!(all, vec![to(); 6]);
    let (_, fewer) =
        pool.call(unpack(None, Vec::new(), (9, to()), Err("none".to_owned()), Box::new(to()))).await.unwrap();
    assert_eq!(fewer, vec![to(); 2]);
    end(home).await;
    pool.shutdown().await;
}

#[remote]
#[allow(clippy::type_complexity)]
async fn dig(
    deep: Option<Vec<(u8, Result<u8, Box<ActorRef<HubMsg>>>)>>,
) -> Option<Vec<(u8, Result<u8, Box<ActorRef<HubMsg>>>)>> {
    deep
}

#[tokio::test]
async fn a_reference_stands_deep_inside() {
    let pool = pool("deep").await;
    let home = hub().await;
    let deep = Some(vec![(1, Err(Box::new(home.0.clone()))), (2, Ok(3))]);
    assert_eq!(pool.call(dig(deep.clone())).await.unwrap(), deep);
    end(home).await;
    pool.shutdown().await;
}

#[tokio::test]
async fn a_block_captures_a_reference() {
    let pool = pool("captured").await;
    let home = hub().await;
    let hub = home.0.clone();
    pool.call(task!([hub: ActorRef<HubMsg>] { hub.cast(HubMsg::Note(4)).unwrap(); })).await.unwrap();
    assert_eq!(ask(&home.0, HubMsg::Notes).await, [4]);
    end(home).await;
    pool.shutdown().await;
}

#[remote]
async fn from_map(map: HashMap<u8, ActorAddr<HubMsg>>, key: u8) -> Option<ActorAddr<HubMsg>> {
    map.get(&key).cloned()
}

#[tokio::test]
async fn an_address_stands_in_a_map() {
    let pool = pool("map").await;
    let home = hub().await;
    let map = HashMap::from([(1, ActorAddr::from(&home.0))]);
    let found = pool.call(from_map(map, 1)).await.unwrap().unwrap();
    assert_eq!(found.into_ref(), home.0);
    end(home).await;
    pool.shutdown().await;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Card {
    name: String,
    address: ActorAddr<HubMsg>,
    #[serde(with = "flame_actors::actor_ref")]
    reference: ActorRef<HubMsg>,
}

#[remote]
async fn copy(card: Card) -> (Card, Card) {
    (card.clone(), card)
}

#[tokio::test]
async fn an_address_and_a_reference_stand_in_a_serde_struct() {
    let pool = pool("card").await;
    let home = hub().await;
    let card = Card { name: "x".to_owned(), address: home.0.clone().into(), reference: home.0.clone() };
    assert_eq!(pool.call(copy(card.clone())).await.unwrap(), (card.clone(), card));
    end(home).await;
    pool.shutdown().await;
}

#[tokio::test]
async fn a_message_and_its_reply_hold_references() {
    let pool = pool("echo").await;
    let home = hub().await;
    let child = pool.place_child(Hub, Vec::new()).await.unwrap();
    let to = || home.0.clone();
    let (one, many) = ask(&child, |reply| HubMsg::Echo(to(), Some(to()), reply)).await;
    assert_eq!((one, many), (to(), vec![to()]));
    stop(&child).await;
    end(home).await;
    pool.shutdown().await;
}

#[tokio::test]
async fn a_child_reaches_the_actors_that_a_message_names() {
    let pool = pool("spread").await;
    let (one, two) = (hub().await, hub().await);
    let child = pool.place_child(Hub, Vec::new()).await.unwrap();
    child.cast(HubMsg::Spread { among: vec![one.0.clone(), two.0.clone()], number: 7 }).unwrap();
    // Answered after the messages before it.
    ask(&child, HubMsg::Notes).await;
    assert_eq!(ask(&one.0, HubMsg::Notes).await, [7]);
    assert_eq!(ask(&two.0, HubMsg::Notes).await, [7]);
    stop(&child).await;
    end(one).await;
    end(two).await;
    pool.shutdown().await;
}

#[tokio::test]
async fn a_reference_to_a_placed_child_comes_home_as_it_was() {
    let pool = pool("child-home").await;
    let child = pool.place_child(Hub, vec![3]).await.unwrap();
    let back = pool.call(same(child.clone())).await.unwrap();
    assert_eq!(back, child);
    assert_eq!(ask(&back, HubMsg::Notes).await, [3, 1]);
    stop(&child).await;
    pool.shutdown().await;
}
