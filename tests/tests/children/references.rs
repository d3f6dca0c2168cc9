//! References that travel.
#![expect(clippy::type_complexity, reason = "how far the macros see into a type is a point of it")]

use flame_actors::ractor::{ActorRef, call};
use flame_actors::remote;
use flame_tests::{Journal, Runners, eventually, everywhere, node, trials};
use libtest_mimic::Trial;

use crate::home::{End, Home, HomeMsg, noted};
use crate::probe::{ProbeMsg, pid, place};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_reference_is_an_argument_and_a_result,
        a_reference_that_comes_home_is_the_original,
        a_reference_inside_option_vec_tuple_and_result_comes_home,
        a_reference_to_a_child_works_on_another_runner,
        a_reference_to_a_dead_actor_is_a_stopped_one,
        a_task_sees_the_end_of_an_actor_elsewhere,
        a_task_stops_an_actor_elsewhere,
    ];
    trials.extend(trials![a_child_that_names_itself_is_reached_through_that_name]);
    trials
}

#[remote]
async fn note(home: ActorRef<HomeMsg>, number: u64) -> ActorRef<HomeMsg> {
    home.cast(HomeMsg::Note(number)).expect("it is alive");
    home
}

async fn a_reference_is_an_argument_and_a_result(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let back = pool.call(note(home.clone(), 5)).await.unwrap();
    back.cast(HomeMsg::Note(6)).unwrap();
    assert_eq!(noted(&home).await, [5, 6]);
    pool.shutdown().await;
}

async fn a_reference_that_comes_home_is_the_original(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let back = pool.call(note(home.clone(), 5)).await.unwrap();
    assert_eq!(back, home);
    let child = place(&pool, &Journal::new(), &home).await;
    assert_eq!(call!(child, ProbeMsg::Echo, home.clone()).unwrap(), home);
    // The child's own ref, too.
    let back = pool.call(same(child.clone())).await.unwrap();
    assert_eq!(back, child);
    assert_eq!(pid(&back).await, pid(&child).await);
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

#[remote]
async fn same(child: ActorRef<ProbeMsg>) -> ActorRef<ProbeMsg> {
    child
}

#[remote]
async fn pack(
    one: ActorRef<HomeMsg>,
    many: Vec<ActorRef<HomeMsg>>,
) -> Result<(Option<ActorRef<HomeMsg>>, Vec<ActorRef<HomeMsg>>), String> {
    Ok((Some(one), many))
}

async fn a_reference_inside_option_vec_tuple_and_result_comes_home(on: Runners) {
    let pool = on.start().await;
    let (one, _) = Home::start().await;
    let (two, _) = Home::start().await;
    let (option, many) = pool.call(pack(one.clone(), vec![two.clone(), one.clone()])).await.unwrap().unwrap();
    assert_eq!((option, many), (Some(one.clone()), vec![two, one]));
    pool.shutdown().await;
}

#[remote]
async fn add_and_count(child: ActorRef<ProbeMsg>, number: u64) -> (u32, usize) {
    child.cast(ProbeMsg::Add(number)).expect("it is alive");
    (std::process::id(), call!(child, ProbeMsg::Added).expect("it answers").len())
}

/// Messages go through the parent.
async fn a_reference_to_a_child_works_on_another_runner(on: Runners) {
    let pool = on.pool().max(2).max_concurrency(1).start(&node()).await.unwrap();
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    for number in 1..4 {
        let (elsewhere, count) = pool.call(add_and_count(child.clone(), number)).await.unwrap();
        assert_eq!(count as u64, number);
        if on != Runners::InProcess {
            assert_ne!(elsewhere, pid(&child).await);
        }
    }
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

#[remote]
async fn is_dead(home: ActorRef<HomeMsg>) -> bool {
    flame_tests::until("it is stopped", || home.get_status() == flame_actors::ractor::ActorStatus::Stopped).await;
    call!(home, HomeMsg::Double, 1).is_err()
}

async fn a_reference_to_a_dead_actor_is_a_stopped_one(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    home.stop_and_wait(None, None).await.unwrap();
    assert!(eventually("the task", pool.call(is_dead(home))).await.unwrap());
    pool.shutdown().await;
}

#[remote]
async fn wait_for_end(home: ActorRef<HomeMsg>) -> bool {
    home.cast(HomeMsg::Note(1)).expect("it is alive");
    home.wait(None).await.is_ok()
}

async fn a_task_sees_the_end_of_an_actor_elsewhere(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let seen = tokio::spawn(pool.call(wait_for_end(home.clone())));
    while noted(&home).await.is_empty() {
        tokio::task::yield_now().await;
    }
    home.stop(None);
    assert!(eventually("the end is seen", seen).await.unwrap().unwrap());
    pool.shutdown().await;
}

#[remote]
async fn stop(child: ActorRef<ProbeMsg>) -> bool {
    child.stop_and_wait(Some("from elsewhere".to_owned()), None).await.is_ok()
}

/// A stop through the parent reaches the real child's `post_stop`, and only that child.
async fn a_task_stops_an_actor_elsewhere(on: Runners) {
    let pool = on.pool().max(2).max_concurrency(2).start(&node()).await.unwrap();
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home).await;
    let sibling = place(&pool, &Journal::new(), &home).await;
    assert!(eventually("the stop", pool.call(stop(child.clone()))).await.unwrap());
    journal.wait_for("post_stop").await;
    assert!(matches!(ends.of(&child).await, End::Stopped(_)));
    pid(&sibling).await;
    sibling.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

/// The ref that a child has of itself is not the guardian's; it works all the same.
async fn a_child_that_names_itself_is_reached_through_that_name() {
    let pool = Runners::Processes.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    let named = call!(child, ProbeMsg::Myself).unwrap();
    named.cast(ProbeMsg::Add(3)).unwrap();
    assert_eq!(call!(named, ProbeMsg::Added).unwrap(), [3]);
    assert_eq!(call!(child, ProbeMsg::Added).unwrap(), [3]);
    named.stop_and_wait(None, None).await.unwrap();
    assert!(matches!(ends.of(&child).await, End::Stopped(_)));
    pool.shutdown().await;
}
