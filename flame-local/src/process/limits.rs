//! What a runner may use, and the control groups that hold it to that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flame_actors::Error;
use parking_lot::Mutex;

use super::cgroup::{self, Group, at, write};
use super::failed;
use super::place::{Place, Version};

/// The kernel's default, and its least quota: 1 ms of it.
const PERIOD_US: u64 = 100_000;
const LEAST_CORES: f64 = 0.01;

/// Where leftovers were looked for already.
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The limits of each runner.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    pub(super) memory: Option<u64>,
    pub(super) cores: Option<f64>,
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |option: &str, reason: String| Err(Error::Config { option: option.to_owned(), reason });
        if self.memory == Some(0) {
            return wrong("memory_limit", "no process runs in 0 bytes".to_owned());
        }
        match self.cores {
            Some(cores) if !cores.is_finite() || cores < LEAST_CORES => {
                wrong("cpu_limit", format!("{cores} is not a number of cores from {LEAST_CORES} on"))
            }
            _ => Ok(()),
        }
    }

    /// Makes the control groups of a runner, if it is limited; they are empty.
    pub(super) async fn group(&self, runner: &str) -> Result<Option<Group>, Error> {
        if self.memory.is_none() && self.cores.is_none() {
            return Ok(None);
        }
        let limits = self.clone();
        // The last part of a runner's name is unique, and the whole is a path that may be longer than a file's name.
        let name = format!("{}{}", cgroup::PREFIX, runner.rsplit('.').next().unwrap_or(runner));
        let made = tokio::task::spawn_blocking(move || {
            let cgroups = cgroup::read("/proc/self/cgroup".as_ref())?;
            let mounts = cgroup::read("/proc/self/mountinfo".as_ref())?;
            limits.make(&name, &cgroups, &mounts)
        });
        let made = made.await.map_err(|err| failed("control groups", err))?;
        made.map(Some).map_err(|reason| failed("cannot limit a runner", reason))
    }

    fn make(&self, name: &str, cgroups: &str, mounts: &str) -> Result<Group, String> {
        let locate = |controller| Place::locate(controller, cgroups, mounts);
        let memory = self.memory.map(|bytes| locate("memory").map(|place| (place, bytes))).transpose()?;
        let cpu = self.cores.map(|cores| locate("cpu").map(|place| (place, cores))).transpose()?;
        let places = memory.iter().map(|(place, _)| place).chain(cpu.iter().map(|(place, _)| place));

        let mut group = Group::default();
        for place in places {
            if SWEPT.lock().insert(place.dir.clone()) {
                cgroup::sweep(&place.dir);
            }
            place.enable()?;
            group.add_dir(place.dir.join(name))?;
        }
        if let Some((place, bytes)) = memory {
            group.oom_counter = Some(limit_memory(&place.dir.join(name), place.version, bytes)?);
        }
        if let Some((place, cores)) = cpu {
            limit_cpu(&place.dir.join(name), place.version, cores)?;
        }
        Ok(group)
    }
}

/// Swap included. Gives the file that counts the processes which were killed for it.
fn limit_memory(dir: &Path, version: Version, bytes: u64) -> Result<PathBuf, String> {
    let (limit, with_swap, swap, counter) = match version {
        // In this order: the second is never less than the first.
        Version::V1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes, "memory.oom_control"),
        Version::V2 => ("memory.max", "memory.swap.max", 0, "memory.events"),
    };
    write(&dir.join(limit), bytes)?;
    // It is not there where the kernel does not account for swap.
    let with_swap = dir.join(with_swap);
    if with_swap.try_exists().map_err(|err| at(&with_swap, err))? {
        write(&with_swap, swap)?;
    }
    Ok(dir.join(counter))
}

