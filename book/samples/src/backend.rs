//! Runners that another command starts, such as `nice -n 10` or `taskset -c 0-3`.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use flame_actors::{Backend, Boot, BoxFuture, Cause, Error, Instance, InstanceState};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// Starts this executable by a command that takes one as its last argument.
#[derive(Debug)]
pub struct CommandBackend {
    command: Vec<String>,
    children: Mutex<HashMap<String, Child>>,
}

impl CommandBackend {
    /// A backend that uses this command: a program and its arguments.
    pub fn new<S: Into<String>>(command: impl IntoIterator<Item = S>) -> Self {
        Self { command: command.into_iter().map(Into::into).collect(), children: Mutex::default() }
    }

    async fn boot_one(&self, boot: &Boot) -> Result<Instance, Error> {
        let Some((program, args)) = self.command.split_first() else {
            let reason = "there is none".to_owned();
            return Err(Error::Config { option: "command".to_owned(), reason });
        };
        // The last await: dropped before it, nothing was started yet.
        let (name, value) = boot.environment().await?;
        let mut command = Command::new(program);
        command.args(args).arg(std::env::current_exe().map_err(failed)?).args(std::env::args_os().skip(1));
        command.env(name, value).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(failed)?;
        let id = child.id().ok_or_else(|| failed("it has ended at once"))?.to_string();
        self.children.lock().insert(id.clone(), child);
        Ok(Instance::new(id))
    }

    async fn destroy_one(&self, instance: &Instance) -> Result<(), Error> {
        let child = self.children.lock().remove(instance.id());
        let Some(mut child) = child else { return Ok(()) };
        if let Some(group) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // With all that it has started. An error says that nothing of it is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        child.wait().await.map(drop).map_err(failed)
    }

    fn state(&self, instance: &Instance) -> Result<InstanceState, Error> {
        let mut children = self.children.lock();
        let Some(child) = children.get_mut(instance.id()) else { return Ok(InstanceState::Unknown) };
        let ended = child.try_wait().map_err(failed)?;
        Ok(ended.map_or(InstanceState::Running, |status| InstanceState::Ended(cause(status))))
    }
}

impl Backend for CommandBackend {
    fn name(&self) -> &'static str {
        "command"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        Box::pin(self.boot_one(boot))
    }

    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.destroy_one(instance))
    }

    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        Box::pin(async { self.state(instance) })
    }
}

fn cause(status: ExitStatus) -> Cause {
    status.signal().map_or_else(|| Cause::Exited(status.code().unwrap_or_default()), Cause::Signalled)
}

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::Backend { backend: "command".to_owned(), reason: reason.to_string() }
}
