//! How the process of a runner ends when its parent is gone, whatever its other threads wait for.
//!
//! Those may wait for ever: for a lock of the application, for a disk, or for somebody to read what they print. So this
//! is a plain thread that waits for the kernel only. It notices the end of the parent's process by the lifeline, the end
//! of the link by a wake-up, and the end of the lease by the clock, should nobody wake it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::agent::Agent;
use crate::error::{Cause, Error};
use crate::node::link::Link;
use crate::node::runtime;
use crate::parent::{self, Lifeline};
use crate::report::report;

/// A runner whose parent is gone, and whose work has ended, has this long to leave `main` by itself.
const EXIT_GRACE: Duration = Duration::from_millis(300);
/// How long what is said at the end may take.
const LAST_LINES: Duration = Duration::from_millis(100);

/// Starts the thread.
pub(crate) fn guard(
    agent: &Arc<Agent>,
    link: &Arc<Link>,
    lifeline: Option<Lifeline>,
    shutdown_timeout: Duration,
) -> Result<(), Error> {
    let failed = |what: &str, err: &dyn std::fmt::Display| Error::Join(format!("{what}: {err}"));
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let wake = Arc::new(wake.map_err(|err| failed("no descriptor for the way out", &err))?);
    let (wakes, has_lifeline) = (Arc::clone(&wake), lifeline.is_some());
    let (stdin, stderr) = lifeline.map_or((None, None), |lifeline| (Some(lifeline.stdin), lifeline.stderr));
    let way_out = WayOut {
        agent: Arc::clone(agent),
        link: Arc::clone(link),
        wake,
        stdin,
        stderr,
        has_lifeline,
        shutdown_timeout,
    };
    let thread = std::thread::Builder::new().name("flame-exit".to_owned());
    thread.spawn(move || way_out.run()).map_err(|err| failed("no thread for the way out", &err))?;
    let (agent, link) = (Arc::clone(agent), Arc::clone(link));
    runtime::links().spawn(async move {
        link.wait_closed().await;
        wake_up(&wakes);
        agent.stopped().await;
        wake_up(&wakes);
    });
    if has_lifeline && let Err(err) = rustix::process::set_parent_process_death_signal(None) {
        report!(WARN, %err, "this runner will end at once with its parent");
    }
    Ok(())
}

fn wake_up(wakes: &OwnedFd) {
    // It is full when the thread has been woken already.
    let _ = rustix::io::write(wakes, &1_u64.to_ne_bytes());
}

struct WayOut {
    agent: Arc<Agent>,
    link: Arc<Link>,
    wake: Arc<OwnedFd>,
    /// Ends when the parent's process does; `None` once it has, or where there is none.
    stdin: Option<OwnedFd>,
    /// A read end of the pipe that standard error is.
    stderr: Option<File>,
    has_lifeline: bool,
    shutdown_timeout: Duration,
}

impl WayOut {
    fn run(mut self) {
        runtime::enter_thread();
        let gone = self.until_the_parent_is_gone();
        let (link, links) = (Arc::clone(&self.link), runtime::links());
        // Work that is linked ends now. Where that takes a thread that does not come, it ends with the process.
        links.spawn(async move { link.close(gone) });
        self.while_work_may_end();
        report!(WARN, "the parent is gone and this runner has not left main: exiting");
        crate::report::flush(LAST_LINES);
        if self.has_lifeline {
            parent::end_process_group();
        }
        exit_now(1);
    }

    /// Waits until the parent's process, its link or its lease has ended, but for a link that it has closed itself.
    fn until_the_parent_is_gone(&mut self) -> Cause {
        loop {
            match self.link.cause() {
                Some(Cause::Stopped) | None => {}
                Some(cause) => return cause,
            }
            let is_open = self.link.cause().is_none();
            let lease = is_open.then(|| self.link.lease_left());
            if lease == Some(Duration::ZERO) {
                return Cause::LeaseExpired;
            }
            // A little later, so that the link may notice it itself.
            let Ready { stdin, .. } =
                self.wait(lease.map(|lease| lease.saturating_add(Duration::from_millis(50))), false);
            if stdin && self.stdin_has_ended() {
                self.stdin = None;
                return Cause::ConnectionClosed;
            }
        }
    }

