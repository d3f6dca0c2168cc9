//! What a runner does before its `main`.
//!
//! Until it joins, and has a lifeline, the kernel ends it with its parent's process: its `main` may never come to that. It
//! asks for that itself, and not its parent between `fork` and `exec`, since that takes a `fork`: see
//! `ProcessBackend::command`. The signal comes when the *thread* ends that started the process: see `spawn.rs`.

use flame_actors::__private::is_started_over_stdin;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpid, kill_process, set_parent_process_death_signal};

#[used]
#[expect(unsafe_code, reason = "the only place that runs before any `main`")]
// SAFETY: the C library calls what this section names with arguments that a function without parameters ignores.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

/// Does nothing in a process that is no runner. Must not panic: nothing could catch it.
extern "C" fn before_main() {
    if !is_started_over_stdin() {
        return;
    }
    // Refused only for a signal that does not exist.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // The parent may have ended before that. Then nobody has the other end of the pipe.
    let (stdin, at_once) = (std::io::stdin(), Timespec::default());
    let mut pipe = [PollFd::new(&stdin, PollFlags::IN)];
    if poll(&mut pipe, Some(&at_once)).is_ok() && pipe[0].revents().contains(PollFlags::HUP) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
