//! Runners boot in turn.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use flame_actors::{Error, task};
use flame_local::ProcessBackend;
use flame_tests::{BEFORE_START, Runners, long_trial, node, trials, within};
use libtest_mimic::Trial;

use crate::growing::Growing;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = trials![
        who_waits_for_a_turn_does_not_use_up_the_time_of_its_boot,
        a_boot_that_waits_for_something_else_gives_its_turn_on,
        a_boot_that_fails_gives_its_turn_on,
        without_turns_boots_fail_and_say_so,
    ];
    let name = "two_hundred_at_once_all_come_up_beside_busy_processes";
    trials.push(long_trial(module_path!(), name, MANY, two_hundred_at_once_all_come_up_beside_busy_processes));
    trials
}

/// What two hundred processes may take on a machine that computes besides.
const MANY: Duration = Duration::from_secs(400);

/// Keeps a core busy.
struct Busy(Child);

impl Busy {
    fn start() -> Self {
        Self(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("there is a shell"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn two_hundred_at_once_all_come_up_beside_busy_processes() {
    let _busy = [Busy::start(), Busy::start()];
    let mut role = Growing::start(200, &[]);
    let grown = role.until(MANY, |growth| growth.up == 200 || growth.failed > 0 || growth.lost > 0).await;
    assert!(grown.up == 200 && grown.failed == 0 && grown.lost == 0, "{grown:?}");
    role.end().await;
}

/// Together they take longer than each one may.
async fn who_waits_for_a_turn_does_not_use_up_the_time_of_its_boot() {
    const RUNNERS: usize = 5;
    const PAUSE: Duration = Duration::from_millis(1200);
    let backend = ProcessBackend::new().boots_at_a_time(1).env(BEFORE_START, PAUSE.as_millis().to_string());
    let boot_timeout = Duration::from_secs(4);
    let start = Instant::now();
    let pool = Runners::Processes.pool().min(RUNNERS).max(RUNNERS).boot_timeout(boot_timeout).backend(backend);
    let pool = pool.start(&node()).await.unwrap();
    within(Duration::from_secs(60), "all are up", || {
        let status = pool.status();
        assert_eq!(status.last_boot_error, None);
        status.runners.len() == RUNNERS
    })
    .await;
    assert!(start.elapsed() >= PAUSE * RUNNERS as u32, "there was more than one at a time");
    pool.shutdown().await;
}

/// By default: as many as there are cores would take minutes.
async fn a_boot_that_waits_for_something_else_gives_its_turn_on() {
    let runners = 3 * 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let backend = ProcessBackend::new().env(BEFORE_START, "20000");
    let start = Instant::now();
    let pool = Runners::Processes.pool().min(runners).max(runners).boot_timeout(Duration::from_secs(60));
    let pool = pool.backend(backend).start(&node()).await.unwrap();
    within(Duration::from_secs(90), "all are up", || pool.status().runners.len() == runners).await;
    assert!(start.elapsed() < Duration::from_secs(55), "they took {:?}", start.elapsed());
    pool.shutdown().await;
}

async fn a_boot_that_fails_gives_its_turn_on() {
    let backend = ProcessBackend::new().boots_at_a_time(1);
    let fails = Runners::Processes.pool().boot_timeout(Duration::from_secs(1));
    let fails = fails.backend(backend.clone().env(BEFORE_START, "600000")).start(&node()).await.unwrap();
    let err = fails.call(task!([] {})).await.unwrap_err();
    assert!(matches!(err, Error::Boot { .. }), "{err}");
    let works = Runners::Processes.pool().backend(backend).start(&node()).await.unwrap();
    works.call(task!([] {})).await.unwrap();
    fails.shutdown().await;
    works.call(task!([] {})).await.unwrap();
    works.shutdown().await;
}

async fn without_turns_boots_fail_and_say_so() {
    let pool = Runners::Processes.pool().backend(ProcessBackend::new().boots_at_a_time(0));
    let pool = pool.start(&node()).await.unwrap();
    let err = pool.call(task!([] {})).await.unwrap_err();
    assert!(matches!(&err, Error::Config { option, .. } if option == "boots_at_a_time"), "{err}");
    pool.shutdown().await;
}
