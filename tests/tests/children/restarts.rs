//! Children that are placed again.

use std::time::Duration;

use flame_actors::ractor::{ActorRef, call};
use flame_actors::{ChildError, Event, Pool, Restart};
use flame_tests::{Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::home::{End, Home, HomeMsg};
use crate::probe::{Args, Probe, ProbeMsg, Start, last_word, pid};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_permanent_child_that_failed_is_placed_again_and_its_ref_stays,
        a_permanent_child_that_stopped_is_placed_again,
        a_transient_child_that_stopped_has_ended,
        a_transient_child_that_failed_is_placed_again,
        a_child_that_starts_anew_has_lost_its_state,
        a_stop_of_the_ref_ends_a_permanent_child_for_good,
        a_kill_of_the_ref_ends_a_permanent_child_for_good,
        past_the_intensity_the_supervisor_gets_the_history,
        a_refusal_to_start_again_counts,
        the_end_of_the_pool_ends_a_permanent_child,
    ];
    trials.extend(trials![
        a_permanent_child_outlives_its_runner,
        what_is_sent_while_a_child_is_down_arrives_in_order,
        past_a_thousand_messages_casts_are_dropped_and_calls_end,
        no_message_waits_where_none_is_to_be_held,
        a_child_that_is_down_can_be_stopped,
        a_permanent_child_of_a_drained_runner_goes_on_elsewhere,
        a_permanent_child_of_a_runner_that_is_wanted_away_goes_on_elsewhere,
    ]);
    trials
}

async fn place(pool: &Pool, journal: &Journal, home: &ActorRef<HomeMsg>, restart: Restart) -> ActorRef<ProbeMsg> {
    pool.place_child(Probe, Args::well(journal)).restart(restart).linked_to(home).await.expect("it starts")
}

/// How often the child has started.
fn starts(journal: &Journal) -> usize {
    journal.lines().iter().filter(|line| line.starts_with("pre_start")).count()
}

async fn started(journal: &Journal, times: usize) {
    until("the child has started again", || starts(journal) == times).await;
}

async fn a_permanent_child_that_failed_is_placed_again_and_its_ref_stays(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Permanent).await;
    for time in 1..=3 {
        child.cast(ProbeMsg::Fail(format!("for the {time}. time"))).unwrap();
        started(&journal, time + 1).await;
        eventually("it answers", async { pid(&child).await }).await;
    }
    assert_eq!(pool.status().runners[0].slots_used, 1);
    pool.shutdown().await;
}

async fn a_permanent_child_that_stopped_is_placed_again(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Permanent).await;
    child.cast(ProbeMsg::Stop(Some("all done".to_owned()))).unwrap();
    started(&journal, 2).await;
    eventually("it answers", async { pid(&child).await }).await;
    pool.shutdown().await;
}

async fn a_transient_child_that_stopped_has_ended(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Transient).await;
    last_word(&child, ProbeMsg::Stop(Some("all done".to_owned())));
    assert_eq!(ends.of(&child).await, End::Stopped(Some("all done".to_owned())));
    assert_eq!(starts(&journal), 1);
    pool.shutdown().await;
}

async fn a_transient_child_that_failed_is_placed_again(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Transient).await;
    child.cast(ProbeMsg::Panic("index out of range".to_owned())).unwrap();
    started(&journal, 2).await;
    eventually("it answers", async { pid(&child).await }).await;
    pool.shutdown().await;
}

async fn a_child_that_starts_anew_has_lost_its_state(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Permanent).await;
    child.cast(ProbeMsg::Add(1)).unwrap();
    child.cast(ProbeMsg::Fail("forget it".to_owned())).unwrap();
    started(&journal, 2).await;
    child.cast(ProbeMsg::Add(2)).unwrap();
    assert_eq!(call!(child, ProbeMsg::Added).unwrap(), [2]);
    assert_eq!(journal.count("dropped"), 1, "the first incarnation had ended before");
    pool.shutdown().await;
}

