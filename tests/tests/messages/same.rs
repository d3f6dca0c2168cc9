//! Two refs to one actor are the same, wherever they came from.

use std::hash::{BuildHasher, RandomState};

use flame_actors::ractor::{Actor, ActorRef, call};
use flame_actors::{Pool, remote};
use flame_tests::{Entry, Journal, Runners, trials};
use libtest_mimic::Trial;

use crate::peer::{Peer, PeerMsg, end, pid};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        one_proxy_stands_for_an_actor_however_its_ref_came,
        a_ref_that_comes_home_is_the_actor_itself,
        a_ref_that_went_through_another_runner_is_the_same,
        one_proxy_stands_for_an_actor_of_a_nested_pool,
    ]
}

/// Whether all of these are one, by whatever can tell them apart.
fn are_one(refs: &[ActorRef<PeerMsg>]) -> bool {
    let hasher = RandomState::new();
    let what_it_is =
        |peer: &ActorRef<PeerMsg>| (peer.get_id(), hasher.hash_one(peer), hasher.hash_one(peer.get_cell()));
    refs.iter().all(|peer| *peer == refs[0] && what_it_is(peer) == what_it_is(&refs[0]))
}

#[remote]
async fn raise(journal: Entry) -> ActorRef<PeerMsg> {
    Actor::spawn(None, Peer, journal).await.expect("it starts").0
}

/// Gives back what it got, several times over.
#[remote]
async fn echo(peer: ActorRef<PeerMsg>) -> (ActorRef<PeerMsg>, Vec<ActorRef<PeerMsg>>) {
    (peer.clone(), vec![peer.clone(), peer])
}

#[remote]
async fn are_one_there(one: ActorRef<PeerMsg>, more: Vec<ActorRef<PeerMsg>>) -> bool {
    are_one(&[vec![one], more].concat())
}

#[remote]
async fn raise_nested(journal: Entry) -> Vec<ActorRef<PeerMsg>> {
    let nested = Pool::named("nested").expect("each runner of the tests has it");
    let peer = nested.call(raise(journal)).await.expect("it starts");
    vec![peer.clone(), peer]
}

async fn one_proxy_stands_for_an_actor_however_its_ref_came() {
    let pool = Runners::Processes.start().await;
    let peer = pool.call(raise(Journal::new().entry())).await.unwrap();
    // In a result, in a reply, and after a way there and back.
    let named = call!(peer, PeerMsg::Myself).unwrap();
    let (one, mut more) = pool.call(echo(peer.clone())).await.unwrap();
    more.extend([peer.clone(), named, one]);
    assert!(are_one(&more));
    // There it is the actor itself.
    assert!(call!(peer, PeerMsg::IsMe, more[0].clone()).unwrap());
    end(&peer).await;
    pool.shutdown().await;
}

async fn a_ref_that_comes_home_is_the_actor_itself() {
    let pool = Runners::Processes.start().await;
    let (ours, _) = Actor::spawn(None, Peer, Journal::new().entry()).await.unwrap();
    assert!(pool.call(are_one_there(ours.clone(), vec![ours.clone(), ours.clone()])).await.unwrap());
    let (one, mut more) = pool.call(echo(ours.clone())).await.unwrap();
    more.extend([ours.clone(), one]);
    assert!(are_one(&more));
    assert!(call!(ours, PeerMsg::IsMe, more[0].clone()).unwrap());
    end(&ours).await;
    pool.shutdown().await;
}

async fn a_ref_that_went_through_another_runner_is_the_same() {
    let (pool, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
    let child = pool.place_child(Peer, Journal::new().entry()).await.unwrap();
    let plain = pool.call(raise(Journal::new().entry())).await.unwrap();
    for peer in [child, plain] {
        let (one, mut more) = other.call(echo(peer.clone())).await.unwrap();
        assert!(other.call(are_one_there(peer.clone(), more.clone())).await.unwrap());
        more.extend([peer.clone(), one]);
        assert!(are_one(&more));
        assert!(call!(peer, PeerMsg::IsMe, more[0].clone()).unwrap());
        end(&peer).await;
    }
    other.shutdown().await;
    pool.shutdown().await;
}

async fn one_proxy_stands_for_an_actor_of_a_nested_pool() {
    let pool = Runners::Processes.start().await;
    let mut refs = pool.call(raise_nested(Journal::new().entry())).await.unwrap();
    let there = pid(&refs[0]).await;
    let (one, more) = pool.call(echo(refs[0].clone())).await.unwrap();
    refs.extend(more);
    refs.push(one);
    assert!(are_one(&refs));
    assert!(call!(refs[0], PeerMsg::IsMe, refs[1].clone()).unwrap());
    assert_ne!(there, std::process::id());
    end(&refs[0]).await;
    pool.shutdown().await;
}
