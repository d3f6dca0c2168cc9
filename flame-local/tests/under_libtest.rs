//! Tests of an application, as its author writes them: plain `#[tokio::test]`s, several in one process.

use std::process::id;

use flame_actors::{Error, InProcess, Pool, task};
use flame_local::{ProcessBackend, test_node};

#[tokio::test]
async fn a_task_runs_in_another_process() -> Result<(), Error> {
    let node = test_node().await?;
    let pool = Pool::builder("other").backend(ProcessBackend::for_this_test()).start(&node).await?;
    assert_ne!(pool.call(task!([] -> u32 { id() })).await?, id());
    pool.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_test_beside_it_has_its_own_pool() -> Result<(), Error> {
    let node = test_node().await?;
    let pool = Pool::builder("beside").max(2).max_concurrency(1).backend(ProcessBackend::for_this_test());
    let pool = pool.start(&node).await?;
    let wait = || task!([] -> u32 { tokio::time::sleep(std::time::Duration::from_millis(100)).await; id() });
    let (one, other) = tokio::try_join!(pool.call(wait()), pool.call(wait()))?;
    assert!(one != other && one != id() && other != id());
    pool.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_task_runs_in_process() -> Result<(), Error> {
    let node = test_node().await?;
    let pool = Pool::builder("inside").backend(InProcess::new()).start(&node).await?;
    assert_eq!(pool.call(task!([] -> u32 { id() })).await?, id());
    pool.shutdown().await;
    Ok(())
}

mod in_a_module {
    use super::*;

    #[tokio::test]
    async fn a_test_is_found_by_its_whole_path() -> Result<(), Error> {
        let node = test_node().await?;
        let pool = Pool::builder("module").backend(ProcessBackend::for_this_test()).start(&node).await?;
        assert_ne!(pool.call(task!([] -> u32 { id() })).await?, id());
        pool.shutdown().await;
        Ok(())
    }
}
