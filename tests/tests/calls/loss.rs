//! What a caller learns when its runner is lost.

use std::time::{Duration, Instant};

use flame_actors::{Cause, Error, Pool, task};
use flame_tests::{Journal, Runners, eventually, node, process, trials, until};
use libtest_mimic::Trial;

use crate::tasks::{hang, take, whereabouts};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_killed_runner_is_lost_with_its_signal,
        a_task_that_exits_its_process_is_lost_with_the_code,
        calls_on_other_runners_go_on,
        the_next_call_has_another_runner,
        many_losses_in_a_row_lose_no_slot,
    ]
}

fn assert_lost(err: &Error, cause: &Cause) {
    assert!(matches!(err, Error::RunnerLost { cause: found, .. } if found == cause), "{err:?}");
}

async fn hanging(pool: &Pool) -> (u32, tokio::task::JoinHandle<Result<(), Error>>) {
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hang(journal.entry())));
    (journal.pid("started").await, call)
}

async fn a_killed_runner_is_lost_with_its_signal() {
    let pool = Runners::Processes.start().await;
    let (pid, call) = hanging(&pool).await;
    let start = Instant::now();
    process::kill(pid);
    assert_lost(&eventually("the loss", call).await.unwrap().unwrap_err(), &Cause::Signalled(9));
    assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
    pool.shutdown().await;
}

async fn a_task_that_exits_its_process_is_lost_with_the_code() {
    let pool = Runners::Processes.start().await;
    let err = pool.call(task!([] { std::process::exit(7) })).await.unwrap_err();
    assert_lost(&err, &Cause::Exited(7));
    pool.shutdown().await;
}

async fn calls_on_other_runners_go_on() {
    let pool = Runners::Processes.pool().max(2).max_concurrency(1).start(&node()).await.unwrap();
    let (pid, lost) = hanging(&pool).await;
    let journal = Journal::new();
    let other = tokio::spawn(pool.call(take(Duration::from_secs(1), journal.entry())));
    assert_ne!(journal.pid("started").await, pid);
    process::kill(pid);
    assert_lost(&lost.await.unwrap().unwrap_err(), &Cause::Signalled(9));
    assert!(!journal.has("done"));
    other.await.unwrap().expect("it runs elsewhere");
    pool.shutdown().await;
}

async fn the_next_call_has_another_runner() {
    let pool = Runners::Processes.start().await;
    let (pid, call) = hanging(&pool).await;
    process::kill(pid);
    let (next, _) = eventually("a call right after the loss", pool.call(whereabouts())).await.unwrap_or_else(|err| {
        // Written to the runner that was just dying: the one outcome that is allowed.
        assert_lost(&err, &Cause::Signalled(9));
        (0, String::new())
    });
    assert_ne!(next, pid);
    call.await.unwrap().unwrap_err();
    assert_ne!(pool.call(whereabouts()).await.unwrap().0, pid);
    pool.shutdown().await;
}

async fn many_losses_in_a_row_lose_no_slot() {
    let pool = Runners::Processes.pool().max_concurrency(2).start(&node()).await.unwrap();
    for _ in 0..5 {
        let (pid, first) = hanging(&pool).await;
        let (_, second) = hanging(&pool).await;
        process::kill(pid);
        assert_lost(&first.await.unwrap().unwrap_err(), &Cause::Signalled(9));
        assert_lost(&second.await.unwrap().unwrap_err(), &Cause::Signalled(9));
        until("the process is gone", || !process::is_alive(pid)).await;
    }
    pool.shutdown().await;
}
