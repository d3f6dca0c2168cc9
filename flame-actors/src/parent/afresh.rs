//! How a secret leaves the environment of a process: the process starts its executable afresh, without it.
//!
//! There is no sound way to remove a variable where other threads may read the environment, as they may in any `main`
//! that is asynchronous. `exec` is one: it replaces all threads, and what `/proc/<pid>/environ` shows.

use std::io::{self, Write};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::{FLAME_PARENT, OVER_STDIN, naming};

/// What [`FLAME_PARENT`] says after the new start, before the process id.
const STARTED_AFRESH: &str = "stdin of ";
/// A pipe holds that much without a reader.
const MAX_BYTES: usize = 32 * 1024;

/// What a value of [`FLAME_PARENT`] says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// It names the pipe that the standard input of this process is.
    OverStdin,
    /// This process has started afresh.
    OfThisProcess,
    /// It was for another process. A runner has started this one, which is none itself.
    OfAnother,
    Other,
}

impl Value {
    pub(super) fn of(value: &str) -> Self {
        if value.starts_with(OVER_STDIN) {
            let is_mine = naming(io::stdin()).is_ok_and(|stdin| stdin == value);
            return if is_mine { Self::OverStdin } else { Self::OfAnother };
        }
        match value.strip_prefix(STARTED_AFRESH) {
            None => Self::Other,
            Some(pid) if pid.parse() == Ok(std::process::id()) => Self::OfThisProcess,
            Some(_) => Self::OfAnother,
        }
    }
}

/// Starts this executable afresh, with the invitation on its standard input. Returns only if that fails.
pub(super) fn start(invitation: &str) -> io::Error {
    let failed = || -> io::Result<io::Error> {
        if invitation.len() > MAX_BYTES {
            return Err(io::Error::other(format!("the invitation is over {MAX_BYTES} bytes")));
        }
        let (input, mut output) = io::pipe()?;
        writeln!(output, "{invitation}")?;
        let mut arguments = std::env::args_os();
        let mut command = Command::new(executable());
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).env(FLAME_PARENT, format!("{STARTED_AFRESH}{}", std::process::id()));
        Ok(command.stdin(input).exec())
    };
    failed().unwrap_or_else(|err| err)
}

/// By its name, which `ps` shows, as long as that is the file that runs.
fn executable() -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    let running = PathBuf::from("/proc/self/exe");
    let file = |path: &PathBuf| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    std::env::current_exe().ok().filter(|path| file(path).is_some() && file(path) == file(&running)).unwrap_or(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_a_runner_starts_is_no_runner() {
        let of = |pid: u32| Value::of(&format!("{STARTED_AFRESH}{pid}"));
        assert_eq!(of(std::process::id()), Value::OfThisProcess);
        assert_eq!(of(std::process::id() + 1), Value::OfAnother);
        assert_eq!(Value::of("gaFhAQ=="), Value::Other);
        let (pipe, _) = io::pipe().unwrap();
        assert_eq!(Value::of(&naming(pipe).unwrap()), Value::OfAnother);
    }
}
