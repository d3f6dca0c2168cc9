//! Parents that are killed, and what their runners do then.

use std::future::pending;
use std::process::Stdio;
use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use flame_actors::{Message, Pool, placeable, task};
use flame_local::ProcessBackend;
use flame_tests::process::{Signal, descendants, is_alive, kill};
use flame_tests::{BEFORE_START, Entry, Journal, LEASE, OnDrop, Role, Runners, Spy, node, told, trials, until, within};
use libtest_mimic::Trial;

use crate::work::{block, hang, print, take};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        twenty_busy_runners_are_gone_within_the_lease_and_a_second_after_their_parent_was_killed,
        twenty_busy_runners_over_the_environment_are_gone_as_soon,
        a_parent_that_leaves_main_leaves_no_runner,
        a_parent_that_is_terminated_leaves_no_runner,
        linked_work_ends_with_the_parent,
        unlinked_work_is_finished_after_the_parent_was_killed,
        unlinked_work_that_prints_is_finished_after_the_parent_was_killed,
        a_placed_child_ends_with_the_parent,
        an_unlinked_child_has_the_shutdown_timeout_after_the_parent_was_killed,
        a_runner_whose_parent_dies_while_it_starts_is_gone,
        a_runner_over_the_environment_whose_parent_dies_while_it_starts_is_gone,
        a_runner_of_a_runner_is_gone_after_the_first_parent_was_killed,
    ]
}

const GRACE: Duration = Duration::from_secs(2);
const RUNNERS: usize = 20;
const JOURNAL: &str = "FLAME_TEST_JOURNAL";
/// Then runners are booted as machines are, and nothing but their connections ties them to their parent.
const MACHINES: &str = "FLAME_TEST_MACHINES";
/// What a loaded machine may add.
const SLACK: Duration = Duration::from_secs(3);

fn journal() -> Entry {
    Entry::at(std::env::var_os(JOURNAL).expect("the trial gives one"))
}

/// Starts the role with a journal that the trial reads.
fn start(role: &str, journal: &Journal) -> Role {
    Role::start(role, &[(JOURNAL, journal.entry().path().to_str().expect("plain letters"))])
}

async fn all_gone(pids: &[u32]) {
    let left = || pids.iter().filter(|pid| is_alive(**pid)).count();
    until("every process is gone", || left() == 0).await;
}

/// Half of the runners await, half block a thread, some both of them.
pub(crate) async fn busy() {
    let pool = Runners::Processes.pool().max(RUNNERS).max_concurrency(2).shutdown_timeout(GRACE);
    let pool = match std::env::var_os(MACHINES) {
        None => pool.backend(ProcessBackend::new()),
        Some(_) => pool.backend(Spy::default()),
    };
    let pool = pool.start(&node()).await.unwrap();
    for n in 0..2 * RUNNERS {
        if n % 2 == 0 {
            pool.cast(hang(journal())).await.unwrap();
        } else {
            pool.cast(block(journal())).await.unwrap();
        }
    }
    pending().await
}

async fn twenty_busy_runners_are_gone(more: &[(&str, &str)]) {
    let journal = Journal::new();
    let mut environment = vec![(JOURNAL, journal.entry().path().to_str().expect("plain letters").to_owned())];
    environment.push((LEASE, "2000".to_owned()));
    environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut role = Role::start("busy", &environment);
    until("all work has started", || journal.lines().len() == 2 * RUNNERS).await;
    let runners = descendants(role.pid());
    assert_eq!(runners.len(), RUNNERS);
    role.signal(Signal::SIGKILL);
    let left = || runners.iter().filter(|pid| is_alive(**pid)).count();
    within(Duration::from_secs(3) + SLACK, "every runner is gone", || left() == 0).await;
    role.ended().await;
}

async fn twenty_busy_runners_are_gone_within_the_lease_and_a_second_after_their_parent_was_killed() {
    twenty_busy_runners_are_gone(&[]).await;
}

/// Nothing but the network tells them.
async fn twenty_busy_runners_over_the_environment_are_gone_as_soon() {
    twenty_busy_runners_are_gone(&[(MACHINES, "")]).await;
}

pub(crate) async fn leaving() {
    let pool = Runners::Processes.start().await;
    let journal = Journal::new();
    pool.cast(hang(journal.entry())).await.unwrap();
    told(journal.pid("pid").await);
    if std::env::var_os("FLAME_TEST_STAY").is_some() {
        pending().await
    }
}

/// Without a shutdown.
async fn a_parent_that_leaves_main_leaves_no_runner() {
    let mut role = Role::start("leaving", &[]);
    let runner = role.next_pid().await;
    assert_eq!(role.ended().await, Some(0));
    all_gone(&[runner]).await;
}

async fn a_parent_that_is_terminated_leaves_no_runner() {
    let mut role = Role::start("leaving", &[("FLAME_TEST_STAY", "")]);
    let runner = role.next_pid().await;
    role.signal(Signal::SIGTERM);
    role.ended().await;
    all_gone(&[runner]).await;
}

async fn linked_work_ends_with_the_parent() {
    let journal = Journal::new();
    let role = start("unlinked", &journal);
    let runner = journal.pid("pid").await;
    until("both tasks run", || journal.lines().len() == 2).await;
    role.signal(Signal::SIGKILL);
    journal.wait_for("dropped").await;
    assert!(!journal.has("done"), "it ends at once, and not with the unlinked work");
    all_gone(&[runner]).await;
}

/// One linked task, one that is not.
pub(crate) async fn unlinked() {
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_secs(10)).start(&node()).await.unwrap();
    pool.cast(hang(journal())).await.unwrap();
    pool.cast(take(Duration::from_secs(2), journal())).link(false).await.unwrap();
    pending().await
}

