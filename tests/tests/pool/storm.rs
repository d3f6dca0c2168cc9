//! Ten thousand calls that end in every way, and runners that are lost under them.

use std::collections::BTreeMap;
use std::time::Duration;

use flame_actors::{Cause, Error, Pool, PoolStatus, Stage, task};
use flame_tests::{Journal, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;

use crate::work::{distinct, hold, idle_runners, started, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![ten_thousand_calls_leave_no_trace];
    trials.extend(trials![
        a_loss_under_many_calls_is_told_to_each_and_repaired,
        calls_at_the_moment_of_a_loss_keep_their_order,
    ]);
    trials
}

const CALLERS: u64 = 200;
const CALLS: u64 = 50;

/// Small numbers that look random: the same in each run of a caller, while the moments that they meet differ.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Makes one call and says how it ended.
/// What does not change with time.
fn still(pool: &Pool) -> PoolStatus {
    let mut status = pool.status();
    status.runners.iter_mut().for_each(|runner| runner.idle_since = None);
    status
}

async fn one(pool: &Pool, dice: &mut Dice) -> &'static str {
    let micros = dice.below(400);
    let sleep = task!([micros: u64] -> u64 { tokio::time::sleep(Duration::from_micros(micros)).await; micros });
    let patience = Duration::from_micros(1 + dice.below(3000));
    match dice.below(6) {
        0 => match tokio::time::timeout(patience, pool.call(sleep)).await {
            Ok(result) => result.map(|_| "ended").expect("nothing goes wrong"),
            Err(_) => "cancelled",
        },
        1 => match pool.call(sleep).timeout(patience).await {
            Ok(_) => "ended",
            Err(Error::Timeout { stage: Stage::Waiting, .. }) => "timed out waiting",
            Err(Error::Timeout { stage: Stage::Running, .. }) => "timed out running",
            Err(err) => panic!("{err}"),
        },
        2 => {
            // As a panic, without a line on standard error.
            let panics = task!([] -> u64 { std::panic::resume_unwind(Box::new("oh")) });
            assert_eq!(pool.call(panics).await, Err(Error::Panicked("oh".to_owned())));
            "panicked"
        }
        3 => {
            let unlinked = pool.call(sleep).link(false);
            if tokio::time::timeout(patience, unlinked).await.is_ok() { "ended" } else { "left alone" }
        }
        4 => {
            pool.cast(sleep).timeout(patience).await.expect("it is accepted");
            "cast"
        }
        _ => {
            assert_eq!(pool.call(sleep).await, Ok(micros));
            "ended"
        }
    }
}

async fn ten_thousand_calls_leave_no_trace(on: Runners) {
    let pool = on.pool().min(3).max(3).max_concurrency(8).boot_timeout(Duration::from_secs(60));
    let pool = pool.start(&node()).await.unwrap();
    idle_runners(&pool, 3).await;
    let before = still(&pool);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let (mut dice, mut ends) = (Dice(caller), BTreeMap::new());
                for _ in 0..CALLS {
                    *ends.entry(one(&pool, &mut dice).await).or_insert(0_u64) += 1;
                }
                ends
            })
        })
        .collect();
    let mut ends = BTreeMap::new();
    for caller in callers {
        for (end, count) in caller.await.unwrap() {
            *ends.entry(end).or_insert(0) += count;
        }
    }
    assert_eq!(ends.values().sum::<u64>(), CALLERS * CALLS);
    for end in ["ended", "cancelled", "timed out waiting", "panicked", "left alone", "cast"] {
        assert!(ends.contains_key(end), "no call was {end}: {ends:?}");
    }
    // What was cancelled has a moment left to end.
    until("everything is as it was", || still(&pool) == before).await;
    pool.shutdown().await;
}

/// Each of three runners has two calls, and six more wait.
async fn a_loss_under_many_calls_is_told_to_each_and_repaired() {
    let pool = Runners::Processes.pool().min(3).max(3).max_concurrency(2).start(&node()).await.unwrap();
    idle_runners(&pool, 3).await;
    let journal = Journal::new();
    let call = |n: u32| tokio::spawn(pool.call(hold(journal.entry(), format!("call {n}"))));
    let calls: Vec<_> = (0..6).map(call).collect();
    until("six run", || started(&journal) == 6).await;
    let waiting: Vec<_> = (6..12).map(call).collect();
    until("six wait", || pool.status().waiting == 6).await;
    let pids: Vec<u32> = distinct(&journal, "pid=").iter().map(|pid| pid.parse().unwrap()).collect();
    process::kill(pids[0]);
    until("its place was taken by two who waited", || started(&journal) == 8).await;
    crate::work::let_go(&journal.entry());
    let mut lost = 0;
    for call in calls {
        match eventually("a call", call).await.unwrap() {
            Ok(_) => {}
            Err(Error::RunnerLost { cause: Cause::Signalled(9), .. }) => lost += 1,
            Err(err) => panic!("{err}"),
        }
    }
    assert_eq!(lost, 2, "those that ran on it, and no other");
    for call in waiting {
        eventually("a call", call).await.unwrap().expect("it ran elsewhere");
    }
    idle_runners(&pool, 3).await;
    pool.shutdown().await;
}

/// One may have been written to the runner that was just dying; the others run, and in order.
async fn calls_at_the_moment_of_a_loss_keep_their_order() {
    let pool = Runners::Processes.pool().max_concurrency(1).start(&node()).await.unwrap();
    for _ in 0..5 {
        let (pid, _) = pool.call(whereabouts()).await.unwrap();
        let journal = Journal::new();
        process::kill(pid);
        let mut calls: Vec<_> = (0..4)
            .map(|n: u32| {
                let journal = journal.entry();
                Box::pin(pool.call(task!([journal: flame_tests::Entry, n: u32] { journal.note(n) })))
            })
            .collect();
        for call in &mut calls {
            let _ = futures_util::poll!(call);
        }
        let ends = eventually("four calls", futures_util::future::join_all(calls)).await;
        let lost: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
        assert!(matches!(lost[..], [] | [Error::RunnerLost { cause: Cause::Signalled(9), .. }]), "{lost:?}");
        let expected: Vec<_> = (0..4).filter(|n| ends[*n].is_ok()).map(|n| n.to_string()).collect();
        assert_eq!(journal.lines(), expected);
    }
    pool.shutdown().await;
}
