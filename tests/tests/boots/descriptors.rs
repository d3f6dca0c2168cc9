//! Descriptors: their limit, and what happens when there are too few.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use flame_actors::{Event, remote};
use flame_tests::{
    BEFORE_START, LEAVE_DESCRIPTOR_LIMIT, Role, Runners, eventually, node, process, told, trials, until,
};
use libtest_mimic::Trial;
use nix::sys::resource::{Resource, getrlimit};

use crate::growing::{DESCRIPTORS, Growing, limit_descriptors};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        with_64_descriptors_a_few_runners_come_up,
        with_256_descriptors_as_many_runners_come_up_as_fit,
        with_1024_descriptors_as_many_runners_come_up_as_fit,
        a_runner_whose_connection_cannot_be_taken_fails_at_once_and_another_one_comes_later,
        the_limit_is_raised_and_runners_begin_with_the_one_before,
        a_limit_that_is_to_be_left_is_left,
    ]
}

/// More are wanted than fit: no less than `least` come up and stay up, the boots of the others fail with words.
async fn as_many_as_fit(descriptors: usize, wanted: usize, least: usize) {
    let limits = format!("{descriptors} {descriptors}");
    let mut role = Growing::start(wanted, &[(DESCRIPTORS, &limits)]);
    let full = role.until(Duration::from_secs(120), |growth| growth.up >= least && growth.failed > 0).await;
    assert!(full.up < wanted, "{full:?}");
    let words = [format!("its limit is {descriptors}"), "too few descriptors".to_owned(), "ulimit -n".to_owned()];
    assert!(words.iter().all(|words| full.last_error.contains(words)), "{full:?}");
    let later = role.until(Duration::from_secs(30), |growth| growth.after > full.after + Duration::from_secs(5)).await;
    assert!(later.up >= full.up && later.lost == 0, "{full:?}, and then {later:?}");
    // They fail at once, and not after the time for a boot; then comes a pause.
    role.until(Duration::from_secs(30), |growth| growth.booting == 0).await;
    role.end().await;
}

/// The process itself needs some thirty, and each runner five.
async fn with_64_descriptors_a_few_runners_come_up() {
    as_many_as_fit(64, 20, 3).await;
}

async fn with_256_descriptors_as_many_runners_come_up_as_fit() {
    as_many_as_fit(256, 100, 40).await;
}

async fn with_1024_descriptors_as_many_runners_come_up_as_fit() {
    as_many_as_fit(1024, 300, 180).await;
}

/// An application that has taken all descriptors when a runner dials.
pub(crate) async fn crowded() {
    limit_descriptors();
    let pool = Runners::Processes.pool().min(1).boot_timeout(Duration::from_secs(100)).start(&node()).await.unwrap();
    let mut events = pool.events();
    until("a process boots", || !process::descendants(std::process::id()).is_empty()).await;
    let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(files.len() > 10, "there were {}", files.len());
    loop {
        match eventually("a boot that fails", events.next()).await {
            Some(Event::BootFailed { error, .. }) => break told(error.to_string().replace('\n', " ")),
            Some(Event::Up { .. }) => panic!("there was room"),
            _ => {}
        }
    }
    drop(files);
    until("another one is up", || pool.status().runners.len() == 1).await;
    told("up");
    pool.shutdown().await;
}

async fn a_runner_whose_connection_cannot_be_taken_fails_at_once_and_another_one_comes_later() {
    let mut role = Role::start("crowded", &[(DESCRIPTORS, "200 200"), (BEFORE_START, "1500")]);
    let err = role.next().await;
    let words = ["a connection of the runner cannot be taken", "too few descriptors", "its limit is 200", "ulimit -n"];
    assert!(words.iter().all(|words| err.contains(words)), "{err}");
    assert_eq!(role.next().await, "up");
    assert_eq!(role.ended().await, Some(0));
}

/// The limit of the runner, and that of a process which it starts.
#[remote]
async fn limits() -> [String; 2] {
    let started = std::process::Command::new("sh").args(["-c", "ulimit -Sn"]).output().expect("there is a shell");
    [soft_limit(), String::from_utf8_lossy(&started.stdout).trim().to_owned()]
}

fn soft_limit() -> String {
    getrlimit(Resource::RLIMIT_NOFILE).expect("a process has limits").0.to_string()
}

/// Tells the limit before it has a pool and with one, and those of a runner and of what that starts.
pub(crate) async fn limited() {
    limit_descriptors();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let before = soft_limit();
    let pools = [Runners::Processes.start().await, Runners::Processes.start().await];
    let [runner, started] = pools[0].call(limits()).await.unwrap();
    told(format_args!("{before} {} {runner} {started}", soft_limit()));
    for pool in pools {
        pool.shutdown().await;
    }
}

/// What it told, and its lines that say that a limit was raised.
async fn limits_of_a_role(environment: &[(&str, &str)]) -> (String, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stderr");
    let environment: Vec<_> = environment.iter().copied().chain([(DESCRIPTORS, "200 400")]).collect();
    let mut role = Role::start_with_stderr("limited", &environment, Stdio::from(File::create(&path).unwrap()));
    let told = role.next().await;
    assert_eq!(role.ended().await, Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().filter(|line| line.contains("the soft limit of descriptors")).map(str::to_owned);
    (told, lines.collect())
}

async fn the_limit_is_raised_and_runners_begin_with_the_one_before() {
    let (told, lines) = limits_of_a_role(&[]).await;
    assert_eq!(told, "200 400 200 200");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("INFO") && lines[0].contains("200") && lines[0].contains("400"), "{lines:?}");
}

async fn a_limit_that_is_to_be_left_is_left() {
    let (told, lines) = limits_of_a_role(&[(LEAVE_DESCRIPTOR_LIMIT, "1")]).await;
    assert_eq!(told, "200 200 200 200");
    assert_eq!(lines, Vec::<String>::new());
}
