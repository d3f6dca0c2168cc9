//! A server of one test, and what it has started.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use flame_tests::process::{self, Signal};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    args: Vec<String>,
    data: TempDir,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        // An address of its own: nobody takes the port while it is restarted.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("127.{}.{}.{}:0", high | 1, low, NUMBER.fetch_add(1, Ordering::Relaxed));
        let data = tempfile::tempdir().expect("a directory");
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (child, url) = run(&address, data.path(), &args);
        Self { child, url, args, data }
    }

    /// A place for the test's own files.
    pub(crate) fn dir(&self) -> &Path {
        self.data.path()
    }

    /// Asks it to end, and waits until all that it had started has ended too.
    pub(crate) fn stop(&mut self) {
        let all = process::descendants(self.pid());
        process::signal(self.pid(), Signal::SIGTERM);
        until("the server ends", || self.child.try_wait().expect("a child of ours").is_some());
        until("its runners end", || !all.iter().any(|pid| process::is_alive(*pid)));
    }

    /// Starts it again at the same address with the same data.
    pub(crate) fn start_again(&mut self) {
        let address = self.url.strip_prefix("http://").expect("a URL");
        (self.child, self.url) = run(address, self.data.path(), &self.args);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn runners(&self) -> Vec<u32> {
        self.descendants(|command| command.starts_with(env!("CARGO_BIN_EXE_live-thumbnails")))
    }

    /// The ffmpeg processes of all of its runners.
    pub(crate) fn ffmpegs(&self) -> Vec<u32> {
        self.descendants(|command| command.starts_with("ffmpeg "))
    }

    fn descendants(&self, are: impl Fn(&str) -> bool) -> Vec<u32> {
        let mut pids = process::descendants(self.pid());
        pids.retain(|pid| are(&process::command_line(*pid)));
        pids
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server said: {}", std::fs::read_to_string(self.dir().join("log")).unwrap_or_default());
        }
        // Its runners notice.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(address: &str, data: &Path, args: &[String]) -> (Child, String) {
    let log = File::options().create(true).append(true).open(data.join("log")).expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_live-thumbnails"))
        .args(["--listen", address, "--data"])
        .arg(data)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says something");
    let url = line.trim().strip_prefix("live thumbnails: ").unwrap_or_else(|| {
        panic!("{line:?} {}", std::fs::read_to_string(data.join("log")).unwrap_or_default());
    });
    (child, url.to_owned())
}

/// Waits until the condition holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The most memory that a process has had, in megabytes.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1000
}
