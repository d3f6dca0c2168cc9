//! How children end, and who learns of it.

use std::time::Duration;

use flame_actors::ractor::{Actor, call};
use flame_actors::{Cause, ChildError, Error};
use flame_tests::{Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::home::{End, Home};
use crate::probe::{Args, Probe, ProbeMsg, Start, last_word, pid, place};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_stop_from_within_reaches_the_placing_actor_with_its_reason,
        an_error_reaches_the_placing_actor_with_its_text,
        a_panic_reaches_the_placing_actor_with_its_text,
        a_very_long_error_reaches_the_placing_actor,
        a_very_long_reason_reaches_the_placing_actor,
        a_very_long_history_reaches_the_placing_actor,
        a_stop_runs_the_real_childs_post_stop,
        an_error_of_post_stop_reaches_the_placing_actor,
        a_stop_harms_no_sibling,
        a_kill_ends_the_real_child,
        a_child_that_was_killed_over_there_is_told_as_killed,
        who_monitors_a_child_hears_its_end_as_text,
        three_hundred_failures_are_told_apart,
        the_stop_of_the_placing_actor_ends_the_child,
        the_kill_of_the_placing_actor_ends_the_child,
        the_failure_of_the_placing_actor_ends_the_child,
        a_child_without_supervisor_ends_with_its_pool,
        a_refusal_to_start_comes_back_with_its_text,
        a_panic_at_the_start_comes_back_with_its_text,
        a_very_long_refusal_comes_back,
    ];
    trials.extend(trials![
        the_loss_of_a_runner_reaches_every_placing_actor,
        a_child_that_exits_its_process_is_lost_with_the_code,
        stopping_a_child_on_a_lost_runner_ends_at_once,
    ]);
    trials
}

const LONG: usize = 200_000;

async fn a_stop_from_within_reaches_the_placing_actor_with_its_reason(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let (one, two) = (place(&pool, &Journal::new(), &home).await, place(&pool, &Journal::new(), &home).await);
    last_word(&one, ProbeMsg::Stop(Some("all done".to_owned())));
    last_word(&two, ProbeMsg::Stop(None));
    assert_eq!(ends.of(&one).await, End::Stopped(Some("all done".to_owned())));
    assert_eq!(ends.of(&two).await, End::Stopped(None));
    pool.shutdown().await;
}

async fn an_error_reaches_the_placing_actor_with_its_text(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    last_word(&child, ProbeMsg::Fail("the disk is full".to_owned()));
    assert_eq!(ends.of(&child).await, End::Failed(ChildError::Failed("the disk is full".to_owned())));
    pool.shutdown().await;
}

async fn a_panic_reaches_the_placing_actor_with_its_text(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    last_word(&child, ProbeMsg::Panic("index out of range".to_owned()));
    assert_eq!(ends.of(&child).await, End::Failed(ChildError::Panicked("index out of range".to_owned())));
    pool.shutdown().await;
}

/// The text is longer than the head of a frame can be.
async fn a_very_long_error_reaches_the_placing_actor(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    last_word(&child, ProbeMsg::Fail("x".repeat(LONG)));
    match ends.of(&child).await {
        End::Failed(ChildError::Failed(text)) => assert!(text.starts_with("xxxx"), "{} bytes", text.len()),
        other => panic!("{other:?}"),
    }
    pool.shutdown().await;
}

/// Texts that are as long as a frame leaves them: together they are longer than one can be.
async fn a_very_long_history_reaches_the_placing_actor(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    let history = vec!["x".repeat(16 * 1024); 5];
    let failure = ChildError::TooManyRestarts { max_restarts: 4, period: Duration::from_secs(5), history };
    last_word(&child, ProbeMsg::FailLike(failure));
    match eventually("its end", ends.of(&child)).await {
        End::Failed(ChildError::TooManyRestarts { max_restarts: 4, history, .. }) => {
            assert!(history.len() == 5 && history.iter().all(|text| text.starts_with("xxxx")));
        }
        other => panic!("{other:?}"),
    }
    until("its slot is free", || pool.status().runners.iter().all(|runner| runner.slots_used == 0)).await;
    pool.shutdown().await;
}

async fn a_very_long_reason_reaches_the_placing_actor(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    last_word(&child, ProbeMsg::Stop(Some("x".repeat(LONG))));
    match ends.of(&child).await {
        End::Stopped(Some(text)) => assert!(text.starts_with("xxxx"), "{} bytes", text.len()),
        other => panic!("{other:?}"),
    }
    pool.shutdown().await;
}

async fn a_stop_runs_the_real_childs_post_stop(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home).await;
    eventually("the stop", child.stop_and_wait(Some("enough".to_owned()), None)).await.unwrap();
    // It has ended when the real one has.
    assert!(journal.has("post_stop"), "{:?}", journal.lines());
    journal.wait_for("dropped").await;
    assert_eq!(ends.of(&child).await, End::Stopped(Some("enough".to_owned())));
    pool.shutdown().await;
}

