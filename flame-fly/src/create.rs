//! One machine, created once: in a place that has room, and found again when the answer was lost.

use std::sync::Arc;
use std::time::Duration;

use flame_actors::{Boot, Error};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::api::Api;
use crate::bucket::Action;
use crate::doctor::Machine;
use crate::request::{self, Place, mark};
use crate::retry::{Failure, Kind, Retry, repeat};

/// How long a machine that was asked for and given up is looked for, and how often: it may come late.
const LOOKS: [Duration; 5] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// How long one of these looks, or the destruction of a machine, may take with all its repetitions.
pub(crate) const REPEAT_BOUND: Duration = Duration::from_secs(30);

/// Creates the machine of this boot in the first of these places that has room, within the boot's time. The first turn
/// has been waited for.
pub(crate) async fn create(
    api: &Arc<Api>,
    boot: &Boot,
    machine: &Value,
    places: &[Place<'_>],
) -> Result<String, Error> {
    let mut asked =
        Asked { api: Arc::clone(api), runner: boot.runner().to_owned(), maybe: false, handle: Handle::current() };
    let mut retry = Retry::until(Instant::from_std(boot.deadline()));
    let (mut place, mut has_turn) = (0, true);
    loop {
        let here = request::at(machine, &places[place]);
        let failure = match retry.attempt(asked.once(&here, has_turn)).await {
            Ok(id) => return Ok(id),
            Err(failure) => failure,
        };
        has_turn = false;
        if failure.may_be_done()
            && let Ok(Some(machine)) = retry.attempt(find_in_turn(api, boot.runner())).await
        {
            asked.maybe = false;
            return Ok(machine.id);
        }
        let next = place + 1;
        if failure.kind == Kind::NoCapacity && next < places.len() {
            tracing::info!(from = %places[place], to = %places[next], %failure, "no capacity");
            boot.fell_back(places[place].to_string(), places[next].to_string(), failure.text);
            place = next;
            continue;
        }
        retry.after(failure).await?;
        place = 0;
    }
}

/// The machine of this runner, if there is one.
async fn find(api: &Api, runner: &str) -> Result<Option<Machine>, Failure> {
    // The turn is taken by the caller.
    Ok(api.list(mark::RUNNER, runner).await?.into_iter().find(|machine| !machine.is_gone()))
}

async fn find_in_turn(api: &Api, runner: &str) -> Result<Option<Machine>, Failure> {
    api.turn(Action::List).await;
    find(api, runner).await
}

/// A machine that was asked for. Dropped before it is known whether it came to be, it is destroyed as soon as it does.
struct Asked {
    api: Arc<Api>,
    runner: String,
    /// It may have come to be.
    maybe: bool,
    handle: Handle,
}

impl Asked {
    async fn once(&mut self, machine: &Value, has_turn: bool) -> Result<String, Failure> {
        if !has_turn {
            self.api.turn(Action::Create).await;
        }
        let before = std::mem::replace(&mut self.maybe, true);
        let created = self.api.create(machine).await;
        // Refused, it leaves what was before.
        self.maybe = match &created {
            Ok(_) => false,
            Err(failure) => before || failure.may_be_done(),
        };
        Ok(created?.id)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.maybe {
            self.handle.spawn(forget(Arc::clone(&self.api), std::mem::take(&mut self.runner)));
        }
    }
}

async fn forget(api: Arc<Api>, runner: String) {
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        match repeat(&api, Action::List, REPEAT_BOUND, || find(&api, &runner)).await {
            Ok(None) => {}
            Ok(Some(machine)) => {
                let Machine { id, name, .. } = machine;
                match repeat(&api, Action::Destroy, REPEAT_BOUND, || api.destroy(&id)).await {
                    Ok(()) => tracing::info!(%id, %name, "a machine that nobody waits for any more was destroyed"),
                    Err(err) => tracing::error!(%err, %id, %name, "a machine may have been left behind"),
                }
                return;
            }
            Err(err) => tracing::error!(%err, %runner, "cannot look for a machine that may have been left behind"),
        }
    }
}
