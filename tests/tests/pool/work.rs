//! What the trials have run.

use std::collections::HashSet;
use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{Error, Message, Pool, PoolStatus, RunnerState, placeable, remote, runner};
use flame_tests::{Entry, Journal, OnDrop, eventually, until};
use tokio::task::JoinHandle;

/// The process and the node that it runs on.
#[remote]
pub(crate) async fn whereabouts() -> (u32, String) {
    (std::process::id(), runner().as_deref().unwrap_or_default().to_owned())
}

/// Notes where it runs, and goes on until it is let go by a file of this name.
#[remote]
pub(crate) async fn hold(journal: Entry, name: String) -> String {
    let here = runner().as_deref().unwrap_or_default().to_owned();
    journal.note(&name);
    journal.note(format_args!("on={here}"));
    journal.note(format_args!("pid={}", std::process::id()));
    while !journal.path().with_file_name("go").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    here
}

/// Lets everything go that holds with this journal.
pub(crate) fn let_go(journal: &Entry) {
    std::fs::write(journal.path().with_file_name("go"), "").expect("the directory is there");
}

/// So many calls that hold, each of which notes `call n` first.
pub(crate) fn holders(pool: &Pool, journal: &Journal, count: usize) -> Vec<JoinHandle<()>> {
    (0..count)
        .map(|n| {
            let call = pool.call(hold(journal.entry(), format!("call {n}")));
            tokio::spawn(async move { drop(call.await.expect("it runs")) })
        })
        .collect()
}

/// Lets everything go that holds with this journal, and waits for it.
pub(crate) async fn finish(journal: &Journal, holders: Vec<JoinHandle<()>>) {
    let_go(&journal.entry());
    for holder in holders {
        eventually("the end of a call", holder).await.unwrap();
    }
}

/// One call that holds by now, and the node name of its runner.
pub(crate) async fn holding(pool: &Pool, journal: &Journal) -> (String, JoinHandle<Result<String, Error>>) {
    let call = tokio::spawn(pool.call(hold(journal.entry(), "holds".to_owned())));
    (journal.value("on").await, call)
}

/// The distinct values of these lines.
pub(crate) fn distinct(journal: &Journal, key: &str) -> HashSet<String> {
    journal.lines().iter().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect()
}

/// How many calls hold, or have.
pub(crate) fn started(journal: &Journal) -> usize {
    journal.lines().iter().filter(|line| line.starts_with("on=")).count()
}

/// Waits until the pool's status is like this, and gives it.
pub(crate) async fn status(pool: &Pool, what: &str, mut is: impl FnMut(&PoolStatus) -> bool) -> PoolStatus {
    let mut found = pool.status();
    until(what, || {
        found = pool.status();
        is(&found)
    })
    .await;
    found
}

/// So many runners that have nothing to do, and nothing else.
pub(crate) async fn idle_runners(pool: &Pool, count: usize) -> PoolStatus {
    status(pool, &format!("{count} idle runners"), |status| {
        let idle = status.runners.iter().filter(|runner| runner.state == RunnerState::Idle).count();
        (idle, status.runners.len(), status.booting, status.waiting) == (count, count, 0, 0)
    })
    .await
}

/// Takes a while, and notes that it was not interrupted.
#[remote]
pub(crate) async fn take(time: Duration, journal: Entry) {
    journal.note(format_args!("started={}", std::process::id()));
    let _dropped = journal.on_drop("dropped");
    tokio::time::sleep(time).await;
    journal.note("done");
}

/// A child that does nothing.
pub(crate) struct Child;

#[derive(Message)]
pub(crate) enum ChildMsg {
    Runner(RpcReplyPort<String>),
}

#[placeable]
impl Actor for Child {
    type Msg = ChildMsg;
    type State = OnDrop;
    type Arguments = Entry;

    async fn pre_start(&self, _: ActorRef<ChildMsg>, journal: Entry) -> Result<OnDrop, ActorProcessingErr> {
        Ok(journal.on_drop("dropped"))
    }

    async fn handle(&self, _: ActorRef<ChildMsg>, message: ChildMsg, _: &mut OnDrop) -> Result<(), ActorProcessingErr> {
        let ChildMsg::Runner(reply) = message;
        Ok(reply.send(runner().as_deref().unwrap_or_default().to_owned())?)
    }
}
