//! The thread that starts processes.
//!
//! The thread waits until the new process has loaded its executable, and a slow disk can delay that. So nothing else may
//! wait for this thread. And the thread must not end: until a runner has joined, the kernel kills it when the *thread*
//! that started it ends.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Builder;

use parking_lot::Mutex;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Request {
    command: Command,
    /// The runtime that waits for the child.
    runtime: Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// Starts a process, which the runtime of the caller drives. Dropped half-way, it leaves nothing running.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    let (answer, started) = oneshot::channel();
    let request = Request { command, runtime: Handle::current(), answer };
    requests()?.send(request).map_err(|_| ended())?;
    started.await.map_err(|_| ended())?
}

fn ended() -> io::Error {
    io::Error::other("the thread that starts processes has ended")
}

fn requests() -> io::Result<Sender<Request>> {
    static REQUESTS: Mutex<Option<Sender<Request>>> = Mutex::new(None);
    let mut requests = REQUESTS.lock();
    if let Some(requests) = &*requests {
        return Ok(requests.clone());
    }
    let (tx, rx) = mpsc::channel();
    Builder::new().name("flame-spawn".to_owned()).spawn(move || serve(&rx))?;
    Ok(requests.insert(tx).clone())
}

fn serve(requests: &Receiver<Request>) {
    // One sender is in a static, so this never ends.
    for Request { mut command, runtime, answer } in requests {
        if answer.is_closed() {
            continue;
        }
        let _entered = runtime.enter();
        // A panic, for a runtime that has ended, must not end this thread: all runners that boot would end with it.
        let child = catch_unwind(AssertUnwindSafe(|| command.spawn()));
        // Where nobody waits any more the child is dropped, and killed by that.
        let _ = answer.send(child.unwrap_or_else(|_| Err(io::Error::other("the runtime starts no processes"))));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Duration;

    use super::*;

    /// Exits when the other end of its standard input is closed, as a runner does.
    fn sleeper() -> Command {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).kill_on_drop(true);
        command
    }

    #[tokio::test]
    async fn processes_are_started_by_the_thread_that_never_ends() {
        let mut child = spawn(sleeper()).await.unwrap();
        let name = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let mut names = name.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        assert!(names.any(|name| name.trim() == "flame-spawn"));
        child.kill().await.unwrap();
    }

    #[test]
    fn a_runtime_that_drives_no_processes_is_an_error_and_the_next_one_works() {
        let no_io = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let err = no_io.block_on(spawn(sleeper())).unwrap_err();
        assert!(err.to_string().contains("starts no processes"), "{err}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { spawn(sleeper()).await.unwrap().kill().await.unwrap() });
    }

    #[tokio::test]
    async fn a_start_that_is_dropped_leaves_nothing_running() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0.new\" && mv \"$0.new\" \"$0\"; exec sleep 1000"]).arg(&file);
        command.kill_on_drop(true);
        let mut start = Box::pin(spawn(command));
        let polled = futures_util::poll!(&mut start);
        assert!(polled.is_pending());
        drop(start);
        // What is asked for later is started later.
        spawn(sleeper()).await.unwrap().kill().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let pid: Option<i32> = std::fs::read_to_string(file).ok().map(|pid| pid.trim().parse().unwrap());
        let is_alive = pid.is_some_and(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        });
        assert!(!is_alive, "{pid:?} is alive");
    }
}
