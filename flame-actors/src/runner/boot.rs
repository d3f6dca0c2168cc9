//! From nothing to a runner that serves, and the instance that it lives in.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

use super::agent::Agent;
use super::{Runner, Work};
use crate::backend::{Backend, Boot, Instance, InstanceState, Joining};
use crate::descriptors::{self, shortage};
use crate::error::{Cause, Error};
use crate::node::lease::Side;
use crate::node::link::Link;
use crate::node::{route, runtime};
use crate::report::report;
use crate::telemetry::BootSpan;
use crate::{Node, files};

/// How long a runner that was refused has to say so.
const REFUSED_GRACE: Duration = Duration::from_secs(2);

impl Runner {
    /// Boots one runner and waits until it serves, for `bound` at the most.
    ///
    /// Whatever goes wrong, and when this future is dropped, the instance is destroyed; `hold` is dropped after that.
    pub(crate) async fn boot(
        id: u64,
        backend: Arc<dyn Backend>,
        boot: Boot,
        bound: Duration,
        hold: mpsc::Sender<Infallible>,
        span: BootSpan,
    ) -> Result<Arc<Self>, Error> {
        let (boot, failed) = (Arc::new(boot), {
            let name = backend.name();
            move |reason| Error::Backend { backend: name.to_owned(), reason }
        });
        if boot.node().raises_descriptor_limit() {
            descriptors::raise_limit();
        }
        runtime::start_for_boots().map_err(|err| failed(shortage(&err).unwrap_or_else(|| err.to_string())))?;
        let accepted = runtime::foreign({
            let boot = Arc::clone(&boot);
            async move {
                let span = span.open(boot.pool(), boot.runner());
                let instance = backend.boot(&boot).instrument(span).await?;
                // Made here, so that an instance that comes too late is destroyed.
                Ok::<_, Error>(Unfinished::new(Hosted { backend, instance }, hold))
            }
        });
        let accepted = boot.clock().bound(accepted).await;
        let accepted = accepted.ok_or_else(|| failed(format!("the instance was not accepted within {bound:?}")))?;
        let mut unfinished = accepted.map_err(|panic| failed(format!("panicked: {panic}")))??;
        let (ready, leaving) = (watch::Sender::new(false), watch::Sender::new(false));
        let work = Arc::new(Work { ready, leaving, under_way: Mutex::default() });
        let up = boot.clock().bound(unfinished.come_up(&boot, &work)).await;
        match up.unwrap_or_else(|| Err(unfinished.late(bound))) {
            Ok(link) => {
                let (node, hosted) = (Arc::clone(boot.runner_name()), unfinished.finish());
                let (leaving, gone) = (AtomicBool::new(false), watch::Sender::new(false));
                Ok(Arc::new(Self { id, node, hosted, link, work, leaving, gone }))
            }
            Err(err) => Err(unfinished.hosted().explain(err).await),
        }
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
        let destroyed = self.asked(|backend, instance| async move { backend.destroy(&instance).await }).await;
        if let Err(err) = destroyed.flatten() {
            let instance = self.instance.id().to_owned();
            report!(ERROR, %err, instance, "an instance may have been left behind");
        }
    }

    /// A backend is not ours: it may block, and its panic is an error like others.
    async fn asked<F>(&self, ask: impl FnOnce(Arc<dyn Backend>, Instance) -> F) -> Result<F::Output, Error>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let answer = runtime::foreign(ask(Arc::clone(&self.backend), self.instance.clone())).await;
        answer.map_err(|panic| self.failed(format!("panicked: {panic}")))
    }

    /// Waits until the backend says that the instance has ended; `None` when it cannot tell.
    pub(super) async fn ended(&self) -> Option<Cause> {
        let mut pause = Duration::from_millis(2);
        loop {
            let state = self.asked(|backend, instance| async move { backend.inspect(&instance).await }).await;
            match state.flatten() {
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
        tokio::time::timeout(self.backend.patience(), self.ended()).await.ok().flatten().unwrap_or(cause)
    }

    fn failed(&self, reason: String) -> Error {
        Error::Backend { backend: self.backend.name().to_owned(), reason }
    }

    /// Adds what the backend knows to the error of a boot, where that has room for it.
    pub(super) async fn explain(&self, mut err: Error) -> Error {
        if let Error::Backend { reason, .. } | Error::Join(reason) = &mut err {
            let diagnosed = self.asked(|backend, instance| async move { backend.diagnose(&instance).await });
            let known = tokio::time::timeout(self.backend.patience(), diagnosed).await;
            if let Ok(Ok(Some(known))) = known {
                reason.push_str("; ");
                reason.push_str(&known);
            }
        }
        err
    }
}

/// Destroys an instance whose boot was not finished.
struct Unfinished {
    hosted: Option<Hosted>,
    hold: mpsc::Sender<Infallible>,
    /// What it has to end by itself.
    grace: Duration,
    link: Option<Arc<Link>>,
    /// Whether the files that it brings along are there.
    has_files: bool,
}

impl Unfinished {
    fn new(hosted: Hosted, hold: mpsc::Sender<Infallible>) -> Self {
        Self { hosted: Some(hosted), hold, grace: Duration::ZERO, link: None, has_files: false }
    }

    /// Waits until the instance has joined and serves.
    async fn come_up(&mut self, boot: &Boot, work: &Arc<Work>) -> Result<Arc<Link>, Error> {
        let node = boot.runner_name();
        let link = match boot.joining() {
            None => {
                let reason = "boot() did not ask for the environment of the runner".to_owned();
                return Err(self.hosted().failed(reason));
            }
            Some(Joining::InProcess) => {
                let agent = Agent::start(Arc::clone(node), boot.app().clone(), boot.shutdown_timeout());
                let (near, far) = Link::in_memory(node, Arc::clone(work) as _, Arc::new(Arc::clone(&agent)));
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
                            self.grace = REFUSED_GRACE;
                            return Err(err);
                        }
                    },
                    Some(cause) = self.hosted().ended() => {
                        return Err(self.hosted().failed(format!("the instance ended before it joined: {cause}")));
                    }
                };
                let (runner, process) = (Arc::clone(node), joined.process);
                report!(DEBUG, %runner, process, "joined");
                let link = Link::over_wire(Arc::clone(node), Side::Parent, boot.node().lease(), Arc::clone(work) as _);
                route::add_runner(&link);
                link.start(joined.stream);
                runtime::spawn(tie_session(boot.node().clone(), Arc::clone(&link)));
                link
            }
        };
        self.link = Some(Arc::clone(&link));
        let mut ready = work.ready.subscribe();
        let serves = async {
            // The sender lives in `work`.
            let _ = ready.wait_for(|ready| *ready).await;
            Ok(())
        };
        let has_files = &mut self.has_files;
        let copied = async {
            files::copy(boot.files(), &link, work).await?;
            *has_files = true;
            Ok(())
        };
        tokio::select! {
            // First, since it tells more of what went wrong.
            biased;
            up = futures_util::future::try_join(copied, serves) => up.map(|_| link),
            cause = link.wait_closed() => {
                let cause = self.hosted().find_cause(cause).await;
                Err(self.hosted().failed(format!("the runner joined and never served: {cause}")))
            }
        }
    }

    /// The error of a boot that took longer than this.
    fn late(&self, bound: Duration) -> Error {
        let what = match (&self.link, self.has_files) {
            (None, _) => "the runner did not join",
            (Some(_), false) => "the runner joined, and the files that are copied to it were not there",
            (Some(_), true) => "the runner joined and did not serve",
        };
        self.hosted().failed(format!("{what} within {bound:?}"))
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
