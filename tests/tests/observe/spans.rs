//! The spans of calls, casts, placements and boots: names, fields, what is in which.

use flame_actors::{remote, runner, task};
use flame_tests::{Broken, Journal, Runners, eventually, everywhere, node, trials, until};
use futures_util::StreamExt as _;
use libtest_mimic::Trial;
use tracing::{Instrument as _, info_span};

use crate::collector::{Line, closed, line, spans};
use crate::numbers::{Idler, count_to, hold};

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = everywhere![
        a_call_is_in_its_callers_span_and_its_wait_in_the_call,
        what_a_task_logs_is_in_its_span_on_the_runner,
        what_a_task_logs_when_it_is_dropped_is_in_its_span,
        a_placement_has_a_span_until_the_child_has_started,
        a_cast_is_in_nobodys_span,
        a_stream_has_the_spans_of_a_call,
    ];
    all.extend(trials![a_boot_has_a_span_of_its_own_with_the_reason_of_its_failure]);
    all
}

/// Logs a line; gives the runner that it is on.
#[remote]
async fn say(text: String) -> String {
    tracing::info!("{text}");
    runner().as_deref().unwrap_or_default().to_owned()
}

/// Logs a line when it is dropped.
#[remote]
async fn say_at_the_end(text: String, journal: flame_tests::Entry) {
    struct AtTheEnd(String);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            tracing::info!("{}", self.0);
        }
    }
    let _at_the_end = AtTheEnd(text);
    journal.note("runs");
    std::future::pending::<()>().await;
}

/// The line that was logged where this runs.
#[remote]
async fn heard(text: String) -> Option<Line> {
    line(&text)
}

async fn a_call_is_in_its_callers_span_and_its_wait_in_the_call(runners: Runners) {
    let pool = runners.start().await;
    let name = pool.name().to_owned();
    let request = info_span!("request", of = name);
    let runner = pool.call(say(format!("called in {name}"))).instrument(request).await.unwrap();

    let call = closed("flame.call", "pool", &name).await;
    assert_eq!(call.fields, ["pool", "task", "runner"]);
    assert_eq!(call.value("runner"), runner);
    assert!(call.value("task").contains("say"), "{call:?}");
    assert_eq!(call.parent().unwrap().name, "request");
    let wait = closed("flame.wait", "pool", &name).await;
    assert_eq!(wait.parent().unwrap(), call);
    let boot = closed("flame.boot", "pool", &name).await;
    assert_eq!((boot.value("runner"), boot.parent), (&*runner, None));

    pool.call(task!([] {})).await.unwrap();
    assert_eq!(spans("flame.call", "pool", &name).len(), 2);
    assert_eq!(spans("flame.wait", "pool", &name).len(), 1, "the second one had its slot at once");
    pool.shutdown().await;
}

async fn what_a_task_logs_is_in_its_span_on_the_runner(runners: Runners) {
    let pool = runners.start().await;
    let text = format!("said in {}", pool.name());
    let request = info_span!("request");
    let runner = pool.call(say(text.clone())).instrument(request).await.unwrap();
    let line = pool.call(heard(text)).await.unwrap().unwrap();
    // Nothing above it, in process as little as elsewhere.
    let [run] = &line.within[..] else { panic!("{line:?}") };
    assert_eq!((&*run.name, run.parent), ("flame.run", None));
    assert_eq!(run.fields, ["task", "runner"]);
    let calls = spans("flame.call", "pool", pool.name());
    assert_eq!((run.value("task"), run.value("runner")), (calls[0].value("task"), &*runner));
    pool.shutdown().await;
}

async fn what_a_task_logs_when_it_is_dropped_is_in_its_span(runners: Runners) {
    let pool = runners.start().await;
    let (text, journal) = (format!("dropped in {}", pool.name()), Journal::new());
    let call = tokio::spawn(pool.call(say_at_the_end(text.clone(), journal.entry())));
    journal.wait_for("runs").await;
    call.abort();
    let line = eventually("the line", async {
        loop {
            match pool.call(heard(text.clone())).await.unwrap() {
                Some(line) => break line,
                None => tokio::task::yield_now().await,
            }
        }
    });
    let line = line.await;
    assert_eq!(line.within.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["flame.run"]);
    pool.shutdown().await;
}

async fn a_placement_has_a_span_until_the_child_has_started(runners: Runners) {
    let pool = runners.start().await;
    let request = info_span!("request");
    let child = pool.place_child(Idler, ()).instrument(request).await.unwrap();
    let place = closed("flame.place", "pool", pool.name()).await;
    assert_eq!(place.fields, ["pool", "actor", "runner"]);
    assert_eq!(place.parent().unwrap().name, "request");
    assert!(place.value("actor").ends_with("Idler"), "{place:?}");
    assert_eq!(place.value("runner"), pool.status().runners[0].node);
    assert_eq!(closed("flame.wait", "pool", pool.name()).await.parent().unwrap(), place);
    child.stop(None);
    pool.shutdown().await;
}

async fn a_cast_is_in_nobodys_span(runners: Runners) {
    let pool = runners.start().await;
    let journal = Journal::new();
    let request = info_span!("request", of = pool.name());
    pool.cast(hold(journal.entry())).instrument(request).await.unwrap();
    // The request is over while what it has cast goes on.
    closed("request", "of", pool.name()).await;
    journal.value("pid").await;
    let call = spans("flame.call", "pool", pool.name()).remove(0);
    assert_eq!((call.parent, call.closed), (None, false));
    std::fs::write(journal.entry().path().with_file_name("go"), "").unwrap();
    closed("flame.call", "pool", pool.name()).await;
    pool.shutdown().await;
}

async fn a_stream_has_the_spans_of_a_call(runners: Runners) {
    let pool = runners.start().await;
    let name = pool.name().to_owned();
    let request = info_span!("request", of = name);
    let end = 5 + name.bytes().map(u64::from).sum::<u64>() % 5;
    assert_eq!(pool.stream(count_to(end)).count().instrument(request).await as u64, end);
    let call = closed("flame.call", "pool", &name).await;
    assert_eq!(call.parent().unwrap().name, "request");
    let runner = pool.status().runners[0].node.clone();
    assert!(call.value("task").contains("count_to") && call.value("runner") == runner, "{call:?}");
    let line = pool.call(heard(format!("counts to {end}"))).await.unwrap().unwrap();
    let [run] = &line.within[..] else { panic!("{line:?}") };
    assert_eq!((&*run.name, run.value("task")), ("flame.run", call.value("task")));
    pool.shutdown().await;
}

async fn a_boot_has_a_span_of_its_own_with_the_reason_of_its_failure() {
    let reason = "no machines in this region";
    let pool = Runners::Processes.pool().backend(Broken::new(reason)).start(&node()).await.unwrap();
    let request = info_span!("request");
    let call = pool.call(task!([] {})).timeout(std::time::Duration::from_millis(200));
    call.instrument(request).await.unwrap_err();
    until("the reason is logged", || line(reason).is_some()).await;
    let line = line(reason).unwrap();
    let [boot] = &line.within[..] else { panic!("{line:?}") };
    assert_eq!((&*boot.name, boot.value("pool")), ("flame.boot", pool.name()));
    assert_eq!(boot.fields, ["pool", "runner"]);
    pool.shutdown().await;
}
