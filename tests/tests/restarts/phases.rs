//! What ends a child for good does so in each phase of a restart, and leaves nothing behind.

use std::time::Duration;

use flame_actors::ractor::{ActorCell, ActorRef, ActorStatus, call};
use flame_actors::{Pool, Restart, task};
use flame_tests::{Runners, eventually, everywhere, node, process, trials, until};
use futures_util::future::join_all;
use libtest_mimic::Trial;

use crate::keeper::{Heard, Keeper};
use crate::member::{Diary, Member, MemberMsg, Start};
use crate::slow::Slow;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        a_stop_in_any_phase_ends_the_child_for_good,
        a_kill_in_any_phase_ends_the_child_for_good,
        the_end_of_the_supervisor_in_any_phase_ends_the_child,
        the_end_of_the_pool_in_any_phase_ends_the_child,
        a_call_that_waits_for_a_child_ends_with_it,
    ];
    trials.extend(trials![kills_at_any_moment_leave_nothing_behind]);
    trials
}

/// After the seventh start, the sixth again.
const LONGEST_PAUSE: Duration = Duration::from_millis(20 << 5);

/// Where a restart can be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The child runs for the second time.
    Up,
    /// It waits before the next attempt.
    BackOff,
    /// It waits for a slot.
    Waiting,
    /// It is in `pre_start`.
    Starting,
    /// Its old runner is lost, and not yet gone.
    Lost,
}

/// A child in one of the phases.
struct Placed {
    phase: Phase,
    pool: Pool,
    keeper: ActorCell,
    heard: Heard,
    child: ActorRef<MemberMsg>,
    diary: Diary,
    starts: usize,
    slow: Slow,
    /// Of whoever has its slot.
    filler: Diary,
}

impl Placed {
    /// In each of the phases.
    async fn in_all(on: Runners) -> Vec<Self> {
        let mut phases = vec![Phase::Up, Phase::BackOff, Phase::Waiting, Phase::Starting];
        if on != Runners::InProcess {
            phases.push(Phase::Lost);
        }
        join_all(phases.into_iter().map(|phase| Self::begin(phase, on))).await
    }

    async fn begin(phase: Phase, on: Runners) -> Self {
        let slow = Slow::new();
        let pool = on.pool().max(2).boot_timeout(Duration::from_secs(60));
        let pool = match phase {
            Phase::Lost => pool.backend(slow.clone()),
            Phase::Waiting => pool.max(1).max_concurrency(1),
            _ => pool,
        };
        let pool = pool.start(&node()).await.unwrap();
        let (keeper, heard) = Keeper::start().await;
        let diary = Diary::new();
        let starts = match phase {
            Phase::BackOff => vec![Start::FailAfter],
            Phase::Starting => vec![Start::Well, Start::Hang],
            Phase::Up | Phase::Waiting | Phase::Lost => vec![Start::Well],
        };
        let place = pool.place_child(Member, diary.starting(&starts)).restart(Restart::Permanent);
        let child = place.max_restarts(100, Duration::from_secs(600)).linked_to(&keeper).await.expect("it starts");
        let mut placed = Self { phase, pool, keeper, heard, child, diary, starts: 0, slow, filler: Diary::new() };
        placed.reach(on).await;
        placed.starts = placed.diary.starts();
        placed
    }

    async fn reach(&self, on: Runners) {
        let Self { pool, child, diary, .. } = self;
        match self.phase {
            Phase::Up => {
                child.cast(MemberMsg::Fail("once".to_owned())).unwrap();
                diary.started(2).await;
                call!(child, MemberMsg::Pid).unwrap();
            }
            Phase::BackOff => {
                // The next pause is a third of a second and more.
                diary.started(7).await;
                until("the last attempt has ended", || diary.ends() == diary.starts()).await;
            }
            Phase::Waiting => {
                // There is one slot, and somebody else waits for that of the child.
                let filling = pool.place_child(Member, self.filler.args());
                tokio::spawn(async move { filling.await.map(drop) });
                until("somebody waits", || pool.status().waiting == 1).await;
                child.cast(MemberMsg::Fail("once".to_owned())).unwrap();
                self.filler.started(1).await;
                until("the child waits", || pool.status().waiting == 1).await;
            }
            Phase::Starting => {
                child.cast(MemberMsg::Fail("once".to_owned())).unwrap();
                diary.started(2).await;
            }
            Phase::Lost => {
                assert_ne!(on, Runners::InProcess);
                let mut events = pool.events();
                process::kill(diary.pid());
                let ended =
                    async { while !matches!(events.next().await, Some(flame_actors::Event::ChildEnded { .. })) {} };
                eventually("the loss is told", ended).await;
            }
        }
    }

