//! backends.md: the backend in src/backend.rs.

use std::time::Duration;

use flame_actors::{Cause, Error, Pool, task};
use flame_book::backend::CommandBackend;
use flame_tests::{node, process, trials, until};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_command_boots_runners,
        a_runner_that_is_killed_is_told_with_its_signal,
        a_missing_setting_is_told_by_the_boot,
        a_command_that_does_not_exist_is_told,
    ]
}

async fn a_command_boots_runners() -> anyhow::Result<()> {
    // ANCHOR: use
    let backend = CommandBackend::new(["nice", "-n", "5"]);
    let pool = Pool::builder("nice").backend(backend).start(&node()).await?;
    let nice = task!([] -> i32 { rustix::process::getpriority_process(None).unwrap_or_default() });
    assert_eq!(pool.call(nice).await?, 5);
    // ANCHOR_END: use
    let there = pool.call(task!([] -> u32 { std::process::id() })).await?;
    assert_ne!(there, std::process::id());
    pool.shutdown().await;
    until("the runner is gone", || !process::is_alive(there)).await;
    Ok(())
}

async fn a_runner_that_is_killed_is_told_with_its_signal() -> anyhow::Result<()> {
    let pool = Pool::builder("killed").backend(CommandBackend::new(["env"])).start(&node()).await?;
    let there = pool.call(task!([] -> u32 { std::process::id() })).await?;
    let stuck = tokio::spawn(pool.call(task!([] { std::future::pending::<()>().await })));
    until("it runs", || pool.status().runners.iter().any(|runner| runner.slots_used == 1)).await;
    process::kill(there);
    match stuck.await?.unwrap_err() {
        Error::RunnerLost { cause, .. } => assert_eq!(cause, Cause::Signalled(9)),
        other => panic!("{other}"),
    }
    pool.shutdown().await;
    Ok(())
}

async fn a_missing_setting_is_told_by_the_boot() {
    let pool = Pool::builder("empty").backend(CommandBackend::new([""; 0])).start(&node()).await.unwrap();
    let err = pool.call(task!([] {})).await.unwrap_err();
    assert_eq!(err.to_string(), "command: there is none");
    pool.shutdown().await;
}

async fn a_command_that_does_not_exist_is_told() {
    let pool = Pool::builder("absent").boot_timeout(Duration::from_secs(1)).backend(CommandBackend::new(["/no/such"]));
    let pool = pool.start(&node()).await.unwrap();
    let err = pool.call(task!([] {})).await.unwrap_err().to_string();
    assert!(err.contains("backend command: No such file or directory"), "{err}");
    pool.shutdown().await;
}
