//! The role whose pool has options that do harm: hooks, a placement, a check, a backend.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flame_actors::{Backend, Boot, BoxFuture, Error, Instance, InstanceState, Pool, PoolBuilder, Task, remote, task};
use flame_local::ProcessBackend;
use flame_tests::process::kill;
use flame_tests::{Runners, node, until};

use crate::harm::{Bystanders, case, harm, noting};
use crate::traps::{At, Trap};

/// Whether the time has come for what this process is to suffer.
static ARMED: AtomicBool = AtomicBool::new(false);
/// That long a runner with nothing to do stays, where one is checked.
const IDLE: Duration = Duration::from_millis(300);

/// Does harm if this is the place of this role, once it is armed.
fn at(place: &str) {
    if ARMED.load(Ordering::Relaxed) && case().is_some_and(|case| case == place) {
        harm();
    }
}

/// The bystander has one runner, and the harm concerns a second one.
pub(crate) async fn play() {
    noting(async {
        // A placement is asked where there is a choice: with a slot of two runners free.
        let slots = if case().is_some_and(|case| case == "placement") { 2 } else { 1 };
        let harmed = Runners::Processes.pool().max(2).max_concurrency(slots).backend(Harmful::default());
        let harmed = options(harmed);
        let harmed = harmed.start(&node()).await.expect("the options can work");
        let other = Runners::Processes.start().await;
        let bystanders = Bystanders::begin(&harmed, &other).await;
        ARMED.store(true, Ordering::Relaxed);
        tokio::spawn(provoke(harmed));
        bystanders.unharmed().await
    })
    .await;
}

fn options(pool: PoolBuilder) -> PoolBuilder {
    match &*case().unwrap_or_default() {
        "on_grow_start" => pool.on_grow_start(|_| at("on_grow_start")),
        "on_grow_end" => pool.on_grow_end(|_, _| at("on_grow_end")),
        "on_shrink" => pool.on_shrink(|_| at("on_shrink")),
        "placement" => pool.placement(|runner: &flame_actors::Candidate<'_>| {
            at("placement");
            runner.used() as u64
        }),
        "making an idle check" => pool.idle_shutdown_after(IDLE).idle_shutdown_check(|| {
            at("making an idle check");
            task!([] -> bool { true })
        }),
        "encoding an idle check" => pool.idle_shutdown_after(IDLE).idle_shutdown_check(|| check(At::Encode)),
        "decoding an idle check" => pool.idle_shutdown_after(IDLE).idle_shutdown_check(|| check(At::Decode)),
        _ => pool,
    }
}

fn check(at: At) -> Task<bool> {
    may_go(Trap::new(at))
}

#[remote]
async fn may_go(_trap: Trap) -> bool {
    true
}

/// A second runner comes, works, and is killed, drained or has nothing to do; errors are the victims'.
async fn provoke(pool: Pool) {
    if case().is_some_and(|case| case == "placement") {
        pool.resize(2, 2).expect("it is open");
        until("two runners", || pool.status().runners.len() == 2).await;
    }
    let call = pool.call(task!([] -> u32 { std::process::id() })).await;
    match &*case().unwrap_or_default() {
        case if ["inspect", "destroy", "diagnose"].iter().any(|asked| case.starts_with(asked)) => {
            if let Ok(pid) = call {
                kill(pid);
            }
        }
        "list" | "list, awaited" => {
            let more = Runners::Processes.pool().backend(Harmful::default()).start(&node()).await;
            if let Ok(pool) = more {
                pool.shutdown().await;
            }
        }
        case if case.contains("idle") => {}
        _ => {
            let _ = pool.resize(0, 1);
        }
    }
}

/// Processes, from a backend that does harm where the case says so, and whether one of them was killed.
#[derive(Debug, Default)]
struct Harmful(ProcessBackend, AtomicBool);

impl Backend for Harmful {
    fn name(&self) -> &'static str {
        "harmful"
    }

    fn boot<'a>(&'a self, boot: &'a Boot) -> BoxFuture<'a, Result<Instance, Error>> {
        at("boot");
        Box::pin(async {
            at("boot, awaited");
            let instance = self.0.boot(boot).await?;
            let is_ill = case().is_some_and(|case| case.starts_with("diagnose"));
            if is_ill && ARMED.load(Ordering::Relaxed) && !self.1.swap(true, Ordering::Relaxed) {
                // Which is looked into, as a boot that has failed.
                kill(instance.id().parse().expect("the id of a process"));
            }
            Ok(instance)
        })
    }

    fn destroy<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Error>> {
        at("destroy");
        Box::pin(async {
            at("destroy, awaited");
            self.0.destroy(instance).await
        })
    }

    fn inspect<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<InstanceState, Error>> {
        at("inspect");
        Box::pin(async {
            at("inspect, awaited");
            self.0.inspect(instance).await
        })
    }

    fn diagnose<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Option<String>> {
        at("diagnose");
        Box::pin(async {
            at("diagnose, awaited");
            self.0.diagnose(instance).await
        })
    }

    fn list<'a>(&'a self, parent: &'a str) -> BoxFuture<'a, Result<Vec<Instance>, Error>> {
        at("list");
        Box::pin(async {
            at("list, awaited");
            self.0.list(parent).await
        })
    }
}
