//! Child processes of the running executable.

mod cgroup;
mod early;
mod limits;
mod place;
mod spawn;
mod stderr;
mod turns;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use flame_actors::{Backend, Boot, BoxFuture, Cause, Error, Instance, InstanceState, shortage};
use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process_group, prlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use self::cgroup::Group;
use self::limits::Limits;
use self::stderr::Stderr;
use self::turns::Turns;

/// How long a killed process may take to be gone.
const DEATH_BOUND: Duration = Duration::from_secs(5);
/// What the kernel ends a process with that has run out of memory.
const KILL: i32 = Signal::KILL.as_raw();
/// How long the rest of what a process wrote may take that has ended: to be told, and to be passed on.
const LAST_WORDS_BOUND: Duration = Duration::from_millis(300);

/// Runners as child processes of the running executable, on the loopback interface.
///
/// Each leads a process group of its own, which is ended as a whole, so that nothing that its work has started
/// outlives it. What it needs to join comes through its standard input; the same pipe tells it when this process ends,
/// however that happens. Its standard output is that of this process. What it writes to standard error is passed on to
/// that of this process as it comes, and its last lines are part of the error of a boot that fails.
///
/// By default a runner has the arguments, the environment and the working directory of this process.
///
/// ```
/// use flame_local::ProcessBackend;
///
/// let backend = ProcessBackend::new().args(["--quiet"]).env("RUST_LOG", "warn").current_dir("/tmp");
/// ```
#[derive(Clone)]
pub struct ProcessBackend {
    args: Option<Vec<OsString>>,
    env: Vec<(OsString, OsString)>,
    current_dir: Option<PathBuf>,
    without_stdout: bool,
    limits: Limits,
    turns: Turns,
    processes: Arc<Mutex<HashMap<String, Process>>>,
}

/// A runner's process, as long as its pool has not destroyed it.
#[derive(Clone, Debug)]
struct Process {
    group: Pid,
    ended: watch::Receiver<Option<Cause>>,
    stderr: Stderr,
    /// Open as long as this process lives: its other end is the runner's lifeline.
    _lifeline: Arc<Sender>,
}

/// Without the values of variables: they are where applications have their secrets.
impl fmt::Debug for ProcessBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("ProcessBackend").field("args", &self.args).field("env", &variables).finish_non_exhaustive()
    }
}

impl Default for ProcessBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessBackend {
    /// The backend, with the defaults.
    pub fn new() -> Self {
        Self {
            args: None,
            env: Vec::new(),
            current_dir: None,
            without_stdout: false,
            limits: Limits::default(),
            turns: Turns::default(),
            processes: Arc::default(),
        }
    }

