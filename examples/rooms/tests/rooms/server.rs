//! A server of one test, which sees what it leaves behind.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Marks the processes of one server: runners inherit its environment.
const MARK: &str = "ROOMS_TEST_SERVER";

static SERVERS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Server {
    child: Child,
    mark: String,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(args: &[&str]) -> Self {
        let number = format!("{}-{}", std::process::id(), SERVERS.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(env!("CARGO_BIN_EXE_rooms"));
        command.args(["--listen", "127.0.0.1:0"]).args(args).env(MARK, &number).env("RUST_LOG", "error");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("it says something");
        let words = line.trim().strip_prefix("talk to it with: nc ").unwrap_or_else(|| panic!("{line:?}"));
        let address = words.replace(' ', ":").parse().expect("an address");
        Self { child, mark: format!("{MARK}={number}"), address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of a server that was told to, and sees to it that nothing is left.
    pub(crate) fn ended(mut self) -> ExitStatus {
        let mut status = None;
        wait("the server ends", || {
            status = self.child.try_wait().expect("an exit status");
            status.is_some()
        });
        wait("all processes are gone", || self.processes().is_empty());
        let mut rest = String::new();
        self.child.stdout.as_mut().expect("a pipe").read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "");
        status.expect("it has ended")
    }

    /// The server and its runners.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let marked = |pid: &u32| {
            // Of a process that has ended, and was not waited for yet, it is empty.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").expect("this test needs /proc");
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(marked).collect()
    }
}

impl Drop for Server {
    /// A test that failed leaves nothing behind either.
    fn drop(&mut self) {
        self.processes().into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
        let _ = self.child.wait();
    }
}

/// Sends a signal; a process that has gone is no error.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// Waits for a condition, for half a minute at most.
pub(crate) fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
