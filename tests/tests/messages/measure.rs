//! What a process uses, as the system sees it.

/// The resident memory of a process, in bytes.
pub(crate) fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the system counts it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
}

pub(crate) const MIB: u64 = 1024 * 1024;

/// How many threads and open files a process has.
pub(crate) fn handles(pid: u32) -> (usize, usize) {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).expect("it is alive").count();
    (count("task"), count("fd"))
}