    /// The arguments of a runner, without the program's name; by default those of this process.
    #[must_use]
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.args = Some(args.into_iter().map(|arg| arg.as_ref().to_owned()).collect());
        self
    }

    /// Sets a variable in a runner's environment, which is otherwise that of this process.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The working directory of a runner; by default that of this process.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(dir.into());
        self
    }

    /// Drops what a runner prints to standard output.
    #[must_use]
    pub fn without_stdout(mut self) -> Self {
        self.without_stdout = true;
        self
    }

    /// The most memory in bytes that a runner and all that it starts may use together; by default there is no limit.
    ///
    /// What needs more is ended by the kernel, swap included where the kernel accounts for it; a runner that is ended
    /// so is lost with [`Cause::OutOfMemory`]. It holds from before the runner joins, but not from its first
    /// instruction.
    ///
    /// Limits are control groups, of version 1 or 2, below that of this process, and need the right to make these:
    /// root's, or that of a service with `Delegate=yes`. Without, boots fail with what the system answered.
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.limits.memory = Some(bytes);
        self
    }

    /// How many cores a runner and all that it starts may keep busy together; by default there is no limit.
    ///
    /// Half of one is 0.5, and 0.01 is the least. What is said of [`memory_limit`](Self::memory_limit) and control
    /// groups holds here too.
    #[must_use]
    pub fn cpu_limit(mut self, cores: f64) -> Self {
        self.limits.cores = Some(cores);
        self
    }

    /// Sets how many runners boot at a time, for all pools with this backend and its clones.
    ///
    /// Default: twice the number of cores that this process may use, for all pools of the process together, and a boot
    /// that takes longer than 3 s lets the next one begin: it mostly waits for something else than a core. A number
    /// that is set holds for as long as a boot takes, which ends when its runner serves.
    ///
    /// More at a time are sooner there only where the start of the application waits for others; fewer help where many
    /// starts at once are too much for these. The wait for a turn does not count to
    /// [`boot_timeout`](flame_actors::PoolBuilder::boot_timeout). With 0 boots fail with [`Error::Config`].
    #[must_use]
    pub fn boots_at_a_time(mut self, boots: usize) -> Self {
        self.turns = Turns::set(boots);
        self
    }

    fn command(&self) -> Command {
        let mut command = std::process::Command::new(executable());
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        match &self.args {
            Some(args) => command.args(args),
            None => command.args(std::env::args_os().skip(1)),
        };
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        if self.without_stdout {
            command.stdout(Stdio::null());
        }
        // With nothing to do between fork and exec std does not fork: a copy of the page tables takes long where this
        // process has much memory, and each page that it writes meanwhile is copied, too.
        command.stderr(Stdio::piped()).process_group(0);
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        command
    }

    async fn boot_process(&self, boot: &Boot) -> Result<Instance, Error> {
        self.limits.check()?;
        self.turns.check()?;
        self.turns.take(boot).await;
        let mut limited = self.limits.group(boot.runner()).await?;
        let (input, stdin) = std::io::pipe().map_err(|err| refused("cannot make a pipe", &err))?;
        let ((name, value), invitation) = boot.over_stdin(&input).await?;
        let mut command = self.command();
        command.env(name, value).stdin(input);
        let mut child = spawn::spawn(command).await.map_err(|err| refused("cannot start a process", &err))?;
        let id = child.id().ok_or_else(|| failed("the process", "has ended at once"))?;
        let group = Pid::from_raw(id.cast_signed()).expect("a child's id is not 0");
        if let Some(limit) = boot.descriptor_limit() {
            limit_descriptors(group, limit);
        }
        let stderr = Stderr::forward(child.stderr.take().expect("it was asked for"));
        let mut stdin = Sender::from_owned_fd(stdin.into()).map_err(|err| refused("cannot use a pipe", &err))?;
        // Dropped in here, for a time-out or an error, the child is killed.
        if let Some(limits) = limited.take() {
            // Before the invitation: until that comes, a node does not start.
            limited = Some(take_in(limits, id).await?);
        }
        match stdin.write_all(invitation.as_bytes()).await {
            // It has ended already, and the pool will ask why.
            Err(err) if err.kind() == ErrorKind::BrokenPipe => {}
            written => written.map_err(|err| failed("the process took no invitation", err))?,
        }
        let (tx, ended) = watch::channel(None);
        tokio::spawn(reap(child, group, limited, tx));
        let process = Process { group, ended, stderr, _lifeline: Arc::new(stdin) };
        let mut processes = self.processes.lock();
        let id = unused(&processes, id);
        processes.insert(id.clone(), process);
        Ok(Instance::new(id))
    }

    fn process(&self, instance: &Instance) -> Option<Process> {
        self.processes.lock().get(instance.id()).cloned()
    }
}

impl Backend for ProcessBackend {
    fn name(&self) -> &'static str {
        "process"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        Box::pin(self.boot_process(boot))
    }

    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async {
            let Some(mut process) = self.process(instance) else { return Ok(()) };
            if process.ended.borrow().is_none() {
                kill(process.group);
            }
            let ended = tokio::time::timeout(DEATH_BOUND, process.ended.wait_for(Option::is_some)).await.is_ok();
            if !ended {
                return Err(failed("process", format!("{} was killed and is still there", instance.id())));
            }
            // Closed when the control groups are gone as well, and with them whoever might hold the pipe.
            let tidy = async { while process.ended.changed().await.is_ok() {} };
            let _ = tokio::time::timeout(DEATH_BOUND, tidy).await;
            process.stderr.passed_on(LAST_WORDS_BOUND).await;
            self.processes.lock().remove(instance.id());
            Ok(())
        })
    }

    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        let state = match self.process(instance) {
            None => InstanceState::Unknown,
            Some(process) => match &*process.ended.borrow() {
                None => InstanceState::Running,
                Some(cause) => InstanceState::Ended(cause.clone()),
            },
        };
        Box::pin(async { Ok(state) })
    }

    fn diagnose<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Option<String>> {
        Box::pin(async {
            let process = self.process(instance)?;
            let is_running = process.ended.borrow().is_none();
            if !is_running {
                process.stderr.passed_on(LAST_WORDS_BOUND).await;
            }
            let state = is_running.then(|| format!("process {} is running", process.group));
            let words = process.stderr.last_lines().map(|lines| format!("its standard error ended with:\n{lines}"));
            let known: Vec<String> = state.into_iter().chain(words).collect();
            (!known.is_empty()).then(|| known.join("; "))
        })
    }
}

