//! A network that fails between parent and runner.

use std::time::{Duration, Instant};

use flame_tests::process::{Signal, descendants, is_alive, kill, signal};
use flame_tests::{BEHAVIOUR, FAILSAFE, JOINED, Journal, Proxy, Role, Runners, Way, node, trials, until, within};
use libtest_mimic::Trial;

use crate::parent::{Boots, go_on, long_lease, patience, start, take};
use crate::{LEASE, SLACK};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_runner_that_is_cut_off_gives_up_no_later_than_its_parent,
        a_runner_that_is_not_heard_gives_up_no_later_than_its_parent,
        a_runner_that_does_not_hear_gives_up,
        a_parent_that_is_cut_off_goes_on_with_another_runner,
        a_network_that_comes_back_within_the_lease_loses_nothing,
        a_connection_that_is_reset_is_a_lost_runner,
        a_session_that_is_cut_off_is_a_lost_runner,
        a_session_that_nobody_uses_is_kept,
        a_call_keeps_its_time_out_on_a_runner_that_is_cut_off,
        a_runner_that_is_cut_off_before_it_serves_gives_up,
        a_runner_that_never_reaches_its_parent_gives_up,
        the_runners_of_a_former_life_do_not_disturb_the_new_one,
    ]
}

async fn cut(way: Way) -> (Role, Proxy, Journal, String) {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    let mut role = start("parent", &journal, Boots::Undestroyed, &proxy.environment());
    let runner = journal.pid("pid").await;
    proxy.hold(way);
    let lost = role.next().await;
    within(LEASE + SLACK, "the runner leaves by itself", || !is_alive(runner)).await;
    (role, proxy, journal, lost)
}

/// How long before its parent the runner had ended its work, in microseconds.
async fn lead(journal: &Journal) -> i128 {
    let at = |text: String| text.parse::<i128>().expect("microseconds");
    at(journal.value("lost_at").await) - at(journal.value("dropped_at").await)
}

async fn goes_on(mut role: Role, proxy: Proxy, journal: Journal) {
    proxy.resume();
    go_on(&journal);
    assert_eq!(role.next().await, "Ok(42)");
    assert_eq!(role.ended().await, Some(0));
}

async fn a_runner_that_is_cut_off_gives_up_no_later_than_its_parent() {
    let (role, proxy, journal, lost) = cut(Way::Both).await;
    assert!(lost.contains("RunnerLost") && lost.contains("LeaseExpired"), "{lost}");
    let lead = lead(&journal).await;
    assert!(lead >= 0, "the parent was {} us before its runner", -lead);
    goes_on(role, proxy, journal).await;
}

async fn a_runner_that_is_not_heard_gives_up_no_later_than_its_parent() {
    let (role, proxy, journal, lost) = cut(Way::Up).await;
    assert!(lost.contains("RunnerLost") && lost.contains("LeaseExpired"), "{lost}");
    let lead = lead(&journal).await;
    assert!(lead >= 0, "the parent was {} us before its runner", -lead);
    goes_on(role, proxy, journal).await;
}

/// Its parent hears it, and hears that it leaves.
async fn a_runner_that_does_not_hear_gives_up() {
    let (role, proxy, journal, lost) = cut(Way::Down).await;
    assert!(lost.contains("RunnerLost") && lost.contains("ConnectionClosed"), "{lost}");
    let lead = lead(&journal).await;
    assert!(lead >= 0, "the parent was {} us before its runner", -lead);
    goes_on(role, proxy, journal).await;
}

async fn a_parent_that_is_cut_off_goes_on_with_another_runner() {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    let mut role = start("parent", &journal, Boots::Processes, &proxy.environment());
    let runner = journal.pid("pid").await;
    proxy.hold(Way::Both);
    let lost = role.next().await;
    assert!(lost.contains("RunnerLost") && lost.contains("LeaseExpired"), "{lost}");
    until("the runner is gone", || !is_alive(runner)).await;
    goes_on(role, proxy, journal).await;
}

async fn a_network_that_comes_back_within_the_lease_loses_nothing() {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    let environment = [proxy.environment().as_slice(), &[patience(LEASE * 4)]].concat();
    let mut role = start("impatient", &journal, Boots::Processes, &environment);
    let runner = journal.pid("pid").await;
    for way in [Way::Both, Way::Up, Way::Down] {
        proxy.hold(way);
        tokio::time::sleep(LEASE / 2).await;
        proxy.resume();
        tokio::time::sleep(LEASE / 4).await;
        assert!(is_alive(runner), "lost with {way:?} held");
    }
    // Its own time-out, and no loss.
    let ended = role.next().await;
    assert!(ended.contains("Timeout"), "{ended}");
}

