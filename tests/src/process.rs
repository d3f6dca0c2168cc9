//! Who is alive, who descends from whom, and signals.

use std::collections::HashMap;
use std::time::Duration;

pub use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Whether the process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// The processes that are alive and descend from this one, orphans that it took in included.
pub fn descendants(of: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some((_, parent)) = stat(pid)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut todo = vec![of];
    while let Some(pid) = todo.pop() {
        let young = children.remove(&pid).unwrap_or_default();
        todo.extend(&young);
        found.extend(young.into_iter().filter(|pid| is_alive(*pid)));
    }
    found
}

/// Sends a signal; a process that has gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    let _ = nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// `kill -9`.
pub fn kill(pid: u32) {
    signal(pid, Signal::SIGKILL);
}

/// The command line of a process, for messages.
pub fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// How long the process has used a core.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let fields = fields(pid)?;
    let ticks: u64 = fields.get(11..13)?.iter().map(|ticks| ticks.parse::<u64>().ok()).sum::<Option<_>>()?;
    // USER_HZ is 100 on every machine.
    Some(Duration::from_millis(ticks * 10))
}

/// When the process started, in ticks since the machine did; with its id that names it for ever.
pub fn start_time(pid: u32) -> Option<u64> {
    fields(pid)?.get(19)?.parse().ok()
}

/// The state and the parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let fields = fields(pid)?;
    let state = fields.first()?.chars().next()?;
    Some((state, fields.get(1)?.parse().ok()?))
}

/// What `/proc/[pid]/stat` says, from the state on.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command is in parentheses and may hold any characters.
    Some(stat.get(stat.rfind(')')? + 1..)?.split_whitespace().map(str::to_owned).collect())
}
