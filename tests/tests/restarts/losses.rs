//! Losses of runners: no fault of the child, which comes back after each of them, and after pauses where they follow fast.

use std::time::{Duration, Instant};

use flame_actors::ractor::{ActorRef, call};
use flame_actors::{Event, Events, Restart, task};
use flame_tests::{Runners, eventually, node, process, trials};
use libtest_mimic::Trial;

use crate::keeper::Keeper;
use crate::member::{Diary, Member, MemberMsg};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_healthy_child_lives_on_after_each_loss_of_its_runner,
        a_child_whose_runner_is_lost_whenever_it_has_started_waits_longer_each_time,
        losses_between_a_childs_own_ends_do_not_count,
        the_first_loss_is_repaired_at_once_whatever_the_child_has_done,
        a_child_beside_a_task_that_never_yields_moves,
    ]
}

const LONG: Duration = Duration::from_secs(600);

/// How long a child waits before it comes back after its next end, and how it ended.
async fn ended(events: &mut Events) -> (Option<Duration>, String) {
    eventually("the end of a child", async {
        loop {
            if let Event::ChildEnded { again_in, end, .. } = events.next().await.expect("the pool is open") {
                break (again_in, end);
            }
        }
    })
    .await
}

async fn answers(child: &ActorRef<MemberMsg>) {
    eventually("it answers", async { call!(child, MemberMsg::Pid) }).await.expect("it is back");
}

/// With the intensity that is the default, of 3 within 5 s.
async fn a_healthy_child_lives_on_after_each_loss_of_its_runner() {
    let pool = Runners::Processes.start().await;
    let diary = Diary::new();
    let child = pool.place_child(Member, diary.args()).restart(Restart::Permanent).await.unwrap();
    for times in 1..=5 {
        diary.started(times).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        process::kill(diary.pid());
    }
    diary.started(6).await;
    answers(&child).await;
    diary.check();
    pool.shutdown().await;
}

async fn a_child_whose_runner_is_lost_whenever_it_has_started_waits_longer_each_time() {
    let (start, pool) = (Instant::now(), Runners::Processes.pool().max(2).start(&node()).await.unwrap());
    let mut events = pool.events();
    let diary = Diary::new();
    // Not one end of its own is allowed.
    let place = pool.place_child(Member, diary.args()).restart(Restart::Permanent).max_restarts(0, LONG);
    let child = place.await.unwrap();
    let mut waited = Duration::ZERO;
    for (times, pause) in [0, 100, 200, 400, 800, 1600].into_iter().enumerate() {
        diary.started(times + 1).await;
        process::kill(diary.pid());
        let (again_in, end) = ended(&mut events).await;
        assert!(end.contains("signal 9"), "{end}");
        let (again_in, pause) = (again_in.expect("it comes back"), Duration::from_millis(pause));
        assert!((pause / 2..=pause).contains(&again_in), "{again_in:?} in place of {pause:?}");
        waited += again_in;
    }
    diary.started(7).await;
    assert!(start.elapsed() >= waited, "{:?} of {waited:?}", start.elapsed());
    answers(&child).await;
    diary.check();
    pool.shutdown().await;
}

async fn losses_between_a_childs_own_ends_do_not_count() {
    let pool = Runners::Processes.start().await;
    let mut events = pool.events();
    let (keeper, heard) = Keeper::start().await;
    let diary = Diary::new();
    let place = pool.place_child(Member, diary.args()).restart(Restart::Permanent).max_restarts(2, LONG);
    let child = place.linked_to(&keeper).await.unwrap();
    for number in 1..=2 {
        process::kill(diary.pid());
        assert!(ended(&mut events).await.0.is_some());
        answers(&child).await;
        child.cast(MemberMsg::Fail(format!("no {number}"))).unwrap();
        assert_eq!(ended(&mut events).await.1, format!("no {number}"));
        answers(&child).await;
    }
    process::kill(diary.pid());
    assert!(ended(&mut events).await.0.is_some());
    answers(&child).await;
    child.cast(MemberMsg::Fail("no 3".to_owned())).unwrap();
    assert_eq!(ended(&mut events).await, (None, "no 3".to_owned()), "it does not come back");
    let end = heard.end().await;
    assert!(end.contains("more than 2 times") && end.contains("no 3"), "{end}");
    assert_eq!(diary.starts(), 6);
    pool.shutdown().await;
}

async fn the_first_loss_is_repaired_at_once_whatever_the_child_has_done() {
    let pool = Runners::Processes.start().await;
    let mut events = pool.events();
    let diary = Diary::new();
    let place = pool.place_child(Member, diary.args()).restart(Restart::Permanent).max_restarts(100, LONG);
    let child = place.await.unwrap();
    for _ in 0..4 {
        child.cast(MemberMsg::Fail("once more".to_owned())).unwrap();
        ended(&mut events).await;
        answers(&child).await;
    }
    process::kill(diary.pid());
    assert_eq!(ended(&mut events).await.0, Some(Duration::ZERO));
    answers(&child).await;
    pool.shutdown().await;
}

/// Its runner has to go, and the child need not end with it.
async fn a_child_beside_a_task_that_never_yields_moves() {
    let pool = Runners::Processes.pool().max(2).shutdown_timeout(Duration::from_secs(2)).start(&node()).await.unwrap();
    let diary = Diary::new();
    let place = pool.place_child(Member, diary.args()).restart(Restart::Permanent).max_restarts(0, LONG);
    let child = place.await.unwrap();
    let old = diary.pid();
    let stuck = pool.call(task!([] { std::thread::sleep(Duration::from_secs(600)) }));
    stuck.timeout(Duration::from_millis(300)).await.unwrap_err();
    diary.started(2).await;
    assert_eq!(diary.ends(), 1, "it was stopped in good order");
    assert_ne!(diary.pid(), old);
    answers(&child).await;
    diary.check();
    pool.shutdown().await;
}
