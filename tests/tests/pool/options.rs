//! Options that cannot work, and names.

use std::time::Duration;

use flame_actors::{Error, Pool, PoolBuilder, task};
use flame_tests::{Runners, everywhere, node, trials};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![a_second_pool_of_a_name_is_refused_while_the_first_is_open];
    trials.extend(trials![
        wrong_options_are_named,
        a_started_pool_is_found_by_its_name,
        a_node_that_is_no_runner_does_not_serve
    ]);
    trials
}

async fn refused(pool: PoolBuilder) -> String {
    match pool.start(&node()).await {
        Err(err @ Error::Config { .. }) => err.to_string(),
        Err(err) => panic!("{err}"),
        Ok(pool) => panic!("{pool:?} was started"),
    }
}

async fn wrong_options_are_named() {
    let pool = || Runners::Processes.pool();
    for (wrong, option) in [
        (pool().max(0), "max"),
        (pool().min(3).max(2), "min"),
        (pool().max_concurrency(0), "max_concurrency"),
        (pool().timeout(Duration::ZERO), "timeout"),
        (pool().boot_timeout(Duration::ZERO), "boot_timeout"),
        (Pool::builder(""), "name"),
        (Pool::builder("a.b"), "name"),
        (Pool::builder("x".repeat(65)), "name"),
    ] {
        let err = refused(wrong).await;
        assert!(err.contains(option), "{option}: {err}");
    }
}

async fn a_second_pool_of_a_name_is_refused_while_the_first_is_open(on: Runners) {
    let first = on.start().await;
    let err = refused(Pool::builder(first.name())).await;
    assert!(err.contains(first.name()), "{err}");
    assert_eq!(first.call(task!([] -> u32 { 1 })).await.unwrap(), 1);
    first.shutdown().await;
    let second = Pool::builder(first.name()).start(&node()).await.expect("the name is free again");
    assert_eq!(second.call(task!([] -> u32 { 1 })).await.unwrap(), 1);
    second.shutdown().await;
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