async fn an_error_of_post_stop_reaches_the_placing_actor(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let arguments = Args::new(&Journal::new(), Start::FailAtTheEnd("not flushed".to_owned()));
    let child = pool.place_child(Probe, arguments).linked_to(&home).await.unwrap();
    child.stop(None);
    assert_eq!(ends.of(&child).await, End::Failed(ChildError::Failed("not flushed".to_owned())));
    pool.shutdown().await;
}

async fn a_stop_harms_no_sibling(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(place(&pool, &Journal::new(), &home).await);
    }
    let before = pid(&children[3]).await;
    children[0].stop_and_wait(None, None).await.unwrap();
    children[1].kill_and_wait(None).await.unwrap();
    last_word(&children[2], ProbeMsg::Fail("x".to_owned()));
    ends.of(&children[2]).await;
    assert_eq!(pid(&children[3]).await, before);
    assert_eq!(ends.all().len(), 3);
    children[3].stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

async fn a_kill_ends_the_real_child(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home).await;
    // Also in the middle of a message.
    child.cast(ProbeMsg::Sleep(Duration::from_secs(600))).unwrap();
    child.kill();
    journal.wait_for("dropped").await;
    assert!(!journal.has("post_stop"));
    assert_eq!(ends.of(&child).await, End::Stopped(Some("killed".to_owned())));
    pool.shutdown().await;
}

async fn a_child_that_was_killed_over_there_is_told_as_killed(on: Runners) {
    let pool = on.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    last_word(&child, ProbeMsg::Kill);
    assert_eq!(ends.of(&child).await, End::Stopped(Some("killed".to_owned())));
    pool.shutdown().await;
}

/// ractor copies an event for each monitor, and an error has nothing to copy but its text.
async fn who_monitors_a_child_hears_its_end_as_text(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let (monitor, ends) = Home::start().await;
    let ended = |text: &str| End::Stopped(Some(text.to_owned()));
    let failed = |text: &str| End::Other(text.to_owned());
    for (word, expected) in [
        (ProbeMsg::Stop(Some("all done".to_owned())), ended("all done")),
        (ProbeMsg::Kill, ended("killed")),
        (ProbeMsg::Fail("the disk is full".to_owned()), failed("the disk is full")),
        (ProbeMsg::Panic("index out of range".to_owned()), failed("the actor panicked: index out of range")),
    ] {
        let child = place(&pool, &Journal::new(), &home).await;
        monitor.get_cell().monitor(child.get_cell());
        last_word(&child, word);
        assert_eq!(ends.of(&child).await, expected);
    }
    if on != Runners::InProcess {
        let child = place(&pool, &Journal::new(), &home).await;
        monitor.get_cell().monitor(child.get_cell());
        let node = &pool.status().runners[0].node;
        last_word(&child, ProbeMsg::Exit(5));
        let lost = failed(&format!("runner {node} was lost: its process exited with code 5"));
        assert_eq!(ends.of(&child).await, lost);
    }
    pool.shutdown().await;
}

async fn three_hundred_failures_are_told_apart(on: Runners) {
    let pool = on.pool().max(2).max_concurrency(200).start(&node()).await.unwrap();
    let (home, ends) = Home::start().await;
    let journal = Journal::new();
    let placements = (0..300).map(|n| {
        let arguments = Args::new(&journal, Start::FailAfter(format!("failure {n}")));
        let placement = pool.place_child(Probe, arguments).linked_to(&home);
        async move { (n, placement.await.expect("its pre_start succeeds")) }
    });
    let children = futures_util::future::join_all(placements).await;
    for (n, child) in children {
        assert_eq!(ends.of(&child).await, End::Failed(ChildError::Failed(format!("failure {n}"))));
    }
    assert_eq!(ends.all().len(), 300);
    until("every state is dropped", || journal.count("dropped") == 300).await;
    pool.shutdown().await;
}

async fn the_stop_of_the_placing_actor_ends_the_child(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    place(&pool, &journal, &home).await;
    home.stop(None);
    journal.wait_for("dropped").await;
    pool.shutdown().await;
}

async fn the_kill_of_the_placing_actor_ends_the_child(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let journal = Journal::new();
    let child = place(&pool, &journal, &home).await;
    child.cast(ProbeMsg::Sleep(Duration::from_secs(600))).unwrap();
    home.kill();
    journal.wait_for("dropped").await;
    pool.shutdown().await;
}

