//! A runner that uses too much memory.

use flame_actors::{Cause, Error};
use flame_local::ProcessBackend;
use flame_tests::{Journal, eventually, node, trials};
use libtest_mimic::Trial;

use crate::work::{MIB, eat, hold, let_go, pool};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_runner_over_its_memory_is_lost_and_its_neighbour_lives,
        a_process_that_a_runner_started_counts_too,
        a_runner_that_cannot_even_start_says_so,
        a_runner_that_was_killed_within_its_memory_did_not_run_out_of_it,
    ]
}

const LIMIT: u64 = 192 * MIB;

async fn a_runner_over_its_memory_is_lost_and_its_neighbour_lives() {
    let pool = pool(ProcessBackend::new().memory_limit(LIMIT)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let neighbour = tokio::spawn(pool.call(hold(journal.entry())));
    let pid = journal.pid("pid").await;

    assert_eq!(eventually("a call within the limit", pool.call(eat(64 * MIB))).await.unwrap(), 64);
    let err = eventually("the loss", pool.call(eat(u64::MAX))).await.unwrap_err();
    assert!(matches!(err, Error::RunnerLost { cause: Cause::OutOfMemory, .. }), "{err}");
    assert!(err.to_string().ends_with("it ran out of memory"), "{err}");

    assert_eq!(eventually("a new runner", pool.call(eat(MIB))).await.unwrap(), 1);
    let_go(&journal.entry());
    assert_eq!(neighbour.await.unwrap().expect("the neighbour goes on"), pid);
    pool.shutdown().await;
}

/// The kernel ends the one that uses the most, so the runner lives here, and its work sees a signal.
async fn a_process_that_a_runner_started_counts_too() {
    let pool = pool(ProcessBackend::new().memory_limit(LIMIT)).start(&node()).await.unwrap();
    let signal = pool.call(flame_actors::task!([] -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        // Doubles a variable for ever.
        let script = "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done";
        let status = std::process::Command::new("sh").args(["-c", script]).status().expect("there is a shell");
        status.signal()
    }));
    assert_eq!(eventually("the end of the process", signal).await.unwrap(), Some(9));
    pool.shutdown().await;
}

async fn a_runner_that_cannot_even_start_says_so() {
    let pool = pool(ProcessBackend::new().memory_limit(256 * 1024)).start(&node()).await.unwrap();
    let err = pool.call(eat(1)).timeout(std::time::Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(&err, Error::Boot { reason, .. } if reason.contains("it ran out of memory")), "{err}");
    pool.shutdown().await;
}

async fn a_runner_that_was_killed_within_its_memory_did_not_run_out_of_it() {
    let pool = pool(ProcessBackend::new().memory_limit(LIMIT)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let held = tokio::spawn(pool.call(hold(journal.entry())));
    flame_tests::process::kill(journal.pid("pid").await);
    let err = eventually("the loss", held).await.unwrap().unwrap_err();
    assert!(matches!(err, Error::RunnerLost { cause: Cause::Signalled(9), .. }), "{err}");
    pool.shutdown().await;
}
