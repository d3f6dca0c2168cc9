//! A ref outlives the incarnations of its child, wherever it is.

use std::time::Duration;

use flame_actors::ractor::{ActorRef, call};
use flame_actors::{BoundedSender, Event, Pool, Restart, remote};
use flame_tests::{Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::keeper::Keeper;
use crate::member::{Diary, Member, MemberMsg};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_ref_that_a_sibling_has_outlives_the_child,
        a_ref_on_another_runner_outlives_the_child,
        a_pending_call_ends_at_once_when_the_child_fails,
        what_a_bounded_sender_had_under_way_is_given_back,
        who_monitors_a_child_hears_of_no_restart,
    ];
    trials.extend(trials![
        a_pending_call_ends_at_once_when_the_runner_is_lost,
        calls_of_those_who_have_gone_harm_nobody,
        no_cast_is_refused_while_the_child_is_down,
        what_was_dropped_is_told_of_a_child_that_does_not_come_back,
    ]);
    trials
}

async fn place(pool: &Pool, diary: &Diary) -> ActorRef<MemberMsg> {
    let place = pool.place_child(Member, diary.args()).restart(Restart::Permanent);
    place.max_restarts(100, Duration::from_secs(2)).await.expect("it starts")
}

async fn fail(child: &ActorRef<MemberMsg>, diary: &Diary) {
    let before = diary.starts();
    child.cast(MemberMsg::Fail("once more".to_owned())).expect("it is alive");
    diary.started(before + 1).await;
    eventually("it answers", async { call!(child, MemberMsg::Pid) }).await.expect("it is back");
}

/// On the runner of the child itself a ref to it could be a shortcut that ends with the incarnation.
async fn a_ref_that_a_sibling_has_outlives_the_child(on: Runners) {
    let pool = on.start().await;
    let (one, two) = (Diary::new(), Diary::new());
    let (child, sibling) = (place(&pool, &one).await, place(&pool, &two).await);
    assert_eq!(call!(child, MemberMsg::Pid).unwrap(), call!(sibling, MemberMsg::Pid).unwrap());
    assert!(call!(sibling, MemberMsg::Meet, child.clone()).unwrap());
    for number in 1..=3 {
        fail(&child, &one).await;
        assert!(call!(sibling, MemberMsg::PassOn, 0, number).unwrap(), "the ref is still good");
        until("the message has arrived", || one.check() as u64 == number).await;
    }
    pool.shutdown().await;
}

