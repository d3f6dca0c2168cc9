//! What can be set of a [`FlyBackend`].

use std::ffi::OsString;

use serde_json::{Value, json};

use crate::FlyBackend;
use crate::settings::{Settings, Size, Token};

impl FlyBackend {
    /// The backend with what the environment of a running machine says.
    ///
    /// That is `FLY_APP_NAME`, `FLY_IMAGE_REF`, `FLY_REGION`, `FLY_MACHINE_ID` and `FLY_PRIVATE_IP`, which Fly sets;
    /// `FLY_API_TOKEN`, a secret of the application; and `FLY_API_HOSTNAME`, for another API than the public one.
    /// Whatever is missing is told when a pool first boots a runner.
    pub fn from_env() -> Self {
        Self::of(Settings::from_environment(|name| std::env::var(name).ok()))
    }

    /// The backend without anything from the environment: [`app`](Self::app), [`image`](Self::image) and
    /// [`token`](Self::token) have to be given.
    pub fn new() -> Self {
        Self::of(Settings::new())
    }

    /// The application whose machines the runners are; by default `FLY_APP_NAME`.
    #[must_use]
    pub fn app(self, name: impl Into<String>) -> Self {
        self.with(|settings| settings.app = Some(name.into()))
    }

    /// The image of the runners, which can differ per pool; by default `FLY_IMAGE_REF`, that of this machine.
    ///
    /// Another image needs the same `Node::builder().build_id(..)` as this one.
    #[must_use]
    pub fn image(self, reference: impl Into<String>) -> Self {
        self.with(|settings| settings.image = Some(reference.into()))
    }

    /// The token for the API; by default `FLY_API_TOKEN`. It is shown nowhere.
    #[must_use]
    pub fn token(self, token: impl AsRef<str>) -> Self {
        self.with(|settings| settings.token = Some(Token::new(token.as_ref())))
    }

    /// Where the API is; by default `FLY_API_HOSTNAME`, or else `https://api.machines.dev`.
    ///
    /// Without a scheme, `https` is meant, but for `_api.internal` and this computer, which have `http`.
    #[must_use]
    pub fn host(self, host: impl Into<String>) -> Self {
        self.with(|settings| settings.host = host.into())
    }

    /// The region of the runners; by default `FLY_REGION`, that of this machine.
    #[must_use]
    pub fn region(self, region: impl Into<String>) -> Self {
        self.with(|settings| settings.region = Some(region.into()))
    }

    /// The regions to try in this order where the first one has no room; by default none.
    ///
    /// [`Event::FellBack`](flame_actors::Event::FellBack) tells of each step.
    #[must_use]
    pub fn fallback_regions<I, S>(self, regions: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.with(|settings| settings.fallback_regions = regions.into_iter().map(Into::into).collect())
    }

    /// The kind of CPU, `shared` or `performance`, which is the default.
    #[must_use]
    pub fn cpu_kind(self, kind: impl Into<String>) -> Self {
        self.with(|settings| settings.size.cpu_kind = kind.into())
    }

    /// The number of CPUs; by default as many as this process has.
    #[must_use]
    pub fn cpus(self, cpus: usize) -> Self {
        self.with(|settings| settings.size.cpus = cpus)
    }

    /// The memory in MiB; 4096 by default.
    #[must_use]
    pub fn memory_mb(self, memory_mb: u32) -> Self {
        self.with(|settings| settings.size.memory_mb = memory_mb)
    }

    /// The kind of GPU, such as `a10` or `l40s`; by default there is none.
    #[must_use]
    pub fn gpu_kind(self, kind: impl Into<String>) -> Self {
        self.with(|settings| {
            settings.size.gpu_kind = Some(kind.into());
            settings.size.gpus.get_or_insert(1);
        })
    }

    /// The number of GPUs; 1 by default where there is a kind.
    #[must_use]
    pub fn gpus(self, gpus: u32) -> Self {
        self.with(|settings| settings.size.gpus = Some(gpus))
    }

    /// The sizes to try in this order, each in all regions, where no region has room for the first; by default none.
    ///
    /// [`Event::FellBack`](flame_actors::Event::FellBack) tells of each step.
    #[must_use]
    pub fn fallback_sizes(self, sizes: impl IntoIterator<Item = Size>) -> Self {
        self.with(|settings| settings.fallback_sizes = sizes.into_iter().collect())
    }

    /// Sets a variable for the runners. Of this process' own they have none but those of `inherit_env`.
    #[must_use]
    pub fn env(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|settings| drop(settings.env.insert(name.into(), value.into())))
    }

    /// Gives the runners these variables of this process, as far as they are set.
    ///
    /// The secrets of the application are not needed here: Fly gives them to each of its machines.
    #[must_use]
    pub fn inherit_env<I, S>(self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let variable = |name: S| Some((name.as_ref().to_owned(), std::env::var(name.as_ref()).ok()?));
        self.with(|settings| settings.env.extend(names.into_iter().filter_map(variable)))
    }

    /// Marks the runners with this, besides what the backend marks them with under `flame_…`.
    #[must_use]
    pub fn metadata(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|settings| drop(settings.metadata.insert(name.into(), value.into())))
    }

    /// The API's `init` object: what runs, instead of what the image says; by default nothing else.
    #[must_use]
    pub fn init(self, init: Value) -> Self {
        self.with(|settings| settings.init = Some(init))
    }

    /// Runners run what this process runs, its executable with its arguments, instead of what the image says.
    ///
    /// For images whose own command is something else, as with `[processes]` in `fly.toml`. It sets
    /// [`init`](Self::init).
    #[must_use]
    pub fn same_command(self) -> Self {
        let program = std::env::current_exe().map(|path| path.to_string_lossy().into_owned()).ok();
        let text = |arg: OsString| arg.to_string_lossy().into_owned();
        let mut args = std::env::args_os().map(text);
        let named = args.next();
        let exec: Vec<String> = program.or(named).into_iter().chain(args).collect();
        self.init(json!({ "exec": exec }))
    }

    /// The API's list of `services` that the runners offer; by default none.
    #[must_use]
    pub fn services(self, services: Value) -> Self {
        self.with(|settings| settings.services = Some(services))
    }

    /// The API's list of `mounts`; by default none.
    #[must_use]
    pub fn mounts(self, mounts: Value) -> Self {
        self.with(|settings| settings.mounts = Some(mounts))
    }

    /// The API's `stop_config` object: with which signal Fly stops a runner, and how long it may take.
    #[must_use]
    pub fn stop_config(self, stop_config: Value) -> Self {
        self.with(|settings| settings.stop_config = Some(stop_config))
    }

    /// Where runners reach this machine; by default `FLY_PRIVATE_IP`. Without that, the node's own settings hold.
    #[must_use]
    pub fn private_ip(self, address: impl Into<String>) -> Self {
        self.with(|settings| settings.private_ip = Some(address.into()))
    }

    /// This machine, whose former life may have left runners behind; by default `FLY_MACHINE_ID`.
    #[must_use]
    pub fn machine_id(self, id: impl Into<String>) -> Self {
        self.with(|settings| settings.machine_id = Some(id.into()))
    }
}
