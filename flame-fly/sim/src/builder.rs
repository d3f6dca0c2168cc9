//! Says what to simulate.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;

use crate::Simulator;
use crate::limits::Limits;
use crate::network::Network;
use crate::world::{Settings, Shared};

/// Whether machines get network namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// Where it is possible.
    #[default]
    WherePossible,
    /// Always: [`Builder::start`] fails where it is not possible.
    Required,
    /// Never: machines are plain processes, and their private address is `::1`.
    Off,
}

/// What happens to the lines that machines write. They are kept in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Output {
    /// They go to standard error, each after the machine's name.
    #[default]
    Forward,
    /// They are not shown.
    Quiet,
}

/// Says what to simulate. The default has one app `sim` with the token `sim-token`.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    listen: SocketAddr,
    network: Option<[u16; 2]>,
    isolation: Isolation,
    settings: Settings,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            network: None,
            isolation: Isolation::default(),
            settings: Settings {
                token: "sim-token".to_owned(),
                apps: BTreeSet::from(["sim".to_owned()]),
                forbidden_apps: BTreeSet::new(),
                regions: texts(&["iad", "ord", "fra", "ams", "lhr"]),
                images: BTreeMap::new(),
                secrets: BTreeMap::new(),
                limits: Some(Limits::default()),
                machine_quota: None,
                memory_quota_mb: None,
                output: Output::default(),
            },
        }
    }

    /// Serves here: by default on a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Whether machines get network namespaces; by default where it is possible.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// The private network is `fdaa:<high>:<low>:a7b::/64`; by default a random one.
    ///
    /// Only one simulator may have the same at a time.
    pub fn network(mut self, high: u16, low: u16) -> Self {
        self.network = Some([high, low]);
        self
    }

    /// The token that is good; `sim-token` by default.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.settings.token = token.into();
        self
    }

    /// The apps that there are; `sim` by default.
    pub fn apps<S: Into<String>>(mut self, apps: impl IntoIterator<Item = S>) -> Self {
        self.settings.apps = apps.into_iter().map(Into::into).collect();
        self
    }

    /// An app that there is, but not for this token: 403.
    pub fn forbidden_app(mut self, app: impl Into<String>) -> Self {
        self.settings.forbidden_apps.insert(app.into());
        self
    }

    /// The regions that there are; the first is for those who name none. By default `iad`, `ord`, `fra`, `ams`, `lhr`.
    ///
    /// # Panics
    ///
    /// Without any region.
    pub fn regions<S: Into<String>>(mut self, regions: impl IntoIterator<Item = S>) -> Self {
        self.settings.regions = regions.into_iter().map(Into::into).collect();
        assert!(!self.settings.regions.is_empty(), "a simulator has a region");
        self
    }

    /// An image is this executable. There is none by default.
    pub fn image(mut self, reference: impl Into<String>, executable: impl Into<PathBuf>) -> Self {
        let executable = executable.into().to_string_lossy().into_owned();
        self.settings.images.insert(reference.into(), vec![executable]);
        self
    }

    /// All images that are not named are this executable.
    pub fn any_image(self, executable: impl Into<PathBuf>) -> Self {
        self.image("", executable)
    }

    /// A variable in the environment of all machines, as a secret of an app is.
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.secrets.insert(name.into(), value.into());
        self
    }

    /// How often things may be asked; by default as often as at Fly, and with `None` as often as one likes.
    pub fn limits(mut self, limits: impl Into<Option<Limits>>) -> Self {
        self.settings.limits = limits.into();
        self
    }

    /// An app may have so many machines, then 422. Without bound by default.
    pub fn machine_quota(mut self, machines: usize) -> Self {
        self.settings.machine_quota = Some(machines);
        self
    }

    /// The machines of an app may have so much memory in a region, then 403. Without bound by default.
    pub fn memory_quota_mb(mut self, megabytes: u64) -> Self {
        self.settings.memory_quota_mb = Some(megabytes);
        self
    }

    /// What happens to the lines that machines write; by default they are shown.
    pub fn output(mut self, output: Output) -> Self {
        self.settings.output = output;
        self
    }

    /// Starts it on the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// If its address is taken, or if namespaces are required and not possible.
    pub async fn start(self) -> io::Result<Simulator> {
        let network = match self.isolation {
            Isolation::Off => None,
            isolation => {
                let prefix = self.network;
                let started = tokio::task::spawn_blocking(move || Network::start(prefix)).await;
                match started.map_err(io::Error::other).flatten() {
                    Ok(network) => Some(network),
                    Err(err) if isolation == Isolation::Required => return Err(err),
                    Err(err) => {
                        tracing::info!(%err, "no network namespaces: machines are plain processes on ::1");
                        None
                    }
                }
            }
        };
        let listener = TcpListener::bind(self.listen).await?;
        let address = listener.local_addr()?;
        let gateway = network.as_ref().map(Network::gateway);
        let shared = Shared::new(self.settings, network);
        let mut simulator = Simulator::new(shared, address);
        simulator.serve(listener);
        // Who listens everywhere listens there too.
        if let Some(gateway) = gateway.filter(|_| !address.ip().is_unspecified()) {
            simulator.serve(TcpListener::bind((gateway, address.port())).await?);
        }
        Ok(simulator)
    }
}
