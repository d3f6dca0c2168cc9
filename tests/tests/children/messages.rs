//! Messages to placed children and from them.

use std::time::{Duration, Instant};

use flame_actors::ractor::{ActorRef, call, call_t};
use flame_actors::{Error, MAX_MESSAGE_BYTES, remote, task};
use flame_tests::{Journal, Runners, eventually, everywhere, trials};
use libtest_mimic::Trial;

use crate::home::{Home, HomeMsg, noted};
use crate::probe::{Args, Probe, ProbeMsg, last_word, pid, place};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        casts_and_calls_reach_the_child,
        a_child_casts_to_the_placing_actor,
        a_child_calls_the_placing_actor,
        a_child_calls_the_actor_in_its_arguments,
        a_call_whose_reply_port_is_dropped_ends_at_once,
        a_call_home_whose_reply_port_is_dropped_ends_at_once,
        a_call_with_a_timeout_ends_with_it,
        a_call_to_a_child_that_dies_ends_at_once,
        a_call_to_a_dead_child_ends_at_once,
        results_do_not_overtake_messages,
        a_hundred_thousand_messages_keep_their_order,
        a_message_over_the_limit_is_an_error_and_harms_nobody,
        a_reply_over_the_limit_ends_the_call_and_harms_nobody,
    ];
    trials.extend(trials![the_child_runs_in_another_process]);
    trials
}

async fn the_child_runs_in_another_process() {
    let pool = Runners::Processes.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    assert_ne!(pid(&child).await, std::process::id());
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn casts_and_calls_reach_the_child(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    for number in 0..10 {
        child.cast(ProbeMsg::Add(number)).unwrap();
    }
    assert_eq!(call!(child, ProbeMsg::Added).unwrap(), (0..10).collect::<Vec<_>>());
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn a_child_casts_to_the_placing_actor(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    for number in 0..10 {
        child.cast(ProbeMsg::Tell(home.clone(), number)).unwrap();
    }
    pid(&child).await;
    assert_eq!(noted(&home).await, (0..10).collect::<Vec<_>>());
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn a_child_calls_the_placing_actor(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    assert_eq!(call!(child, ProbeMsg::Ask, home.clone(), 21).unwrap(), Some(42));
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn a_child_calls_the_actor_in_its_arguments(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let arguments = Args { home: Some((&home).into()), ..Args::well(&Journal::new()) };
    let child = pool.place_child(Probe, arguments).linked_to(&home).await.unwrap();
    assert_eq!(call!(child, ProbeMsg::AskHome, 4).unwrap(), Some(8));
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn a_call_whose_reply_port_is_dropped_ends_at_once(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    eventually("the end of a call", async { call!(child, ProbeMsg::Ignore) }).await.unwrap_err();
    pid(&child).await;
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

#[remote]
async fn ask_in_vain(home: ActorRef<HomeMsg>) -> bool {
    call!(home, HomeMsg::Ignore).is_err()
}

async fn a_call_home_whose_reply_port_is_dropped_ends_at_once(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    assert!(pool.call(ask_in_vain(home.clone())).await.unwrap());
    home.stop_and_wait(None, None).await.unwrap();
    assert!(pool.call(ask_in_vain(home)).await.unwrap(), "it is dead");
    pool.shutdown().await;
}

async fn a_call_with_a_timeout_ends_with_it(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    let start = Instant::now();
    call_t!(child, ProbeMsg::Keep, 200).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(200));
    pid(&child).await;
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn a_call_to_a_child_that_dies_ends_at_once(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    let kept = tokio::spawn({
        let child = child.clone();
        async move { call!(child, ProbeMsg::Keep) }
    });
    child.cast(ProbeMsg::Sleep(Duration::from_millis(200))).unwrap();
    let queued = tokio::spawn({
        let child = child.clone();
        async move { call!(child, ProbeMsg::Keep) }
    });
    tokio::task::yield_now().await;
    last_word(&child, ProbeMsg::Stop(None));
    eventually("the end of a call", kept).await.unwrap().unwrap_err();
    eventually("the end of a call", queued).await.unwrap().unwrap_err();
    pool.shutdown().await;
}

async fn a_call_to_a_dead_child_ends_at_once(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    last_word(&child, ProbeMsg::Stop(None));
    // Before its end is known here, in between, and afterwards.
    for _ in 0..20 {
        eventually("the end of a call", async { call!(child, ProbeMsg::Pid) }).await.ok();
    }
    ends.of(&child).await;
    eventually("the end of a call", async { call!(child, ProbeMsg::Pid) }).await.unwrap_err();
    pool.shutdown().await;
}

#[remote]
async fn tell_a_thousand(home: ActorRef<HomeMsg>, from: u64) -> Result<(), String> {
    (from..from + 1000).try_for_each(|number| home.cast(HomeMsg::Note(number)).map_err(|err| err.to_string()))
}

async fn results_do_not_overtake_messages(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    for round in 0..20 {
        pool.call(tell_a_thousand(home.clone(), 1000 * round)).await.unwrap().unwrap();
        let all = noted(&home).await;
        assert_eq!(all.len() as u64, 1000 * (round + 1), "the result was faster");
    }
    assert!(noted(&home).await.is_sorted());
    pool.shutdown().await;
}

async fn a_hundred_thousand_messages_keep_their_order(on: Runners) {
    const MESSAGES: u64 = 100_000;
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    for number in 0..MESSAGES {
        child.cast(ProbeMsg::Add(number)).unwrap();
    }
    let added = eventually("the last of them", async { call!(child, ProbeMsg::Added) }).await.unwrap();
    assert_eq!(added.len() as u64, MESSAGES);
    assert!(added.into_iter().eq(0..MESSAGES));
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn a_message_over_the_limit_is_an_error_and_harms_nobody(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    if on != Runners::InProcess {
        child.cast(ProbeMsg::Bytes(vec![0; MAX_MESSAGE_BYTES + 1])).unwrap_err();
    }
    child.cast(ProbeMsg::Bytes(vec![0; MAX_MESSAGE_BYTES - 100])).unwrap();
    assert_eq!(call!(child, ProbeMsg::Added).unwrap(), [MAX_MESSAGE_BYTES as u64 - 100]);
    assert_eq!(ends.all(), []);
    // Arguments of a placement are bounded too.
    let arguments =
        Args { start: crate::probe::Start::Refuse("x".repeat(MAX_MESSAGE_BYTES)), ..Args::well(&Journal::new()) };
    let err = pool.place_child(Probe, arguments).await.map(drop).unwrap_err();
    assert!(matches!(err, Error::TooLarge { .. }), "{err}");
    child.stop_and_wait(None, None).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    pool.shutdown().await;
}

async fn a_reply_over_the_limit_ends_the_call_and_harms_nobody(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    if on != Runners::InProcess {
        let reply = async { call!(child, ProbeMsg::Swell, MAX_MESSAGE_BYTES + 1) };
        eventually("the end of a call", reply).await.unwrap_err();
    }
    assert_eq!(call!(child, ProbeMsg::Swell, 1000).unwrap().len(), 1000);
    assert_eq!(ends.all(), []);
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}
