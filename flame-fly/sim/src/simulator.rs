//! Holds a simulator that runs.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::builder::Builder;
use crate::connection::{Cuttable, Switch};
use crate::fault::Fault;
use crate::machine::State;
use crate::network::Network;
use crate::world::{Request, Shared, Violation};
use crate::{api, control};

/// How long `stop` waits for clients, and for the threads of machines whose processes it has killed.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// A simulator that runs. Everything it has made goes when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    servers: Vec<JoinHandle<()>>,
}

/// One machine of a simulator.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MachineInfo {
    /// Its id in the API.
    pub id: String,
    /// Its name, which no other of its app has.
    pub name: String,
    /// The app that it is of.
    pub app: String,
    /// Where it runs.
    pub region: String,
    /// What it is doing.
    pub state: State,
    /// Its address.
    pub private_ip: Ipv6Addr,
    /// Its process, while it has one.
    pub pid: Option<u32>,
    /// All that the API shows of it, its configuration and events among it.
    pub shown: Value,
}

impl Simulator {
    /// Says what to simulate.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(shared: Arc<Shared>, address: SocketAddr) -> Self {
        Self { shared, address, servers: Vec::new() }
    }

    pub(crate) fn serve(&mut self, listener: TcpListener) {
        let router = control::router().fallback(api::serve).with_state(self.shared.clone());
        let service = router.into_make_service_with_connect_info::<Switch>();
        let shared = self.shared.clone();
        // Connections that clients keep open end with it too.
        let serving =
            axum::serve(Cuttable(listener), service).with_graceful_shutdown(async move { shared.closed().await });
        self.servers.push(tokio::spawn(async move {
            if let Err(err) = serving.await {
                tracing::error!(%err, "the simulator serves no more");
            }
        }));
    }

    /// Where it is reached from this computer: what `FLY_API_HOSTNAME` should be.
    #[must_use]
    pub fn url(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.address.port()))
    }

    /// Where machines reach it, as `_api.internal:4280` at Fly.
    #[must_use]
    pub fn internal_url(&self) -> String {
        match &self.shared.network {
            Some(network) => format!("http://[{}]:{}", network.gateway(), self.address.port()),
            None => self.url(),
        }
    }

    /// Where machines reach whoever runs outside of them: a parent in a test.
    #[must_use]
    pub fn parent_ip(&self) -> Ipv6Addr {
        self.shared.network.as_ref().map_or(Ipv6Addr::LOCALHOST, Network::gateway)
    }

    /// Whether machines have network namespaces.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.shared.network.is_some()
    }

    /// What a parent outside would find in its environment if it was a machine, and `FLY_API_HOSTNAME`.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let settings = &self.shared.settings;
        let first = |names: Option<&String>| names.cloned().unwrap_or_default();
        let image = settings.images.keys().find(|reference| !reference.is_empty());
        [
            ("FLY_API_HOSTNAME", self.url()),
            ("FLY_API_TOKEN", settings.token.clone()),
            ("FLY_APP_NAME", first(settings.apps.first())),
            ("FLY_REGION", first(settings.regions.first())),
            ("FLY_IMAGE_REF", image.cloned().unwrap_or_else(|| "registry.fly.io/sim:latest".to_owned())),
            ("FLY_PRIVATE_IP", self.parent_ip().to_string()),
            ("FLY_MACHINE_ID", "00000000000000".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// From now on, this goes wrong.
    pub fn fault(&self, fault: Fault) {
        self.shared.world.lock().faults.add(fault);
    }

    /// The faults that are still told.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.world.lock().faults.all().to_vec()
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.shared.world.lock().faults.clear();
    }

    /// Kills a machine for memory: false if it runs nothing.
    pub fn kill_for_memory(&self, id: &str) -> bool {
        self.shared.kill_for_memory(id)
    }

    /// All machines, destroyed ones too, in the order they were created.
    #[must_use]
    pub fn machines(&self) -> Vec<MachineInfo> {
        let world = self.shared.world.lock();
        let info = |machine: &crate::machine::Machine| MachineInfo {
            id: machine.id.clone(),
            name: machine.name.clone(),
            app: machine.app.clone(),
            region: machine.region.clone(),
            state: machine.state,
            private_ip: machine.private_ip,
            pid: machine.process.map(|process| process.as_raw().cast_unsigned()),
            shown: machine.to_json(),
        };
        world.machines.iter().map(info).collect()
    }

    /// All requests that came, in their order; one that is not answered yet has no status.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.world.lock().requests.clone()
    }

    /// Where requests and answers departed from the contract.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.world.lock().violations.clone()
    }

    /// The lines that machines wrote, each after the name of its machine in brackets.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.shared.world.lock().lines.clone()
    }

    /// Ends it with all its machines, and returns once they are gone.
    pub async fn stop(mut self) {
        self.shared.close();
        for server in self.servers.drain(..) {
            let _ = tokio::time::timeout(LAST_WAIT, server).await;
        }
        let shared = self.shared.clone();
        let waited = tokio::task::spawn_blocking(move || {
            let since = Instant::now();
            for host in std::mem::take(&mut *shared.hosts.lock()) {
                while !host.is_finished() && since.elapsed() < LAST_WAIT {
                    std::thread::sleep(Duration::from_millis(1));
                }
                if host.is_finished() {
                    let _ = host.join();
                }
            }
        });
        let _ = waited.await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.close();
    }
}
