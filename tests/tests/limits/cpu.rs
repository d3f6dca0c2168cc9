//! A runner that wants every core.

use std::time::{Duration, Instant};

use flame_actors::Pool;
use flame_local::ProcessBackend;
use flame_tests::{Journal, eventually, node, process, trials, until};
use libtest_mimic::Trial;

use crate::work::{count, groups, pool, spin};

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_busy_runner_gets_the_cores_that_it_may_have, a_busy_runner_does_not_slow_its_neighbour]
}

const CORES: f64 = 0.2;
const FOR_LONG: Duration = Duration::from_secs(600);

/// How often the kernel has held the pool's runners back.
fn held_back(pool: &Pool) -> u64 {
    let stats = groups(pool).into_iter().filter_map(|group| std::fs::read_to_string(group.join("cpu.stat")).ok());
    let throttled =
        |stat: String| stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok());
    stats.filter_map(throttled).sum()
}

async fn a_busy_runner_gets_the_cores_that_it_may_have() {
    let pool = pool(ProcessBackend::new().cpu_limit(CORES)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let busy = tokio::spawn(pool.call(spin(4, FOR_LONG, journal.entry())));
    let pid = journal.pid("pid").await;
    // On a busy machine it may get no more than that anyway, which would show nothing.
    until("it is held back", || held_back(&pool) > 0).await;
    let used = || process::cpu_time(pid).expect("it is there");
    let (start, before) = (Instant::now(), used());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let share = (used() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    // In 4 s there may be a period of 100 ms more than 40, and then some.
    assert!(share < CORES * 1.3, "{share:.3} cores of {CORES}");
    assert!(!busy.is_finished());
    pool.shutdown().await;
}

/// The best of some, as others use this machine too.
async fn quickest(pool: &Pool) -> Duration {
    let mut quickest = Duration::MAX;
    for _ in 0..4 {
        quickest = quickest.min(eventually("a count", pool.call(count())).await.unwrap());
    }
    quickest
}

async fn a_busy_runner_does_not_slow_its_neighbour() {
    let limited = pool(ProcessBackend::new().cpu_limit(CORES)).start(&node()).await.unwrap();
    let neighbour = pool(ProcessBackend::new()).max(1).start(&node()).await.unwrap();
    let alone = quickest(&neighbour).await;
    let journal = Journal::new();
    // Unlimited, so many threads would leave a neighbour a small part of a few cores.
    let threads = 8 * std::thread::available_parallelism().unwrap().get();
    let busy = tokio::spawn(limited.call(spin(threads, FOR_LONG, journal.entry())));
    let pid = journal.pid("pid").await;
    until("it is held back", || held_back(&limited) > 0).await;
    let beside = quickest(&neighbour).await;
    assert!(beside < 3 * alone, "{beside:?} beside a busy runner, {alone:?} alone");
    assert!(!busy.is_finished() && process::is_alive(pid), "it was busy all the time");
    tokio::join!(limited.shutdown(), neighbour.shutdown());
}