async fn a_stop_of_the_ref_ends_a_permanent_child_for_good(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Permanent).await;
    eventually("the stop", child.stop_and_wait(Some("enough".to_owned()), None)).await.unwrap();
    assert_eq!(ends.of(&child).await, End::Stopped(Some("enough".to_owned())));
    assert!(journal.has("post_stop"));
    until("its slot is free", || pool.status().runners[0].slots_used == 0).await;
    assert_eq!(starts(&journal), 1);
    pool.shutdown().await;
}

async fn a_kill_of_the_ref_ends_a_permanent_child_for_good(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Permanent).await;
    child.kill();
    journal.wait_for("dropped").await;
    until("its slot is free", || pool.status().runners[0].slots_used == 0).await;
    assert_eq!(starts(&journal), 1);
    pool.shutdown().await;
}

async fn past_the_intensity_the_supervisor_gets_the_history(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let period = Duration::from_secs(600);
    let placing = pool.place_child(Probe, Args::well(&journal)).restart(Restart::Permanent).max_restarts(2, period);
    let child = placing.linked_to(&home).await.unwrap();
    for time in 1..=3 {
        started(&journal, time).await;
        last_word(&child, ProbeMsg::Fail(format!("no {time}")));
    }
    let history = ["no 1", "no 2", "no 3"].map(str::to_owned).to_vec();
    let expected = ChildError::TooManyRestarts { max_restarts: 2, period, history };
    assert_eq!(ends.of(&child).await, End::Failed(expected));
    pool.shutdown().await;
}

/// The journal has a note after the first start, and then it refuses.
async fn a_refusal_to_start_again_counts(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let arguments = Args::new(&journal, Start::RefuseAgain("the disk is gone".to_owned()));
    let child = pool.place_child(Probe, arguments).restart(Restart::Permanent).linked_to(&home).await.unwrap();
    last_word(&child, ProbeMsg::Fail("first".to_owned()));
    match ends.of(&child).await {
        End::Failed(ChildError::TooManyRestarts { max_restarts: 3, history, .. }) => {
            assert_eq!(history.len(), 4);
            assert_eq!(history[0], "first");
            assert!(history[1..].iter().all(|end| end.contains("the disk is gone")), "{history:?}");
        }
        other => panic!("{other:?}"),
    }
    until("no slot is in use", || pool.status().runners[0].slots_used == 0).await;
    pool.shutdown().await;
}

async fn the_end_of_the_pool_ends_a_permanent_child(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home, Restart::Permanent).await;
    pool.shutdown().await;
    assert!(matches!(ends.of(&child).await, End::Failed(_)));
}

async fn a_permanent_child_outlives_its_runner() {
    let pool = Runners::Processes.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Permanent).await;
    let mut events = pool.events();
    let first = pid(&child).await;
    process::kill(first);
    started(&journal, 2).await;
    let second = eventually("it answers", async { pid(&child).await }).await;
    assert_ne!(first, second);
    let ended = eventually("it is told", async {
        loop {
            match events.next().await {
                Some(Event::ChildEnded { end, child: pid, .. }) => break (end, pid),
                Some(_) => {}
                None => panic!("the pool has not ended"),
            }
        }
    });
    let (end, told) = ended.await;
    assert!(end.contains("signal 9"), "{end}");
    assert_eq!(told, child.get_id().pid());
    pool.shutdown().await;
}

/// With growth paused a child of a lost runner stays down.
async fn down(pool: &Pool, child: &ActorRef<ProbeMsg>) {
    let first = pid(child).await;
    let mut events = pool.events();
    pool.pause_growth().unwrap();
    process::kill(first);
    eventually("the child is down", async { while !matches!(events.next().await, Some(Event::ChildEnded { .. })) {} })
        .await;
}

