//! What a test executable does: serve as a runner, play a role, or run its trials.

use std::future::Future;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use flame_actors::{Error, FLAME_PARENT, Node, Pool};
use flame_local::ProcessBackend;
use futures_util::future::BoxFuture;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::{Builder, Runtime};

use crate::fly;
use crate::journal::Entry;
use crate::process::{command_line, descendants, kill};

/// Names the role that a process plays instead of running trials.
pub(crate) const ROLE: &str = "FLAME_TEST_ROLE";
/// The lease of a role, in milliseconds, where it is not that of its suite.
pub const LEASE: &str = "FLAME_TEST_LEASE";
/// How long a role's runners may take to reach it, in milliseconds.
pub const FAILSAFE: &str = "FLAME_TEST_FAILSAFE";
/// Has a node leave the limit of descriptors as it is.
pub const LEAVE_DESCRIPTOR_LIMIT: &str = "FLAME_TEST_LEAVE_DESCRIPTOR_LIMIT";
/// Where a role listens as a parent.
pub(crate) const LISTEN: &str = "FLAME_TEST_LISTEN";
/// Where its runners reach it.
pub(crate) const ADVERTISE: &str = "FLAME_TEST_ADVERTISE";
/// How a runner misbehaves: `exit-3`, `exit-0`, `never-serve`, `forget-to-serve`, `other-build`, `own-signals`; soon after it serves:
/// `serve-and-exit-` with a code, `serve-and-leave`.
pub const BEHAVIOUR: &str = "FLAME_TEST_BEHAVIOUR";
/// A journal in which a runner that never serves notes `joined=` and its process.
pub const JOINED: &str = "FLAME_TEST_JOINED";
/// Where other nodes are told to reach a runner.
pub const RUNNER_ADVERTISE: &str = "FLAME_TEST_RUNNER_ADVERTISE";
/// A runner waits this many milliseconds before it starts its node.
pub const BEFORE_START: &str = "FLAME_TEST_BEFORE_START";
/// A runner prints this to standard error before anything else.
pub const WORDS: &str = "FLAME_TEST_WORDS";
/// Has a process that a task starts tell whether it is a runner, and the first line of its standard input.
pub const HELPER: &str = "FLAME_TEST_HELPER";
/// A journal in which a runner notes `left` a while after it has served.
pub const AFTER_SERVE: &str = "FLAME_TEST_AFTER_SERVE";

/// A trial that takes longer is stuck, unless it says how long it takes. The longest of the others send a million
/// messages, in 10 s where nobody else computes.
const LONGEST_TRIAL: Duration = Duration::from_secs(180);
/// Trials mostly wait, so there are more at a time than cores.
const TRIALS_AT_A_TIME: usize = 6;
/// How long a runner serves that misbehaves then.
const SERVES_FOR: Duration = Duration::from_millis(100);
/// What the last runners have after the last trial, which has shut its pools down.
const TIDY_UP: Duration = Duration::from_secs(5);

/// What the tests' runners are provided with.
#[derive(Debug)]
pub struct Greeting(pub String);

/// What a trial returns: nothing, or a result whose error fails it.
pub trait Outcome {
    /// The reason of a failure.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: std::fmt::Debug> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|err| format!("{err:?}"))
    }
}

/// A trial of this name, in the group that its module names.
pub fn trial<F, R>(module: &str, name: &str, run: F) -> Trial
where
    F: FnOnce() -> R + Send + 'static,
    R: Future<Output: Outcome>,
{
    long_trial(module, name, LONGEST_TRIAL, run)
}

