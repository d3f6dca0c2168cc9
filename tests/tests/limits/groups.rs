//! The control groups themselves, and limits that cannot be.

use std::time::Duration;

use flame_actors::{Error, task};
use flame_local::ProcessBackend;
use flame_tests::process::{is_alive, kill};
use flame_tests::{BEFORE_START, BEHAVIOUR, Journal, eventually, node, trials, until};
use libtest_mimic::Trial;

use crate::work::{MIB, eat, groups, hold, pool};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        limits_that_cannot_be_are_named_at_once,
        a_runner_without_limits_is_in_its_parents_groups,
        the_groups_are_gone_after_the_shutdown,
        the_groups_are_gone_after_the_runner_was_killed,
        the_groups_of_boots_that_fail_are_gone,
        the_groups_of_a_boot_that_is_given_up_are_gone,
        what_has_left_the_process_group_ends_with_its_runner,
        a_limited_runner_of_a_limited_runner_goes_with_it,
    ]
}

fn limited() -> ProcessBackend {
    ProcessBackend::new().memory_limit(256 * MIB).cpu_limit(1.5)
}

/// The options are not looked at before the first boot: runners declare pools too.
async fn limits_that_cannot_be_are_named_at_once() {
    let backend = ProcessBackend::new;
    for (wrong, option) in [
        (backend().memory_limit(0), "memory_limit"),
        (backend().cpu_limit(0.0), "cpu_limit"),
        (backend().cpu_limit(0.001), "cpu_limit"),
        (backend().cpu_limit(-1.0), "cpu_limit"),
        (backend().cpu_limit(f64::NAN), "cpu_limit"),
        (backend().cpu_limit(f64::INFINITY), "cpu_limit"),
    ] {
        let pool = pool(wrong).start(&node()).await.expect("nothing is booted");
        let err = eventually("a call", pool.call(eat(1))).await.unwrap_err();
        assert!(matches!(&err, Error::Config { option: named, .. } if named == option), "{err}");
        pool.shutdown().await;
    }
}

/// Each group that a process is in.
async fn groups_here(pool: &flame_actors::Pool) -> String {
    let read = task!([] -> String { std::fs::read_to_string("/proc/self/cgroup").expect("Linux 2.6.24") });
    eventually("a call", pool.call(read)).await.unwrap()
}

async fn a_runner_without_limits_is_in_its_parents_groups() {
    let pool = pool(ProcessBackend::new()).start(&node()).await.unwrap();
    assert_eq!(groups_here(&pool).await, std::fs::read_to_string("/proc/self/cgroup").unwrap());
    pool.shutdown().await;
}

async fn the_groups_are_gone_after_the_shutdown() {
    let pool = pool(limited()).start(&node()).await.unwrap();
    let here = groups_here(&pool).await;
    let groups_of = || groups(&pool);
    let made = groups_of();
    assert!(!made.is_empty(), "{here}");
    for dir in &made {
        let name = dir.file_name().unwrap().to_str().unwrap();
        assert!(here.lines().any(|line| line.ends_with(&format!("/{name}"))), "{name} is not in {here}");
    }
    pool.shutdown().await;
    assert_eq!(groups_of(), Vec::<std::path::PathBuf>::new());
}

async fn the_groups_are_gone_after_the_runner_was_killed() {
    let pool = pool(limited()).start(&node()).await.unwrap();
    let journal = Journal::new();
    let held = tokio::spawn(pool.call(hold(journal.entry())));
    let pid = journal.pid("pid").await;
    assert!(!groups(&pool).is_empty());
    kill(pid);
    held.await.unwrap().unwrap_err();
    until("the groups are gone", || groups(&pool).is_empty()).await;
    pool.shutdown().await;
}

async fn the_groups_of_boots_that_fail_are_gone() {
    let pool = pool(limited().env(BEHAVIOUR, "exit-3")).start(&node()).await.unwrap();
    let err = pool.call(eat(1)).timeout(Duration::from_secs(2)).await.unwrap_err();
    assert!(err.to_string().contains("code 3"), "{err}");
    pool.shutdown().await;
    assert!(groups(&pool).is_empty(), "{:?}", groups(&pool));
}

/// At any moment of it.
async fn the_groups_of_a_boot_that_is_given_up_are_gone() {
    for pause in 0..20 {
        let pool = pool(limited().env(BEFORE_START, "600000")).min(2).start(&node()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(4 * pause)).await;
        eventually("the shutdown", pool.shutdown()).await;
        until("the groups are gone", || groups(&pool).is_empty()).await;
    }
}

async fn what_has_left_the_process_group_ends_with_its_runner() {
    let pool = pool(limited()).start(&node()).await.unwrap();
    let journal = Journal::new();
    let entry = journal.entry();
    let leave = task!([entry: flame_tests::Entry] {
        let script = "echo pid=$$ >> \"$0\"; exec sleep 1000";
        let mut daemon = std::process::Command::new("setsid");
        drop(daemon.args(["sh", "-c", script]).arg(entry.path()).spawn().expect("there is a setsid"));
    });
    pool.call(leave).await.unwrap();
    let daemon = journal.pid("pid").await;
    assert!(is_alive(daemon));
    pool.shutdown().await;
    until("it is gone", || !is_alive(daemon)).await;
}

/// Its group is below the other one.
async fn a_limited_runner_of_a_limited_runner_goes_with_it() {
    let outer = pool(limited()).start(&node()).await.unwrap();
    let journal = Journal::new();
    let entry = journal.entry();
    let nest = task!([entry: flame_tests::Entry] {
        entry.note(format_args!("outer={}", std::process::id()));
        let inner = pool(ProcessBackend::new().memory_limit(128 * MIB)).start(&node()).await.unwrap();
        entry.note(format_args!("groups={}", inner.name()));
        drop(inner.call(hold(entry.clone())).await);
    });
    let nested = tokio::spawn(outer.call(nest));
    let (outer_pid, inner_pid) = (journal.pid("outer").await, journal.pid("pid").await);
    let inner = format!("/flame-{}-", journal.value("groups").await);
    let here = std::fs::read_to_string(format!("/proc/{inner_pid}/cgroup")).unwrap();
    let is_below =
        here.lines().any(|line| line.contains(&format!("/flame-{}-", outer.name())) && line.contains(&inner));
    assert!(is_below, "{here}");
    kill(outer_pid);
    eventually("the loss", nested).await.unwrap().unwrap_err();
    until("both are gone", || !is_alive(outer_pid) && !is_alive(inner_pid)).await;
    until("the groups are gone", || groups(&outer).is_empty()).await;
    outer.shutdown().await;
}
