//! What a runner writes to standard error: passed on to that of this process, and its last lines kept.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::sync::{mpsc, watch};

/// So much is read at once, and held back at the most.
const CHUNK: usize = 16 * 1024;
/// A line whose end does not come for this long is passed on as it is: it may be a prompt or a progress bar.
const PATIENCE: Duration = Duration::from_millis(50);
/// So many parts wait to be written, of all runners together.
const MOST_WAITING: usize = 16;
/// How much is kept.
const KEPT_BYTES: usize = 4 * 1024;
const KEPT_LINES: usize = 20;

/// A runner's standard error.
#[derive(Clone, Debug)]
pub(super) struct Stderr {
    last: Arc<Mutex<Vec<u8>>>,
    /// Closed when the pipe is, and all is written.
    open: watch::Receiver<()>,
}

impl Stderr {
    /// Passes everything on until nobody holds the pipe any more.
    pub(super) fn forward(pipe: ChildStderr) -> Self {
        let (tx, open) = watch::channel(());
        let last = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(forward(pipe, Arc::clone(&last), tx));
        Self { last, open }
    }

    /// Waits until all that was written is passed on, for `bound` at the most: something that has left the process
    /// group may hold the pipe open, or the standard error of this process may be stuck.
    pub(super) async fn passed_on(&self, bound: Duration) {
        let mut open = self.open.clone();
        let _ = tokio::time::timeout(bound, async { while open.changed().await.is_ok() {} }).await;
    }

    /// The last lines, without colours; `None` when there are none.
    pub(super) fn last_lines(&self) -> Option<String> {
        last_lines(&self.last.lock())
    }
}

async fn forward(mut pipe: ChildStderr, last: Arc<Mutex<Vec<u8>>>, open: watch::Sender<()>) {
    // Whole lines at once, so that those of several runners do not mix.
    let here = writer();
    let mut held = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let patience = if held.is_empty() { Duration::MAX } else { PATIENCE };
        let ready = match tokio::time::timeout(patience, pipe.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => {
                keep(&mut last.lock(), &chunk[..read]);
                held.extend_from_slice(&chunk[..read]);
                let line_end = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                if line_end == 0 && held.len() >= CHUNK { held.len() } else { line_end }
            }
            Err(_) => held.len(),
        };
        if ready > 0 {
            let rest = held.split_off(ready);
            // Waits while the standard error of this process is stuck, and the runner for its pipe.
            let _ = here.send(Written { bytes: std::mem::replace(&mut held, rest), _open: None }).await;
        }
    }
    let _ = here.send(Written { bytes: held, _open: Some(open) }).await;
}

/// What is to be written to the standard error of this process.
struct Written {
    bytes: Vec<u8>,
    /// With the last of a runner: dropped when that is written.
    _open: Option<watch::Sender<()>>,
}

/// The way to the one thread that writes. It may be stuck, and nothing else is for that.
fn writer() -> mpsc::Sender<Written> {
    static WRITER: OnceLock<mpsc::Sender<Written>> = OnceLock::new();
    let start = || {
        let (tx, mut written) = mpsc::channel::<Written>(MOST_WAITING);
        let thread = std::thread::Builder::new().name("flame-stderr".to_owned());
        // Without a thread to be had it is as if nobody read what this process writes.
        let _ = thread.spawn(move || {
            while let Some(Written { bytes, _open }) = written.blocking_recv() {
                // An error says that nobody reads it; the runners must not be stuck for that.
                let _ = std::io::stderr().write_all(&bytes);
            }
        });
        tx
    };
    WRITER.get_or_init(start).clone()
}

fn keep(last: &mut Vec<u8>, written: &[u8]) {
    last.extend_from_slice(written);
    // One byte more, which tells whether the first line is whole.
    last.drain(..last.len().saturating_sub(KEPT_BYTES + 1));
}

fn last_lines(bytes: &[u8]) -> Option<String> {
    let is_cut = bytes.len() > KEPT_BYTES;
    let whole = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if is_cut => &bytes[end..],
        _ => bytes,
    };
    let text = plain(&String::from_utf8_lossy(whole));
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(KEPT_LINES)..];
    (!last.is_empty()).then(|| last.join("\n"))
}

/// Without escape sequences, as log lines have them for colours, and other characters that control a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            // Up to the letter that ends it: ECMA-48, 5.4.
            let _ = chars.by_ref().find(|char| ('@'..='~').contains(char));
        } else if char == '\n' || char == '\t' || !char.is_control() {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(written: &[&[u8]]) -> Option<String> {
        let mut last = Vec::new();
        for part in written {
            keep(&mut last, part);
        }
        last_lines(&last)
    }

    #[test]
    fn nothing_written_has_no_last_lines() {
        assert_eq!(kept(&[]), None);
        assert_eq!(kept(&[b"\n \n"]), None);
    }

    #[test]
    fn lines_that_come_in_parts_are_whole() {
        assert_eq!(kept(&[b"one\ntw", b"o\nthr", b"ee"]).unwrap(), "one\ntwo\nthree");
    }

    #[test]
    fn the_last_twenty_lines_are_kept() {
        let written: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let lines: Vec<String> = (80..100).map(|n| format!("line {n}")).collect();
        assert_eq!(kept(&[written.as_bytes()]).unwrap(), lines.join("\n"));
    }

    #[test]
    fn no_more_than_four_kibibytes_are_kept_and_no_part_of_a_line() {
        let line = format!("{}\n", "x".repeat(999));
        let last = kept(&[line.repeat(10).as_bytes(), b"end\n"]).unwrap();
        assert_eq!(last, format!("{}end", line.repeat(4)));
    }

    #[test]
    fn a_line_longer_than_that_is_cut() {
        assert_eq!(kept(&["x".repeat(100_000).as_bytes()]).unwrap().len(), KEPT_BYTES + 1);
    }

    #[test]
    fn bytes_that_are_no_text_and_colours_do_no_harm() {
        assert_eq!(
            kept(&[b"\x1b[2m12:00\x1b[0m \x1b[31mERROR\x1b[0m \xff\x07 no\x1b[1"]).unwrap(),
            "12:00 ERROR \u{fffd} no"
        );
    }

    fn shell(script: &str) -> (tokio::process::Child, Stderr) {
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", script]).stderr(std::process::Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("there is a shell");
        let stderr = Stderr::forward(child.stderr.take().expect("it was asked for"));
        (child, stderr)
    }

    #[tokio::test]
    async fn what_comes_late_is_waited_for() {
        let (_child, stderr) = shell("sleep 0.5; echo late >&2");
        stderr.passed_on(Duration::from_secs(30)).await;
        assert_eq!(stderr.last_lines().unwrap(), "late");
    }

    #[tokio::test]
    async fn a_pipe_that_stays_open_is_not_waited_for() {
        let (mut child, stderr) = shell("sleep 1000 & echo $! >&2; exit 0");
        child.wait().await.unwrap();
        stderr.passed_on(Duration::from_millis(300)).await;
        let sleeper = stderr.last_lines().expect("it has printed that before it exited").parse().unwrap();
        let sleeper = rustix::process::Pid::from_raw(sleeper).expect("a process id");
        rustix::process::kill_process(sleeper, rustix::process::Signal::KILL).expect("it is still there");
    }
}
