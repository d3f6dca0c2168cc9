//! Pools of limited runners, and what they run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use flame_actors::{Pool, PoolBuilder, remote};
use flame_local::ProcessBackend;
use flame_tests::Entry;

pub(crate) const MIB: u64 = 1024 * 1024;

/// A pool whose name no other on this machine has, with two runners at the most that do one thing at a time.
pub(crate) fn pool(backend: ProcessBackend) -> PoolBuilder {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("limited-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Pool::builder(name).max(2).max_concurrency(1).shutdown_timeout(Duration::from_secs(2)).backend(backend)
}

/// The control groups of a pool's runners, wherever they are.
pub(crate) fn groups(pool: &Pool) -> Vec<PathBuf> {
    let prefix = format!("flame-{}-", pool.name());
    let mut found = Vec::new();
    let mut todo = vec![Path::new("/sys/fs/cgroup").to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(&prefix) {
                    found.push(entry.path());
                }
                todo.push(entry.path());
            }
        }
    }
    found
}

/// Uses so many bytes.
#[remote]
pub(crate) async fn eat(bytes: u64) -> usize {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    while (eaten.len() as u64) * MIB < bytes {
        eaten.push(vec![1; MIB as usize]);
    }
    std::hint::black_box(&eaten).len()
}

/// Notes its process, and goes on until it is let go by a file of this name beside the journal.
#[remote]
pub(crate) async fn hold(journal: Entry) -> u32 {
    journal.note(format_args!("pid={}", std::process::id()));
    while !journal.path().with_file_name("go").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::process::id()
}

pub(crate) fn let_go(journal: &Entry) {
    std::fs::write(journal.path().with_file_name("go"), "").expect("the directory is there");
}

/// Keeps so many threads busy for so long.
#[remote]
pub(crate) async fn spin(threads: usize, time: Duration, journal: Entry) {
    journal.note(format_args!("pid={}", std::process::id()));
    let start = Instant::now();
    let spinning = (0..threads).map(|_| {
        std::thread::spawn(move || {
            while start.elapsed() < time {
                std::hint::spin_loop();
            }
        })
    });
    for thread in spinning.collect::<Vec<_>>() {
        thread.join().expect("it only spins");
    }
}

/// Counts to a number that takes some tenths of a second; gives the time that it took.
#[remote]
pub(crate) async fn count() -> Duration {
    let start = Instant::now();
    let mut n: u64 = 0;
    while std::hint::black_box(n) < 20_000_000 {
        n += 1;
    }
    start.elapsed()
}
