//! The threads of this crate, and what may run on each.
//!
//! | runtime | thread | what runs there |
//! | --- | --- | --- |
//! | [`links`] | `flame` | reads, writes and leases of links: nothing that waits, and nothing that a user wrote |
//! | [`work`] | `flame-work` | actors, sessions, boots and timers of this crate; a user's code only by [`foreign_now`] |
//! | [`bulk`] | `flame-bulk` | bytes that pass through, and copied files |
//! | [`foreign`] | `flame-backend` | backends, idle checks, and what these spawn |
//!
//! A lease must end for what the other side does, and for nothing that a decoder, a destructor, a log or a recorder
//! of this process does. So those run on the application's runtime, or where a thread that waits is replaced.
//! Subscribers of `tracing` are a user's code too: on the first three spans and events go nowhere, whoever makes them,
//! and this crate's own lines take another way, `report.rs`.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{AbortHandle, JoinHandle, block_in_place};
use tracing::Dispatch;
use tracing::dispatcher::{self, DefaultGuard};

use crate::error::panic_text;

static LINKS: Ours = Ours::new("flame", 1, true);
static WORK: Ours = Ours::new("flame-work", 2, true);
static BULK: Ours = Ours::new("flame-bulk", 1, true);
static BACKENDS: Ours = Ours::new("flame-backend", 2, false);

/// The handle of the runtime that keeps links and leases.
pub(crate) fn links() -> &'static Handle {
    LINKS.handle()
}

/// The handle of the runtime of actors, boots and timers.
pub(crate) fn work() -> &'static Handle {
    WORK.handle()
}

/// The handle of the runtime that moves many bytes which are not the application's work.
pub(crate) fn bulk() -> &'static Handle {
    BULK.handle()
}

/// Starts what every node has.
///
/// # Errors
/// When the system has no more threads or descriptors.
pub(crate) fn start() -> io::Result<()> {
    LINKS.start()?;
    WORK.start().map(drop)
}

/// Starts what boots need besides. Here it is an error of the boot that a descriptor is missing; later it would be a panic.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_for_boots() -> io::Result<()> {
    BULK.start()?;
    BACKENDS.start().map(drop)
}

/// A runtime that is started once.
struct Ours {
    name: &'static str,
    threads: usize,
    /// Whether no subscriber is called there.
    is_quiet: bool,
    starting: Mutex<()>,
    runtime: OnceLock<Runtime>,
}

impl Ours {
    const fn new(name: &'static str, threads: usize, is_quiet: bool) -> Self {
        Self { name, threads, is_quiet, starting: Mutex::new(()), runtime: OnceLock::new() }
    }

    fn start(&self) -> io::Result<&Handle> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime.handle());
        }
        let _starting = self.starting.lock();
        if self.runtime.get().is_none() {
            let mut builder = if self.is_quiet { quiet(self.name) } else { named(self.name) };
            let runtime = builder.worker_threads(self.threads).enable_all().build()?;
            let _ = self.runtime.set(runtime);
        }
        Ok(self.runtime.get().expect("it was set just now").handle())
    }

    fn handle(&self) -> &Handle {
        self.start().expect("a node and its boots start this first, where that may fail")
    }
}

/// Spawns on the runtime of actors, boots and timers.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    work().spawn(future)
}

fn named(name: &str) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.thread_name(name);
    builder
}

/// Describes a runtime of this crate on whose threads no subscriber is called.
pub(crate) fn quiet(name: &str) -> Builder {
    let mut builder = named(name);
    builder.on_thread_start(enter_thread).on_thread_unpark(hush);
    builder
}

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
    /// Keeps a subscriber from being called on this thread.
    static HUSHED: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// Whether this is a thread of this crate, which must not wait for what a user wrote.
pub(crate) fn is_ours() -> bool {
    IS_OURS.get()
}

/// Marks a thread that this crate has started as one of its own.
pub(crate) fn enter_thread() {
    IS_OURS.set(true);
    hush();
}

/// Keeps subscribers from being called on this thread, once there is one in the process.
///
/// Not before: `tracing` takes any dispatcher, even this one, for a subscriber, and stops to pass events on to `log`.
fn hush() {
    HUSHED.with_borrow_mut(|hushed| {
        if hushed.is_none() && dispatcher::has_been_set() {
            *hushed = Some(dispatcher::set_default(&Dispatch::none()));
        }
    });
}

/// Runs what a user wrote: subscribers are called, and where this is a thread of ours another one takes its place
/// meanwhile.
pub(crate) fn foreign_now<T>(work: impl FnOnce() -> T) -> T {
    if !is_ours() {
        return work();
    }
    block_in_place(|| {
        drop(HUSHED.take());
        IS_OURS.set(false);
        let _back = Back;
        work()
    })
}

/// Makes a thread ours again after a user's code ran on it.
struct Back;

impl Drop for Back {
    fn drop(&mut self) {
        enter_thread();
    }
}

/// What a user wrote and may do anything when it is dropped.
#[derive(Debug)]
pub(crate) struct Theirs<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Theirs<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Send + 'static> std::ops::Deref for Theirs<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: Send + 'static> Drop for Theirs<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take()
            && is_ours()
        {
            // On a thread that may wait.
            bulk().spawn_blocking(|| foreign_now(|| drop(value)));
        }
    }
}

/// Runs a future that a user wrote, such as a backend's, in a task of its own: it may block, log and panic.
///
/// It has a runtime of its own, since it may spawn what does the same. An error is the text of its panic. Dropped before
/// the end, it drops the future, as soon as that does not block.
pub(crate) async fn foreign<F>(future: F) -> Result<F::Output, String>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let task = BACKENDS.handle().spawn(Foreign(Some(Box::pin(future))));
    let _abort = AbortOnDrop(task.abort_handle());
    task.await.map_err(|err| match err.try_into_panic() {
        Ok(panic) => panic_text(panic),
        Err(err) => err.to_string(),
    })
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A future whose polls and whose drop may block.
struct Foreign<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Foreign<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        block_in_place(|| {
            let future = self.0.as_mut().expect("it is polled until it has ended");
            let polled = future.as_mut().poll(cx);
            if polled.is_ready() {
                self.0 = None;
            }
            polled
        })
    }
}

impl<F> Drop for Foreign<F> {
    fn drop(&mut self) {
        if let Some(future) = self.0.take() {
            block_in_place(|| drop(future));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_blocks_holds_up_nothing_else() {
        let (blocks, blocked) = std::sync::mpsc::channel::<()>();
        let foreign = tokio::spawn(foreign(async move { blocked.recv() }));
        // As many as there could be threads.
        for _ in 0..4 {
            let other = spawn(async { tokio::time::sleep(Duration::from_millis(1)).await });
            tokio::time::timeout(Duration::from_secs(30), other).await.expect("timers go on").unwrap();
        }
        drop(blocks);
        assert!(foreign.await.unwrap().expect("it does not panic").is_err());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_harms_nothing() {
        let panicked = foreign(async { panic!("the backend is not there") }).await;
        assert_eq!(panicked, Err("the backend is not there".to_owned()));
        spawn(async {}).await.expect("the runtime goes on");
    }

    #[tokio::test]
    async fn what_is_dropped_half_way_is_dropped() {
        let (holds, mut held) = tokio::sync::oneshot::channel::<()>();
        let forever = async move {
            let _holds = holds;
            std::future::pending::<()>().await;
        };
        let waited = tokio::time::timeout(Duration::from_millis(10), foreign(forever)).await;
        assert!(waited.is_err());
        tokio::time::timeout(Duration::from_secs(30), &mut held).await.expect("it is dropped").unwrap_err();
    }
}