/// A runner begins with the limit of open files with which this process began.
fn limit_descriptors(process: Pid, current: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // It has ended, or its file has capabilities: then it keeps the limit of this process.
    if let Err(err) = prlimit(Some(process), Resource::Nofile, Rlimit { current: Some(current), maximum }) {
        tracing::debug!(%err, process = process.as_raw_nonzero().get(), "the limit of open files is that of the parent");
    }
}

/// The file that runs here: by its name, which `ps` shows, unless another one has that by now.
fn executable() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    let is_running = |path: &PathBuf| {
        let (Ok(here), Ok(there)) = (std::fs::metadata(&running), std::fs::metadata(path)) else { return false };
        (here.dev(), here.ino()) == (there.dev(), there.ino())
    };
    std::env::current_exe().ok().filter(is_running).unwrap_or(running)
}

/// Moves a process into its control groups, on a thread that may wait for the kernel.
async fn take_in(limits: Group, process: u32) -> Result<Group, Error> {
    let taken_in = tokio::task::spawn_blocking(move || limits.take_in(process).map(|()| limits)).await;
    taken_in.map_err(|err| err.to_string()).flatten().map_err(|err| failed("cannot limit a process", err))
}

/// Waits for the end of a runner, and ends what is left of its process group and its control groups.
async fn reap(mut child: Child, group: Pid, limited: Option<Group>, ended: watch::Sender<Option<Cause>>) {
    let status = child.wait().await;
    kill(group);
    let cause = match status {
        Ok(status) => match cause(status) {
            Cause::Signalled(KILL) if limited.as_ref().is_some_and(Group::ran_out_of_memory) => Cause::OutOfMemory,
            cause => cause,
        },
        Err(err) => {
            tracing::error!(%err, process = group.as_raw_nonzero().get(), "cannot wait for a runner's process");
            Cause::ConnectionClosed
        }
    };
    ended.send_replace(Some(cause));
    if let Some(limited) = limited {
        let _ = tokio::task::spawn_blocking(|| limited.remove()).await;
    }
}

/// The id of an instance: that of its process. A process that has ended, and has not been destroyed yet, may have had the
/// same one; then there is a number behind it.
fn unused(processes: &HashMap<String, Process>, pid: u32) -> String {
    let numbered = (2..).map(|number| format!("{pid}-{number}"));
    let mut ids = std::iter::once(pid.to_string()).chain(numbered);
    ids.find(|id| !processes.contains_key(id)).expect("there are enough numbers")
}

fn kill(group: Pid) {
    // An error says that nothing of it is left.
    let _ = kill_process_group(group, Signal::KILL);
}

fn cause(status: ExitStatus) -> Cause {
    match (status.code(), status.signal()) {
        (Some(code), _) => Cause::Exited(code),
        (None, Some(signal)) => Cause::Signalled(signal),
        (None, None) => Cause::ConnectionClosed,
    }
}

/// The same for what the system has refused, with what is short.
fn refused(what: &str, err: &std::io::Error) -> Error {
    match shortage(err) {
        Some(shortage) => failed(what, shortage),
        None => failed(what, err),
    }
}

fn failed(what: &str, err: impl std::fmt::Display) -> Error {
    Error::Backend { backend: "process".to_owned(), reason: format!("{what}: {err}") }
}
