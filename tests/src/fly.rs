//! Fly.io on this computer: the simulator, one for all trials of an executable.

use std::sync::{LazyLock, OnceLock};

use flame_fly::FlyBackend;
use flame_fly_sim::{Output, Simulator};
use tokio::runtime::{Builder, Runtime};

/// Each pool has an app of its own, and so limits of its own: that they are kept is seen elsewhere.
const APPS: usize = 1000;

static SIMULATOR: OnceLock<Simulator> = OnceLock::new();
/// Not the trials', which may block all its threads.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("the system has a thread to give")
});

fn simulator() -> &'static Simulator {
    SIMULATOR.get_or_init(|| {
        let start =
            Simulator::builder().apps((0..APPS).map(app)).any_image("/proc/self/exe").output(Output::Quiet).start();
        // On a thread without a runtime: the caller's cannot wait for this one.
        let started = std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(start)).join());
        started.expect("it does not panic").expect("the simulator starts")
    })
}

fn app(number: usize) -> String {
    format!("trial-{number}")
}

/// The backend of the pool of this number: machines run this executable.
pub(crate) fn backend(number: usize) -> FlyBackend {
    let simulator = simulator();
    FlyBackend::new()
        .host(simulator.url())
        .app(app(number))
        .token("sim-token")
        .image("registry.fly.io/tests:1")
        .region("fra")
        .cpus(2)
        .private_ip(simulator.parent_ip().to_string())
        .same_command()
}

/// Ends it, if it was needed; says what was wrong with the requests that it got.
pub(crate) fn end() -> Vec<String> {
    let Some(simulator) = SIMULATOR.get() else { return Vec::new() };
    simulator.violations().iter().map(|violation| format!("{violation:?}")).collect()
}
