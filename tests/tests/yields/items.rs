//! What comes of a task that yields: which items, in which order, of which types and sizes.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{Error, MAX_MESSAGE_BYTES, Message, Streaming, placeable, provided, remote, runner};
use flame_tests::{Greeting, Runners, everywhere, node};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use libtest_mimic::Trial;

use crate::tasks::count;

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![
        items_come_in_order_and_then_the_end,
        here_it_is_a_stream_of_the_items_themselves,
        the_body_runs_on_the_runner_and_finds_what_was_provided,
        an_item_can_be_a_result_of_its_own,
        an_error_of_anyhow_can_be_in_an_item,
        an_item_can_hold_an_actor,
        actors_in_items_keep_the_slot_when_they_are_tracked,
        large_items_come_whole,
        an_item_over_the_limit_ends_the_stream,
        arguments_over_the_limit_are_refused,
        what_was_read_here_is_not_sent,
        a_hundred_thousand_items_come_in_order,
    ]
}

async fn items_come_in_order_and_then_the_end(on: Runners) {
    let pool = on.start().await;
    for n in [0, 1, 3000] {
        let items: Vec<u64> = pool.stream(count(n)).try_collect().await.unwrap();
        assert!(items.into_iter().eq(0..n));
    }
    let mut ended = pool.stream(count(1));
    assert_eq!((ended.next().await, ended.next().await, ended.next().await), (Some(Ok(0)), None, None));
    pool.shutdown().await;
}

async fn here_it_is_a_stream_of_the_items_themselves(_: Runners) {
    fn check<T: Stream<Item = Result<u64, Error>> + Unpin + Send + 'static>(_: &T) {}
    let items: Vec<u64> = count(3).collect().await;
    assert_eq!(items, [0, 1, 2]);
    let pool = Runners::InProcess.start().await;
    check(&pool.stream(count(3)));
    pool.shutdown().await;
}

/// Where it runs, with the greeting there.
#[remote]
fn whereabouts() -> impl Stream<Item = (Option<String>, Option<String>)> {
    let greeting = || provided::<Greeting>().ok().map(|greeting| greeting.0.clone());
    stream::repeat_with(move || (runner().as_deref().map(str::to_owned), greeting())).take(2)
}

async fn the_body_runs_on_the_runner_and_finds_what_was_provided(on: Runners) {
    let pool = on.start().await;
    let found: Vec<_> = pool.stream(whereabouts()).try_collect().await.unwrap();
    let node = pool.status().runners[0].node.clone();
    assert!(found.len() == 2 && found.iter().all(|(runner, _)| *runner == Some(node.clone())), "{found:?}");
    if on == Runners::Processes {
        assert!(found.iter().all(|(_, greeting)| greeting.is_some()), "{found:?}");
    }
    assert_eq!(whereabouts().next().await.unwrap().0, None);
    pool.shutdown().await;
}

#[remote]
fn halves(of: Vec<u32>) -> impl Stream<Item = Result<u32, String>> {
    stream::iter(of).map(|n| if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) })
}

async fn an_item_can_be_a_result_of_its_own(on: Runners) {
    let pool = on.start().await;
    let items: Vec<_> = pool.stream(halves(vec![2, 3, 4])).collect().await;
    assert_eq!(items, [Ok(Ok(1)), Ok(Err("3 is odd".to_owned())), Ok(Ok(2))]);
    pool.shutdown().await;
}

#[remote]
fn fails(why: String) -> impl Stream<Item = anyhow::Result<u8>> {
    stream::iter([Ok(1), Err(anyhow::anyhow!(why).context("in the middle")), Ok(3)])
}

async fn an_error_of_anyhow_can_be_in_an_item(on: Runners) {
    let pool = on.start().await;
    let items: Vec<_> = pool.stream(fails("the reason".to_owned())).try_collect().await.unwrap();
    assert_eq!(format!("{:#}", items[1].as_ref().unwrap_err()), "in the middle: the reason");
    assert_eq!((items[0].as_ref().ok(), items[2].as_ref().ok(), items.len()), (Some(&1), Some(&3), 3));
    pool.shutdown().await;
}

struct Echo;

#[derive(Message)]
enum EchoMsg {
    Echo(u64, RpcReplyPort<u64>),
    Stop,
}

#[placeable]
impl Actor for Echo {
    type Msg = EchoMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EchoMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, me: ActorRef<EchoMsg>, msg: EchoMsg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match msg {
            EchoMsg::Echo(n, reply) => reply.send(n)?,
            EchoMsg::Stop => me.stop(None),
        }
        Ok(())
    }
}

