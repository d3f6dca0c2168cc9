//! Processes that are stopped for longer than the lease, and that wake up after it.

use std::time::{Duration, Instant};

use flame_actors::{Cause, Error, Stage};
use flame_tests::process::{Signal, connections, descendants, is_alive, is_answered, kill, signal};
use flame_tests::{BEHAVIOUR, JOINED, Journal, Runners, Spy, eventually, node, trials, until, within};
use libtest_mimic::Trial;
use serde_bytes::ByteBuf;

use crate::parent::{Boots, hang, note, start, swallow, take};
use crate::{LEASE, SLACK};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_caller_of_a_frozen_runner_has_its_error_within_four_seconds,
        a_call_keeps_its_time_out_on_a_frozen_runner,
        a_runner_that_wakes_up_after_its_lease_takes_nothing_more,
        a_runner_that_wakes_up_after_its_lease_answers_nothing_more,
        a_runner_that_is_frozen_while_it_is_sent_away_is_destroyed_after_its_lease,
        a_runner_that_is_frozen_before_it_serves_is_given_up,
        the_runners_of_a_frozen_parent_are_gone_after_their_lease,
        a_runner_that_does_not_serve_yet_leaves_a_frozen_parent,
        a_frozen_runner_that_much_was_sent_to_leaves_no_descriptor_behind,
    ]
}

async fn a_caller_of_a_frozen_runner_has_its_error_within_four_seconds() {
    let pool = Runners::Processes.pool().min(1).start(&node()).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hang(journal.entry())));
    let pid = journal.pid("pid").await;
    let start = Instant::now();
    signal(pid, Signal::SIGSTOP);
    let err = eventually("the loss", call).await.unwrap().unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(4), "it took {:?}", start.elapsed());
    match err {
        Error::RunnerLost { cause, .. } => assert_eq!((cause.kind(), cause), ("lease_expired", Cause::LeaseExpired)),
        other => panic!("{other}"),
    }
    until("the frozen process is dead", || !is_alive(pid)).await;
    let other = || pool.status().runners.iter().any(|runner| runner.instance != pid.to_string());
    until("min is repaired, though nobody asks", other).await;
    pool.shutdown().await;
}

async fn a_call_keeps_its_time_out_on_a_frozen_runner() {
    let pool = Runners::Processes.start().await;
    let journal = Journal::new();
    let pid = pool.call(take(Duration::ZERO, journal.entry())).await.unwrap();
    signal(pid, Signal::SIGSTOP);
    let bound = Duration::from_millis(500);
    match pool.call(hang(journal.entry())).timeout(bound).await.unwrap_err() {
        Error::Timeout { stage: Stage::Running, after, .. } => assert_eq!(after, bound),
        other => panic!("{other}"),
    }
    until("the frozen process is dead", || !is_alive(pid)).await;
    pool.shutdown().await;
}

async fn a_runner_that_wakes_up_after_its_lease_takes_nothing_more() {
    let pool = Runners::Processes.pool().backend(Spy::idle()).start(&node()).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(take(LEASE / 2, journal.entry())));
    let pid = journal.pid("pid").await;
    signal(pid, Signal::SIGSTOP);
    for _ in 0..20 {
        pool.cast(note(journal.entry())).await.unwrap();
    }
    match eventually("the loss", call).await.unwrap() {
        Err(Error::RunnerLost { cause, .. }) => assert_eq!(cause, Cause::LeaseExpired),
        other => panic!("{other:?}"),
    }
    assert!(is_alive(pid), "nobody has destroyed it");
    signal(pid, Signal::SIGCONT);
    until("it leaves by itself", || !is_alive(pid)).await;
    assert_eq!(journal.count(&format!("ran={pid}")), 0, "it took what had been sent while it was frozen");
    pool.shutdown().await;
}

