//! The small runtime that carries links, sessions, leases and the terminator.
//!
//! It is ours alone: a task that blocks every worker thread of the application's runtime must not make its node look
//! dead. One thread lives as long as the process.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// The handle of our runtime, which is started on first use.
pub(crate) fn handle() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| start("flame")).handle()
}

/// The handle of another one, for what moves many bytes and is not the application's work: streams that pass through.
pub(crate) fn bulk() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| start("flame-bulk")).handle()
}

fn start(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .expect("the operating system grants one thread and one epoll instance")
}

/// Spawns on our runtime.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    handle().spawn(future)
}
