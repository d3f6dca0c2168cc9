//! What a task finds around itself: until when it may run, and whether it was told to end.

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{Cancelled, Message, Pool, cancelled, deadline, placeable, provided, remote, task};
use flame_tests::process::{Signal, is_alive};
use flame_tests::{Entry, Journal, Role, Runners, eventually, everywhere, node, trials, until};
use futures_util::FutureExt;
use libtest_mimic::Trial;
use parking_lot::Mutex;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        the_deadline_is_that_of_the_call,
        without_a_bound_there_is_no_deadline,
        what_a_task_spawns_finds_no_task,
        a_placed_actor_finds_no_task,
        a_thread_hears_that_the_caller_has_gone,
        a_thread_hears_of_the_deadline,
        a_thread_hears_that_its_task_has_panicked,
        a_thread_hears_that_the_grace_is_over,
    ];
    // Not in this process, whose threads the other trials need.
    trials.extend(trials![
        a_body_that_blocks_hears_that_the_caller_has_gone,
        a_body_that_blocks_hears_of_the_deadline,
        outside_tasks_there_is_nothing_to_find,
        a_task_that_has_returned_is_never_cancelled,
        a_runner_without_its_parent_tells_the_tasks_that_it_ends,
        what_was_provided_before_may_use_the_node_when_it_is_dropped,
    ]);
    trials
}

const LONG: Duration = Duration::from_secs(300);
/// Long enough for a task to start where a runner is up.
const SHORT: Duration = Duration::from_secs(3);

/// How long the task that asks may still run.
#[remote]
async fn time_left() -> Option<Duration> {
    deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

fn assert_about(left: Option<Duration>, bound: Duration) {
    let left = left.expect("there is a bound");
    assert!(left <= bound && left > bound - Duration::from_secs(30), "{left:?} of {bound:?}");
}

async fn the_deadline_is_that_of_the_call(on: Runners) {
    let pool = on.pool().timeout(LONG).start(&node()).await.unwrap();
    assert_about(pool.call(time_left()).await.unwrap(), LONG);
    assert_about(pool.call(time_left()).timeout(2 * LONG).await.unwrap(), 2 * LONG);
    pool.shutdown().await;
}

async fn without_a_bound_there_is_no_deadline(on: Runners) {
    let pool = on.start().await;
    let (without, with) = (Journal::new(), Journal::new());
    let note = |journal: Entry| task!([journal: Entry] { journal.note(format_args!("bound={}", time_left().await.is_some())) });
    pool.cast(note(without.entry())).await.unwrap();
    pool.cast(note(with.entry())).timeout(LONG).await.unwrap();
    assert_eq!((without.value("bound").await, with.value("bound").await), ("false".to_owned(), "true".to_owned()));
    pool.shutdown().await;
}

/// Whether there is a deadline, whether the handle has fired, whether it is ready.
fn found() -> (bool, bool, bool) {
    (deadline().is_some(), cancelled().is_cancelled(), cancelled().now_or_never().is_some())
}

#[remote]
async fn find() -> (bool, bool, bool) {
    found()
}

async fn outside_tasks_there_is_nothing_to_find() {
    assert_eq!(found(), (false, false, false));
    assert_eq!(find().await, (false, false, false), "awaited here it is no work of a runner");
}

async fn what_a_task_spawns_finds_no_task(on: Runners) {
    let pool = on.start().await;
    let spawned = task!([] -> (bool, bool, bool) { tokio::spawn(find()).await.expect("it does not panic") });
    assert_eq!(pool.call(spawned).await.unwrap(), (false, false, false));
    assert_eq!(pool.call(find()).await.unwrap(), (true, false, false));
    pool.shutdown().await;
}

struct Finder;

#[derive(Message)]
enum FinderMsg {
    Find(RpcReplyPort<(bool, bool, bool)>),
}

#[placeable]
impl Actor for Finder {
    type Msg = FinderMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<FinderMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<FinderMsg>,
        FinderMsg::Find(reply): FinderMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(found())?)
    }
}

async fn a_placed_actor_finds_no_task(on: Runners) {
    let pool = on.start().await;
    let finder = pool.place_child(Finder, ()).await.unwrap();
    assert_eq!(call!(finder, FinderMsg::Find).unwrap(), (false, false, false));
    finder.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
}

/// Returns when it is told, which it notes.
fn block(cancelled: &Cancelled, journal: &Entry) {
    while !cancelled.is_cancelled() {
        std::thread::sleep(Duration::from_millis(5));
    }
    journal.note("cancelled");
}

/// Has a thread and a task wait for its end, and then does as it is told.
async fn watched(journal: &Entry, then: impl Future<Output = ()>) {
    let (cancelled, handle, note) = (cancelled(), cancelled(), journal.clone());
    tokio::task::spawn_blocking(move || block(&handle, &note));
    let note = journal.clone();
    tokio::spawn(async move {
        cancelled.await;
        note.note("awaited");
    });
    journal.note(format_args!("started={}", std::process::id()));
    then.await;
}

#[remote]
async fn hang_watched(journal: Entry) {
    watched(&journal, pending()).await;
}

async fn both_hear(journal: &Journal) {
    journal.wait_for("cancelled").await;
    journal.wait_for("awaited").await;
}

async fn patient(on: Runners) -> Pool {
    on.pool().timeout(LONG).start(&node()).await.unwrap()
}

