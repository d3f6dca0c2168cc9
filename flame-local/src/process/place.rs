//! Where control groups are: what is mounted, and which group this process is in.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::cgroup::{LEAF, at, move_to, processes, read, write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// Where this process may have groups with a controller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) dir: PathBuf,
    controller: &'static str,
}

impl Place {
    /// The group of this process, from its `/proc/self/cgroup` and `/proc/self/mountinfo`.
    pub(super) fn locate(controller: &'static str, cgroups: &str, mounts: &str) -> Result<Self, String> {
        let groups = cgroups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            Some((fields.next()?, fields.next()?))
        });
        let has = |list: &str| list.split(',').any(|name| name == controller);
        let (mut v1, mut v2) = (None, None);
        for (controllers, path) in groups {
            if has(controllers) {
                v1 = Some(path);
            } else if controllers.is_empty() {
                v2 = Some(path);
            }
        }
        // A controller is in one hierarchy at a time: in that of version 2 when in no other.
        let (version, path) = match (v1, v2) {
            (Some(path), _) => (Version::V1, path),
            (None, Some(path)) => (Version::V2, path),
            (None, None) => return Err(format!("/proc/self/cgroup names no control group for \"{controller}\"")),
        };
        let mount = mounts.lines().filter_map(Mount::parse).find(|mount| match version {
            Version::V1 => mount.kind == "cgroup" && has(mount.options),
            Version::V2 => mount.kind == "cgroup2",
        });
        let mount = mount.ok_or_else(|| format!("no control groups for \"{controller}\" are mounted"))?;
        let below = Path::new(path)
            .strip_prefix(&mount.root)
            .map_err(|_| format!("the control group {path} is not in what is mounted at {}", mount.point.display()))?;
        let mut dir = mount.point.join(below);
        if dir.file_name().is_some_and(|name| name == LEAF) {
            dir.pop();
        }
        Ok(Self { version, dir, controller })
    }

    /// Has groups below this one have the controller: in version 2 that has to be asked for.
    pub(super) fn enable(&self) -> Result<(), String> {
        if self.version == Version::V1 {
            return Ok(());
        }
        let lists = |file: &str| -> Result<bool, String> {
            let listed = read(&self.dir.join(file))?;
            Ok(listed.split_whitespace().any(|name| name.trim_start_matches('+') == self.controller))
        };
        if lists("cgroup.subtree_control")? {
            return Ok(());
        }
        if !lists("cgroup.controllers")? {
            let file = self.dir.join("cgroup.controllers");
            return Err(format!("{} does not have \"{}\": it is not delegated", file.display(), self.controller));
        }
        let file = self.dir.join("cgroup.subtree_control");
        let wanted = format!("+{}", self.controller);
        match fs::write(&file, &wanted) {
            Err(err) if err.kind() == ErrorKind::ResourceBusy => {
                // Only a group without processes of its own may do that.
                self.step_aside()?;
                write(&file, wanted)
            }
            written => written.map_err(|err| at(&file, err)),
        }
    }

    /// Moves this process and its children into a group of their own, unless there are others.
    fn step_aside(&self) -> Result<(), String> {
        let here = processes(&self.dir)?;
        if let Some(other) = here.iter().find(|pid| !is_ours(**pid)) {
            let dir = self.dir.display();
            return Err(format!("process {other} is in {dir} too: this process needs a group of its own, delegated"));
        }
        let leaf = self.dir.join(LEAF);
        match fs::create_dir(&leaf) {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => return Err(at(&leaf, err)),
            _ => {}
        }
        here.iter().try_for_each(|pid| move_to(&leaf, *pid))
    }
}

struct Mount<'a> {
    root: PathBuf,
    point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of `/proc/self/mountinfo`: proc_pid_mountinfo(5).
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (unescaped(mount.next()?), unescaped(mount.next()?));
        let mut file_system = file_system.split(' ');
        Some(Self { root, point, kind: file_system.next()?, options: file_system.nth(1)? })
    }
}

/// Blanks and such are written `\040`.
fn unescaped(path: &str) -> PathBuf {
    let mut parts = path.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[3..]);
            }
            None => bytes.extend_from_slice(part.as_bytes()),
        }
    }
    OsString::from_vec(bytes).into()
}

/// Whether the process is this one or descends from it.
fn is_ours(pid: u32) -> bool {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(1)?.parse().ok()
    };
    std::iter::successors(Some(pid), |pid| parent(*pid)).any(|pid| pid == std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate(controller: &'static str, cgroups: &str, mounts: &str) -> Result<(Version, PathBuf), String> {
        Place::locate(controller, cgroups, mounts).map(|place| (place.version, place.dir))
    }

    const HYBRID_GROUPS: &str = "9:name=systemd:/\n4:memory:/jobs/a:b\n2:cpu,cpuacct:/\n0::/unified\n";
    const HYBRID_MOUNTS: &str = "\
        24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:7 master:2 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn each_controller_of_version_1_is_where_it_is_mounted() {
        let memory = locate("memory", HYBRID_GROUPS, HYBRID_MOUNTS).unwrap();
        assert_eq!(memory, (Version::V1, "/sys/fs/cgroup/memory/jobs/a:b".into()));
        let cpu = locate("cpu", HYBRID_GROUPS, HYBRID_MOUNTS).unwrap();
        assert_eq!(cpu, (Version::V1, "/sys/fs/cgroup/cpu,cpuacct".into()));
    }

    #[test]
    fn a_controller_that_version_1_does_not_have_is_in_version_2() {
        let io = locate("io", HYBRID_GROUPS, HYBRID_MOUNTS).unwrap();
        assert_eq!(io, (Version::V2, "/sys/fs/cgroup/unified/unified".into()));
    }

    #[test]
    fn a_container_that_sees_a_part_is_understood() {
        let mounts = "1 2 0:3 /docker/a\\040b /my\\134cgroup ro - cgroup2 cgroup rw\n";
        let place = locate("cpu", "0::/docker/a b/c\n", mounts).unwrap();
        assert_eq!(place.1, Path::new("/my\\cgroup/c"));
        let err = locate("cpu", "0::/elsewhere\n", mounts).unwrap_err();
        assert!(err.contains("/elsewhere is not in what is mounted at /my\\cgroup"), "{err}");
    }

    #[test]
    fn a_parent_that_has_stepped_aside_finds_its_group_again() {
        let place = locate("cpu", "0::/app/flame-parent\n", "1 2 0:3 / /c rw - cgroup2 cgroup rw\n").unwrap();
        assert_eq!(place.1, Path::new("/c/app"));
    }

    #[test]
    fn where_there_are_no_control_groups_the_controller_is_named() {
        let err = locate("memory", "", "").unwrap_err();
        assert!(err.contains("\"memory\""), "{err}");
        let err = locate("memory", "4:memory:/\n", "").unwrap_err();
        assert!(err.contains("no control groups for \"memory\" are mounted"), "{err}");
    }
}