    /// Work that is not linked has `shutdown_timeout`, and `main` a moment more. Meanwhile this thread reads in the place
    /// of the parent what is printed: a thread that waits for that could not end.
    fn while_work_may_end(&mut self) {
        let mut until = Instant::now().checked_add(self.shutdown_timeout.saturating_add(EXIT_GRACE));
        let mut was_told = false;
        loop {
            let now = Instant::now();
            if !was_told && self.agent.has_stopped() {
                was_told = true;
                let grace = now + EXIT_GRACE;
                until = Some(until.map_or(grace, |until| until.min(grace)));
            }
            let left = until.map(|until| until.saturating_duration_since(now));
            if left == Some(Duration::ZERO) {
                return;
            }
            let Ready { stdin, stderr } = self.wait(left, true);
            if stdin && self.stdin_has_ended() {
                self.stdin = None;
            }
            if stderr {
                self.drain();
            }
        }
    }

    fn wait(&self, bound: Option<Duration>, with_stderr: bool) -> Ready {
        let bound = bound.and_then(|bound| Timespec::try_from(bound).ok());
        let mut fds = vec![PollFd::new(&*self.wake, PollFlags::IN)];
        let stdin = self.stdin.as_ref().map(|stdin| {
            fds.push(PollFd::new(stdin, PollFlags::IN));
            fds.len() - 1
        });
        let stderr = self.stderr.as_ref().filter(|_| with_stderr).map(|stderr| {
            fds.push(PollFd::new(stderr, PollFlags::IN));
            fds.len() - 1
        });
        if poll(&mut fds, bound.as_ref()).is_err() {
            // Interrupted; or the kernel has no memory, and may have some in a moment.
            std::thread::sleep(Duration::from_millis(1));
            return Ready { stdin: false, stderr: false };
        }
        let is_ready = |at: Option<usize>| at.is_some_and(|at| !fds[at].revents().is_empty());
        let ready = Ready { stdin: is_ready(stdin), stderr: is_ready(stderr) };
        let is_woken = !fds[0].revents().is_empty();
        drop(fds);
        if is_woken {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        ready
    }

    /// Nothing is ever written to it after the invitation.
    fn stdin_has_ended(&self) -> bool {
        self.stdin.as_ref().is_some_and(|stdin| match rustix::io::read(stdin, &mut [0; 64]) {
            Ok(read) => read == 0,
            Err(err) => err != Errno::INTR && err != Errno::AGAIN,
        })
    }

    fn drain(&mut self) {
        let mut chunk = [0; 16 * 1024];
        match self.stderr.as_ref().map(|stderr| rustix::io::read(stderr, &mut chunk)) {
            Some(Ok(0)) => self.stderr = None,
            Some(Ok(_) | Err(Errno::INTR | Errno::AGAIN)) | None => {}
            Some(Err(_)) => self.stderr = None,
        }
    }
}

/// What has something to say.
struct Ready {
    stdin: bool,
    stderr: bool,
}

/// Ends this process with a code, without anything that it would do at its end: that may wait.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes no lock, calls nothing of this process and does not return.
    #[expect(unsafe_code, reason = "the only way to end that cannot be blocked by an exit handler")]
    unsafe {
        libc::_exit(code)
    }
}

/// Ends this process with a code, in good order if that takes no longer than this.
pub(crate) fn exit_within(bound: Duration, code: i32) -> ! {
    let watch = std::thread::Builder::new().name("flame-exit".to_owned()).spawn(move || {
        std::thread::sleep(bound);
        exit_now(code)
    });
    match watch {
        Ok(_) => std::process::exit(code),
        Err(_) => exit_now(code),
    }
}
