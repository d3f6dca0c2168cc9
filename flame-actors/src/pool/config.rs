//! What can be set on a pool.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorCell;

use super::hooks::Hooks;
use super::placement::{Placement, Ranking};
use super::scale::Limits;
use super::{Pool, PoolChange};
use crate::backend::{Backend, InProcess};
use crate::files::CopyPath;
use crate::runner::Runner;
use crate::task::Task;
use crate::{Error, Node, node};

/// More slots than these are none that anybody uses, and those of all runners can be added up.
const MOST_SLOTS: usize = u32::MAX as usize;

/// Settings of a [`Pool`], from [`Pool::builder`]. Names, meanings and defaults are those of Elixir's FLAME.
///
/// ```
/// use std::time::Duration;
/// use flame_actors::{Error, InProcess, MostLoaded, Node, Pool};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let node = Node::start().await?;
/// let pool = Pool::builder("ffmpeg")
///     .min(0)
///     .max(10)
///     .max_concurrency(4)
///     .idle_shutdown_after(Duration::from_secs(60))
///     .placement(MostLoaded)
///     .on_shrink(|change| println!("{}: {} runners are left", change.pool, change.count))
///     .backend(InProcess::new())
///     .start(&node)
///     .await?;
/// # pool.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a pool is not there until start() is awaited"]
pub struct PoolBuilder {
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) max_waiting: usize,
    pub(super) timeout: Duration,
    pub(super) boot_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) track_resources: bool,
    pub(super) idle_check: Option<IdleCheck>,
    pub(super) placement: Ranking,
    pub(super) hooks: Hooks,
    pub(super) copy_paths: Vec<CopyPath>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) supervisor: Option<ActorCell>,
}

/// What a runner is asked before it leaves for being idle.
#[derive(Clone)]
pub(super) struct IdleCheck(Arc<dyn Fn() -> Task<bool> + Send + Sync>);

impl IdleCheck {
    pub(super) async fn run(&self, runner: &Arc<Runner>, bound: Duration) -> Result<bool, Error> {
        let check = (self.0)().encode()?;
        let output = runner.ask(&check.key, check.args, bound).await?;
        (check.decode)(&output)
    }
}

impl fmt::Debug for IdleCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdleCheck")
    }
}

