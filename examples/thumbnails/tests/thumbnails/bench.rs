//! A place to run the real binary in, which sees what it leaves behind.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::clip::{Kind, STREAMABLE, clip};

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

    /// The variable that marks the processes of this bench.
    pub(crate) fn mark(&self) -> (&str, &str) {
        self.mark.split_once('=').expect("a name and a value")
    }

    /// Where spools go.
    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    pub(crate) fn marked(&self, mut command: Command, backend: &str, videos: &[&Path]) -> Command {
        let (name, value) = self.mark();
        command.args(videos).args(["--backend", backend, "--out"]).arg(self.out());
        command.env(name, value).env("TMPDIR", self.spool());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A run that has got three quarters of a clip and waits for more from the pipe.
    pub(crate) fn half_way(&self, backend: &str, kind: Kind) -> (Child, fs::File) {
        let bytes = fs::read(clip(kind)).expect("the clip");
        let fifo = self.fifo();
        // A group of its own, as a shell would make it.
        let child = self.command(backend, &[&fifo]).process_group(0).spawn().expect("the binary starts");
        let pipe = feed(&fifo, &bytes[..bytes.len() * 3 / 4]);
        if STREAMABLE.contains(&kind) {
            wait(&format!("a thumbnail of {kind:?}"), || self.out().join("thumb-0001.png").exists());
        }
        (child, pipe)
    }

    /// Puts a script in the place of ffmpeg: what it does once it is asked for more than its version.
    pub(crate) fn fake_ffmpeg(&self, command: &mut Command, script: &str) {
        let path = self.dir.path().join("ffmpeg");
        let script = format!("#!/bin/sh\ncase \"$*\" in *-version*) ;; *) {script} ;; esac\n");
        fs::write(&path, script).expect("the script is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the script can be run");
        let path = std::env::var("PATH").expect("PATH is set");
        command.env("PATH", format!("{}:{path}", self.dir.path().display()));
    }

    /// Runs to the end and sees to it that nothing is left.
    pub(crate) fn run(&self, command: &mut Command) -> Ended {
        self.ended(command.spawn().expect("the binary starts"))
    }

    /// Waits for the end and sees to it that nothing is left.
    pub(crate) fn ended(&self, mut child: Child) -> Ended {
        wait("it ends", || child.try_wait().expect("an exit status").is_some());
        // Before its output is read, which whoever is left would hold open.
        wait("all processes are gone", || self.processes().is_empty());
        let output = child.wait_with_output().expect("an exit status");
        let spool: Vec<_> = fs::read_dir(self.spool()).expect("the directory for spools").collect();
        assert!(spool.is_empty(), "left behind: {spool:?}");
        Ended::from(output)
    }

    /// The processes that were started from here, with the names of their programs.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let marked = |pid: &u32| {
            // Of a process that has ended, and was not waited for yet, it is empty.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").expect("this test needs /proc");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(marked);
        // Not `comm`, which is `exe` for a runner: it was started by that name from /proc.
        let name = |pid| Some(fs::read_link(format!("/proc/{pid}/exe")).ok()?.file_name()?.to_str()?.to_owned());
        pids.filter_map(|pid| Some((pid, name(pid)?))).collect()
    }

    /// Kills the process of this name that is not `but`.
    pub(crate) fn kill(&self, name: &str, but: u32) {
        let processes = self.processes();
        let found = processes.iter().find(|(pid, program)| program == name && *pid != but);
        let (pid, _) = found.unwrap_or_else(|| panic!("no {name} among {processes:?}"));
        signal("KILL", &pid.to_string());
    }
}

impl Drop for Bench {
    /// A test that failed leaves nothing behind either.
    fn drop(&mut self) {
        self.processes().iter().for_each(|(pid, _)| signal("KILL", &pid.to_string()));
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

    /// The processes that did the work, as the lines of output tell.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let after = |line: &str| line.split_once(" by process ")?.1.split_once(',')?.0.parse().ok();
        self.stdout.lines().map(|line| after(line).unwrap_or_else(|| panic!("{line}"))).collect()
    }

    /// It failed with a message that holds all of these.
    pub(crate) fn failed_with(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        assert!(words.iter().all(|word| self.stderr.contains(word)), "{words:?} in {self:?}");
    }
}