async fn what_is_sent_while_a_child_is_down_arrives_in_order() {
    let pool = Runners::Processes.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Permanent).await;
    down(&pool, &child).await;
    for number in 0..500 {
        child.cast(ProbeMsg::Add(number)).unwrap();
    }
    let (added, ()) = tokio::join!(eventually("it answers", async { call!(child, ProbeMsg::Added) }), async {
        pool.resume_growth().unwrap();
    });
    assert_eq!(added.unwrap(), (0..500).collect::<Vec<_>>());
    pool.shutdown().await;
}

async fn past_a_thousand_messages_casts_are_dropped_and_calls_end() {
    let pool = Runners::Processes.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home, Restart::Permanent).await;
    down(&pool, &child).await;
    let mut events = pool.events();
    for number in 0..1010 {
        child.cast(ProbeMsg::Add(number)).unwrap();
    }
    eventually("the call ends", async { call!(child, ProbeMsg::Pid) }).await.unwrap_err();
    pool.resume_growth().unwrap();
    let dropped = eventually("it is told", async {
        loop {
            match events.next().await {
                Some(Event::MessagesDropped { messages, .. }) => break messages,
                Some(_) => {}
                None => panic!("the pool has not ended"),
            }
        }
    });
    assert_eq!(dropped.await, 11);
    let added = eventually("it answers", async { call!(child, ProbeMsg::Added) }).await.unwrap();
    assert_eq!(added, (0..1000).collect::<Vec<_>>());
    pool.shutdown().await;
}

async fn no_message_waits_where_none_is_to_be_held() {
    let pool = Runners::Processes.start().await;
    let (home, _) = Home::start().await;
    let placing = pool.place_child(Probe, Args::well(&Journal::new())).restart(Restart::Permanent).hold_while_down(0);
    let child = placing.linked_to(&home).await.unwrap();
    down(&pool, &child).await;
    child.cast(ProbeMsg::Add(1)).unwrap();
    eventually("the call ends", async { call!(child, ProbeMsg::Pid) }).await.unwrap_err();
    pool.resume_growth().unwrap();
    let added = eventually("it answers", async {
        loop {
            match call!(child, ProbeMsg::Added) {
                Ok(added) => break added,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    assert_eq!(added.await, Vec::<u64>::new());
    pool.shutdown().await;
}

async fn a_child_that_is_down_can_be_stopped() {
    let pool = Runners::Processes.pool().boot_timeout(Duration::from_secs(60)).start(&node()).await.unwrap();
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home, Restart::Permanent).await;
    down(&pool, &child).await;
    eventually("the stop", child.stop_and_wait(Some("enough".to_owned()), None)).await.unwrap();
    assert_eq!(ends.of(&child).await, End::Stopped(Some("enough".to_owned())));
    until("nobody waits for a slot", || pool.status().waiting == 0).await;
    assert_eq!(starts(&journal), 1);
    pool.shutdown().await;
}

async fn moved(pool: &Pool, drain: impl AsyncFnOnce(u32)) {
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let placing = pool.place_child(Probe, Args::well(&journal)).restart(Restart::Permanent).max_restarts(0, LONG);
    let child = placing.linked_to(&home).await.unwrap();
    let first = pid(&child).await;
    drain(first).await;
    started(&journal, 2).await;
    assert!(journal.has("post_stop"), "it was stopped in good order");
    let second = eventually("it answers", async { pid(&child).await }).await;
    assert_ne!(first, second);
    until("the first runner is gone", || !process::is_alive(first)).await;
    pool.shutdown().await;
}

const LONG: Duration = Duration::from_secs(600);

async fn a_permanent_child_of_a_drained_runner_goes_on_elsewhere() {
    let pool = Runners::Processes.pool().max(2).start(&node()).await.unwrap();
    moved(&pool, async |_| pool.drain(&pool.status().runners[0].node).await.unwrap()).await;
}

/// The pool has room for one runner only.
async fn a_permanent_child_of_a_runner_that_is_wanted_away_goes_on_elsewhere() {
    let pool = Runners::Processes.pool().max(1).start(&node()).await.unwrap();
    moved(&pool, async |pid| process::signal(pid, process::Signal::SIGTERM)).await;
}