/// A path that is the same in any directory; an empty one fails where it is looked at.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl PoolBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            limits: Limits {
                min: 0,
                max: 1,
                max_concurrency: 100,
                single_use: false,
                buffer: 0,
                idle_shutdown_after: Duration::from_secs(30),
                min_idle_shutdown_after: Duration::MAX,
                max_runner_age: Duration::MAX,
            },
            max_waiting: usize::MAX,
            timeout: Duration::from_secs(30),
            boot_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
            track_resources: false,
            idle_check: None,
            placement: Ranking::DEFAULT,
            hooks: Hooks::default(),
            backend: Arc::new(InProcess::new()),
            copy_paths: Vec::new(),
            supervisor: None,
        }
    }

    // ---- how many ----

    /// So many runners are kept even when there is nothing to do; 0 by default.
    ///
    /// They are booted at the start and replaced when lost. On a node that is a runner itself it counts as 0.
    pub fn min(mut self, runners: usize) -> Self {
        self.limits.min = runners;
        self
    }

    /// So many runners there are at the most, those that are booting included; 1 by default.
    pub fn max(mut self, runners: usize) -> Self {
        self.limits.max = runners;
        self
    }

    /// So many calls, casts and placed children one runner has at a time; 100 by default.
    pub fn max_concurrency(mut self, slots: usize) -> Self {
        self.limits.max_concurrency = slots;
        self
    }

    /// Whether a runner serves one call, cast or placed child only, and leaves then; `false` by default.
    ///
    /// Such a runner has one slot, whatever [`max_concurrency`](Self::max_concurrency) says. Runners of
    /// [`min`](Self::min) are replaced by fresh ones.
    pub fn single_use(mut self, single_use: bool) -> Self {
        self.limits.single_use = single_use;
        self
    }

    /// So many free slots are kept warm for those who will ask; 0 by default.
    ///
    /// There are fewer where `max` does not allow so many. On a node that is a runner itself it counts as 0.
    pub fn buffer(mut self, slots: usize) -> Self {
        self.limits.buffer = slots;
        self
    }

    /// So many callers may wait for a slot; one more gets [`Error::PoolFull`]. By default there is no bound.
    pub fn max_waiting(mut self, callers: usize) -> Self {
        self.max_waiting = callers;
        self
    }

    /// Which runner gets the next piece of work: [`LeastLoaded`](crate::LeastLoaded) by default, [`MostLoaded`](crate::MostLoaded), or a
    /// [`Placement`] of your own.
    pub fn placement(mut self, placement: impl Placement) -> Self {
        self.placement = Ranking::of(placement);
        self
    }

    // ---- how long ----

    /// How long a call may run, unless it says otherwise; 30 s by default.
    ///
    /// It is also how long a placed child may take to start.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a runner may take to boot. Default: 30 s.
    ///
    /// It is also how long a call may wait for a slot, unless it says otherwise. A runner that is gone within this time
    /// after it came up, or within 10 s if that is longer, before any work on it has ended, is a failed boot as well.
    pub fn boot_timeout(mut self, timeout: Duration) -> Self {
        self.boot_timeout = timeout;
        self
    }

    /// How long running work has left when its runner is sent away; 30 s by default.
    ///
    /// Work that is not linked has it, too, when its parent is gone.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// How long a runner above [`min`](Self::min) may have nothing to do before it is sent away; 30 s by default.
    pub fn idle_shutdown_after(mut self, idle: Duration) -> Self {
        self.limits.idle_shutdown_after = idle;
        self
    }

    /// Asks a runner before it is sent away for being idle: one that says `false` stays for as long once more.
    ///
    /// The check is a task that runs on the runner, such as a `#[remote]` function without arguments; by default there
    /// is none. It takes no slot, and has the time of [`timeout`](Self::timeout); a runner on which it fails goes.
    ///
    /// ```
    /// # use flame_actors::{Pool, remote, task};
    /// #[remote]
    /// async fn no_uploads_left() -> bool {
    ///     // looks at what the application has on the runner
    /// #   true
    /// }
    ///
    /// let pool = Pool::builder("ffmpeg").idle_shutdown_check(no_uploads_left);
    /// let pool = Pool::builder("ffmpeg").idle_shutdown_check(|| task!([] -> bool { true }));
    /// ```
    pub fn idle_shutdown_check(mut self, check: impl Fn() -> Task<bool> + Send + Sync + 'static) -> Self {
        self.idle_check = Some(IdleCheck(Arc::new(check)));
        self
    }

    /// How long a runner of [`min`](Self::min) may have nothing to do before it is sent away too; by default it stays.
    ///
    /// The minimum is booted again as soon as somebody has to wait for a slot.
    pub fn min_idle_shutdown_after(mut self, idle: Duration) -> Self {
        self.limits.min_idle_shutdown_after = idle;
        self
    }

    /// How long a runner serves before it gets no more work; by default there is no bound.
    ///
    /// It leaves when what it has has ended, and is replaced where it is needed. Until it is gone it counts
    /// against [`max`](Self::max).
    pub fn max_runner_age(mut self, age: Duration) -> Self {
        self.limits.max_runner_age = age;
        self
    }

    // ---- what is told ----

    /// Called when a boot starts. No hook is set by default.
    ///
    /// Hooks are called one after the other on the application's runtime, where they may block; they slow nobody but
    /// each other.
    /// [`Pool::events`] tells more.
    pub fn on_grow_start(mut self, hook: impl Fn(&PoolChange) + Send + Sync + 'static) -> Self {
        self.hooks.grow_start = Some(Arc::new(hook));
        self
    }

    /// Called when a boot has ended, with its outcome.
    pub fn on_grow_end(mut self, hook: impl Fn(&PoolChange, Result<(), &Error>) + Send + Sync + 'static) -> Self {
        self.hooks.grow_end = Some(Arc::new(hook));
        self
    }

    /// Called when a runner is gone, sent away or lost.
    pub fn on_shrink(mut self, hook: impl Fn(&PoolChange) + Send + Sync + 'static) -> Self {
        self.hooks.shrink = Some(Arc::new(hook));
        self
    }

    // ---- what else ----

    /// Whether actors whose refs come back in a result keep their runner; `false` by default.
    ///
    /// Until they end they keep the call's slot on it, too. With the in-process backend every ref in the result counts,
    /// also one that the caller sent there.
    pub fn track_resources(mut self, track: bool) -> Self {
        self.track_resources = track;
        self
    }

    /// Brings these files and directories of the parent to each runner; by default none.
    ///
    /// They are there under the same path before it takes work. A second call adds to the first.
    ///
    /// What is there already, as the same file or with the same size and time of modification, is left as it is; another
    /// file of that name fails the boot. What was brought is removed when its runner ends, or when the last of several
    /// on one computer does: a file `.NAME.flame` beside it marks it meanwhile. What a killed runner leaves is taken over
    /// by the next one. Relative paths are those of this process. Empty directories are not brought, links are followed.
    ///
    /// Copying counts to [`boot_timeout`](Self::boot_timeout) and goes on while the application on the runner starts.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, task};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// let pool = Pool::builder("words").copy_paths(["Cargo.toml", "src"]).start(&node).await?;
    /// let is_there = pool.call(task!([] -> bool { std::path::Path::new("Cargo.toml").exists() })).await?;
    /// assert!(is_there);
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn copy_paths<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths {
            let path = absolute(path.as_ref());
            self.copy_paths.push(CopyPath { from: path.clone(), to: path });
        }
        self
    }

    /// The same for one path, which is to be at another place on runners.
    ///
    /// ```
    /// # use flame_actors::{Error, Node, Pool, task};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let node = Node::start().await?;
    /// # let there = std::env::temp_dir().join(format!("words-{}.txt", std::process::id()));
    /// # let there = there.display().to_string();
    /// // there: "/tmp/words.txt"
    /// let pool = Pool::builder("words").copy_path_to("Cargo.toml", &there).start(&node).await?;
    /// let words = pool.call(task!([there: String] -> Option<String> { std::fs::read_to_string(there).ok() })).await?;
    /// assert!(words.is_some_and(|words| words.contains("flame-actors")));
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn copy_path_to(mut self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Self {
        self.copy_paths.push(CopyPath { from: absolute(from.as_ref()), to: absolute(to.as_ref()) });
        self
    }

    /// What boots the runners; by default [`InProcess`].
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.backend = Arc::new(backend);
        self
    }

    /// Ends the pool with this actor, which becomes its supervisor. By default it ends with its node.
    pub fn linked_to(mut self, supervisor: &ActorCell) -> Self {
        self.supervisor = Some(supervisor.clone());
        self
    }

    /// Starts the pool; it takes work at once. Runners of `min` and `buffer` boot in the background.
    ///
    /// # Errors
    /// [`Error::Config`] names an option that cannot work, also a name that another pool of this node has.
    pub async fn start(mut self, node: &Node) -> Result<Pool, Error> {
        self.check()?;
        if node.is_runner() {
            (self.limits.min, self.limits.buffer) = (0, 0);
        }
        if self.limits.single_use {
            self.limits.max_concurrency = 1;
        }
        let limits = &mut self.limits;
        limits.max_concurrency = limits.max_concurrency.min(MOST_SLOTS);
        limits.buffer = limits.buffer.min(MOST_SLOTS);
        Pool::start(self, node).await
    }

    fn check(&self) -> Result<(), Error> {
        node::checked("name", self.name.clone())?;
        let limits = &self.limits;
        self.check_bounds(limits.min, limits.max)?;
        if limits.max_concurrency == 0 {
            return self.wrong("max_concurrency", "a runner without slots can do nothing");
        }
        if self.max_waiting == 0 && limits.min == 0 && limits.buffer == 0 {
            return self.wrong("max_waiting", "with 0, min 0 and buffer 0 nothing would ever boot a runner");
        }
        let bounds =
            [("timeout", self.timeout), ("boot_timeout", self.boot_timeout), ("max_runner_age", limits.max_runner_age)];
        for (option, value) in bounds {
            if value.is_zero() {
                return self.wrong(option, "nothing can be done in no time");
            }
        }
        if limits.min_idle_shutdown_after < limits.idle_shutdown_after {
            let (min_idle, idle) = (limits.min_idle_shutdown_after, limits.idle_shutdown_after);
            let reason = format!("{min_idle:?} is less than idle_shutdown_after, which is {idle:?}");
            return self.wrong("min_idle_shutdown_after", &reason);
        }
        Ok(())
    }

    pub(super) fn check_bounds(&self, min: usize, max: usize) -> Result<(), Error> {
        if max == 0 {
            return self.wrong("max", "a pool without runners can do nothing");
        }
        if min > max {
            return self.wrong("min", &format!("{min} is more than max, which is {max}"));
        }
        Ok(())
    }

    fn wrong(&self, option: &str, reason: &str) -> Result<(), Error> {
        Err(Error::Config { option: format!("pool \"{}\": {option}", self.name), reason: reason.to_owned() })
    }
}
