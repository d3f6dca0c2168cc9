//! What the application's hooks are told, and whom they can harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flame_actors::{PoolBuilder, PoolChange};
use flame_tests::{Broken, Runners, eventually, everywhere, node, process, trials, until};
use libtest_mimic::Trial;
use parking_lot::Mutex;

use crate::scripted::{Scripted, Verdict};
use crate::work::{idle_runners, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![a_hook_that_panics_harms_nobody, a_hook_may_wait_for_a_future];
    trials.extend(trials![
        hooks_are_told_of_each_change_in_order,
        the_loss_of_a_runner_is_told,
        a_boot_that_a_shutdown_gives_up_has_an_end_too,
        a_hook_that_blocks_harms_nobody,
        a_shutdown_does_not_wait_longer_than_its_timeout_for_a_hook,
    ]);
    trials
}

/// One line for each hook that was called.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn note(&self, what: &str, change: &PoolChange, outcome: &str) {
        let runner = change.runner.strip_prefix(&format!("{}.{}-", node().name(), change.pool));
        let runner = runner.expect("the name begins with those of its parent and its pool");
        self.0.lock().push(format!("{what} {} {runner} {}{outcome}", change.pool, change.count));
    }

    fn on(&self, pool: PoolBuilder) -> PoolBuilder {
        let (start, end, shrink) = (self.clone(), self.clone(), self.clone());
        pool.on_grow_start(move |change| start.note("start", change, ""))
            .on_grow_end(move |change, outcome| {
                let outcome = outcome.map_or_else(|err| format!(" {err}"), |()| " up".to_owned());
                end.note("end", change, &outcome);
            })
            .on_shrink(move |change| shrink.note("shrink", change, ""))
    }

    /// The lines, with letters in the order of their appearance in place of the runners.
    fn lines(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let mut named = |line: &String| {
            let mut words: Vec<_> = line.split(' ').collect();
            let index = seen.iter().position(|known| known == words[2]).unwrap_or_else(|| {
                seen.push(words[2].to_owned());
                seen.len() - 1
            });
            words.remove(1);
            words[1] = ["a", "b", "c", "d"][index];
            words.join(" ")
        };
        self.0.lock().iter().map(&mut named).collect()
    }
}

async fn hooks_are_told_of_each_change_in_order() {
    let calls = Calls::default();
    let backend = Scripted::new([Verdict::Fail("no"), Verdict::Up]);
    let pool = calls.on(Runners::InProcess.pool()).max(3).max_concurrency(1).backend(backend.clone());
    let pool = pool.start(&node()).await.unwrap();
    let (_, first) = pool.call(whereabouts()).await.unwrap();
    pool.resize(2, 3).unwrap();
    until("a second boot", || backend.boots() == 3).await;
    backend.say([Verdict::Up]);
    idle_runners(&pool, 2).await;
    pool.resize(0, 3).unwrap();
    pool.drain(&first).await.unwrap();
    pool.shutdown().await;
    // After the shutdown there is nothing left to tell.
    assert!(calls.0.lock().iter().all(|line| line.split(' ').nth(1) == Some(pool.name())));
    assert_eq!(
        calls.lines(),
        [
            "start a 1",
            "end a 0 backend scripted: no",
            "start b 1",
            "end b 1 up",
            "start c 2",
            "end c 2 up",
            "shrink b 1",
            "shrink c 0"
        ]
    );
}

async fn the_loss_of_a_runner_is_told() {
    let calls = Calls::default();
    let pool = calls.on(Runners::Processes.pool()).start(&node()).await.unwrap();
    let (pid, _) = pool.call(whereabouts()).await.unwrap();
    process::kill(pid);
    until("it is told", || calls.lines().len() == 3).await;
    assert_eq!(calls.lines(), ["start a 1", "end a 1 up", "shrink a 0"]);
    pool.shutdown().await;
}

