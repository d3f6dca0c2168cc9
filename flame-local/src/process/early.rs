//! What a runner does before its `main`.
//!
//! Its `main` may hang before the runner joins. Until then the kernel kills the runner when the process of its parent
//! ends. The runner asks the kernel for this itself: its parent could do so only between `fork` and `exec`, and does not
//! fork (see `ProcessBackend::command`). The kernel watches the *thread* that started the runner: see `spawn.rs`.

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
    // The parent may have ended before the line above. Then the other end of the pipe is closed.
    let (stdin, at_once) = (std::io::stdin(), Timespec::default());
    let mut pipe = [PollFd::new(&stdin, PollFlags::IN)];
    if poll(&mut pipe, Some(&at_once)).is_ok() && pipe[0].revents().contains(PollFlags::HUP) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
