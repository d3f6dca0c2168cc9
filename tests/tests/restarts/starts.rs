//! Starts that fail, hang or block, and pools without room: never two of a child, and never none for good.

use std::time::Duration;

use flame_actors::ractor::{ActorRef, call};
use flame_actors::{Event, Events, Pool, Restart, task};
use flame_tests::process::{Signal, is_alive, signal};
use flame_tests::{Runners, eventually, everywhere, node, process, trials, until};
use futures_util::future::join_all;
use libtest_mimic::Trial;

use crate::keeper::Keeper;
use crate::member::{Args, Diary, Member, MemberMsg, Start};
use crate::slow::Slow;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_child_that_fails_after_each_start_ends_past_the_intensity,
        a_single_use_pool_places_a_child_again,
        a_child_waits_for_room_in_a_full_pool,
        a_start_that_hangs_is_given_up_and_made_again,
    ];
    trials.extend(trials![
        a_bound_of_waiting_callers_does_not_keep_children_down,
        a_start_that_blocks_has_ended_before_the_next_one,
        a_child_on_a_frozen_runner_is_placed_again_once_that_is_gone,
        a_start_on_a_frozen_runner_is_made_again_once_that_is_gone,
        a_start_that_is_given_up_on_a_frozen_runner_is_made_again_once_that_is_gone,
    ]);
    trials
}

const SHORT: Duration = Duration::from_millis(300);

async fn place(pool: &Pool, arguments: Args) -> ActorRef<MemberMsg> {
    let place = pool.place_child(Member, arguments).restart(Restart::Permanent);
    place.max_restarts(100, Duration::from_secs(2)).await.expect("it starts")
}

fn fail(child: &ActorRef<MemberMsg>) {
    child.cast(MemberMsg::Fail("once more".to_owned())).expect("the ref works");
}

