//! Runners that are wanted away: their children go on elsewhere.

use flame_actors::Restart;
use flame_actors::ractor::call;
use flame_tests::process::{Signal, is_alive, signal};
use flame_tests::{Runners, eventually, node, trials, until};
use libtest_mimic::Trial;

use crate::member::{Diary, Member, MemberMsg};

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_child_on_a_runner_that_is_wanted_away_goes_on_elsewhere]
}

/// It has the time of a shutdown there, since it may end by itself.
async fn a_child_on_a_runner_that_is_wanted_away_goes_on_elsewhere() {
    let pool = Runners::Processes.pool().min(2).max(2).start(&node()).await.unwrap();
    until("both are up", || pool.status().runners.len() == 2).await;
    let diary = Diary::new();
    let child = pool.place_child(Member, diary.args()).restart(Restart::Permanent).await.unwrap();
    let old = diary.pid();
    signal(old, Signal::SIGTERM);
    diary.started(2).await;
    let new = eventually("it answers", async { call!(child, MemberMsg::Pid) }).await.unwrap();
    assert_ne!(new, old);
    until("the old runner is gone", || !is_alive(old)).await;
    diary.check();
    pool.shutdown().await;
}
