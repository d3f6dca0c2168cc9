//! What a former life of a parent left behind.

use flame_actors::{Backend, Boot, BoxFuture, Error, Instance, InstanceState, Node, Pool, task};
use flame_local::ProcessBackend;
use flame_tests::{Entry, Journal, Runners, eventually, node, trials};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        what_a_former_life_left_behind_is_destroyed_when_a_pool_starts,
        what_cannot_be_destroyed_keeps_nothing_else,
        a_backend_that_cannot_list_is_no_error_of_its_pool,
        a_backend_that_panics_when_it_lists_is_no_error_of_its_pool,
        a_backend_that_never_lists_keeps_nobody,
        a_runner_looks_for_nothing_that_was_left_behind,
    ]
}

/// Processes, and instances that were there before; notes what is listed and destroyed of these.
#[derive(Clone, Debug)]
struct Attic {
    processes: ProcessBackend,
    journal: Entry,
    lists: Lists,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Lists {
    Well,
    Fails,
    Panics,
    Never,
}

/// Two of ours, one that cannot be destroyed before them, and two of others.
const LEFT: [&str; 5] =
    ["tests-01a.p-01x-stuck", "tests-01a.p-01y", "tests-01b.p-01z", "others-01c.p-01x", "test-01d.p-01y"];

impl Attic {
    fn new(journal: Entry, lists: Lists) -> Self {
        Self { processes: ProcessBackend::new(), journal, lists }
    }
}

impl Backend for Attic {
    fn name(&self) -> &'static str {
        "attic"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        self.processes.boot(boot)
    }

    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        if !LEFT.contains(&instance.id()) {
            return self.processes.destroy(instance);
        }
        self.journal.note(format_args!("destroyed={}", instance.id()));
        let stuck = instance.id().ends_with("stuck");
        let failed = Error::Backend { backend: "attic".to_owned(), reason: "it is stuck".to_owned() };
        Box::pin(async move { if stuck { Err(failed) } else { Ok(()) } })
    }

    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        self.processes.inspect(instance)
    }

    fn list<'a>(&'a self, parent: &'a str) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        self.journal.note(format_args!("listed={parent}"));
        Box::pin(async move {
            match self.lists {
                Lists::Well => {
                    let prefix = format!("{parent}-");
                    Ok(LEFT.iter().filter(|id| id.starts_with(&prefix)).map(|id| Instance::new(*id)).collect())
                }
                Lists::Fails => Err(Error::Backend { backend: "attic".to_owned(), reason: "no key".to_owned() }),
                Lists::Panics => panic!("it is dark in here"),
                Lists::Never => std::future::pending().await,
            }
        })
    }
}

async fn start(journal: &Journal, lists: Lists) -> Pool {
    Runners::Processes.pool().backend(Attic::new(journal.entry(), lists)).start(&node()).await.unwrap()
}

/// Before anything is booted, and no one else's.
async fn what_a_former_life_left_behind_is_destroyed_when_a_pool_starts() {
    let journal = Journal::new();
    let pool = start(&journal, Lists::Well).await;
    journal.wait_for("destroyed=tests-01b.p-01z").await;
    pool.call(task!([] {})).await.unwrap();
    pool.shutdown().await;
    let all = ["listed=tests".to_owned()].into_iter().chain(LEFT[..3].iter().map(|id| format!("destroyed={id}")));
    assert_eq!(journal.lines(), all.collect::<Vec<_>>());
}

async fn what_cannot_be_destroyed_keeps_nothing_else() {
    let journal = Journal::new();
    let pool = start(&journal, Lists::Well).await;
    journal.wait_for("destroyed=tests-01a.p-01x-stuck").await;
    journal.wait_for("destroyed=tests-01a.p-01y").await;
    pool.shutdown().await;
}

async fn works_all_the_same(lists: Lists) {
    let journal = Journal::new();
    let pool = start(&journal, lists).await;
    journal.wait_for("listed=tests").await;
    assert_eq!(pool.call(task!([] -> u32 { 6 * 7 })).await.unwrap(), 42);
    assert_eq!(pool.status().failed_boots, 0);
    eventually("the shutdown", pool.shutdown()).await;
}

async fn a_backend_that_cannot_list_is_no_error_of_its_pool() {
    works_all_the_same(Lists::Fails).await;
}

async fn a_backend_that_panics_when_it_lists_is_no_error_of_its_pool() {
    works_all_the_same(Lists::Panics).await;
}

async fn a_backend_that_never_lists_keeps_nobody() {
    works_all_the_same(Lists::Never).await;
}

/// It is gone before its own runners could be left behind, and its name is that of no former life.
async fn a_runner_looks_for_nothing_that_was_left_behind() {
    let (pool, journal) = (Runners::Processes.start().await, Journal::new());
    let entry = journal.entry();
    let nested = task!([entry: Entry] -> u32 {
        let runner = Node::current().expect("a runner is a node");
        let pool = Pool::builder("swept").backend(Attic::new(entry.clone(), Lists::Well)).start(&runner);
        let pool = pool.await.expect("the options can work");
        let answer = pool.call(task!([] -> u32 { 6 * 7 })).await.expect("it boots a runner of its own");
        pool.shutdown().await;
        entry.note("ended");
        answer
    });
    assert_eq!(pool.call(nested).await.unwrap(), 42);
    assert_eq!(journal.lines(), ["ended"]);
    pool.shutdown().await;
}