/// Actors of the runner.
#[remote]
fn echoes(n: usize) -> impl Stream<Item = ActorRef<EchoMsg>> {
    stream::repeat(()).take(n).then(|()| async { Actor::spawn(None, Echo, ()).await.expect("it starts").0 })
}

async fn an_item_can_hold_an_actor(on: Runners) {
    let pool = on.start().await;
    let actors: Vec<_> = pool.stream(echoes(2)).try_collect().await.unwrap();
    assert_ne!(actors[0].get_id(), actors[1].get_id());
    for actor in actors {
        assert_eq!(call!(actor, EchoMsg::Echo, 7).unwrap(), 7);
        actor.cast(EchoMsg::Stop).unwrap();
    }
    pool.shutdown().await;
}

async fn actors_in_items_keep_the_slot_when_they_are_tracked(on: Runners) {
    let pool = on.start().await;
    let used = || pool.status().runners.iter().map(|runner| runner.slots_used).sum::<usize>();
    let untracked: Vec<_> = pool.stream(echoes(1)).try_collect().await.unwrap();
    assert_eq!(used(), 0);
    let actors: Vec<_> = pool.stream(echoes(2)).track_resources(true).try_collect().await.unwrap();
    assert_eq!(used(), 1);
    for actor in untracked.iter().chain(&actors[..1]) {
        actor.stop_and_wait(None, None).await.unwrap();
    }
    assert_eq!(used(), 1);
    actors[1].stop_and_wait(None, None).await.unwrap();
    flame_tests::until("the slot is free", || used() == 0).await;
    pool.shutdown().await;
}

/// One for each size, of bytes that tell the size.
#[remote]
fn blobs(sizes: Vec<usize>) -> impl Stream<Item = serde_bytes::ByteBuf> {
    stream::iter(sizes).map(|size| serde_bytes::ByteBuf::from(vec![size as u8; size]))
}

async fn large_items_come_whole(on: Runners) {
    let pool = on.start().await;
    let sizes = vec![0, 1, 32 * 1024 - 8, 32 * 1024, 100_000, 3, MAX_MESSAGE_BYTES - 5, 5_000_001, 2];
    let mut blobs: Streaming<_> = pool.stream(blobs(sizes.clone()));
    for size in sizes {
        let blob = blobs.next().await.unwrap().unwrap();
        assert!(blob.len() == size && blob.iter().all(|byte| *byte == size as u8), "{} bytes of {size}", blob.len());
    }
    assert_eq!(blobs.next().await, None);
    pool.shutdown().await;
}

async fn an_item_over_the_limit_ends_the_stream(on: Runners) {
    let pool = on.start().await;
    let items: Vec<_> = pool.stream(blobs(vec![1, MAX_MESSAGE_BYTES, 2])).collect().await;
    assert_eq!(items.len(), 2, "nothing after the error");
    assert_eq!(items[0].as_ref().unwrap().len(), 1);
    match items[1].as_ref().unwrap_err() {
        Error::TooLarge { what, size, limit } => {
            assert!(what.contains("an item of") && what.contains("blobs"), "{what}");
            assert!(*size > *limit && *limit == MAX_MESSAGE_BYTES);
        }
        other => panic!("{other}"),
    }
    pool.shutdown().await;
}

#[remote]
fn lengths(of: Vec<serde_bytes::ByteBuf>) -> impl Stream<Item = usize> {
    stream::iter(of).map(|bytes| bytes.len())
}

async fn arguments_over_the_limit_are_refused(on: Runners) {
    let pool = on.start().await;
    let large = vec![serde_bytes::ByteBuf::from(vec![0; MAX_MESSAGE_BYTES])];
    let items: Vec<_> = pool.stream(lengths(large)).collect().await;
    assert!(matches!(items[..], [Err(Error::TooLarge { .. })]), "{items:?}");
    assert!(pool.status().runners.is_empty(), "nothing was booted for it");
    pool.shutdown().await;
}

async fn what_was_read_here_is_not_sent(on: Runners) {
    let pool = on.start().await;
    let mut begun = count(3);
    assert_eq!(begun.next().await, Some(0));
    let items: Vec<_> = pool.stream(begun).collect().await;
    assert!(matches!(items[..], [Err(Error::Encode { .. })]), "{items:?}");
    pool.shutdown().await;
}

async fn a_hundred_thousand_items_come_in_order(on: Runners) {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    let mut items = pool.stream(count(100_000));
    for n in 0..100_000 {
        assert_eq!(items.next().await, Some(Ok(n)));
    }
    assert_eq!(items.next().await, None);
    pool.shutdown().await;
}
