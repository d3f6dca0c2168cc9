//! The backend: what each question of a pool means on Fly.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flame_actors::{Backend, Boot, BoxFuture, Cause, Error, Instance, InstanceState};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::Api;
use crate::bucket::Action;
use crate::create::{REPEAT_BOUND, create};
use crate::life;
use crate::request::mark;
use crate::retry::{Failure, Kind, repeat};
use crate::settings::Settings;

/// One machine is asked about no more often than this.
const LOOK_PACE: Duration = Duration::from_millis(250);
/// How long callers of a lost runner wait to hear why: Fly takes a moment to notice.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runners on Fly.io Machines that run the same image as this machine.
///
/// On Fly nothing has to be set but the secret `FLY_API_TOKEN`:
///
/// ```no_run
/// use flame_actors::{Error, Node, Pool};
/// use flame_fly::FlyBackend;
///
/// # async fn example() -> Result<(), Error> {
/// let node = Node::start().await?;
/// let backend = FlyBackend::from_env().cpu_kind("shared").cpus(2).memory_mb(1024).inherit_env(["DATABASE_URL"]);
/// let pool = Pool::builder("ffmpeg").max(10).backend(backend).start(&node).await?;
/// if node.is_runner() {
///     return node.serve().await;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Runners connect to this machine's `FLY_PRIVATE_IP`, where the node listens unless
/// [`NodeBuilder::listen`](flame_actors::NodeBuilder::listen) says otherwise. Each has a machine of its own that is
/// destroyed when its process ends, is not started again, is not in the app's DNS and is left alone by `fly deploy`.
///
/// # Errors
///
/// What Fly refuses for good (a missing setting, a wrong token, a wrong app, a quota) is told to callers as
/// [`Error::Config`], with what to do about it, and at once unless the pool has runners that they can wait for. All
/// else is tried again within the pool's `boot_timeout`, which begins when the first request is sent, not while it
/// waits for its turn.
#[derive(Clone)]
pub struct FlyBackend {
    settings: Settings,
    shared: Arc<Shared>,
}

/// What is known only once the first runner is booted.
#[derive(Default)]
struct Shared {
    api: OnceLock<Arc<Api>>,
    machines: Mutex<HashMap<String, Known>>,
}

/// What is known of a machine that the pool has not destroyed.
struct Known {
    next_look: Instant,
    is_gone: bool,
}

impl FlyBackend {
    pub(crate) fn of(settings: Settings) -> Self {
        Self { settings: settings.settled(), shared: Arc::default() }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        Self::of(self.settings)
    }

    fn api(&self) -> Result<Arc<Api>, Error> {
        if let Some(api) = self.shared.api.get() {
            return Ok(Arc::clone(api));
        }
        let api = Arc::new(Api::new(&self.settings.host, &self.settings.complete()?)?);
        Ok(Arc::clone(self.shared.api.get_or_init(|| api)))
    }

    async fn boot_machine(&self, boot: &Boot) -> Result<Instance, Error> {
        let (api, complete) = (self.api()?, self.settings.complete()?);
        let invitation = match complete.private_ip {
            Some(ip) => boot.environment_at(ip).await?,
            None => boot.environment().await?,
        };
        // As long as other boots are before this one, its time does not run.
        boot.untimed(api.turn(Action::Create)).await;
        let machine = self.settings.machine(&complete, boot, invitation);
        let id = create(&api, boot, &machine, &self.settings.places()).await?;
        tracing::debug!(%id, runner = boot.runner(), "created");
        self.shared.machines.lock().insert(id.clone(), Known { next_look: Instant::now() + LOOK_PACE, is_gone: false });
        Ok(Instance::new(id))
    }

    async fn look(&self, id: &str) -> Result<InstanceState, Error> {
        let look = self.shared.machines.lock().get_mut(id).map(|known| {
            let look = known.next_look.max(Instant::now());
            known.next_look = look + LOOK_PACE;
            look
        });
        if let Some(look) = look {
            tokio::time::sleep_until(look).await;
        }
        let api = self.api()?;
        api.turn(Action::Get).await;
        let (state, is_gone) = match api.get(id).await {
            Ok(machine) if machine.has_ended() => (InstanceState::Ended(machine.cause()), machine.is_gone()),
            Ok(_) => (InstanceState::Running, false),
            Err(Failure { kind: Kind::NotFound, .. }) => (InstanceState::Ended(Cause::Destroyed), true),
            Err(failure) => return Err(failure.into()),
        };
        if let Some(known) = self.shared.machines.lock().get_mut(id) {
            known.is_gone = is_gone;
        }
        Ok(state)
    }

    async fn destroy_machine(&self, id: &str) -> Result<(), Error> {
        let is_gone = self.shared.machines.lock().get(id).is_some_and(|known| known.is_gone);
        if !is_gone {
            let api = self.api()?;
            repeat(&api, Action::Destroy, REPEAT_BOUND, || api.destroy(id)).await?;
        }
        self.shared.machines.lock().remove(id);
        Ok(())
    }

    /// Those of this machine whose parent was another process, which has ended.
    async fn left_behind(&self, parent: &str) -> Result<Vec<Instance>, Error> {
        let Some(here) = &self.settings.machine_id else { return Ok(Vec::new()) };
        let (api, lives) = (self.api()?, format!("{parent}-"));
        let machines = repeat(&api, Action::List, REPEAT_BOUND, || api.list(mark::PARENT_MACHINE, here)).await?;
        let left = machines.into_iter().filter(|machine| {
            !machine.is_gone()
                && machine.mark(mark::PARENT).is_some_and(|name| name.starts_with(&lives))
                && machine.mark(mark::PARENT_LIFE).is_some_and(life::is_over)
        });
        Ok(left.map(|machine| Instance::new(machine.id)).collect())
    }
}

impl Backend for FlyBackend {
    fn name(&self) -> &'static str {
        "fly"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        Box::pin(self.boot_machine(boot))
    }

    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.destroy_machine(instance.id()))
    }

    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        Box::pin(self.look(instance.id()))
    }

    fn diagnose<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Option<String>> {
        Box::pin(async {
            let api = self.api().ok()?;
            let machine = repeat(&api, Action::Get, PATIENCE, || api.get(instance.id())).await;
            Some(machine.map_or_else(|err| err.to_string(), |machine| machine.describe(api.app())))
        })
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn list<'a>(&'a self, parent: &'a str) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        Box::pin(self.left_behind(parent))
    }
}

impl Default for FlyBackend {
    fn default() -> Self {
        Self::new()
    }
}

/// Without the token, and without the values of variables, which are where applications have their secrets.
impl fmt::Debug for FlyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { host, app, image, region, size, env, .. } = &self.settings;
        f.debug_struct("FlyBackend")
            .field("host", host)
            .field("app", app)
            .field("image", image)
            .field("region", region)
            .field("size", size)
            .field("env", &env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
