//! The control groups of one runner, by their files.
//!
//! By hand, since it is a dozen small files: the crates that do it, `cgroups-rs` and `libcgroups`, bring 90 and 180
//! others along, a D-Bus client among them, and know only one place for version 2.
//! The files are described in the kernel's `Documentation/admin-guide/cgroup-v1` and `cgroup-v2.rst`.

use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// What the names of groups that are ours begin with.
pub(super) const PREFIX: &str = "flame-";
/// Where a parent moves to when its own group may hold none but other groups.
pub(super) const LEAF: &str = "flame-parent";
/// How long a group whose processes were killed may take to be empty.
const REMOVAL_BOUND: Duration = Duration::from_secs(5);
/// An empty group that is younger may be about to get its process.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// The control groups of one runner: one, or one for each controller. Dropped, they go, with all that is in them.
#[derive(Debug, Default)]
pub(super) struct Group {
    dirs: Vec<PathBuf>,
    /// Has a line `oom_kill` with the number of processes that were killed for want of memory.
    pub(super) oom_counter: Option<PathBuf>,
}

impl Group {
    /// Adds a group for a controller, unless the one before has that too.
    pub(super) fn add_dir(&mut self, dir: PathBuf) -> Result<(), String> {
        if !self.dirs.contains(&dir) {
            fs::create_dir(&dir).map_err(|err| at(&dir, err))?;
            self.dirs.push(dir);
        }
        Ok(())
    }

    /// Moves a process into it; what that starts will be in it too.
    pub(super) fn take_in(&self, pid: u32) -> Result<(), String> {
        self.dirs.iter().try_for_each(|dir| move_to(dir, pid))
    }

    /// Whether a process in it was killed for want of memory.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let counts = self.oom_counter.as_deref().and_then(|file| read(file).ok()).unwrap_or_default();
        let kills = counts.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        kills.unwrap_or(0_u64) > 0
    }

    /// Kills what is left in it, and removes it. Blocks until that is done, for five seconds at the most.
    pub(super) fn remove(mut self) {
        remove_all(std::mem::take(&mut self.dirs));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let dirs = std::mem::take(&mut self.dirs);
        if !dirs.is_empty() {
            // A boot that was not finished: whoever drops that does not wait.
            std::thread::spawn(|| remove_all(dirs));
        }
    }
}

fn remove_all(dirs: Vec<PathBuf>) {
    let start = Instant::now();
    for dir in dirs {
        while let Err(err) = clear(&dir) {
            if start.elapsed() > REMOVAL_BOUND {
                tracing::warn!(group = %dir.display(), %err, "a control group is left behind");
                break;
            }
            sleep(Duration::from_millis(5));
        }
    }
}

/// Kills what is in a group and those below it, and removes what is empty by then.
fn clear(dir: &Path) -> std::io::Result<()> {
    for pid in processes(dir).unwrap_or_default() {
        if pid != std::process::id()
            && let Some(pid) = Pid::from_raw(pid.cast_signed())
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for below in groups_below(dir) {
        clear(&below)?;
    }
    match fs::remove_dir(dir) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes what parents that were killed have left here: their runners have gone by themselves.
pub(super) fn sweep(dir: &Path) {
    let is_old = |group: &PathBuf| {
        let made = fs::metadata(group).and_then(|group| group.modified());
        made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > LEFTOVER_AGE))
    };
    let is_named =
        |group: &PathBuf| group.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
    for group in groups_below(dir).filter(is_named).filter(is_old) {
        // First those of a runner that was a parent itself. One in which something runs is not removed.
        sweep(&group);
        let _ = fs::remove_dir(&group);
    }
}

fn groups_below(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

pub(super) fn processes(dir: &Path) -> Result<Vec<u32>, String> {
    Ok(read(&dir.join("cgroup.procs"))?.lines().filter_map(|pid| pid.parse().ok()).collect())
}

pub(super) fn move_to(dir: &Path, pid: u32) -> Result<(), String> {
    let file = dir.join("cgroup.procs");
    match fs::write(&file, pid.to_string()) {
        // It has ended.
        Err(err) if err.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
        written => written.map_err(|err| format!("{pid} to {}", at(&file, err))),
    }
}

pub(super) fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|err| at(file, err))
}

pub(super) fn write(file: &Path, value: impl Display) -> Result<(), String> {
    fs::write(file, value.to_string()).map_err(|err| format!("{value} to {}", at(file, err)))
}

/// The system's answer, with the file that it is about.
pub(super) fn at(file: &Path, err: std::io::Error) -> String {
    format!("{}: {err}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_and_empty_groups_of_ours_are_swept_away() {
        let root = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::now() - 2 * LEFTOVER_AGE;
        // Inner ones first: making one changes the time of the outer one.
        for (path, is_old) in [
            ("flame-old/flame-nested", true),
            ("flame-old", true),
            ("flame-used/cgroup.procs", true),
            ("flame-used", true),
            ("flame-young", false),
            ("someone-elses", true),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(&path).unwrap();
            if is_old {
                fs::File::open(&path).unwrap().set_modified(old).unwrap();
            }
        }
        sweep(root.path());
        let mut left: Vec<_> = groups_below(root.path()).collect();
        left.sort();
        assert_eq!(left, ["flame-used", "flame-young", "someone-elses"].map(|name| root.path().join(name)));
    }
}
