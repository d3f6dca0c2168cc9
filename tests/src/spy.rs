//! Backends that tell what they hand out, or fail.

use std::collections::HashMap;
use std::fs::File;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use flame_actors::{Backend, Boot, BoxFuture, Cause, Error, Instance, InstanceState};
use parking_lot::Mutex;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Boots processes with the invitation in their environment, as a backend for machines does, and keeps what it saw.
#[derive(Clone, Debug)]
pub struct Spy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    environment: Vec<(String, String)>,
    destroys: bool,
    dir: TempDir,
    next: AtomicU32,
    invitations: Mutex<Vec<String>>,
    children: Mutex<HashMap<String, Child>>,
}

impl Default for Spy {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Spy {
    /// Sets these variables for each process.
    pub fn new(environment: &[(&str, &str)]) -> Self {
        Self::with(environment, true)
    }

    /// One that destroys nothing, says that it did, and knows of no end: its processes have to end by themselves.
    pub fn idle() -> Self {
        Self::with(&[], false)
    }

    fn with(environment: &[(&str, &str)], destroys: bool) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self(Arc::new(Inner {
            environment,
            destroys,
            dir: tempfile::tempdir().expect("a directory for temporary files can be made"),
            next: AtomicU32::new(0),
            invitations: Mutex::default(),
            children: Mutex::default(),
        }))
    }

    /// The values of `FLAME_PARENT`, in the order of boots.
    pub fn invitations(&self) -> Vec<String> {
        self.0.invitations.lock().clone()
    }

    /// Where the parent listens, once something was booted.
    pub fn address(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Invitation {
            address: String,
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(self.invitations().first()?).ok()?;
        rmp_serde::from_slice::<Invitation>(&bytes).ok().map(|invitation| invitation.address)
    }

    /// What all processes wrote to standard error.
    pub fn stderr(&self) -> String {
        let files = std::fs::read_dir(self.0.dir.path()).into_iter().flatten().flatten();
        files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect()
    }

    /// The ids of the processes that were not destroyed.
    pub fn pids(&self) -> Vec<u32> {
        self.0.children.lock().values().filter_map(Child::id).collect()
    }

    fn failed(reason: impl std::fmt::Display) -> Error {
        Error::Backend { backend: "spy".to_owned(), reason: reason.to_string() }
    }
}

impl Backend for Spy {
    fn name(&self) -> &'static str {
        "spy"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        Box::pin(async move {
            let (name, value) = boot.environment().await?;
            self.0.invitations.lock().push(value.clone());
            let id = self.0.next.fetch_add(1, Ordering::Relaxed).to_string();
            let stderr = File::create(self.0.dir.path().join(&id)).map_err(Self::failed)?;
            let mut command = Command::new("/proc/self/exe");
            command.env(name, value).envs(self.0.environment.iter().map(|(name, value)| (name, value)));
            command.stdin(Stdio::null()).stderr(stderr).kill_on_drop(true);
            let child = command.spawn().map_err(Self::failed)?;
            self.0.children.lock().insert(id.clone(), child);
            Ok(Instance::new(id))
        })
    }

    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async {
            if !self.0.destroys {
                return Ok(());
            }
            let child = self.0.children.lock().remove(instance.id());
            match child {
                Some(mut child) => child.kill().await.map_err(Self::failed),
                None => Ok(()),
            }
        })
    }

    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        let state = match self.0.children.lock().get_mut(instance.id()).map(Child::try_wait) {
            // So that the process is waited for.
            _ if !self.0.destroys => Ok(InstanceState::Unknown),
            None => Ok(InstanceState::Unknown),
            Some(Ok(None)) => Ok(InstanceState::Running),
            Some(Ok(Some(status))) => {
                Ok(InstanceState::Ended(status.code().map_or(Cause::ConnectionClosed, Cause::Exited)))
            }
            Some(Err(err)) => Err(Self::failed(err)),
        };
        Box::pin(async { state })
    }
}

/// A backend that never boots anything, and says why.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What `boot` answers.
    pub reason: String,
    /// How often it was asked.
    pub boots: Arc<AtomicU32>,
}

impl Broken {
    /// A backend that fails for this reason.
    pub fn new(reason: &str) -> Self {
        Self { reason: reason.to_owned(), boots: Arc::default() }
    }
}

impl Backend for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn boot<'a>(&'a self, _: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        self.boots.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(Error::Backend { backend: "broken".to_owned(), reason: self.reason.clone() }) })
    }

    fn destroy<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn inspect<'a>(&'a self, _: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        Box::pin(async { Ok(InstanceState::Unknown) })
    }
}