/// Whoever counts starts and ends comes to zero.
async fn a_boot_that_a_shutdown_gives_up_has_an_end_too() {
    let calls = Calls::default();
    let pool = calls.on(Runners::InProcess.pool()).min(2).max(2).backend(Scripted::new([]));
    let pool = pool.start(&node()).await.unwrap();
    until("two boots", || pool.status().booting == 2).await;
    pool.shutdown().await;
    let lines = calls.lines();
    assert_eq!(lines[..2], ["start a 1", "start b 2"]);
    let closed = format!("pool \"{}\" is closed", pool.name());
    let mut ends: Vec<_> = lines[2..].iter().map(|line| line.splitn(4, ' ').collect::<Vec<_>>()).collect();
    ends.sort_by_key(|words| words[1]);
    let [one, two] = &ends[..] else { panic!("{lines:?}") };
    assert_eq!((one[0], one[1], one[3], two[0], two[1], two[3]), ("end", "a", &*closed, "end", "b", &*closed));
    assert_eq!(pool.status().booting, 0);
}

async fn a_hook_that_panics_harms_nobody(on: Runners) {
    let called = Arc::new(AtomicUsize::new(0));
    let hook = |called: &Arc<AtomicUsize>| {
        let called = Arc::clone(called);
        move || {
            called.fetch_add(1, Ordering::Relaxed);
            // As a panic, without a line on standard error.
            std::panic::resume_unwind(Box::new("a hook that panics"))
        }
    };
    let (start, end, shrink) = (hook(&called), hook(&called), hook(&called));
    let pool = on.pool().on_grow_start(move |_| start()).on_grow_end(move |_, _| end()).on_shrink(move |_| shrink());
    let pool = pool.start(&node()).await.unwrap();
    let (_, first) = pool.call(whereabouts()).await.unwrap();
    pool.drain(&first).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    pool.shutdown().await;
    assert_eq!(called.load(Ordering::Relaxed), 6, "each of them for each of two runners");
}

/// Which only those may that block no worker of the runtime.
async fn a_hook_may_wait_for_a_future(on: Runners) {
    let calls = Calls::default();
    let wait = || tokio::runtime::Handle::current().block_on(tokio::time::sleep(Duration::from_millis(1)));
    let end = calls.clone();
    let pool = on.pool().on_grow_end(move |change, _| {
        wait();
        end.note("waited", change, "");
    });
    let pool = pool.start(&node()).await.unwrap();
    pool.call(whereabouts()).await.unwrap();
    pool.shutdown().await;
    assert_eq!(calls.lines(), ["waited a 1"]);
}

/// Blocks until the other end is dropped.
fn wait(blocked: &Mutex<std::sync::mpsc::Receiver<()>>) {
    blocked.lock().recv().unwrap_err();
}

/// While a hook blocks the pool grows, works and shrinks; the others are called when it is done.
async fn a_hook_that_blocks_harms_nobody() {
    let calls = Calls::default();
    let (release, blocked) = std::sync::mpsc::channel();
    let blocked = Mutex::new(blocked);
    let pool = calls.on(Runners::InProcess.pool()).max(2).max_concurrency(1).shutdown_timeout(Duration::from_secs(30));
    let pool = pool.on_grow_start(move |_| wait(&blocked)).start(&node()).await.unwrap();
    for _ in 0..2 {
        let (_, runner) = eventually("a call", pool.call(whereabouts())).await.unwrap();
        eventually("a drain", pool.drain(&runner)).await.unwrap();
    }
    assert_eq!(calls.lines(), [""; 0], "the first is not done");
    drop(release);
    eventually("the shutdown", pool.shutdown()).await;
    assert_eq!(calls.lines(), ["end a 1 up", "shrink a 0", "end b 1 up", "shrink b 0"]);
}

async fn a_shutdown_does_not_wait_longer_than_its_timeout_for_a_hook() {
    let (release, blocked) = std::sync::mpsc::channel();
    let blocked = Mutex::new(blocked);
    let pool = Runners::InProcess.pool().min(1).shutdown_timeout(Duration::from_millis(200));
    let pool = pool.backend(Broken::new("no")).on_grow_start(move |_| wait(&blocked));
    let pool = pool.start(&node()).await.unwrap();
    until("a boot", || pool.status().failed_boots > 0).await;
    eventually("the shutdown", pool.shutdown()).await;
    drop(release);
}