/// A trial that may take as long as this.
pub fn long_trial<F, R>(module: &str, name: &str, longest: Duration, run: F) -> Trial
where
    F: FnOnce() -> R + Send + 'static,
    R: Future<Output: Outcome>,
{
    let group = module.split_once("::").map_or(String::new(), |(_, group)| format!("{group}::"));
    Trial::test(format!("{group}{name}"), move || {
        let run = async { tokio::time::timeout(longest, run()).await };
        match runtime().block_on(run).map(Outcome::failure) {
            Ok(None) => Ok(()),
            Ok(Some(reason)) => Err(reason.into()),
            Err(_) => Err(format!("it has not ended after {longest:?}").into()),
        }
    })
}

/// The runtime of trials and roles.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(two_threads)
}

/// Some trials block both threads, here or on a runner.
fn two_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("the system has two threads to give")
}

/// This process' node.
pub fn node() -> Node {
    Node::current().expect("the suite starts it before the trials")
}

type RoleFn = Box<dyn FnOnce() -> BoxFuture<'static, ()>>;

/// One test executable.
#[derive(Default)]
#[must_use = "nothing is tested until run() is called"]
pub struct Suite {
    lease: Option<Duration>,
    alone: bool,
    roles: Vec<(&'static str, RoleFn)>,
    trials: Vec<Trial>,
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("lease", &self.lease).field("trials", &self.trials.len()).finish_non_exhaustive()
    }
}

impl Suite {
    /// A suite without trials.
    pub fn new() -> Self {
        Self::default()
    }

