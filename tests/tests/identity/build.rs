//! Another build is refused, and both sides say so.

use std::time::{Duration, Instant};

use flame_actors::{Error, task};
use flame_local::ProcessBackend;
use flame_tests::{BEHAVIOUR, Runners, Spy, eventually, node, trials, until};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_caller_learns_both_build_ids_at_once, a_runner_of_another_build_says_both_ids]
}

/// Again and again: the refusal is what is reported, and not the exit of the process that was refused.
async fn a_caller_learns_both_build_ids_at_once() {
    for _ in 0..5 {
        let backend = ProcessBackend::new().env(BEHAVIOUR, "other-build");
        let pool = Runners::Processes.pool().backend(backend).start(&node()).await.unwrap();
        let start = Instant::now();
        match eventually("the refusal", pool.call(task!([] {}))).await.unwrap_err() {
            Error::BuildMismatch { parent, runner } => {
                assert!(runner.contains("other"), "{runner}");
                assert!(!parent.contains("other") && parent.contains("build "), "{parent}");
            }
            other => panic!("{other}"),
        }
        assert!(start.elapsed() < Duration::from_secs(15), "trying again helps nobody: {:?}", start.elapsed());
        pool.shutdown().await;
    }
}

async fn a_runner_of_another_build_says_both_ids() {
    let spy = Spy::new(&[(BEHAVIOUR, "other-build")]);
    let pool = Runners::Processes.pool().backend(spy.clone()).start(&node()).await.unwrap();
    let Error::BuildMismatch { parent, runner } = pool.call(task!([] {})).await.unwrap_err() else {
        panic!("not refused")
    };
    let says = |id: &str| spy.stderr().contains(id);
    until("the runner says why it ends", || says(&parent) && says(&runner)).await;
    pool.shutdown().await;
}