#[remote]
async fn talk(child: ActorRef<MemberMsg>, times: usize) -> Result<Vec<usize>, String> {
    let mut answers = Vec::new();
    for number in 0..times as u64 {
        let answer = call!(child, MemberMsg::Ask, 0, number).map_err(|err| err.to_string())?;
        answers.push(answer);
        child.cast(MemberMsg::Fail("as told".to_owned())).map_err(|err| err.to_string())?;
        // Not an answer of the one that was told to fail.
        while !matches!(call!(child, MemberMsg::Ask, 1, number), Ok(later) if later > answer) {
            if child.get_status() >= flame_actors::ractor::ActorStatus::Stopping {
                return Err("the ref has ended".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(answers)
}

async fn a_ref_on_another_runner_outlives_the_child(on: Runners) {
    let (pool, elsewhere) = (on.start().await, on.start().await);
    let diary = Diary::new();
    let child = place(&pool, &diary).await;
    let answers = eventually("the talk", elsewhere.call(talk(child.clone(), 3))).await.unwrap().unwrap();
    assert_eq!(answers, [1, 2, 3]);
    pool.shutdown().await;
    elsewhere.shutdown().await;
}

async fn a_pending_call_ends_at_once_when_the_child_fails(on: Runners) {
    let pool = on.start().await;
    let diary = Diary::new();
    let child = place(&pool, &diary).await;
    let call = tokio::spawn({
        let child = child.clone();
        async move { call!(child, MemberMsg::Keep).is_err() }
    });
    call!(child, MemberMsg::Pid).unwrap();
    fail(&child, &diary).await;
    assert!(eventually("the pending call", call).await.unwrap());
    pool.shutdown().await;
}

async fn a_pending_call_ends_at_once_when_the_runner_is_lost() {
    let pool = Runners::Processes.start().await;
    let diary = Diary::new();
    let child = place(&pool, &diary).await;
    let call = tokio::spawn({
        let child = child.clone();
        async move { call!(child, MemberMsg::Keep).is_err() }
    });
    call!(child, MemberMsg::Pid).unwrap();
    pool.pause_growth().unwrap();
    process::kill(diary.pid());
    assert!(eventually("the pending call", call).await.unwrap(), "it ends while the child is down");
    assert_eq!(diary.starts(), 1);
    pool.shutdown().await;
}

/// They wait with the rest, and are answered to nobody.
async fn calls_of_those_who_have_gone_harm_nobody() {
    let pool = Runners::Processes.start().await;
    let diary = Diary::new();
    let child = place(&pool, &diary).await;
    pool.pause_growth().unwrap();
    process::kill(diary.pid());
    until("the runner is gone", || pool.status().runners.is_empty()).await;
    for number in 0..100 {
        let asked = child.call(|reply| MemberMsg::Ask(0, number, reply), Some(Duration::from_millis(1))).await;
        assert!(asked.is_ok(), "the ref works");
    }
    pool.resume_growth().unwrap();
    eventually("it answers", async { call!(child, MemberMsg::Pid) }).await.unwrap();
    diary.check();
    pool.shutdown().await;
}

async fn what_a_bounded_sender_had_under_way_is_given_back(on: Runners) {
    let pool = on.start().await;
    let diary = Diary::new();
    let child = place(&pool, &diary).await;
    let sender = BoundedSender::new(child.clone(), 4);
    for _ in 0..3 {
        let before = diary.starts();
        child.cast(MemberMsg::Fail("with much in its mailbox".to_owned())).unwrap();
        for number in 0..20 {
            eventually("a send", sender.send(MemberMsg::Take(before as u32, number))).await.expect("the ref works");
        }
        diary.started(before + 1).await;
        eventually("a flush", sender.flush()).await;
    }
    diary.check();
    pool.shutdown().await;
}

async fn who_monitors_a_child_hears_of_no_restart(on: Runners) {
    let pool = on.start().await;
    let diary = Diary::new();
    let child = place(&pool, &diary).await;
    let (monitor, heard) = Keeper::start().await;
    monitor.monitor(child.get_cell());
    fail(&child, &diary).await;
    fail(&child, &diary).await;
    assert_eq!(heard.all(), Vec::<String>::new());
    child.stop(Some("enough".to_owned()));
    assert_eq!(heard.end().await, "stopped: enough");
    pool.shutdown().await;
}

/// At no moment of the loss of a runner does a cast tell of it.
async fn no_cast_is_refused_while_the_child_is_down() {
    let pool = Runners::Processes.pool().max(2).start(&node()).await.unwrap();
    let diary = Diary::new();
    let child = place(&pool, &diary).await;
    for round in 1..=5 {
        process::kill(diary.pid());
        while diary.starts() == round {
            child.cast(MemberMsg::Take(0, 0)).expect("it is to come back");
            tokio::task::yield_now().await;
        }
        eventually("it answers", async { while call!(child, MemberMsg::Pid).is_err() {} }).await;
    }
    pool.shutdown().await;
}

async fn what_was_dropped_is_told_of_a_child_that_does_not_come_back() {
    let pool = Runners::Processes.pool().boot_timeout(Duration::from_secs(60)).start(&node()).await.unwrap();
    let diary = Diary::new();
    let child = place(&pool, &diary).await;
    let mut events = pool.events();
    pool.pause_growth().unwrap();
    process::kill(diary.pid());
    let down = async { while !matches!(events.next().await, Some(Event::ChildEnded { .. })) {} };
    eventually("the child is down", down).await;
    for number in 0..1010 {
        child.cast(MemberMsg::Take(0, number)).unwrap();
    }
    child.stop_and_wait(None, None).await.unwrap();
    let dropped = async {
        loop {
            if let Event::MessagesDropped { messages, .. } = events.next().await.expect("the pool is open") {
                break messages;
            }
        }
    };
    assert_eq!(eventually("it is told", dropped).await, 10);
    pool.shutdown().await;
}