    /// The lease of its nodes.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Runs one trial at a time, for trials that measure.
    pub fn one_at_a_time(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Adds a role that a trial can start as a process of its own.
    pub fn role<F>(mut self, name: &'static str, play: fn() -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.roles.push((name, Box::new(move || Box::pin(play()))));
        self
    }

    /// Adds trials.
    pub fn trials(mut self, trials: Vec<Trial>) -> Self {
        self.trials.extend(trials);
        self
    }

    /// Does what this process is there for.
    pub fn run(self) -> ExitCode {
        let start = start(self.lease);
        if std::env::var_os(HELPER).is_some() {
            two_threads().block_on(help(start)).expect("it is a node");
            return ExitCode::SUCCESS;
        }
        if std::env::var_os(FLAME_PARENT).is_some() {
            // Dropped at the end, as `#[tokio::main]` does it.
            return match two_threads().block_on(serve(start)) {
                Ok(code) => code,
                Err(err) => {
                    eprintln!("runner: {err}");
                    ExitCode::from(9)
                }
            };
        }
        if let Err(err) = runtime().block_on(start) {
            eprintln!("no node: {err}");
            return ExitCode::FAILURE;
        }
        if let Ok(name) = std::env::var(ROLE) {
            let (_, play) = self.roles.into_iter().find(|(known, _)| *known == name).expect("the suite has this role");
            runtime().block_on(play());
            return ExitCode::SUCCESS;
        }
        run_trials(self.trials, if self.alone { 1 } else { TRIALS_AT_A_TIME })
    }
}

fn run_trials(trials: Vec<Trial>, at_a_time: usize) -> ExitCode {
    // Whatever is orphaned below this process is its own child then, and is found.
    nix::sys::prctl::set_child_subreaper(true).expect("Linux 3.4");
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(at_a_time);
    let is_list = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if is_list {
        return conclusion.exit_code();
    }
    let me = std::process::id();
    let start = std::time::Instant::now();
    while !descendants(me).is_empty() && start.elapsed() < TIDY_UP {
        std::thread::sleep(Duration::from_millis(20));
    }
    let left = descendants(me);
    for pid in &left {
        // Trials that failed have left pools behind, and with them processes: that is not counted twice.
        if !conclusion.has_failed() {
            eprintln!("process {pid} is alive after the last trial: {}", command_line(*pid));
        }
        kill(*pid);
    }
    let wrong = fly::end();
    wrong.iter().for_each(|what| eprintln!("not as Fly's API has it: {what}"));
    if conclusion.has_failed() || (left.is_empty() && wrong.is_empty()) {
        conclusion.exit_code()
    } else {
        ExitCode::FAILURE
    }
}

async fn start(lease: Option<Duration>) -> Result<Node, Error> {
    let mut node = Node::builder().name("tests");
    if let Some(lease) = lease {
        node = node.lease(lease);
    }
    // A role's runners have its environment.
    let is_runner = std::env::var_os(FLAME_PARENT).is_some();
    if let (false, Ok(lease)) = (is_runner, std::env::var(LEASE)) {
        node = node.lease(Duration::from_millis(lease.parse().expect("milliseconds")));
    }
    if let (false, Ok(listen), Ok(advertise)) = (is_runner, std::env::var(LISTEN), std::env::var(ADVERTISE)) {
        node = node.listen(listen.parse().expect("an address")).advertise(advertise);
    }
    if let (true, Ok(advertise)) = (is_runner, std::env::var(RUNNER_ADVERTISE)) {
        node = node.advertise(advertise);
    }
    if let (true, Ok(failsafe)) = (is_runner, std::env::var(FAILSAFE)) {
        node = node.failsafe(Duration::from_millis(failsafe.parse().expect("milliseconds")));
    }
    node = node.raise_descriptor_limit(std::env::var_os(LEAVE_DESCRIPTOR_LIMIT).is_none());
    match std::env::var(BEHAVIOUR).as_deref() {
        Ok("other-build") if is_runner => node.build_id("other").start().await,
        Ok("own-signals") if is_runner => node.handle_signals(false).start().await,
        _ => node.start().await,
    }
}

async fn help(start: impl Future<Output = Result<Node, Error>>) -> Result<(), Error> {
    let (is_runner, mut line) = (start.await?.is_runner(), String::new());
    std::io::stdin().read_line(&mut line).expect("a line of text");
    println!("{is_runner} {line}");
    Ok(())
}

/// What a runner does.
async fn serve(start: impl Future<Output = Result<Node, Error>>) -> Result<ExitCode, Error> {
    if let Ok(words) = std::env::var(WORDS) {
        eprintln!("{words}");
    }
    let behaviour = std::env::var(BEHAVIOUR).unwrap_or_default();
    match behaviour.as_str() {
        "exit-3" => return Ok(ExitCode::from(3)),
        "exit-0" => return Ok(ExitCode::SUCCESS),
        _ => {}
    }
    if let Ok(pause) = std::env::var(BEFORE_START) {
        tokio::time::sleep(Duration::from_millis(pause.parse().expect("milliseconds"))).await;
    }
    let node = start.await?;
    node.provide(Greeting(format!("hello from {}", node.name())));
    let nested = Pool::builder("nested").max(2).backend(ProcessBackend::new()).start(&node).await?;
    if behaviour == "forget-to-serve" {
        // What the parent's `main` does next.
        nested.call(flame_actors::task!([] {})).await?;
    }
    if behaviour == "never-serve" {
        if let Some(path) = std::env::var_os(JOINED) {
            Entry::at(path).note(format_args!("joined={}", std::process::id()));
        }
        std::future::pending::<()>().await;
    }
    tokio::select! {
        served = node.serve() => served?,
        code = misbehave(&behaviour, &node) => return code,
    }
    if let Some(path) = std::env::var_os(AFTER_SERVE) {
        let journal = Entry::at(path);
        tokio::time::sleep(Duration::from_millis(300)).await;
        journal.note("left");
    }
    Ok(ExitCode::SUCCESS)
}

/// What a runner does while it serves.
async fn misbehave(behaviour: &str, node: &Node) -> Result<ExitCode, Error> {
    match behaviour.strip_prefix("serve-and-") {
        None => std::future::pending().await,
        Some(then) => {
            // Nothing tells it that it is up.
            tokio::time::sleep(SERVES_FOR).await;
            match then.strip_prefix("exit-") {
                Some(code) => return Ok(ExitCode::from(code.parse::<u8>().expect("an exit code"))),
                None => node.leave()?,
            }
            std::future::pending().await
        }
    }
}
