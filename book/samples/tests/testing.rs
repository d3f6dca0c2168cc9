//! testing.md: tests as the author of an application writes them.

// ANCHOR: process
use flame_actors::{Error, Pool, task};
use flame_local::{ProcessBackend, test_node};

#[tokio::test]
async fn a_task_runs_in_another_process() -> Result<(), Error> {
    let node = test_node().await?; // on the runner it does not return
    let pool = Pool::builder("other").backend(ProcessBackend::for_this_test()).start(&node).await?;
    let there = pool.call(task!([] -> u32 { std::process::id() })).await?;
    assert_ne!(there, std::process::id());
    pool.shutdown().await;
    Ok(())
}
// ANCHOR_END: process

// ANCHOR: inside
#[tokio::test]
async fn a_task_runs_in_this_process() -> Result<(), Error> {
    let node = test_node().await?;
    let pool = Pool::builder("inside").start(&node).await?; // no backend: in process
    assert_eq!(pool.call(task!([] -> u32 { std::process::id() })).await?, std::process::id());
    pool.shutdown().await;
    Ok(())
}
// ANCHOR_END: inside

// ANCHOR: lost
#[tokio::test]
async fn a_runner_that_dies_is_an_error_at_the_caller() -> Result<(), Error> {
    let node = test_node().await?;
    let pool = Pool::builder("dies").backend(ProcessBackend::for_this_test()).start(&node).await?;
    let err = pool.call(task!([] { std::process::exit(3) })).await.unwrap_err();
    assert!(err.to_string().ends_with("was lost: its process exited with code 3"), "{err}");
    assert_eq!(pool.call(task!([] -> u32 { 1 })).await?, 1); // on another one
    pool.shutdown().await;
    Ok(())
}
// ANCHOR_END: lost
