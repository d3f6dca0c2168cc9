//! Where a secret must not be seen: environments, process lists, logs, `Debug`.

use std::time::Duration;

use base64::Engine as _;
use flame_actors::{Backend, Boot, BoxFuture, Error, FLAME_PARENT, Instance, InstanceState, Pool, task};
use flame_tests::{Runners, Spy, eventually, node, trials, until};
use libtest_mimic::Trial;
use parking_lot::Mutex;

use crate::tls::Invitation;
use crate::watched::Watched;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        nothing_secret_is_in_the_environment_or_the_arguments_of_a_runner,
        nothing_secret_is_in_the_environment_of_what_a_task_starts,
        nothing_secret_is_logged_at_any_level,
        nothing_secret_is_shown_by_debug,
    ]
}

/// Each secret of an invitation, in each form in which it could stand somewhere.
fn forms(invitation: &Invitation) -> Vec<String> {
    let (_, key) = invitation.certificate_and_key();
    // The last bytes of the key: its beginning is the same in all keys.
    let tail = &key[key.len() - 24..];
    let hex = |upper: bool| -> String {
        tail.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
    };
    let list = format!("{tail:?}");
    vec![
        // The last part: the authority, which is no secret, is before it.
        invitation.text[invitation.text.len() - 100..].to_owned(),
        invitation.token.clone(),
        base64::engine::general_purpose::STANDARD.encode(&invitation.token)[..60].to_owned(),
        hex(true),
        hex(false),
        list.trim_matches(['[', ']']).to_owned(),
        base64::engine::general_purpose::STANDARD.encode(&tail[..21]),
        String::from_utf8_lossy(tail).into_owned(),
    ]
}

fn assert_hidden(place: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in {place}: {text}");
    }
}

fn proc_file(pid: u32, name: &str) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/{name}")).expect("the process is there");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn spied() -> (Pool, Spy) {
    let spy = Spy::default();
    let pool = Runners::Processes.pool().backend(spy.clone()).start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    (pool, spy)
}

async fn nothing_secret_is_in_the_environment_or_the_arguments_of_a_runner() {
    let (pool, spy) = spied().await;
    let pid = pool.call(task!([] -> u32 { std::process::id() })).await.unwrap();
    assert_eq!(spy.pids(), [pid], "it is the process that was booted");
    let secrets = forms(&Invitation::read(&spy.invitations()[0]));
    let environment = proc_file(pid, "environ");
    assert!(environment.contains(FLAME_PARENT), "it is a runner");
    assert_hidden("its environment", &environment, &secrets);
    assert_hidden("its arguments", &proc_file(pid, "cmdline"), &secrets);
    // It is what it was before it started afresh.
    assert_eq!(proc_file(pid, "cmdline").split('\0').next(), Some("/proc/self/exe"));
    assert_eq!(proc_file(pid, "comm"), proc_file(std::process::id(), "comm"));
    pool.shutdown().await;
}

async fn nothing_secret_is_in_the_environment_of_what_a_task_starts() {
    let (pool, spy) = spied().await;
    let env = task!([] -> String {
        let output = std::process::Command::new("env").output().expect("there is an env");
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    let environment = pool.call(env).await.unwrap();
    let secrets = forms(&Invitation::read(&spy.invitations()[0]));
    assert!(environment.contains("PATH="), "{environment}");
    assert_hidden("the environment", &environment, &secrets);
    pool.shutdown().await;
}

/// A whole run: boots, refusals, calls, sessions, ends.
async fn nothing_secret_is_logged_at_any_level() {
    let mut parent = Watched::traced().await;
    let stolen = crate::tls::framed(&parent.awaited[0].hello());
    let answer = parent.joined.impostor().say(parent.address(), &stolen).await;
    assert!(answer.is_ok(), "{answer:?}");
    until("a refusal", || !parent.refusals().is_empty()).await;
    let joins = |logs: &[(u32, String)]| logs.len() > 2;
    until("runners have come and gone", || joins(&parent.logs())).await;
    let done = parent.stop().await;
    assert!(done.calls > 0, "{done:?}");
    let secrets: Vec<_> =
        [&parent.joined, &parent.awaited[0], &parent.awaited[1]].into_iter().flat_map(forms).collect();
    let logs = parent.logs();
    let all: String = logs.iter().map(|(_, log)| log.as_str()).collect();
    assert!(all.contains(" flame_actors::"), "nothing was logged");
    assert!(all.contains(" DEBUG "), "not all levels are there");
    // The session and its TLS are on threads that call no subscriber.
    assert!(!all.contains(" ractor_cluster::"), "ractor_cluster has logged something");
    assert_hidden("a log", &all, &secrets);
    // Tokens of sessions and the cookie, which nobody tells a test, have this form too.
    for record in records(&all).filter(|record| !record.contains(" rustls::")) {
        let is_secret = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let word = record.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| is_secret(word));
        assert_eq!(word, None, "in: {record}");
    }
}

/// What was logged at a time, which may be several lines.
fn records(log: &str) -> impl Iterator<Item = String> {
    let begins = |line: &str| line.len() > 20 && line.as_bytes()[4] == b'-' && line.as_bytes()[10] == b'T';
    let mut records: Vec<String> = Vec::new();
    for line in log.lines() {
        match records.last_mut() {
            Some(record) if !begins(line) => record.push_str(line),
            _ => records.push(line.to_owned()),
        }
    }
    records.into_iter()
}

/// Shows what it is given, and boots nothing.
#[derive(Debug, Default)]
struct Showing(Mutex<Option<(String, String)>>);

#[derive(Clone, Debug, Default)]
struct Shared(std::sync::Arc<Showing>);

impl Backend for Shared {
    fn name(&self) -> &'static str {
        "showing"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        Box::pin(async move {
            let (_, value) = boot.environment().await?;
            *self.0.0.lock() = Some((value, format!("{boot:?} {boot:#?}")));
            Err(Error::Backend { backend: "showing".to_owned(), reason: "it boots nothing".to_owned() })
        })
    }

    fn destroy<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn inspect<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        Box::pin(async { Ok(InstanceState::Unknown) })
    }
}

async fn nothing_secret_is_shown_by_debug() {
    let shared = Shared::default();
    let pool = Runners::Processes.pool().boot_timeout(Duration::from_millis(500)).backend(shared.clone());
    let builder = format!("{pool:?}");
    let pool = pool.start(&node()).await.unwrap();
    let call = pool.call(task!([] {}));
    let shown_call = format!("{call:?}");
    let err = eventually("the call", call).await.unwrap_err();
    let (text, boot) = shared.0.0.lock().take().expect("it was asked to boot");
    let secrets = forms(&Invitation::read(&text));
    let others = format!("{:?} {pool:?} {builder} {shown_call} {err:?} {err}", node());
    assert!(boot.contains("trial-"), "{boot}");
    assert_hidden("a boot", &boot, &secrets);
    assert_hidden("what is public", &others, &secrets);
    let backend = flame_local::ProcessBackend::new().env("DATABASE_URL", "postgres://hush");
    let shown = format!("{backend:?} {backend:#?}");
    assert!(shown.contains("DATABASE_URL") && !shown.contains("hush"), "{shown}");
    pool.shutdown().await;
}
