//! A place to run the real binary in, which sees what it leaves behind.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Marks the processes of one bench: environments are inherited, also by runners and their ffmpeg.
const MARK: &str = "THUMBNAILS_TEST_BENCH";

static BENCHES: AtomicU32 = AtomicU32::new(0);

/// A directory for clips, and the processes that were started from here.
pub(crate) struct Bench {
    dir: TempDir,
    mark: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("tmp")).expect("a directory for spools");
        let mark = format!("{MARK}={}-{}", std::process::id(), BENCHES.fetch_add(1, Ordering::Relaxed));
        Self { dir, mark }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// A named pipe.
    pub(crate) fn fifo(&self) -> PathBuf {
        let path = self.dir.path().join("fifo");
        let made = Command::new("mkfifo").arg(&path).status().unwrap_or_else(|err| panic!("mkfifo is needed: {err}"));
        assert!(made.success(), "mkfifo: {made}");
        path
    }

    /// The command `thumbnails VIDEO --backend BACKEND --out OUT`.
    pub(crate) fn command(&self, backend: &str, videos: &[&Path]) -> Command {
        self.marked(Command::new(env!("CARGO_BIN_EXE_thumbnails")), backend, videos)
    }

    /// The same, allowed to write no file of more than so many blocks of 512 bytes, as on a disk that is nearly full.
    pub(crate) fn command_on_a_full_disk(&self, blocks: u64, backend: &str, videos: &[&Path]) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_thumbnails"));
        self.marked(command, backend, videos)
    }

    fn marked(&self, mut command: Command, backend: &str, videos: &[&Path]) -> Command {
        let (name, value) = self.mark.split_once('=').expect("a name and a value");
        command.args(videos).args(["--backend", backend, "--out"]).arg(self.out());
        command.env(name, value).env("TMPDIR", self.dir.path().join("tmp"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end and sees to it that nothing is left.
    pub(crate) fn run(&self, command: &mut Command) -> Ended {
        self.ended(command.spawn().expect("the binary starts"))
    }

    /// Waits for the end and sees to it that nothing is left.
    pub(crate) fn ended(&self, child: Child) -> Ended {
        let output = child.wait_with_output().expect("an exit status");
        wait("all processes are gone", || self.processes().is_empty());
        let spool: Vec<_> = fs::read_dir(self.dir.path().join("tmp")).expect("the directory for spools").collect();
        assert!(spool.is_empty(), "left behind: {spool:?}");
        Ended::from(output)
    }

    /// The processes that were started from here, with their names.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let marked = |pid: &u32| {
            // Of a process that has ended, and was not waited for yet, it is empty.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").expect("this test needs /proc");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(marked);
        pids.filter_map(|pid| Some((pid, fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())))
            .collect()
    }

    /// Kills the process of this name that is not `but`.
    pub(crate) fn kill(&self, name: &str, but: u32) {
        let processes = self.processes();
        let found = processes.iter().find(|(pid, comm)| comm == name && *pid != but);
        let (pid, _) = found.unwrap_or_else(|| panic!("no {name} among {processes:?}"));
        signal("KILL", &pid.to_string());
    }
}

/// Opens a pipe and writes the first part of a file into it; what is returned keeps it open.
pub(crate) fn feed(fifo: &Path, bytes: &[u8]) -> fs::File {
    let mut pipe = fs::File::options().write(true).open(fifo).expect("the pipe opens");
    pipe.write_all(bytes).expect("the pipe takes bytes");
    pipe
}

/// Sends a signal to a process, or with `-` before the id to its group.
pub(crate) fn signal(name: &str, pid: &str) {
    let sent = Command::new("sh").args(["-c", "kill -s \"$0\" -- \"$1\"", name, pid]).status().expect("sh is needed");
    assert!(sent.success(), "kill -s {name} {pid}: {sent}");
}

/// Waits for a condition, for half a minute at most.
pub(crate) fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output in UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    /// It succeeded and had nothing to complain about.
    pub(crate) fn went_well(&self) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
    }

    /// It failed with a message that holds all of these.
    pub(crate) fn failed_with(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        assert!(words.iter().all(|word| self.stderr.contains(word)), "{words:?} in {self:?}");
    }
}
