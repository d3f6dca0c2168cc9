//! File descriptors: how many this process may have, and whether there are enough of them.

use std::io;
use std::sync::OnceLock;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::report::report;

/// What one boot takes at the most on the parent: three pipes and the handle of a process, the link and the session.
const PER_BOOT: usize = 9;
/// What is left to the application: a part of the limit, between these bounds.
const HEADROOM_PART: u64 = 16;
const LEAST_HEADROOM: u64 = 4;
const MOST_HEADROOM: u64 = 32;

/// The soft limit with which this process began, where it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit of this process to the hard one, once.
pub(crate) fn raise_limit() {
    static RAISED: OnceLock<()> = OnceLock::new();
    RAISED.get_or_init(|| {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let Some(soft) = current.filter(|soft| maximum.is_none_or(|hard| *soft < hard)) else { return };
        let hard = maximum.map_or_else(|| "unlimited".to_owned(), |hard| hard.to_string());
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => {
                let _ = BEFORE.set(soft);
                report!(INFO, from = soft, to = hard, "the soft limit of descriptors was raised");
            }
            Err(err) => report!(WARN, %err, from = soft, to = hard, "the soft limit of descriptors cannot be raised"),
        }
    });
}

/// The soft limit of open files with which this process began, where a node has raised it.
pub(crate) fn limit_before() -> Option<u64> {
    BEFORE.get().copied()
}

/// Checks that there is room for what one boot takes, and something left for the application.
///
/// # Errors
/// What the system says when it has no more.
pub(crate) fn check_room() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let headroom = (limit / HEADROOM_PART).clamp(LEAST_HEADROOM, MOST_HEADROOM);
    let first = eventfd(0, EventfdFlags::CLOEXEC)?;
    // Dropped at the end: the only way to ask is to have them.
    let _room = (0..PER_BOOT + headroom as usize).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
    Ok(())
}

/// What is short where the system has refused something, with the limit, and what can be done; `None` for errors that
/// are no shortage.
///
/// For a [`Backend`](crate::Backend) that starts processes or opens connections: `EMFILE`, `ENFILE`, `EAGAIN` of a process
/// or thread that is to be started, and `ENOMEM`.
///
/// ```
/// let error = std::io::Error::from_raw_os_error(24); // EMFILE
/// assert!(flame_actors::shortage(&error).is_some_and(|words| words.contains("ulimit -n")));
/// assert_eq!(flame_actors::shortage(&std::io::ErrorKind::NotFound.into()), None);
/// ```
pub fn shortage(err: &io::Error) -> Option<String> {
    let errno = Errno::from_raw_os_error(err.raw_os_error()?);
    Some(match errno {
        Errno::MFILE => {
            let limit = getrlimit(Resource::Nofile).current;
            let limit = limit.map_or_else(|| "not limited".to_owned(), |limit| limit.to_string());
            format!(
                "this process has too few descriptors, its limit is {limit}: raise the limit with `ulimit -n`, or with \
                 LimitNOFILE= in a service of systemd"
            )
        }
        Errno::NFILE => "the system has too few descriptors: raise the limit with `sysctl fs.file-max`".to_owned(),
        Errno::AGAIN => {
            "no more processes or threads may be started: see `ulimit -u`, and pids.max of the control group".to_owned()
        }
        Errno::NOMEM => "the system has no memory left for it".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_a_boot() {
        check_room().expect("the tests have more descriptors than that");
    }
}