async fn a_thread_hears_that_the_caller_has_gone(on: Runners) {
    let pool = patient(on).await;
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hang_watched(journal.entry())));
    journal.value("started").await;
    call.abort();
    both_hear(&journal).await;
    pool.shutdown().await;
}

async fn a_thread_hears_of_the_deadline(on: Runners) {
    let pool = patient(on).await;
    pool.call(find()).await.unwrap();
    let journal = Journal::new();
    pool.call(hang_watched(journal.entry())).timeout(SHORT).await.unwrap_err();
    both_hear(&journal).await;
    pool.shutdown().await;
}

async fn a_thread_hears_that_its_task_has_panicked(on: Runners) {
    let pool = patient(on).await;
    let journal = Journal::new();
    let entry = journal.entry();
    let panics = task!([entry: Entry] { watched(&entry, ready(()).map(|()| panic!("on purpose"))).await });
    pool.call(panics).await.unwrap_err();
    both_hear(&journal).await;
    pool.shutdown().await;
}

async fn a_thread_hears_that_the_grace_is_over(on: Runners) {
    let pool = on.pool().timeout(LONG).shutdown_timeout(Duration::from_secs(1)).start(&node()).await.unwrap();
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(hang_watched(journal.entry())));
    journal.value("started").await;
    pool.shutdown().await;
    journal.wait_for("cancelled").await;
    call.await.unwrap().unwrap_err();
}

/// Never yields, and says whether it is past its deadline when it is told.
#[remote]
async fn block_watched(journal: Entry) {
    let cancelled = cancelled();
    journal.note(format_args!("started={}", std::process::id()));
    block(&cancelled, &journal);
    let late = deadline().is_some_and(|deadline| Instant::now() >= deadline);
    journal.note(format_args!("late={late}"));
}

async fn a_body_that_blocks_hears_that_the_caller_has_gone() {
    let pool = patient(Runners::Processes).await;
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(block_watched(journal.entry())));
    journal.value("started").await;
    call.abort();
    assert_eq!(journal.value("late").await, "false");
    pool.shutdown().await;
}

async fn a_body_that_blocks_hears_of_the_deadline() {
    let pool = patient(Runners::Processes).await;
    pool.call(find()).await.unwrap();
    let journal = Journal::new();
    // It returns when it hears, and its result may be the first to arrive.
    drop(pool.call(block_watched(journal.entry())).timeout(SHORT).await);
    journal.wait_for("cancelled").await;
    pool.shutdown().await;
}

static KEPT: Mutex<Option<Cancelled>> = Mutex::new(None);

async fn a_task_that_has_returned_is_never_cancelled() {
    let pool = Runners::Processes.start().await;
    let keep =
        || task!([] -> Result<(), String> { *KEPT.lock() = Some(cancelled()); Err("an ordinary end".to_owned()) });
    let has_fired = || task!([] -> bool { KEPT.lock().as_ref().expect("it was kept").is_cancelled() });
    pool.call(has_fired()).await.unwrap_err();
    let start = Instant::now();
    pool.call(keep()).timeout(SHORT).await.unwrap().unwrap_err();
    // Past the deadline that it had.
    tokio::time::sleep((SHORT + Duration::from_millis(200)).saturating_sub(start.elapsed())).await;
    assert!(!pool.call(has_fired()).await.unwrap());
    pool.shutdown().await;
}

const JOURNALS: [&str; 2] = ["FLAME_TEST_LINKED", "FLAME_TEST_UNLINKED"];

/// Has a linked and an unlinked task on one runner.
pub(crate) async fn parent() {
    let [linked, unlinked] = JOURNALS.map(|name| Entry::at(std::env::var_os(name).expect("the trial gives it")));
    let pool = Runners::Processes.pool().shutdown_timeout(LONG).start(&node()).await.unwrap();
    pool.call(find()).await.unwrap();
    pool.cast(hang_watched(linked)).await.unwrap();
    pool.cast(block_watched(unlinked)).timeout(2 * SHORT).link(false).await.unwrap();
    pending().await
}

/// The linked one at once, the other one at its deadline, of which nobody else is left to tell it.
async fn a_runner_without_its_parent_tells_the_tasks_that_it_ends() {
    let journals = [Journal::new(), Journal::new()];
    let [linked, unlinked] = &journals;
    let paths = journals.each_ref().map(|journal| journal.entry().path().to_str().expect("plain letters").to_owned());
    let mut role = Role::start("parent", &[(JOURNALS[0], &paths[0]), (JOURNALS[1], &paths[1])]);
    let runner = linked.pid("started").await;
    unlinked.value("started").await;
    role.signal(Signal::SIGKILL);
    role.ended().await;
    linked.wait_for("cancelled").await;
    assert_eq!(unlinked.value("late").await, "true");
    until("the runner is gone", || !is_alive(runner)).await;
}

async fn what_was_provided_before_may_use_the_node_when_it_is_dropped() {
    /// Notes what is there in its place.
    struct Connection(u8, Arc<Mutex<Vec<u8>>>);
    impl Drop for Connection {
        fn drop(&mut self) {
            if let Ok(next) = provided::<Self>() {
                self.1.lock().push(next.0);
            }
        }
    }
    let noted = Arc::new(Mutex::new(Vec::new()));
    let noted_by_it = Arc::clone(&noted);
    let provide = tokio::task::spawn_blocking(move || {
        for number in 1..4 {
            node().provide(Connection(number, Arc::clone(&noted_by_it)));
        }
    });
    eventually("it is provided", provide).await.unwrap();
    assert_eq!(*noted.lock(), [2, 3]);
}
