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

/// The TCP connections of a process, as its own port and the other one.
pub fn connections(pid: u32) -> Vec<(u16, u16)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inodes: Vec<String> = entries
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    established().into_iter().filter(|(.., inode)| inodes.contains(inode)).map(|(own, other, _)| (own, other)).collect()
}

/// How many descriptors a process has.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Whether some process has a descriptor of the other end of this connection.
pub fn is_answered((own, other): (u16, u16)) -> bool {
    established().iter().any(|(here, there, inode)| (*here, *there) == (other, own) && inode != "0")
}

/// The ports and the inode of each end of a TCP connection on this machine; one that nobody has a descriptor of has
/// the inode 0.
fn established() -> Vec<(u16, u16, String)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
    let end = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_listener = *fields.get(3)? == "0A";
        let end = (port(fields.get(1)?)?, port(fields.get(2)?)?, (*fields.get(9)?).to_owned());
        (!is_listener).then_some(end)
    };
    table.lines().skip(1).filter_map(end).collect()
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
