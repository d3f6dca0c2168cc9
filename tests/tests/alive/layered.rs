//! The role that has a `tracing` layer that does harm, here or on a runner.

use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicBool, Ordering};

use flame_actors::{FLAME_PARENT, Pool, remote, task};
use flame_tests::Runners;
use flame_tests::process::kill;
use parking_lot::Mutex;
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::harm::{Bystanders, case, harm, noting};

static ARMED: AtomicBool = AtomicBool::new(false);

/// Has the layer of the case, if that is one of this process.
pub(crate) fn install() {
    let place = if std::env::var_os(FLAME_PARENT).is_some() { " there" } else { " here" };
    let case = case().unwrap_or_default();
    if let Some(at) = case.strip_suffix(place).filter(|at| at.starts_with("on_")) {
        let layer = Harmful { at: at.to_owned(), gate: Mutex::new(()) };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber).expect("it is the first");
    }
}

/// Like one that writes under a lock: whoever comes meanwhile waits.
struct Harmful {
    at: String,
    gate: Mutex<()>,
}

impl Harmful {
    fn at(&self, place: &str, metadata: &Metadata<'_>) {
        if self.at == place && ARMED.load(Ordering::Relaxed) && metadata.target().starts_with("flame") {
            let _gate = self.gate.lock();
            harm();
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Harmful {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.at("on_event", event.metadata());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.at("on_new_span", attributes.metadata());
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(metadata) = context.metadata(id) {
            self.at("on_enter", metadata);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(metadata) = context.metadata(&id) {
            self.at("on_close", metadata);
        }
    }
}

#[remote]
async fn arm() {
    ARMED.store(true, Ordering::Relaxed);
    if let Some(nested) = Pool::named("nested") {
        provoke(nested).await;
    }
}

/// Spans of a call, and a line about a runner that was killed; errors are the victims'.
async fn provoke(pool: Pool) {
    if let Ok(pid) = pool.call(task!([] -> u32 { std::process::id() })).await {
        kill(pid);
    }
    let _ = pool.call(task!([] {})).await;
}

/// A third pool is the victim: of the runner, or of the role.
pub(crate) async fn play() {
    noting(async {
        let (harmed, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
        let bystanders = Bystanders::begin(&harmed, &other).await;
        if case().is_some_and(|case| case.ends_with(" there")) {
            tokio::spawn(harmed.call(arm()).into_future());
        } else {
            let victim = Runners::Processes.start().await;
            ARMED.store(true, Ordering::Relaxed);
            tokio::spawn(provoke(victim));
        }
        bystanders.unharmed().await
    })
    .await;
}
