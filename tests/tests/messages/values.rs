//! Values arrive as they were, whichever way they go.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{Error, Message, Restart, Snapshot, placeable, remote};
use flame_tests::{Runners, eventually, trials};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_value_arrives_as_it_was_whichever_way_it_goes,
        a_value_arrives_as_it_was_whichever_way_it_goes_in_process,
        a_value_that_cannot_arrive_is_refused_where_it_is_sent,
    ]
}

/// What formats are known to lose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Odd {
    unit: Option<()>,
    none: Option<Option<u8>>,
    null: Option<serde_json::Value>,
    outcome: Result<Option<()>, Option<()>>,
    wide: u128,
    keys: BTreeMap<Option<(u8, char)>, Option<Empty>>,
    tagged: Tagged,
    skips: Skips,
    #[serde(flatten)]
    flat: Flat,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Empty;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Skips(u8, #[serde(skip)] u8, u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    address: IpAddr,
    inner: Option<Option<()>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One { address: IpAddr, nothing: Option<()> },
}

fn odd() -> Odd {
    let address = "fe80::1".parse().expect("an address");
    Odd {
        unit: Some(()),
        none: Some(None),
        null: Some(serde_json::Value::Null),
        outcome: Ok(Some(())),
        wide: u128::MAX,
        keys: BTreeMap::from([(None, Some(Empty)), (Some((1, 'ä')), None)]),
        tagged: Tagged::One { address, nothing: Some(()) },
        skips: Skips(1, 0, 2),
        flat: Flat { address, inner: Some(Some(())) },
    }
}

#[remote]
async fn echo(value: Odd) -> (Odd, Option<Odd>) {
    (value.clone(), Some(value))
}

#[remote]
fn echoes(value: Odd) -> impl Stream<Item = Odd> {
    stream::iter([value.clone(), value])
}

#[derive(Message)]
enum KeeperMsg {
    Swap(Odd, RpcReplyPort<Odd>),
    Fail,
}

struct Keeper;

#[placeable]
impl Actor for Keeper {
    type Msg = KeeperMsg;
    type State = Odd;
    type Arguments = Odd;

    async fn pre_start(&self, _: ActorRef<KeeperMsg>, value: Odd) -> Result<Odd, ActorProcessingErr> {
        Ok(value)
    }

    async fn handle(
        &self,
        _: ActorRef<KeeperMsg>,
        message: KeeperMsg,
        state: &mut Odd,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            KeeperMsg::Swap(value, reply) => reply.send(std::mem::replace(state, value))?,
            KeeperMsg::Fail => return Err("on purpose".into()),
        }
        Ok(())
    }
}

impl Snapshot for Keeper {
    type Snapshot = Odd;

    fn snapshot(&self, state: &mut Odd) -> Option<Odd> {
        Some(state.clone())
    }

    async fn restore(&self, _: ActorRef<KeeperMsg>, _: Odd, last: Odd) -> Result<Odd, ActorProcessingErr> {
        Ok(last)
    }
}

async fn whichever_way(on: Runners) {
    let (pool, value) = (on.start().await, odd());
    let (bare, some) = pool.call(echo(value.clone())).await.unwrap();
    assert_eq!((bare, some), (value.clone(), Some(value.clone())));
    let items: Vec<Odd> = pool.stream(echoes(value.clone())).try_collect().await.unwrap();
    assert_eq!(items, [value.clone(), value.clone()]);
    let mapped: Vec<_> = pool.map([value.clone()], echo).collect().await;
    assert_eq!(mapped, [Ok((value.clone(), Some(value.clone())))]);
    let keeper = pool.place_child(Keeper, value.clone()).restart(Restart::Permanent).await.unwrap();
    let other = Odd { wide: 1, ..value.clone() };
    assert_eq!(call!(keeper, KeeperMsg::Swap, other.clone()).unwrap(), value, "by arguments");
    keeper.cast(KeeperMsg::Fail).unwrap();
    let restored = eventually("it answers again", async {
        loop {
            match call!(keeper, KeeperMsg::Swap, value.clone()) {
                Ok(restored) => break restored,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(restored.await, other, "by a snapshot");
    pool.shutdown().await;
}

async fn a_value_arrives_as_it_was_whichever_way_it_goes() {
    whichever_way(Runners::Processes).await;
}

async fn a_value_arrives_as_it_was_whichever_way_it_goes_in_process() {
    whichever_way(Runners::InProcess).await;
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Wide {
    One { id: u128 },
}

#[derive(Debug, Serialize, Deserialize)]
struct Nested(Vec<Self>);

#[remote]
async fn take_wide(value: Wide) -> bool {
    matches!(value, Wide::One { .. })
}

#[remote]
async fn take_nested(value: Nested) -> usize {
    value.0.len()
}

async fn a_value_that_cannot_arrive_is_refused_where_it_is_sent() {
    let pool = Runners::Processes.start().await;
    let refused = |outcome: Result<(), Error>| match outcome {
        Err(err @ Error::Encode { .. }) => err.to_string(),
        other => panic!("{other:?}"),
    };
    let err = refused(pool.call(take_wide(Wide::One { id: 1 })).await.map(drop));
    assert!(err.contains("Wide") && err.contains("could not be decoded again"), "{err}");
    let nested = (0..200).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]));
    let err = refused(pool.call(take_nested(nested)).await.map(drop));
    assert!(err.contains("Nested") && err.contains("more than 128 levels"), "{err}");
    pool.shutdown().await;
}