async fn the_failure_of_the_placing_actor_ends_the_child(on: Runners) {
    let pool = on.start().await;
    let (home, _) = Home::start().await;
    let (between, _) =
        Actor::spawn_linked(None, crate::probe::Probe, Args::well(&Journal::new()), home.get_cell()).await.unwrap();
    let journal = Journal::new();
    let child = pool.place_child(Probe, Args::well(&journal)).linked_to(&between).await.unwrap();
    last_word(&between, ProbeMsg::Panic("the placing actor fails".to_owned()));
    journal.wait_for("dropped").await;
    eventually("the end of its ref", child.wait(None)).await.unwrap();
    pool.shutdown().await;
}

async fn a_child_without_supervisor_ends_with_its_pool(on: Runners) {
    let pool = on.pool().shutdown_timeout(Duration::from_millis(500)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let child = pool.place_child(Probe, Args::well(&journal)).await.unwrap();
    call!(child, ProbeMsg::Pid).unwrap();
    pool.shutdown().await;
    eventually("the end of its ref", child.wait(None)).await.unwrap();
    if on == Runners::InProcess {
        journal.wait_for("dropped").await;
    }
}

async fn a_refusal_to_start_comes_back_with_its_text(on: Runners) {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    let (home, ends) = Home::start().await;
    for _ in 0..3 {
        let arguments = Args::new(&Journal::new(), Start::Refuse("no ticket".to_owned()));
        let err = pool.place_child(Probe, arguments).linked_to(&home).await.map(drop).unwrap_err();
        match err {
            Error::NotStarted { actor, reason } => {
                assert!(actor.ends_with("Probe") && reason.contains("no ticket"), "{actor}: {reason}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(ends.all(), []);
    pool.shutdown().await;
}

async fn a_panic_at_the_start_comes_back_with_its_text(on: Runners) {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    for _ in 0..3 {
        let arguments = Args::new(&Journal::new(), Start::Panic("slipped".to_owned()));
        let err = pool.place_child(Probe, arguments).await.map(drop).unwrap_err();
        assert_eq!(err, Error::Panicked("slipped".to_owned()));
    }
    pool.shutdown().await;
}

async fn a_very_long_refusal_comes_back(on: Runners) {
    let pool = on.pool().max_concurrency(1).timeout(Duration::from_secs(5)).start(&node()).await.unwrap();
    for _ in 0..2 {
        let arguments = Args::new(&Journal::new(), Start::Refuse("x".repeat(LONG)));
        let err = pool.place_child(Probe, arguments).await.map(drop).unwrap_err();
        assert!(
            matches!(&err, Error::NotStarted { reason, .. } if reason.contains("xxxx")),
            "not {:.200}",
            err.to_string()
        );
    }
    pool.shutdown().await;
}

fn is_lost(end: &End, expected: &Cause) -> bool {
    matches!(end, End::Failed(ChildError::RunnerLost { cause, .. }) if cause == expected)
}

async fn the_loss_of_a_runner_reaches_every_placing_actor() {
    let pool = Runners::Processes.pool().max(2).max_concurrency(3).start(&node()).await.unwrap();
    let (home, ends) = Home::start().await;
    let (other_home, other_ends) = Home::start().await;
    let mut lost = Vec::new();
    let mut kept = Vec::new();
    let journal = Journal::new();
    let placements: Vec<_> =
        (0..6).map(|n| place(&pool, &journal, if n % 2 == 0 { &home } else { &other_home })).collect();
    let children = futures_util::future::join_all(placements).await;
    let victim = pid(&children[0]).await;
    for (n, child) in children.into_iter().enumerate() {
        if pid(&child).await == victim { lost.push((n, child)) } else { kept.push(child) }
    }
    assert_eq!((lost.len(), kept.len()), (3, 3));
    process::kill(victim);
    for (n, child) in &lost {
        let end = if n % 2 == 0 { ends.of(child).await } else { other_ends.of(child).await };
        assert!(is_lost(&end, &Cause::Signalled(9)), "{end:?}");
    }
    for child in kept {
        assert_ne!(pid(&child).await, victim);
        child.stop_and_wait(None, None).await.unwrap();
    }
    pool.shutdown().await;
}

async fn a_child_that_exits_its_process_is_lost_with_the_code() {
    let pool = Runners::Processes.start().await;
    let (home, ends) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    let node = pool.status().runners[0].node.clone();
    last_word(&child, ProbeMsg::Exit(5));
    assert_eq!(ends.of(&child).await, End::Failed(ChildError::RunnerLost { node, cause: Cause::Exited(5) }));
    pool.shutdown().await;
}

/// At every moment of the loss: nobody hangs in a stop.
async fn stopping_a_child_on_a_lost_runner_ends_at_once() {
    let pool = Runners::Processes.start().await;
    let (home, _) = Home::start().await;
    let child = place(&pool, &Journal::new(), &home).await;
    let sibling = place(&pool, &Journal::new(), &home).await;
    process::kill(pid(&child).await);
    eventually("a stop", child.stop_and_wait(None, None)).await.unwrap();
    eventually("a wait", sibling.wait(None)).await.unwrap();
    pool.shutdown().await;
}
