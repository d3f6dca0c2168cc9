//! Processes that compute all the time, as those do that runners are there for.

use std::process::Command;

use flame_tests::Role;
use flame_tests::process::is_alive;

/// They are killed when dropped.
pub(crate) struct Spinners(Vec<Role>);

/// Computes until it is killed.
pub(crate) async fn play() {
    let mut sum = 1_u64;
    loop {
        sum = std::hint::black_box(sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7));
    }
}

impl Spinners {
    pub(crate) fn start(number: usize) -> Self {
        Self((0..number).map(|_| Role::start("spin", &[])).collect())
    }

    /// Two on each core.
    pub(crate) fn on_all_cores() -> Self {
        Self::start(2 * std::thread::available_parallelism().map_or(2, usize::from))
    }

    /// They and this process have one core between them, and it has what they leave.
    pub(crate) fn starve(&self, pid: u32) {
        for pid in self.0.iter().map(Role::pid).chain([pid]) {
            run("taskset", &["-acp", "0", &pid.to_string()]);
        }
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it is there");
        let threads: Vec<String> = threads.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        // Niceness is a thread's.
        for thread in threads {
            run("renice", &["-n", "19", "-p", &thread]);
        }
    }

    pub(crate) fn are_alive(&self) -> bool {
        self.0.iter().all(|role| is_alive(role.pid()))
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("util-linux is here");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
