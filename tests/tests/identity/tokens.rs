//! Invitations that are used twice, by others, or are none.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Output, Stdio};

use flame_actors::{FLAME_PARENT, Pool, task};
use flame_tests::{BEFORE_START, HELPER, Runners, Spy, eventually, node, trials, until};
use libtest_mimic::Trial;

use crate::tls::{Invitation, framed};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_used_invitation_is_refused,
        what_the_environment_held_opens_neither_a_link_nor_a_session_after_the_join,
        an_invitation_of_a_pool_that_has_ended_is_refused,
        what_is_no_invitation_is_a_clear_error,
        an_empty_line_on_standard_input_is_a_clear_error,
        what_a_task_starts_is_no_runner,
        garbage_from_a_runners_identity_harms_nobody,
        a_token_is_good_for_its_own_identity_only,
    ]
}

/// Starts this executable with this value of `FLAME_PARENT`, and waits for its end.
async fn join_with(value: &str) -> Output {
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.env(FLAME_PARENT, value).stdin(Stdio::null()).kill_on_drop(true);
    eventually("the end of a process that cannot join", command.output()).await.expect("it starts")
}

fn assert_refused(output: &Output, why: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(why), "\"{why}\" is not in: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(!output.status.success());
}

async fn spied(environment: &[(&str, &str)]) -> (Pool, Spy) {
    let spy = Spy::new(environment);
    let pool = Runners::Processes.pool().max_concurrency(1).backend(spy.clone()).start(&node()).await.unwrap();
    (pool, spy)
}

async fn a_used_invitation_is_refused() {
    let (pool, spy) = spied(&[]).await;
    pool.call(task!([] {})).await.unwrap();
    assert_refused(&join_with(&spy.invitations()[0]).await, "token");
    pool.call(task!([] {})).await.expect("the runner that joined goes on");
    assert_eq!(spy.invitations().len(), 1);
    pool.shutdown().await;
}

/// Key, certificate and token are known to whoever has read the environment, or the platform's record of it.
async fn what_the_environment_held_opens_neither_a_link_nor_a_session_after_the_join() {
    let (pool, spy) = spied(&[]).await;
    let id = || task!([] -> u32 { std::process::id() });
    let runner = pool.call(id()).await.unwrap();
    let invitation = Invitation::read(&spy.invitations()[0]);
    for purpose in ["Link", "Session"] {
        for token in [invitation.token.clone(), "0".repeat(64)] {
            let hello = crate::tls::Hello { purpose, token, ..invitation.hello() };
            let answer = invitation.impostor().say(&invitation.address, &framed(&hello)).await.expect("an answer");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.contains("refused") && answer.contains(&invitation.node), "{answer}");
        }
    }
    assert_eq!(pool.call(id()).await.unwrap(), runner, "the runner that joined goes on");
    pool.shutdown().await;
}

async fn an_invitation_of_a_pool_that_has_ended_is_refused() {
    let (pool, spy) = spied(&[(BEFORE_START, "600000")]).await;
    pool.cast(task!([] {})).await.unwrap();
    until("a boot", || !spy.invitations().is_empty()).await;
    pool.shutdown().await;
    assert_refused(&join_with(&spy.invitations()[0]).await, "token");
}

async fn what_is_no_invitation_is_a_clear_error() {
    for garbage in ["", "x", "!!!", "AAAA", "gaFhAQ==", "stdin ", &"A".repeat(100_000)] {
        assert_refused(&join_with(garbage).await, FLAME_PARENT);
    }
}

/// A pipe, and the value of `FLAME_PARENT` that names it.
fn pipe() -> (io::PipeReader, io::PipeWriter, String) {
    let (read, write) = io::pipe().unwrap();
    let inode = std::fs::metadata(format!("/proc/self/fd/{}", read.as_raw_fd())).unwrap().ino();
    (read, write, format!("pipe {inode}"))
}

async fn an_empty_line_on_standard_input_is_a_clear_error() {
    let (read, mut write, value) = pipe();
    writeln!(write).unwrap();
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.env(FLAME_PARENT, value).stdin(read).kill_on_drop(true);
    let output = eventually("the end of a process that cannot join", command.output()).await.expect("it starts");
    assert_refused(&output, "invitation");
}

/// What it has inherited is for its parent. Its standard input belongs to it, whatever comes there.
async fn what_a_task_starts_is_no_runner() {
    let fly = Runners::Fly.start().await;
    let processes = Runners::Processes.start().await;
    for pool in [&processes, &fly] {
        let said = pool.call(task!([] -> String {
            let mut helper = std::process::Command::new("/proc/self/exe");
            helper.env(HELPER, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut helper = helper.spawn().expect("it starts");
            writeln!(helper.stdin.take().expect("it was asked for"), "a line of its own").expect("it is read");
            let output = helper.wait_with_output().expect("it ends");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }));
        assert_eq!(eventually("a call", said).await.unwrap(), "false a line of its own");
        pool.shutdown().await;
    }
}

/// A process that has read the invitation of a runner that is on its way.
async fn garbage_from_a_runners_identity_harms_nobody() {
    let (pool, spy) = spied(&[(BEFORE_START, "1500")]).await;
    let call = tokio::spawn(pool.call(task!([] {})));
    until("a boot", || !spy.invitations().is_empty()).await;
    let invitation = Invitation::read(&spy.invitations()[0]);
    let impostor = invitation.impostor();
    let huge = u32::MAX.to_be_bytes();
    let long = [&65_536_u32.to_be_bytes()[..], &[0xc1; 65_536]].concat();
    let wrong_token = framed(&crate::tls::Hello { token: "0".repeat(64), ..invitation.hello() });
    let wrong_protocol = framed(&crate::tls::Hello { protocol: 9, ..invitation.hello() });
    for bytes in [&huge[..], &long, &wrong_token, &wrong_protocol, &framed(&"hello"), &framed(&vec![1_u8; 100])] {
        // Nobody who says this becomes a runner: there is an error, or no answer.
        if let Ok(answer) = impostor.say(&invitation.address, bytes).await {
            let text = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || text.contains("refused"), "{text}");
        }
    }
    eventually("the real runner joins", call).await.unwrap().unwrap();
    assert_eq!(spy.invitations().len(), 1, "it was the first one");
    pool.shutdown().await;
}

/// One runner cannot join in the place of another.
async fn a_token_is_good_for_its_own_identity_only() {
    let (pool, spy) = spied(&[(BEFORE_START, "1500")]).await;
    let (other_pool, other) = spied(&[]).await;
    other_pool.call(task!([] {})).await.unwrap();
    pool.cast(task!([] {})).await.unwrap();
    until("a boot", || !spy.invitations().is_empty()).await;
    let (victim, thief) = (Invitation::read(&spy.invitations()[0]), Invitation::read(&other.invitations()[0]));
    let answer = thief.impostor().say(&victim.address, &framed(&victim.hello())).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("refused"), "{text}");
    eventually("a call", pool.call(task!([] {}))).await.unwrap();
    pool.shutdown().await;
    other_pool.shutdown().await;
}
