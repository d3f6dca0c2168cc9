//! Options that cannot work, and names.

use std::time::Duration;

use flame_actors::{Error, Node, Pool, PoolBuilder, PoolStatus, task};
use flame_tests::{Journal, Runners, everywhere, node, trials};
use libtest_mimic::Trial;

use crate::work::{holding, idle_runners, let_go};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![a_second_pool_of_a_name_is_refused_while_the_first_is_open];
    trials.extend(trials![
        wrong_options_are_named,
        with_a_minimum_nobody_has_to_be_able_to_wait,
        a_pool_of_a_runner_has_no_minimum,
        a_started_pool_is_found_by_its_name,
        a_node_that_is_no_runner_does_not_serve
    ]);
    trials
}

/// The option that it names, and the whole.
async fn refused(pool: PoolBuilder) -> (String, String) {
    match pool.start(&node()).await {
        Err(err @ Error::Config { .. }) => {
            let Error::Config { option, .. } = &err else { unreachable!() };
            (option.clone(), err.to_string())
        }
        Err(err) => panic!("{err}"),
        Ok(pool) => panic!("{pool:?} was started"),
    }
}

async fn wrong_options_are_named() {
    let pool = || Pool::builder("wrong");
    let moment = Duration::from_millis(1);
    for (wrong, option) in [
        (pool().max(0), "max"),
        (pool().min(3).max(2), "min"),
        (pool().max_concurrency(0), "max_concurrency"),
        (pool().timeout(Duration::ZERO), "timeout"),
        (pool().boot_timeout(Duration::ZERO), "boot_timeout"),
        (pool().max_runner_age(Duration::ZERO), "max_runner_age"),
        (pool().idle_shutdown_after(2 * moment).min_idle_shutdown_after(moment), "min_idle_shutdown_after"),
        (pool().max_waiting(0), "max_waiting"),
    ] {
        let (named, whole) = refused(wrong).await;
        assert_eq!(named, format!("pool \"wrong\": {option}"), "{whole}");
    }
    for (wrong, option) in
        [(Pool::builder(""), "name"), (Pool::builder("a.b"), "name"), (Pool::builder("x".repeat(65)), "name")]
    {
        let (named, whole) = refused(wrong).await;
        assert!(named.contains(option), "{option}: {whole}");
    }
}

async fn a_second_pool_of_a_name_is_refused_while_the_first_is_open(on: Runners) {
    let first = on.start().await;
    let (_, err) = refused(Pool::builder(first.name())).await;
    assert!(err.contains(first.name()), "{err}");
    assert_eq!(first.call(task!([] -> u32 { 1 })).await.unwrap(), 1);
    first.shutdown().await;
    let second = Pool::builder(first.name()).start(&node()).await.expect("the name is free again");
    assert_eq!(second.call(task!([] -> u32 { 1 })).await.unwrap(), 1);
    second.shutdown().await;
}

async fn with_a_minimum_nobody_has_to_be_able_to_wait() {
    let pool = Runners::InProcess.pool().min(1).max_waiting(0).max_concurrency(1).start(&node()).await.unwrap();
    idle_runners(&pool, 1).await;
    let journal = Journal::new();
    let (_, call) = holding(&pool, &journal).await;
    let full = Error::PoolFull { pool: pool.name().to_owned(), waiting: 0 };
    assert_eq!(pool.call(task!([] {})).await, Err(full));
    let_go(&journal.entry());
    call.await.unwrap().unwrap();
    pool.shutdown().await;
}

/// Nor spare slots: who declares pools in `main` boots no runners of runners by that.
async fn a_pool_of_a_runner_has_no_minimum() {
    let pool = Runners::Processes.start().await;
    let status = pool
        .call(task!([] -> PoolStatus {
            let node = Node::current().expect("a runner is a node");
            let own = Pool::builder("own").min(1).max(3).buffer(1).start(&node).await.expect("the options can work");
            own.resize(2, 3).expect("the bounds can work");
            let status = own.status();
            own.shutdown().await;
            status
        }))
        .await
        .unwrap();
    assert_eq!((status.min, status.max), (0, 3));
    assert!(status.runners.is_empty() && status.booting == 0, "{status:?}");
    pool.shutdown().await;
}

async fn a_started_pool_is_found_by_its_name() {
    let pool = Runners::InProcess.start().await;
    assert_eq!(Pool::named(pool.name()).unwrap().call(task!([] -> u32 { 7 })).await.unwrap(), 7);
    pool.shutdown().await;
    assert!(Pool::named(pool.name()).is_none());
}

async fn a_node_that_is_no_runner_does_not_serve() {
    let err = node().serve().await.unwrap_err();
    assert!(matches!(err, Error::Config { .. }), "{err}");
}