async fn answers(child: &ActorRef<MemberMsg>) {
    eventually("it answers", async {
        while call!(child, MemberMsg::Pid).is_err() {
            assert!(child.get_status() < flame_actors::ractor::ActorStatus::Stopping, "the ref has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn told(events: &mut Events, what: impl Fn(&Event) -> bool) {
    eventually("an event", async { while !what(&events.next().await.expect("the pool is open")) {} }).await;
}

async fn a_child_that_fails_after_each_start_ends_past_the_intensity(on: Runners) {
    let pool = on.start().await;
    let (keeper, heard) = Keeper::start().await;
    let diary = Diary::new();
    let place = pool.place_child(Member, diary.starting(&[Start::FailAfter])).restart(Restart::Permanent);
    place.max_restarts(4, Duration::from_secs(600)).linked_to(&keeper).await.expect("its pre_start succeeds");
    let end = heard.end().await;
    assert!(end.contains("more than 4 times") && end.contains("it fails after its start"), "{end}");
    until("its slot is free", || pool.status().runners[0].slots_used == 0).await;
    assert_eq!((diary.starts(), diary.ends()), (5, 5));
    diary.check();
    pool.shutdown().await;
}

async fn a_single_use_pool_places_a_child_again(on: Runners) {
    let pool = on.pool().single_use(true).start(&node()).await.unwrap();
    let diary = Diary::new();
    let child = place(&pool, diary.args()).await;
    let mut before = pool.status().runners[0].node.clone();
    for times in 2..4 {
        fail(&child);
        diary.started(times).await;
        answers(&child).await;
        let now = pool.status().runners.pop().expect("it runs somewhere").node;
        assert_ne!(now, before);
        before = now;
    }
    diary.check();
    pool.shutdown().await;
}

/// There is one slot, and somebody else waits for it when the child loses it.
async fn a_child_waits_for_room_in_a_full_pool(on: Runners) {
    let pool = on.pool().max_concurrency(1).start(&node()).await.unwrap();
    let (one, two) = (Diary::new(), Diary::new());
    let child = place(&pool, one.args()).await;
    let waiting = tokio::spawn(pool.place_child(Member, two.args()));
    until("it waits", || pool.status().waiting == 1).await;
    fail(&child);
    let other = eventually("the other child", waiting).await.unwrap().expect("it starts");
    until("the child waits", || pool.status().waiting == 1).await;
    assert_eq!(one.starts(), 1);
    other.stop_and_wait(None, None).await.unwrap();
    answers(&child).await;
    pool.shutdown().await;
}

async fn a_start_that_hangs_is_given_up_and_made_again(on: Runners) {
    let pool = on.pool().timeout(SHORT).start(&node()).await.unwrap();
    let diary = Diary::new();
    let child = place(&pool, diary.starting(&[Start::Well, Start::Hang, Start::Well])).await;
    fail(&child);
    answers(&child).await;
    assert_eq!((diary.starts(), diary.ends()), (3, 2));
    diary.check();
    assert_eq!(pool.status().runners[0].slots_used, 1);
    pool.shutdown().await;
}

/// It cannot be aborted, so its runner has to go, and takes its time: `main` ends, and the process after it.
async fn a_start_that_blocks_has_ended_before_the_next_one() {
    let pool = Runners::Processes.pool().timeout(SHORT).shutdown_timeout(SHORT);
    // The other runner has slots for it all the time.
    let pool = pool.min(2).max(2).start(&node()).await.unwrap();
    until("both are up", || pool.status().runners.len() == 2).await;
    let diary = Diary::new();
    let block = Start::Block(Duration::from_secs(600));
    let child = place(&pool, diary.starting(&[Start::Well, block, Start::Well])).await;
    fail(&child);
    diary.started(2).await;
    let blocked = diary.pid();
    answers(&child).await;
    assert!(!is_alive(blocked));
    diary.check();
    pool.shutdown().await;
}

/// The bound is for callers, who can do something else.
async fn a_bound_of_waiting_callers_does_not_keep_children_down() {
    let pool = Runners::Processes.pool().min(1).max_concurrency(8).max_waiting(0).start(&node()).await.unwrap();
    until("it is up", || pool.status().runners.len() == 1).await;
    let diaries: Vec<_> = (0..8).map(|_| Diary::new()).collect();
    let placing = diaries.iter().map(|diary| pool.place_child(Member, diary.args()).restart(Restart::Permanent));
    let children: Vec<_> = join_all(placing).await.into_iter().map(|placed| placed.expect("it starts")).collect();
    pool.pause_growth().unwrap();
    process::kill(diaries[0].pid());
    until("all wait", || pool.status().waiting == children.len()).await;
    pool.resume_growth().unwrap();
    for (child, diary) in children.iter().zip(&diaries) {
        diary.started(2).await;
        answers(child).await;
        assert_eq!(diary.starts(), 2);
    }
    pool.shutdown().await;
}

/// The runner is believed to be lost after its lease, and lives.
async fn a_child_on_a_frozen_runner_is_placed_again_once_that_is_gone() {
    let slow = Slow::new();
    let pool = Runners::Processes.pool().backend(slow.clone()).max(2).start(&node()).await.unwrap();
    let diary = Diary::new();
    let child = place(&pool, diary.args()).await;
    frozen_until_gone(&pool, &slow, &diary, &child).await;
}

async fn a_start_on_a_frozen_runner_is_made_again_once_that_is_gone() {
    let slow = Slow::new();
    let pool = Runners::Processes.pool().backend(slow.clone()).max(2).start(&node()).await.unwrap();
    let diary = Diary::new();
    let child = place(&pool, diary.starting(&[Start::Well, Start::Hang, Start::Well])).await;
    fail(&child);
    diary.started(2).await;
    frozen_until_gone(&pool, &slow, &diary, &child).await;
}

async fn a_start_that_is_given_up_on_a_frozen_runner_is_made_again_once_that_is_gone() {
    let pool = Runners::Processes.pool().min(2).max(2).timeout(SHORT).start(&node()).await.unwrap();
    until("both are up", || pool.status().runners.len() == 2).await;
    let diary = Diary::new();
    let child = place(&pool, diary.starting(&[Start::Well, Start::Block(Duration::from_secs(600)), Start::Well])).await;
    fail(&child);
    diary.started(2).await;
    let frozen = diary.pid();
    signal(frozen, Signal::SIGSTOP);
    answers(&child).await;
    assert!(!is_alive(frozen));
    diary.check();
    pool.shutdown().await;
}

async fn frozen_until_gone(pool: &Pool, slow: &Slow, diary: &Diary, child: &ActorRef<MemberMsg>) {
    let (frozen, starts) = (diary.pid(), diary.starts());
    let mut events = pool.events();
    signal(frozen, Signal::SIGSTOP);
    told(&mut events, |event| matches!(event, Event::Lost { .. })).await;
    // There is another runner, with slots for all.
    eventually("a call", pool.call(task!([] {}))).await.unwrap();
    child.cast(MemberMsg::Take(0, 1)).expect("the ref works");
    tokio::time::sleep(SHORT).await;
    assert!(is_alive(frozen));
    assert_eq!(diary.starts(), starts, "the one before may still live");
    slow.let_go();
    answers(child).await;
    assert!(!is_alive(frozen));
    assert_eq!((diary.starts(), diary.check()), (starts + 1, 1));
    pool.shutdown().await;
}