async fn a_connection_that_is_reset_is_a_lost_runner() {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    let mut role =
        start("parent", &journal, Boots::Undestroyed, &[proxy.environment().as_slice(), &[long_lease()]].concat());
    let runner = journal.pid("pid").await;
    proxy.reset();
    let lost = role.next().await;
    assert!(lost.contains("RunnerLost") && lost.contains("ConnectionClosed"), "{lost}");
    until("the runner leaves by itself", || !is_alive(runner)).await;
    goes_on(role, proxy, journal).await;
}

/// Its link is as well as ever.
async fn a_session_that_is_cut_off_is_a_lost_runner() {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    let mut role = start("parent", &journal, Boots::Undestroyed, &proxy.environment());
    let runner = journal.pid("pid").await;
    proxy.hold_all_but_the_first();
    let lost = role.next().await;
    assert!(lost.contains("RunnerLost") && lost.contains("ConnectionClosed"), "{lost}");
    until("the runner leaves by itself", || !is_alive(runner)).await;
    goes_on(role, proxy, journal).await;
}

/// For longer than a session may be silent.
async fn a_session_that_nobody_uses_is_kept() {
    let pool = Runners::Processes.pool().idle_shutdown_after(Duration::from_secs(600)).start(&node()).await.unwrap();
    let pid = pool.call(take(Duration::ZERO, Journal::new().entry())).await.unwrap();
    tokio::time::sleep(LEASE + Duration::from_secs(13)).await;
    assert_eq!(pool.call(take(Duration::ZERO, Journal::new().entry())).await.unwrap(), pid);
    pool.shutdown().await;
}

/// Neither its answer nor the loss of it tells the caller.
async fn a_call_keeps_its_time_out_on_a_runner_that_is_cut_off() {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    let environment = [proxy.environment().as_slice(), &[long_lease(), patience(Duration::from_secs(1))]].concat();
    let mut role = start("impatient", &journal, Boots::Processes, &environment);
    journal.pid("pid").await;
    proxy.hold(Way::Both);
    let ended = role.next().await;
    assert!(ended.contains("Timeout") && ended.contains("Running") && ended.contains("after: 1s"), "{ended}");
}

async fn a_runner_that_is_cut_off_before_it_serves_gives_up() {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    let mut environment = proxy.environment().to_vec();
    environment.push((BEHAVIOUR, "never-serve".to_owned()));
    environment.push((JOINED, journal.entry().path().to_str().expect("plain letters").to_owned()));
    let _role = start("booting", &journal, Boots::Undestroyed, &environment);
    let runner = journal.pid("joined").await;
    proxy.hold(Way::Both);
    within(LEASE + SLACK, "the runner leaves by itself", || !is_alive(runner)).await;
}

/// Somebody takes its connection and says nothing.
async fn a_runner_that_never_reaches_its_parent_gives_up() {
    let (proxy, journal) = (Proxy::start().await, Journal::new());
    proxy.hold(Way::Both);
    let mut environment = proxy.environment().to_vec();
    environment.push((FAILSAFE, "1500".to_owned()));
    let role = start("booting", &journal, Boots::Undestroyed, &environment);
    until("a runner boots", || !descendants(role.pid()).is_empty()).await;
    let runner = descendants(role.pid())[0];
    // Sooner than the handshake would be given up.
    within(Duration::from_millis(1500) + SLACK, "the runner leaves by itself", || !is_alive(runner)).await;
}

/// One was frozen while its parent was killed and started anew, under the same name and at the same address.
async fn the_runners_of_a_former_life_do_not_disturb_the_new_one() {
    let (proxy, journals) = (Proxy::start().await, [Journal::new(), Journal::new()]);
    let mut former = start("parent", &journals[0], Boots::Undestroyed, &proxy.environment());
    let old = journals[0].pid("pid").await;
    signal(old, Signal::SIGSTOP);
    kill(former.pid());
    former.ended().await;
    let mut role = start("parent", &journals[1], Boots::Undestroyed, &proxy.environment());
    let new = journals[1].pid("pid").await;
    signal(old, Signal::SIGCONT);
    let woken = Instant::now();
    until("the old runner is gone", || !is_alive(old)).await;
    assert!(woken.elapsed() < LEASE + SLACK, "it took {:?}", woken.elapsed());
    assert!(is_alive(new));
    kill(new);
    assert!(role.next().await.contains("RunnerLost"));
    goes_on(role, proxy, journals[1].clone()).await;
}
