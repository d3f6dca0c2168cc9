//! A parent in a process of its own: it works all the time, and what it logs can be read.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flame_actors::task;
use flame_tests::{BEFORE_START, Role, Runners, Spy, eventually, node, told, until};
use nix::sys::resource::{Resource, setrlimit};
use tempfile::TempDir;

use crate::tls::Invitation;
use crate::traced::{self, LEVEL, LOGS};

/// Where the trial says that it is enough.
const STOP: &str = "FLAME_TEST_STOP";
/// How many descriptors the parent may have once it works.
const DESCRIPTORS: &str = "FLAME_TEST_DESCRIPTORS";

/// Calls a runner all the time, and boots one after the other beside that.
pub(crate) async fn watched() {
    let spy = Spy::default();
    let pool = Runners::Processes.pool().backend(spy.clone()).start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    // Two that are awaited as long as this lasts.
    let late = Spy::new(&[(BEFORE_START, "600000")]);
    let waiting = Runners::Processes.pool().min(2).max(2).boot_timeout(Duration::from_secs(600)).backend(late.clone());
    let waiting = waiting.start(&node()).await.unwrap();
    until("two are booting", || late.invitations().len() == 2).await;
    for invitation in spy.invitations().iter().chain(&late.invitations()) {
        told(invitation);
    }
    if let Ok(descriptors) = std::env::var(DESCRIPTORS) {
        let most = descriptors.parse().expect("a number");
        setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("it may be lowered");
    }

    let stop = PathBuf::from(std::env::var_os(STOP).expect("the trial gives one"));
    let (calls, joins, slowest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let is_over = AtomicBool::new(false);
    let calling = async {
        while !is_over.load(Ordering::Relaxed) {
            let start = Instant::now();
            pool.call(task!([] {})).await.expect("a call");
            slowest.fetch_max(start.elapsed().as_millis() as u64, Ordering::Relaxed);
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    let joining = async {
        while !is_over.load(Ordering::Relaxed) && std::env::var_os(DESCRIPTORS).is_none() {
            let pool = Runners::Processes.start().await;
            pool.call(task!([] {})).await.expect("a call of a new runner");
            pool.shutdown().await;
            joins.fetch_add(1, Ordering::Relaxed);
        }
    };
    let stopping = async {
        while !stop.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(calling, joining, stopping);
    told(format_args!("{} {} {}", calls.into_inner(), joins.into_inner(), slowest.into_inner()));
    tokio::join!(pool.shutdown(), waiting.shutdown());
}

/// Such a process, as its trial has it.
pub(crate) struct Watched {
    role: Role,
    dir: TempDir,
    /// Of a runner that has joined.
    pub(crate) joined: Invitation,
    /// Of two that have not.
    pub(crate) awaited: [Invitation; 2],
}

/// What it has done by its end.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) calls: u64,
    pub(crate) joins: u64,
    pub(crate) slowest: Duration,
}

impl Watched {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[(LEVEL, "warn")]).await
    }

    pub(crate) async fn traced() -> Self {
        Self::start_with(&[(LEVEL, "trace")]).await
    }

    pub(crate) async fn with_descriptors(most: u32) -> Self {
        Self::start_with(&[(LEVEL, "warn"), (DESCRIPTORS, &most.to_string())]).await
    }

    async fn start_with(environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).to_str().expect("plain letters").to_owned();
        let (logs, stop) = (path(""), path("stop"));
        let environment = [&[(LOGS, &*logs), (STOP, &*stop)], environment].concat();
        let mut role = Role::start("watched", &environment);
        let joined = Invitation::read(&role.next().await);
        let awaited = [Invitation::read(&role.next().await), Invitation::read(&role.next().await)];
        Self { role, dir, joined, awaited }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.role.pid()
    }

    pub(crate) fn address(&self) -> &str {
        &self.joined.address
    }

    /// What it and its runners have logged.
    pub(crate) fn logs(&self) -> Vec<(u32, String)> {
        traced::read(self.dir.path())
    }

    /// Its lines about connections that it has refused.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let logs = self.logs();
        let (_, log) = logs.iter().find(|(pid, _)| *pid == self.pid()).expect("it logs");
        log.lines().filter(|line| line.contains(" flame_actors::refused: ")).map(str::to_owned).collect()
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it is there").count()
    }

    /// Its memory, in MiB.
    pub(crate) fn memory(&self) -> usize {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).expect("it is there");
        let resident: usize = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
        (resident * 4096) >> 20
    }

    /// Says that it is enough, and waits for its end.
    pub(crate) async fn stop(&mut self) -> Done {
        std::fs::write(self.dir.path().join("stop"), "").expect("a file");
        let done = self.role.next().await;
        let mut numbers = done.split(' ').map(|number| number.parse().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        let done = Done { calls: next(), joins: next(), slowest: Duration::from_millis(next()) };
        assert_eq!(eventually("the end of the parent", self.role.ended()).await, Some(0));
        done
    }
}
