//! From nothing to a runner that serves, and the instance that it lives in.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::agent::Agent;
use super::{Runner, Work};
use crate::Node;
use crate::backend::{Backend, Boot, Instance, InstanceState, Joining};
use crate::error::{Cause, Error, panic_text};
use crate::node::link::Link;
use crate::node::{route, runtime};

/// How long the reason of a loss is looked for before callers are told what is known.
const INSPECT_BOUND: Duration = Duration::from_millis(500);

/// How long a runner that was refused has to say so.
const REFUSED_GRACE: Duration = Duration::from_secs(2);

impl Runner {
    /// Boots one runner and waits until it serves.
    ///
    /// Whatever goes wrong, and when this future is dropped, the instance is destroyed; `hold` is dropped after that.
    /// `joined` is set when the runner has a link.
    pub(crate) async fn boot(
        id: u64,
        backend: Arc<dyn Backend>,
        boot: Boot,
        hold: mpsc::Sender<Infallible>,
        joined: &AtomicBool,
    ) -> Result<Arc<Self>, Error> {
        let failed = |reason: String| Error::Backend { backend: backend.name().to_owned(), reason };
        let instance = backend.boot(&boot).await?;
        let mut unfinished = Unfinished::new(Hosted { backend: Arc::clone(&backend), instance }, hold);
        let work = Arc::new(Work { ready: watch::Sender::new(false), under_way: Mutex::default() });
        let node = Arc::clone(boot.runner_name());
        let link = match boot.joining() {
            None => return Err(failed("boot() did not ask for the environment of the runner".to_owned())),
            Some(Joining::InProcess) => {
                let agent = Agent::start(Arc::clone(&node), boot.app().clone(), boot.shutdown_timeout());
                let (near, far) = Link::in_memory(&node, Arc::clone(&work) as _, Arc::new(Arc::clone(&agent)));
                agent.attach_owned(far);
                agent.ready();
                near
            }
            Some(Joining::Remote(mut expectation)) => {
                let joined = tokio::select! {
                    // First, since a runner that was refused ends soon after.
                    biased;
                    joined = expectation.joined() => match joined {
                        Ok(joined) => joined,
                        Err(err) => {
                            // It has been told why, and logs that before it ends.
                            unfinished.grace = REFUSED_GRACE;
                            return Err(err);
                        }
                    },
                    Some(cause) = unfinished.hosted().ended() => {
                        return Err(failed(format!("the instance ended before it joined: {cause}")));
                    }
                };
                tracing::debug!(runner = %node, process = joined.process, "joined");
                let link = Link::over_wire(Arc::clone(&node), boot.node().lease(), Arc::clone(&work) as _);
                route::add_runner(&link);
                link.start(joined.stream);
                runtime::spawn(tie_session(boot.node().clone(), Arc::clone(&link)));
                link
            }
        };
        unfinished.link = Some(Arc::clone(&link));
        joined.store(true, Ordering::Relaxed);
        let mut ready = work.ready.subscribe();
        tokio::select! {
            () = async { drop(ready.wait_for(|ready| *ready).await) } => {}
            cause = link.wait_closed() => {
                let cause = unfinished.hosted().find_cause(cause).await;
                return Err(failed(format!("the runner joined and never served: {cause}")));
            }
        }
        let hosted = unfinished.finish();
        let (leaving, gone) = (AtomicBool::new(false), watch::Sender::new(false));
        Ok(Arc::new(Self { id, node, hosted, link, work, leaving, gone }))
    }
}

/// Losing either connection loses the node.
async fn tie_session(node: Node, link: Arc<Link>) {
    let Ok(session) = node.session().await else { return link.close(Cause::ConnectionClosed) };
    tokio::select! {
        () = session.closed(link.peer()) => link.close(Cause::ConnectionClosed),
        _ = link.wait_closed() => {}
    }
    session.close(link.peer());
}

/// An instance and the backend that knows it.
#[derive(Debug)]
pub(super) struct Hosted {
    backend: Arc<dyn Backend>,
    instance: Instance,
}

impl Hosted {
    pub(super) fn id(&self) -> &str {
        self.instance.id()
    }

    pub(super) async fn destroy(&self) {
        if let Err(err) = self.asked(async { self.backend.destroy(&self.instance).await }).await {
            tracing::error!(%err, instance = self.instance.id(), "an instance may have been left behind");
        }
    }

    /// A backend is not ours: its panic is an error like others.
    async fn asked<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| {
            let reason = format!("panicked: {}", panic_text(&*panic));
            Err(Error::Backend { backend: self.backend.name().to_owned(), reason })
        })
    }

    /// Waits until the backend says that the instance has ended; `None` when it cannot tell.
    pub(super) async fn ended(&self) -> Option<Cause> {
        let mut pause = Duration::from_millis(2);
        loop {
            match self.asked(async { self.backend.inspect(&self.instance).await }).await {
                Ok(InstanceState::Ended(cause)) => return Some(cause),
                Ok(InstanceState::Unknown) => return None,
                Ok(InstanceState::Running) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// A closed connection says little; the backend may know more.
    pub(super) async fn find_cause(&self, cause: Cause) -> Cause {
        if cause != Cause::ConnectionClosed {
            return cause;
        }
        tokio::time::timeout(INSPECT_BOUND, self.ended()).await.ok().flatten().unwrap_or(cause)
    }
}

/// Destroys an instance whose boot was not finished.
struct Unfinished {
    hosted: Option<Hosted>,
    hold: mpsc::Sender<Infallible>,
    /// What it has to end by itself.
    grace: Duration,
    link: Option<Arc<Link>>,
}

impl Unfinished {
    fn new(hosted: Hosted, hold: mpsc::Sender<Infallible>) -> Self {
        Self { hosted: Some(hosted), hold, grace: Duration::ZERO, link: None }
    }

    fn hosted(&self) -> &Hosted {
        self.hosted.as_ref().expect("it is there until it is finished")
    }

    fn finish(mut self) -> Hosted {
        self.hosted.take().expect("it is there until it is finished")
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(hosted) = self.hosted.take() else { return };
        if let Some(link) = &self.link {
            link.close(Cause::Stopped);
        }
        let (grace, hold) = (self.grace, self.hold.clone());
        runtime::spawn(async move {
            let _ = tokio::time::timeout(grace, hosted.ended()).await;
            hosted.destroy().await;
            drop(hold);
        });
    }
}
