//! All that a simulator knows, and what handlers and machines share of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::fault::Faults;
use crate::host;
use crate::limits::{Buckets, Limits};
use crate::machine::Machine;
use crate::network::{Network, kill_all_of};
use crate::{Action, Output};

/// What does not change while it runs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) token: String,
    pub(crate) apps: BTreeSet<String>,
    pub(crate) forbidden_apps: BTreeSet<String>,
    /// The first is where a machine goes that names none.
    pub(crate) regions: Vec<String>,
    /// By reference; the empty one is for all others.
    pub(crate) images: BTreeMap<String, Vec<String>>,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) limits: Option<Limits>,
    pub(crate) machine_quota: Option<usize>,
    pub(crate) memory_quota_mb: Option<u64>,
    pub(crate) output: Output,
}

impl Settings {
    /// The command of an image: its entry point and its arguments.
    pub(crate) fn image(&self, reference: &str) -> Option<&[String]> {
        self.images.get(reference).or_else(|| self.images.get("")).map(Vec::as_slice)
    }
}

/// A request that came, and what was answered.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Request {
    /// How long after the start of the simulator it came, in milliseconds.
    pub at_ms: u64,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What it asked, if the API has such a thing.
    pub action: Option<Action>,
    /// The parameters of the query.
    pub query: Vec<(String, String)>,
    /// The body, if it was JSON.
    pub body: Option<Value>,
    /// The status of the answer; none if the connection was closed without one.
    pub status: Option<u16>,
    /// The body of the answer, also of one that was lost.
    pub answer: Option<Value>,
}

/// Where a body departed from the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// What was asked.
    pub action: Action,
    /// Whether the simulator said it, and not its client.
    pub is_answer: bool,
    /// Such as `config.guest.cpu is not known`.
    pub what: String,
}

#[derive(Debug)]
pub(crate) struct World {
    /// In the order they were created.
    pub(crate) machines: Vec<Machine>,
    pub(crate) faults: Faults,
    pub(crate) buckets: Buckets,
    pub(crate) requests: Vec<Request>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) lines: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) network: Option<Network>,
    pub(crate) world: Mutex<World>,
    pub(crate) hosts: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) started: Instant,
    /// Whoever waits for a state hears of every change.
    pub(crate) changed: watch::Sender<()>,
    closing: Condvar,
    /// Also asked by those who hold the lock.
    is_closing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(settings: Settings, network: Option<Network>) -> Arc<Self> {
        let world = World {
            machines: Vec::new(),
            faults: Faults::default(),
            buckets: Buckets::new(settings.limits),
            requests: Vec::new(),
            violations: Vec::new(),
            lines: Vec::new(),
        };
        Arc::new(Self {
            settings,
            network,
            world: Mutex::new(world),
            hosts: Mutex::default(),
            started: Instant::now(),
            changed: watch::Sender::new(()),
            closing: Condvar::new(),
            is_closing: AtomicBool::new(false),
        })
    }

    /// Does something with a machine, and tells those who wait.
    pub(crate) fn with<T>(&self, id: &str, with: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        let mut world = self.world.lock();
        let machine = world.machines.iter_mut().find(|machine| machine.id == id)?;
        let result = with(machine);
        drop(world);
        self.changed.send_replace(());
        Some(result)
    }

    /// The kernel of a machine has no memory left: false if it runs nothing.
    pub(crate) fn kill_for_memory(&self, id: &str) -> bool {
        let killed = self.with(id, |machine| {
            machine.is_out_of_memory = machine.process.is_some();
            host::signal(machine, Signal::SIGKILL);
            machine.is_out_of_memory
        });
        killed.unwrap_or(false)
    }

    /// Blocks, but not longer than the simulator lives.
    pub(crate) fn sleep(&self, time: Duration) {
        let mut world = self.world.lock();
        self.closing.wait_while_for(&mut world, |_| !self.is_closing(), time);
    }

    /// Keeps a line that a machine wrote, and shows it.
    pub(crate) fn write(&self, machine: &str, line: &str) {
        if self.settings.output == Output::Forward {
            eprintln!("[{machine}] {line}");
        }
        self.world.lock().lines.push(format!("[{machine}] {line}"));
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    /// Returns once the simulator is to end.
    pub(crate) async fn closed(&self) {
        let mut changed = self.changed.subscribe();
        while !self.is_closing() && changed.changed().await.is_ok() {}
    }

    /// Ends all machines, and boots no more.
    pub(crate) fn close(&self) {
        let world = self.world.lock();
        self.is_closing.store(true, Ordering::SeqCst);
        world.machines.iter().for_each(host::kill_machine);
        let up = world.machines.iter().filter(|machine| machine.process.is_some());
        let namespaces: Vec<String> = up.filter_map(|machine| machine.namespace.clone()).collect();
        drop(world);
        namespaces.iter().for_each(|namespace| kill_all_of(namespace));
        self.closing.notify_all();
        self.changed.send_replace(());
        if let Some(network) = &self.network {
            network.take_down();
        }
    }
}

impl World {
    pub(crate) fn machine(&mut self, app: &str, id: &str) -> Option<&mut Machine> {
        self.machines.iter_mut().find(|machine| machine.app == app && machine.id == id)
    }
}