fn limit_cpu(dir: &Path, version: Version, cores: f64) -> Result<(), String> {
    let quota = (cores * PERIOD_US as f64).round() as u64;
    match version {
        Version::V1 => {
            write(&dir.join("cpu.cfs_period_us"), PERIOD_US)?;
            write(&dir.join("cpu.cfs_quota_us"), quota)
        }
        Version::V2 => write(&dir.join("cpu.max"), format!("{quota} {PERIOD_US}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A directory that looks like a mount of version 2, as far as plain files can: whatever is written is there.
    struct Fixture(TempDir);

    impl Fixture {
        fn new(controllers: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("app")).unwrap();
            fs::write(dir.path().join("app/cgroup.controllers"), controllers).unwrap();
            fs::write(dir.path().join("app/cgroup.subtree_control"), "").unwrap();
            Self(dir)
        }

        fn make(&self, limits: &Limits) -> Result<Group, String> {
            let mounts = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", self.0.path().display());
            limits.make("flame-x", "0::/app\n", &mounts)
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.path().join("app").join(file)).unwrap_or_else(|err| panic!("{file}: {err}"))
        }

        fn forget(self, group: Group) {
            // Its files would keep it, as those of the kernel do not.
            fs::remove_dir_all(self.0.path().join("app")).unwrap();
            group.remove();
        }
    }

    fn limits(memory: Option<u64>, cores: Option<f64>) -> Limits {
        Limits { memory, cores }
    }

    #[test]
    fn in_version_2_a_runner_has_one_group_with_both_limits() {
        let fixture = Fixture::new("cpuset cpu io memory pids\n");
        let group = fixture.make(&limits(Some(50_000_000), Some(0.2))).unwrap();
        group.take_in(4711).unwrap();
        assert_eq!(fixture.read("flame-x/memory.max"), "50000000");
        assert_eq!(fixture.read("flame-x/cpu.max"), "20000 100000");
        assert_eq!(fixture.read("flame-x/cgroup.procs"), "4711");
        fixture.forget(group);
    }

    #[test]
    fn in_version_2_only_what_is_limited_is_asked_for() {
        let fixture = Fixture::new("cpu memory");
        let group = fixture.make(&limits(None, Some(2.0))).unwrap();
        assert_eq!(fixture.read("cgroup.subtree_control"), "+cpu");
        assert_eq!(fixture.read("flame-x/cpu.max"), "200000 100000");
        assert!(!group.ran_out_of_memory());
        fixture.forget(group);
    }

    #[test]
    fn in_version_2_what_is_there_already_is_not_asked_for() {
        let fixture = Fixture::new("cpu memory");
        let file = fixture.0.path().join("app/cgroup.subtree_control");
        fs::write(&file, "cpu memory pids\n").unwrap();
        let group = fixture.make(&limits(Some(1), Some(1.0))).unwrap();
        assert_eq!(fixture.read("cgroup.subtree_control"), "cpu memory pids\n");
        fixture.forget(group);
    }

    #[test]
    fn in_version_2_a_controller_that_is_not_delegated_is_an_error() {
        let err = Fixture::new("cpu").make(&limits(Some(1), None)).unwrap_err();
        assert!(err.contains("/app/cgroup.controllers does not have \"memory\""), "{err}");
    }

    #[test]
    fn in_version_2_a_process_killed_for_want_of_memory_is_seen() {
        let fixture = Fixture::new("memory");
        let group = fixture.make(&limits(Some(1), None)).unwrap();
        let events = fixture.0.path().join("app/flame-x/memory.events");
        fs::write(&events, "low 0\nhigh 0\nmax 7\noom 3\noom_kill 0\noom_group_kill 0\n").unwrap();
        assert!(!group.ran_out_of_memory());
        fs::write(&events, "low 0\nhigh 0\nmax 7\noom 3\noom_kill 1\noom_group_kill 0\n").unwrap();
        assert!(group.ran_out_of_memory());
        fixture.forget(group);
    }

    #[test]
    fn swap_is_limited_where_the_kernel_accounts_for_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("memory.swap.max"), "max\n").unwrap();
        fs::write(dir.path().join("memory.memsw.limit_in_bytes"), "9223372036854771712\n").unwrap();
        limit_memory(dir.path(), Version::V2, 4096).unwrap();
        limit_memory(dir.path(), Version::V1, 4096).unwrap();
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).unwrap();
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("memory.memsw.limit_in_bytes"), "4096");
    }

    #[test]
    fn what_the_system_answers_is_told_with_the_file() {
        let fixture = Fixture::new("memory");
        fs::create_dir(fixture.0.path().join("app/flame-x")).unwrap();
        let err = fixture.make(&limits(Some(1), None)).unwrap_err();
        assert!(err.contains("/app/flame-x: File exists"), "{err}");

        let fixture = Fixture::new("memory");
        fs::remove_dir_all(fixture.0.path().join("app")).unwrap();
        let err = fixture.make(&limits(Some(1), None)).unwrap_err();
        assert!(err.contains("/app/cgroup.subtree_control: No such file"), "{err}");
    }
}
