//! A parent that wants many runners, and tells how it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flame_actors::{Event, Pool};
use flame_local::ProcessBackend;
use flame_tests::process::Signal;
use flame_tests::{Role, node, told};
use nix::sys::resource::{Resource, setrlimit};

/// How many runners the role wants.
const WANTED: &str = "FLAME_TEST_WANTED";
/// Its soft and its hard limit of descriptors.
pub(crate) const DESCRIPTORS: &str = "FLAME_TEST_DESCRIPTORS";
/// How many boot at a time, if that is set.
const AT_A_TIME: &str = "FLAME_TEST_AT_A_TIME";
/// How long a boot may take, in seconds.
const BOOT_TIMEOUT: &str = "FLAME_TEST_BOOT_TIMEOUT";

pub(crate) fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Sets the limit of this process' descriptors to what the trial says.
pub(crate) fn limit_descriptors() {
    let Ok(limits) = std::env::var(DESCRIPTORS) else { return };
    let (soft, hard) = limits.split_once(' ').expect("two limits");
    let limit = |text: &str| text.parse().expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, limit(soft), limit(hard)).expect("limits may be lowered");
}

pub(crate) async fn growing() {
    limit_descriptors();
    let wanted = number(WANTED).expect("the trial says how many");
    let mut backend = ProcessBackend::new();
    if let Some(boots) = number(AT_A_TIME) {
        backend = backend.boots_at_a_time(boots);
    }
    let mut pool = Pool::builder("many").min(wanted).max(wanted).backend(backend);
    if let Some(seconds) = number(BOOT_TIMEOUT) {
        pool = pool.boot_timeout(Duration::from_secs(seconds as u64));
    }
    let start = Instant::now();
    let pool = pool.start(&node()).await.unwrap();
    let mut events = pool.events();
    let (failed, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&failed), Arc::clone(&lost));
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::BootFailed { .. } => counts.0.fetch_add(1, Ordering::Relaxed),
                Event::Lost { .. } => counts.1.fetch_add(1, Ordering::Relaxed),
                _ => continue,
            };
        }
    });
    let tell = async {
        loop {
            let status = pool.status();
            let (up, booting) = (status.runners.len(), status.booting);
            let (failed, lost) = (failed.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
            let error = status.last_boot_error.map(|err| err.to_string().replace('\n', " ")).unwrap_or_default();
            told(format_args!("{up} {booting} {failed} {lost} {} {error}", start.elapsed().as_millis()));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let node = node();
    tokio::select! {
        () = tell => {}
        ended = node.shutdown_on_signal() => ended.unwrap(),
    }
}

/// How far a role has come.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) up: usize,
    pub(crate) booting: usize,
    pub(crate) failed: usize,
    pub(crate) lost: usize,
    pub(crate) after: Duration,
    pub(crate) last_error: String,
}

/// The role, as its trial sees it.
pub(crate) struct Growing(Role);

impl Growing {
    pub(crate) fn start(wanted: usize, environment: &[(&str, &str)]) -> Self {
        let wanted = wanted.to_string();
        let environment: Vec<_> = environment.iter().copied().chain([(WANTED, wanted.as_str())]).collect();
        Self(Role::start("growing", &environment))
    }

    pub(crate) async fn next(&mut self) -> Growth {
        let line = self.0.next().await;
        let mut words = line.splitn(6, ' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        let [up, booting, failed, lost, after] = [(); 5].map(|()| number());
        let after = Duration::from_millis(after as u64);
        Growth { up, booting, failed, lost, after, last_error: words.next().unwrap_or_default().to_owned() }
    }

    /// Waits until it has grown so far.
    pub(crate) async fn until(&mut self, longest: Duration, mut has_grown: impl FnMut(&Growth) -> bool) -> Growth {
        let start = Instant::now();
        loop {
            let growth = self.next().await;
            if has_grown(&growth) {
                return growth;
            }
            assert!(start.elapsed() < longest, "not within {longest:?}: {growth:?}");
        }
    }

    pub(crate) async fn end(mut self) {
        self.0.signal(Signal::SIGTERM);
        assert_eq!(self.0.ended().await, Some(0));
    }
}