async fn unlinked_work_is_finished_after_the_parent_was_killed() {
    let journal = Journal::new();
    let role = start("unlinked", &journal);
    let runner = journal.pid("pid").await;
    until("both tasks run", || journal.lines().len() == 2).await;
    role.signal(Signal::SIGKILL);
    journal.wait_for("done").await;
    all_gone(&[runner]).await;
}

pub(crate) async fn printing() {
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_secs(10)).start(&node()).await.unwrap();
    pool.cast(print(Duration::from_secs(2), journal())).link(false).await.unwrap();
    pending().await
}

/// Its standard error is a pipe to the parent: writing to it must be no error, nor block once it is full.
async fn unlinked_work_that_prints_is_finished_after_the_parent_was_killed() {
    let journal = Journal::new();
    let (name, path) = (JOURNAL, journal.entry());
    let environment = [(name, path.path().to_str().expect("plain letters"))];
    let role = Role::start_with_stderr("printing", &environment, Stdio::null());
    let runner = journal.pid("pid").await;
    role.signal(Signal::SIGKILL);
    journal.wait_for("done").await;
    all_gone(&[runner]).await;
}

struct Child;

#[derive(Message)]
enum ChildMsg {}

#[placeable]
impl Actor for Child {
    type Msg = ChildMsg;
    type State = OnDrop;
    type Arguments = Entry;

    async fn pre_start(&self, _: ActorRef<ChildMsg>, journal: Entry) -> Result<OnDrop, ActorProcessingErr> {
        journal.note(format_args!("pid={}", std::process::id()));
        Ok(journal.on_drop("dropped"))
    }
}

pub(crate) async fn supervising() {
    let pool = Runners::Processes.start().await;
    let _child = pool.place_child(Child, journal()).await.unwrap();
    pending().await
}

async fn a_placed_child_ends_with_the_parent() {
    let journal = Journal::new();
    let role = start("supervising", &journal);
    let runner = journal.pid("pid").await;
    role.signal(Signal::SIGKILL);
    journal.wait_for("dropped").await;
    all_gone(&[runner]).await;
}

/// Works for a while, notes that it was not interrupted, and stops.
struct Lasting;

#[derive(Message)]
enum LastingMsg {
    Done,
}

#[placeable]
impl Actor for Lasting {
    type Msg = LastingMsg;
    type State = Entry;
    type Arguments = Entry;

    async fn pre_start(&self, myself: ActorRef<LastingMsg>, journal: Entry) -> Result<Entry, ActorProcessingErr> {
        myself.send_after(Duration::from_secs(1), || LastingMsg::Done);
        journal.note("lasting");
        Ok(journal)
    }

    async fn handle(
        &self,
        myself: ActorRef<LastingMsg>,
        LastingMsg::Done: LastingMsg,
        journal: &mut Entry,
    ) -> Result<(), ActorProcessingErr> {
        journal.note("done");
        myself.stop(None);
        Ok(())
    }
}

/// One child that ends within the time it has, and one that does not.
pub(crate) async fn supervising_unlinked() {
    let pool = Runners::Processes.pool().shutdown_timeout(Duration::from_secs(4)).start(&node()).await.unwrap();
    let _child = pool.place_child(Child, journal()).link(false).await.unwrap();
    let _lasting = pool.place_child(Lasting, journal()).link(false).await.unwrap();
    pending().await
}

async fn an_unlinked_child_has_the_shutdown_timeout_after_the_parent_was_killed() {
    let journal = Journal::new();
    let role = start("supervising_unlinked", &journal);
    let runner = journal.pid("pid").await;
    journal.wait_for("lasting").await;
    role.signal(Signal::SIGKILL);
    journal.wait_for("done").await;
    assert!(!journal.has("dropped"), "the other one has more time");
    journal.wait_for("dropped").await;
    all_gone(&[runner]).await;
}

async fn boot(pool: Pool) {
    pool.cast(task!([] {})).await.unwrap();
    pending().await
}

pub(crate) async fn booting() {
    let backend = ProcessBackend::new().env(BEFORE_START, "600000");
    boot(Runners::Processes.pool().backend(backend).start(&node()).await.unwrap()).await;
}

pub(crate) async fn booting_spied() {
    let backend = Spy::new(&[(BEFORE_START, "1000")]);
    boot(Runners::Processes.pool().backend(backend).start(&node()).await.unwrap()).await;
}

async fn dies_while_a_runner_starts(role: &str) {
    let mut role = Role::start(role, &[]);
    until("a runner starts", || !descendants(role.pid()).is_empty()).await;
    let runners = descendants(role.pid());
    role.signal(Signal::SIGKILL);
    role.ended().await;
    all_gone(&runners).await;
}

async fn a_runner_whose_parent_dies_while_it_starts_is_gone() {
    dies_while_a_runner_starts("booting").await;
}

async fn a_runner_over_the_environment_whose_parent_dies_while_it_starts_is_gone() {
    dies_while_a_runner_starts("booting_spied").await;
}

pub(crate) async fn nesting() {
    let pool = Runners::Processes.start().await;
    let journal = journal();
    let outer = task!([journal: Entry] {
        journal.note(format_args!("outer={}", std::process::id()));
        let nested = Pool::named("nested").expect("every runner has it");
        drop(nested.call(hang(journal)).await);
    });
    pool.cast(outer).await.unwrap();
    pending().await
}

async fn a_runner_of_a_runner_is_gone_after_the_first_parent_was_killed() {
    let journal = Journal::new();
    let role = start("nesting", &journal);
    let pids = [journal.pid("outer").await, journal.pid("pid").await];
    kill(role.pid());
    journal.wait_for("dropped").await;
    all_gone(&pids).await;
}
