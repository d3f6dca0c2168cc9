//! Code that uses pools, under `cargo test` and nextest.
//!
//! A test executable is not the application, so a runner that re-executes it has to come to the same pool again: it
//! runs exactly the test that booted it, which joins its parent and serves where it would otherwise have begun.
//!
//! ```
//! # // Compiled here, and run as a real test in `tests/under_libtest.rs`.
//! use flame_actors::{Error, Pool, task};
//! use flame_local::{ProcessBackend, test_node};
//!
//! #[tokio::test]
//! async fn a_task_runs_in_another_process() -> Result<(), Error> {
//!     let node = test_node().await?; // on the runner it does not return
//!     let pool = Pool::builder("test").backend(ProcessBackend::for_this_test()).start(&node).await?;
//!     let there = pool.call(task!([] -> u32 { std::process::id() })).await?;
//!     assert_ne!(there, std::process::id());
//!     pool.shutdown().await;
//!     Ok(())
//! }
//! ```
//!
//! With [`InProcess`](crate::InProcess) nothing special is needed. In either case the tests of one process share its
//! node, so that pools that are open at the same time need different names.

use flame_actors::{Error, Node};

use crate::ProcessBackend;

/// The node of a test: the first line of a test whose pools use [`ProcessBackend::for_this_test`].
///
/// In a process that was booted as a runner it serves, and ends the process when the pool sends it away.
///
/// # Errors
/// Those of [`Node::start`].
pub async fn test_node() -> Result<Node, Error> {
    let node = Node::start().await?;
    if node.is_runner() {
        let served = node.serve().await;
        if let Err(err) = &served {
            eprintln!("the runner of a test: {err}");
        }
        std::process::exit(i32::from(served.is_err()));
    }
    Ok(node)
}

impl ProcessBackend {
    /// Runners that re-execute the test that calls this, and nothing else of its executable.
    ///
    /// It is to be called by the test itself, on its own thread. What runners print to standard output is dropped, as
    /// the test harness prints there; standard error is that of this process.
    ///
    /// # Panics
    /// When the test's name cannot be told, because this is not called on the test's own thread.
    pub fn for_this_test() -> Self {
        let test = this_test().expect("for_this_test() is called by a test, on the test's own thread");
        Self::new().args([&test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]).without_stdout()
    }
}

/// libtest names a thread after its test; with a single one it uses the main thread, and `--exact` names the test.
fn this_test() -> Option<String> {
    let thread = std::thread::current();
    match thread.name() {
        Some("main") => {
            let args: Vec<String> = std::env::args().skip(1).collect();
            let exact = args.iter().any(|arg| arg == "--exact");
            args.into_iter().find(|arg| exact && !arg.starts_with('-'))
        }
        name => name.map(str::to_owned),
    }
}
