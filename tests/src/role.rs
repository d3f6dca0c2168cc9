//! This executable once more, in a role that can be killed or stopped.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::ROLE;
use crate::process::{self, Signal};
use crate::wait::eventually;

/// A process of this executable that plays a role of its [`Suite`](crate::Suite). Dropped, it is killed.
#[derive(Debug)]
pub struct Role {
    child: Child,
    pid: u32,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Says something to the trial that started this role.
pub fn told(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    // The trial may have ended.
    let _ = writeln!(out, "told {line}").and_then(|()| out.flush());
}

impl Role {
    /// Starts the role, with these variables in its environment.
    pub fn start(role: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_with_stderr(role, environment, Stdio::inherit())
    }

    /// The same, with its standard error somewhere else.
    pub fn start_with_stderr(role: &str, environment: &[(&str, &str)], stderr: impl Into<Stdio>) -> Self {
        let mut command = Command::new("/proc/self/exe");
        command.env(ROLE, role).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().expect("this executable can be started once more");
        let pid = child.id().expect("it has not been waited for");
        let lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        Self { child, pid, lines }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The next line that it told.
    pub async fn next(&mut self) -> String {
        loop {
            let line = eventually("a line of a role", self.lines.next_line()).await.expect("a line of text");
            let line = line.expect("the role tells more before it ends");
            if let Some(told) = line.strip_prefix("told ") {
                return told.to_owned();
            }
        }
    }

    /// The next line, as a process id.
    pub async fn next_pid(&mut self) -> u32 {
        self.next().await.parse().expect("a process id")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid, signal);
    }

    /// Waits for its end; gives its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        eventually("the end of a role", self.child.wait()).await.expect("a child can be waited for").code()
    }
}