/// Parent and runner are frozen together, as on a machine that is suspended, and the runner wakes up first.
async fn a_runner_that_wakes_up_after_its_lease_answers_nothing_more() {
    let journal = Journal::new();
    let mut role = start("parent", &journal, Boots::Undestroyed, &[]);
    let runner = journal.pid("pid").await;
    role.signal(Signal::SIGSTOP);
    signal(runner, Signal::SIGSTOP);
    tokio::time::sleep(LEASE * 3 / 2).await;
    signal(runner, Signal::SIGCONT);
    until("the runner leaves", || !is_alive(runner)).await;
    role.signal(Signal::SIGCONT);
    let lost = role.next().await;
    assert!(lost.contains("RunnerLost"), "{lost}");
    crate::parent::go_on(&journal);
    assert_eq!(role.next().await, "Ok(42)");
    assert_eq!(role.ended().await, Some(0));
}

/// It is known to be lost, so nothing of it is waited for.
async fn a_runner_that_is_frozen_while_it_is_sent_away_is_destroyed_after_its_lease() {
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_secs(600)).start(&node()).await.unwrap();
    let pid = pool.call(take(Duration::ZERO, Journal::new().entry())).await.unwrap();
    signal(pid, Signal::SIGSTOP);
    eventually("the shutdown", pool.shutdown()).await;
    assert!(!is_alive(pid));
}

async fn a_runner_that_is_frozen_before_it_serves_is_given_up() {
    let journal = Journal::new();
    let backend = flame_local::ProcessBackend::new();
    let backend = backend.env(BEHAVIOUR, "never-serve").env(JOINED, journal.entry().path());
    let pool = Runners::Processes.pool().backend(backend).boot_timeout(Duration::from_secs(600));
    let pool = pool.min(1).start(&node()).await.unwrap();
    let pid = journal.pid("joined").await;
    signal(pid, Signal::SIGSTOP);
    until("the frozen process is dead", || !is_alive(pid)).await;
    let status = pool.status();
    assert!(
        status.failed_boots > 0 && format!("{:?}", status.last_boot_error).contains("nothing was heard"),
        "{status:?}"
    );
    pool.shutdown().await;
}

async fn the_runners_of_a_frozen_parent_are_gone_after_their_lease() {
    let journal = Journal::new();
    let role = start("parent", &journal, Boots::Undestroyed, &[]);
    let runner = journal.pid("pid").await;
    role.signal(Signal::SIGSTOP);
    within(LEASE + Duration::from_secs(1) + SLACK, "the runner is gone", || !is_alive(runner)).await;
    assert!(is_alive(role.pid()), "the parent was there all the time");
    kill(role.pid());
}

async fn a_runner_that_does_not_serve_yet_leaves_a_frozen_parent() {
    let journal = Journal::new();
    let joined = journal.entry().path().to_str().expect("plain letters").to_owned();
    let environment = [(BEHAVIOUR, "never-serve".to_owned()), (JOINED, joined)];
    let role = start("booting", &journal, Boots::Processes, &environment);
    let runner = journal.pid("joined").await;
    assert_eq!(descendants(role.pid()), [runner]);
    role.signal(Signal::SIGSTOP);
    within(LEASE + Duration::from_secs(1) + SLACK, "the runner is gone", || !is_alive(runner)).await;
    kill(role.pid());
}

/// The connections are full when the lease ends, and nobody resets them.
async fn a_frozen_runner_that_much_was_sent_to_leaves_no_descriptor_behind() {
    let pool = Runners::Processes.pool().backend(Spy::idle()).start(&node()).await.unwrap();
    let journal = Journal::new();
    let pid = pool.call(take(Duration::ZERO, journal.entry())).await.unwrap();
    let ends = connections(pid);
    assert_eq!(ends.iter().filter(|end| is_answered(**end)).count(), 2, "its link and its session: {ends:?}");
    signal(pid, Signal::SIGSTOP);
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(pool.call(swallow(ByteBuf::from(vec![0; 12 << 20]))))).collect();
    for call in calls {
        match eventually("the loss", call).await.unwrap() {
            Err(Error::RunnerLost { cause, .. }) => assert_eq!(cause, Cause::LeaseExpired),
            other => panic!("{other:?}"),
        }
    }
    // The frozen process holds its ends open; ours are to be closed.
    until("our ends are closed", || !ends.iter().any(|end| is_answered(*end))).await;
    signal(pid, Signal::SIGCONT);
    until("it leaves by itself", || !is_alive(pid)).await;
    pool.shutdown().await;
}