    /// Nothing of it is left, and it does not come back.
    async fn has_ended(&mut self) {
        let Self { phase, pool, diary, .. } = &*self;
        self.slow.let_go();
        until(&format!("{phase:?}: its ref has ended"), || self.child.get_status() == ActorStatus::Stopped).await;
        if *phase != Phase::Lost {
            until(&format!("{phase:?}: it has ended"), || diary.ends() == diary.starts()).await;
        }
        let used = || pool.status().runners.iter().map(|runner| runner.slots_used).sum::<usize>();
        let others = if *phase == Phase::Waiting && !pool.status().closed { 1 } else { 0 };
        until(&format!("{phase:?}: its slot is free"), || (used(), pool.status().waiting) == (others, 0)).await;
        if *phase == Phase::BackOff {
            // It was tried again and again while the other phases had their turn.
            let starts = diary.starts();
            tokio::time::sleep(LONGEST_PAUSE).await;
            assert_eq!(diary.starts(), starts, "{phase:?}");
            diary.check();
            self.starts = starts;
            return;
        }
        assert_eq!(diary.starts(), self.starts, "{phase:?}");
        diary.check();
    }

    async fn close(self) {
        self.pool.shutdown().await;
        assert_eq!(self.diary.starts(), self.starts, "{:?}", self.phase);
    }
}

async fn a_stop_in_any_phase_ends_the_child_for_good(on: Runners) {
    for mut placed in Placed::in_all(on).await {
        let stop = placed.child.stop_and_wait(Some("enough".to_owned()), None);
        eventually(&format!("{:?}: the stop", placed.phase), stop).await.unwrap();
        assert_eq!(placed.heard.end().await, "stopped: enough", "{:?}", placed.phase);
        placed.has_ended().await;
        placed.close().await;
    }
}

async fn a_kill_in_any_phase_ends_the_child_for_good(on: Runners) {
    for mut placed in Placed::in_all(on).await {
        placed.child.kill();
        assert_eq!(placed.heard.end().await, "stopped: killed", "{:?}", placed.phase);
        placed.has_ended().await;
        placed.close().await;
    }
}

async fn the_end_of_the_supervisor_in_any_phase_ends_the_child(on: Runners) {
    for mut placed in Placed::in_all(on).await {
        placed.keeper.kill();
        placed.has_ended().await;
        placed.close().await;
    }
}

async fn the_end_of_the_pool_in_any_phase_ends_the_child(on: Runners) {
    for placed in Placed::in_all(on).await {
        placed.slow.let_go();
        eventually(&format!("{:?}: the shutdown", placed.phase), placed.pool.shutdown()).await;
        let end = placed.heard.end().await;
        assert!(end.starts_with("failed: "), "{:?}: {end}", placed.phase);
        until("its ref has ended", || placed.child.get_status() == ActorStatus::Stopped).await;
        placed.diary.check();
    }
}

async fn a_call_that_waits_for_a_child_ends_with_it(on: Runners) {
    for mut placed in Placed::in_all(on).await {
        let child = placed.child.clone();
        let call = tokio::spawn(async move { call!(child, MemberMsg::Keep).is_err() });
        // Nothing tells that it waits; if it does not yet, the end comes first.
        tokio::task::yield_now().await;
        placed.child.stop(None);
        assert!(eventually(&format!("{:?}: the call", placed.phase), call).await.unwrap());
        placed.has_ended().await;
        placed.close().await;
    }
}

async fn kills_at_any_moment_leave_nothing_behind() {
    let pool = Runners::Processes.pool().max(2).max_concurrency(200).start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    let storm = (0..200_u64).map(|n| {
        let pool = pool.clone();
        async move {
            let diary = Diary::new();
            let place = pool.place_child(Member, diary.args()).restart(Restart::Permanent);
            let child = place.max_restarts(100, Duration::from_secs(1)).await.expect("it starts");
            child.cast(MemberMsg::Fail("once".to_owned())).unwrap();
            tokio::time::sleep(Duration::from_micros(n * 97 % 10_000)).await;
            child.kill();
            child.wait(None).await.unwrap();
            diary
        }
    });
    let diaries = join_all(storm).await;
    let used = || pool.status().runners.iter().map(|runner| runner.slots_used).sum::<usize>();
    until("all slots are free", || (used(), pool.status().waiting) == (0, 0)).await;
    for diary in diaries {
        until("all have ended", || diary.starts() == diary.ends()).await;
        diary.check();
    }
    pool.shutdown().await;
}
