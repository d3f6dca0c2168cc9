//! What the application's code does here: it blocks for three leases, or it panics.

use std::future::{Future, IntoFuture as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flame_actors::{Error, Pool, remote, task};
use flame_tests::process::{descendants, is_alive, kill};
use flame_tests::{Entry, Journal, Role};
use futures_util::future::join_all;
use tokio::task::JoinHandle;

pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// How long that blocks which blocks.
pub(crate) const BLOCKED: Duration = Duration::from_secs(6);
/// Longer, with what a loaded machine may add.
const BYSTANDING: Duration = Duration::from_secs(9);

/// By then a role has ended, or never will.
const LONGEST: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(20);

pub(crate) const UNHARMED: &str = "unharmed";
const CASE: &str = "FLAME_TEST_CASE";
const HARM: &str = "FLAME_TEST_HARM";
pub(crate) const JOURNAL: &str = "FLAME_TEST_JOURNAL";

/// What harm is done in a role and its runners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    Blocks,
    Panics,
}

/// Does the harm that this process was started for, once, and notes it first.
pub(crate) fn harm() {
    static DONE: AtomicBool = AtomicBool::new(false);
    // More than one panic at a time would be the end of the process, and that of whoever panics.
    if DONE.swap(true, Ordering::Relaxed) {
        return;
    }
    journal().note("harmed");
    match std::env::var(HARM).as_deref() {
        Ok("Blocks") => std::thread::sleep(BLOCKED),
        // As a panic, without a line on standard error.
        Ok("Panics") => std::panic::resume_unwind(Box::new("the harm of a trial")),
        other => panic!("no harm: {other:?}"),
    }
}

/// The case that this role and its runners are for.
pub(crate) fn case() -> Option<String> {
    std::env::var(CASE).ok()
}

/// The journal of this role and its runners.
pub(crate) fn journal() -> Entry {
    Entry::at(std::env::var_os(JOURNAL).expect("the trial gives one"))
}

/// Plays each of these cases in a role of its own, at the same time; fails with what went wrong in which.
pub(crate) async fn harms_no_bystander(role: &str, harm: Harm, cases: &[Case]) {
    let ends = join_all(cases.iter().map(|case| play(role, harm, case))).await;
    let wrong: Vec<String> = ends.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "where it {harm:?}:\n{}", wrong.join("\n"));
}

/// One place at which code of the application runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Whether that code has to run; a value that is not made is not dropped either.
    pub(crate) certain: bool,
}

/// Code that runs for certain.
pub(crate) const fn certain(name: &'static str) -> Case {
    Case { name, certain: true }
}

/// Code that may be left out.
pub(crate) const fn possible(name: &'static str) -> Case {
    Case { name, certain: false }
}

async fn play(role: &str, harm: Harm, case: &Case) -> Option<String> {
    let journal = Journal::new();
    let path = journal.entry().path().to_str().expect("plain letters").to_owned();
    let harm = format!("{harm:?}");
    let role = Tree(Role::start(role, &[(CASE, case.name), (HARM, &harm), (JOURNAL, &path)]));
    let end = tokio::select! {
        end = end_of(&journal, LONGEST) => end,
        () = gone(&role) => end_of(&journal, Duration::ZERO).await,
    };
    match &*end {
        UNHARMED if case.certain && !journal.has("harmed") => Some(format!("{}: no harm was done", case.name)),
        UNHARMED => None,
        wrong => Some(format!("{}: {wrong}", case.name)),
    }
}

/// How a role says that its scenario has ended.
pub(crate) async fn end_of(journal: &Journal, longest: Duration) -> String {
    let start = Instant::now();
    loop {
        if let Some(end) = journal.lines().iter().find_map(|line| line.strip_prefix("end=").map(str::to_owned)) {
            return end;
        }
        if start.elapsed() > longest {
            return format!("it has no end after {:?}", start.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn gone(role: &Tree) {
    while is_alive(role.0.pid()) {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Kills a role with all that it has started.
pub(crate) struct Tree(pub(crate) Role);

impl Drop for Tree {
    fn drop(&mut self) {
        let all = descendants(self.0.pid());
        kill(self.0.pid());
        all.into_iter().for_each(kill);
    }
}

/// What a role does: notes how the scenario ends, whatever that is.
pub(crate) async fn noting(scenario: impl Future<Output = Result<(), String>> + Send + 'static) {
    let end = match tokio::spawn(scenario).await {
        Ok(Ok(())) => UNHARMED.to_owned(),
        Ok(Err(wrong)) => wrong,
        Err(err) => match err.try_into_panic() {
            Ok(panic) => format!("panicked: {:?}", panic.downcast_ref::<String>()),
            Err(err) => err.to_string(),
        },
    };
    journal().note(format_args!("end={}", end.replace('\n', " ")));
}

/// Calls that have begun before the harm.
pub(crate) struct Bystanders(Vec<Bystander>);

struct Bystander {
    name: &'static str,
    pool: Pool,
    pid: u32,
    call: JoinHandle<Result<u32, Error>>,
}

#[remote]
async fn stand_by(journal: Entry, time: Duration) -> u32 {
    journal.note(format_args!("pid={}", std::process::id()));
    tokio::time::sleep(time).await;
    std::process::id()
}

/// The process of this pool's runner.
pub(crate) async fn pid(pool: &Pool) -> u32 {
    pool.call(task!([] -> u32 { std::process::id() })).await.expect("the runner works")
}

impl Bystanders {
    /// One on the pool that is harmed and one on another.
    pub(crate) async fn begin(harmed: &Pool, other: &Pool) -> Self {
        Self(vec![begin("the same pool", harmed).await, begin("another pool", other).await])
    }

    /// Waits for their ends, and shuts the pools down; fails unless all went well.
    pub(crate) async fn unharmed(self) -> Result<(), String> {
        for Bystander { name, pool, pid, call } in self.0 {
            let err = |err: &dyn std::fmt::Display| format!("the bystander on {name}: {err}");
            let ended = call.await.map_err(|panic| err(&panic))?.map_err(|lost| err(&lost))?;
            if ended != pid || !is_alive(pid) {
                return Err(err(&format_args!("its runner was process {pid}, and is {ended}")));
            }
            let next = pool.call(task!([] {})).timeout(LONGEST).await;
            next.map_err(|lost| err(&format_args!("the next call there: {lost}")))?;
            let shutdown = tokio::time::timeout(LONGEST, pool.shutdown()).await;
            shutdown.map_err(|_| err(&"the pool does not shut down"))?;
        }
        Ok(())
    }
}

async fn begin(name: &'static str, pool: &Pool) -> Bystander {
    let journal = Journal::new();
    let call = tokio::spawn(pool.call(stand_by(journal.entry(), BYSTANDING)).timeout(LONGEST).into_future());
    let pid = journal.pid("pid").await;
    Bystander { name, pool: pool.clone(), pid, call }
}
