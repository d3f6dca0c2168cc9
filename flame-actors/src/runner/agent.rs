//! What runs on the runner: takes tasks and placements from the link and reports how they end.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use ractor::{ActorCell, ActorRef, ActorRuntime};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::outbox::{self, Outbox};
use super::supervisor::{Ended, Supervisor, SupervisorMsg};
use super::terminator::{Terminator, TerminatorMsg};
use crate::error::{Cause, ChildError, Error, Stage, panic_text};
use crate::node::frame::{Exit, Frame, Order};
use crate::node::link::{Link, Role};
use crate::node::route;
use crate::node::runtime;
use crate::place::{Identity, Saving};
use crate::registry::{Body, Output, TaskEntry};
use crate::report::report;
use crate::task::cancelled::Run;
use crate::task::context::on_runner;
use crate::{MAX_MESSAGE_BYTES, files, registry, telemetry};

pub(crate) struct Agent {
    /// This runner's node name.
    node: Arc<str>,
    /// Where the application's work runs.
    app: Handle,
    link: OnceLock<LinkHold>,
    work: Mutex<Work>,
    supervisor: ActorRef<SupervisorMsg>,
    terminator: OnceLock<ActorRef<TerminatorMsg>>,
    leaving: AtomicBool,
    orphaned: AtomicBool,
    stopped: watch::Sender<bool>,
}

/// On the wire the connection's own tasks hold the link; in memory nobody else does.
enum LinkHold {
    Weak(Weak<Link>),
    Owned(Mutex<Option<Arc<Link>>>),
}

#[derive(Default)]
struct Work {
    tasks: HashMap<u64, Doing>,
    starting: HashMap<u64, Doing>,
    children: HashMap<u64, PlacedChild>,
    /// The placement of a child, by its pid.
    pids: HashMap<u64, u64>,
    /// Children that ended before their start was entered.
    early: HashMap<u64, Exit>,
}

struct Doing {
    end: End,
    linked: bool,
    /// It was told to end; a start that does not yield comes to life all the same, and ends then.
    condemned: bool,
    /// Of a task that yields.
    outbox: Option<Arc<Outbox>>,
}

/// How to end it.
#[derive(Clone, Default)]
struct End {
    /// A task's; told first, so that what blocks hears of it as well.
    run: Option<Arc<Run>>,
    /// `None` for the moment in which it is spawned.
    abort: Option<AbortHandle>,
}

impl End {
    fn now(self) {
        if let Some(run) = self.run {
            run.cancel();
        }
        if let Some(abort) = self.abort {
            abort.abort();
        }
    }
}

struct PlacedChild {
    cell: ActorCell,
    linked: bool,
}

impl Agent {
    pub(crate) fn start(node: Arc<str>, app: Handle, shutdown_timeout: Duration) -> Arc<Self> {
        Self::start_on(runtime::work(), node, app, shutdown_timeout)
    }

    /// The same with its own actors on another runtime than ours.
    pub(super) fn start_on(runtime: &Handle, node: Arc<str>, app: Handle, shutdown_timeout: Duration) -> Arc<Self> {
        let _runtime = runtime.enter();
        let unnamed = "it has no name that could be taken";
        let agent = Arc::new_cyclic(|agent: &Weak<Self>| {
            let (supervisor, _) =
                ActorRuntime::spawn_instant(None, Supervisor { agent: Weak::clone(agent) }, ()).expect(unnamed);
            Self {
                node,
                app,
                link: OnceLock::new(),
                work: Mutex::default(),
                supervisor,
                terminator: OnceLock::new(),
                leaving: AtomicBool::new(false),
                orphaned: AtomicBool::new(false),
                stopped: watch::Sender::new(false),
            }
        });
        let terminator = Terminator { agent: Arc::downgrade(&agent), shutdown_timeout };
        let (terminator, _) = ActorRuntime::spawn_instant(None, terminator, ()).expect(unnamed);
        let _ = agent.terminator.set(terminator);
        agent
    }

    pub(crate) fn attach(&self, link: &Arc<Link>) {
        let _ = self.link.set(LinkHold::Weak(Arc::downgrade(link)));
    }

    pub(crate) fn attach_owned(&self, link: Arc<Link>) {
        let _ = self.link.set(LinkHold::Owned(Mutex::new(Some(link))));
    }

    fn link(&self) -> Option<Arc<Link>> {
        match self.link.get()? {
            LinkHold::Weak(link) => link.upgrade(),
            LinkHold::Owned(link) => link.lock().clone(),
        }
    }

    fn send(&self, frame: Frame, body: Bytes) {
        // On a closed link nobody waits for it any more.
        if let Some(link) = self.link()
            && let Err(err) = link.send(frame, body)
        {
            report!(DEBUG, %err, "not reported to the parent");
        }
    }

    /// Tells the parent that the application is up.
    pub(crate) fn ready(&self) {
        self.send(Frame::Ready, Bytes::new());
    }

    // ---- tasks ----

    fn run(
        self: &Arc<Self>,
        id: u64,
        task: String,
        args: Bytes,
        bound: Option<Duration>,
        linked: bool,
        window: Option<u32>,
    ) {
        let Some(entry) = registry::task(&task) else {
            let outcome = Err(Error::UnknownTask(task));
            return self.send(Frame::Ran { id, outcome, has_streams: false }, Bytes::new());
        };
        let outbox = window.map(|window| Outbox::new(id, window));
        // From now on, as for the caller, however long it takes until a thread is free.
        let deadline = bound.and_then(|after| Some((after, Instant::now().checked_add(after)?)));
        let run = Run::new(deadline.map(|(_, deadline)| deadline));
        let report = Report { agent: Arc::clone(self), id, run: Arc::clone(&run), outcome: None };
        let end = End { run: Some(Arc::clone(&run)), abort: None };
        // Entered before it can end, which is at once on a runtime that shuts down.
        self.work.lock().tasks.insert(id, Doing { end, linked, condemned: false, outbox: outbox.clone() });
        let doing = self.app.spawn(on_runner(Arc::clone(&self.node), Some(run), async move {
            let mut report = report;
            let body =
                report.agent.body(entry, args, &task, outbox).instrument(telemetry::run(&task, &report.agent.node));
            let mut body = AssertUnwindSafe(body).catch_unwind();
            let result = match deadline {
                None => body.await,
                Some((after, deadline)) => match tokio::time::timeout_at(deadline, &mut body).await {
                    Ok(result) => result,
                    Err(_) => {
                        // Before the body is dropped.
                        report.run.cancel();
                        Ok(Err(Error::Timeout { stage: Stage::Running, after, what: task.clone() }))
                    }
                },
            };
            report.outcome = Some(match result {
                Ok(output) => {
                    report.run.complete();
                    output.map(|Output { bytes, has_streams }| (bytes, has_streams))
                }
                Err(panic) => Err(Error::Panicked(panic_text(panic))),
            });
        }));
        if let Some(entered) = self.work.lock().tasks.get_mut(&id) {
            entered.end.abort = Some(doing.abort_handle());
            if entered.condemned {
                // While it was being spawned, as other threads can have it in process.
                doing.abort();
            }
        }
    }

    /// The result of a task; one that yields gives its items to its outbox, and returns nothing.
    fn body(
        self: &Arc<Self>,
        entry: &'static TaskEntry,
        args: Bytes,
        task: &str,
        outbox: Option<Arc<Outbox>>,
    ) -> BoxFuture<'static, Result<Output, Error>> {
        match (&entry.body, outbox) {
            (Body::Returns(run), None) => run(args),
            (Body::Yields(items), Some(outbox)) => {
                let agent = Arc::clone(self);
                Box::pin(async move {
                    outbox::fill(&outbox, items(args)?, || agent.send_from(&outbox)).await?;
                    Ok(Output::default())
                })
            }
            // The types at the parent do not let it ask for this.
            (Body::Returns(_), Some(_)) | (Body::Yields(_), None) => {
                ready(Err(Error::UnknownTask(task.to_owned()))).boxed()
            }
        }
    }

    fn send_from(&self, outbox: &Arc<Outbox>) {
        if let Some(link) = self.link()
            && let Err(err) = link.send_from(Arc::clone(outbox) as _)
        {
            report!(DEBUG, %err, "not sent to the parent");
        }
    }

    fn ran(&self, id: u64, outcome: Result<(Bytes, bool), Error>) {
        let (outcome, (body, has_streams)) = match outcome {
            Ok(output) => (Ok(()), output),
            Err(err) => (Err(err), (Bytes::new(), false)),
        };
        match self.outbox(id) {
            // Behind its items.
            Some(outbox) => {
                if outbox.end(outcome) {
                    self.send_from(&outbox);
                }
            }
            None => self.send(Frame::Ran { id, outcome, has_streams }, body),
        }
        // Not before: a runner that leaves stops as soon as it has no work, and closes the link.
        let ended = self.work.lock().tasks.remove(&id);
        drop(ended);
        self.work_ended();
    }

    fn outbox(&self, id: u64) -> Option<Arc<Outbox>> {
        self.work.lock().tasks.get(&id).and_then(|doing| doing.outbox.clone())
    }

    // ---- placed children ----

    fn place(
        self: &Arc<Self>,
        id: u64,
        identity: Identity,
        actor: String,
        (snapshot_len, handler_len): (Option<u32>, u32),
        mut body: Bytes,
        linked: bool,
    ) {
        let Some(entry) = registry::actor(&actor) else {
            return self.send(Frame::Placed { id, outcome: Err(Error::UnknownTask(actor)) }, Bytes::new());
        };
        let (snapshot, handler) = (snapshot_len.unwrap_or(0) as usize, handler_len as usize);
        if body.len() < snapshot || body.len() - snapshot < handler {
            let reason = format!("a snapshot of {snapshot} bytes and a handler of {handler} in {}", body.len());
            let outcome = Err(Error::Decode { what: actor, reason });
            return self.send(Frame::Placed { id, outcome }, Bytes::new());
        }
        let snapshot = body.split_to(snapshot);
        let snapshot = snapshot_len.map(|_| snapshot);
        let handler = body.split_to(handler);
        let report = Start { agent: Arc::clone(self), id, linked, outcome: None };
        let supervisor = self.supervisor.get_cell();
        self.work.lock().starting.insert(id, Doing { end: End::default(), linked, condemned: false, outbox: None });
        let doing = self.app.spawn(async move {
            let mut report = report;
            let identity = Identity { snapshot, ..identity };
            let start = AssertUnwindSafe((entry.start)(handler, body, identity, supervisor)).catch_unwind();
            report.outcome = Some(match start.await {
                Ok(Ok(Ok(cell))) => Ok(cell),
                Ok(Ok(Err(err))) => Err(not_started(actor, &err)),
                Ok(Err(err)) => Err(err),
                Err(panic) => Err(Error::Panicked(panic_text(panic))),
            });
        });
        if let Some(entered) = self.work.lock().starting.get_mut(&id) {
            entered.end.abort = Some(doing.abort_handle());
            if entered.condemned {
                // While it was being spawned, as for a task.
                doing.abort();
            }
        }
    }

    fn placed(&self, id: u64, linked: bool, outcome: Result<ActorCell, Error>) {
        let mut work = self.work.lock();
        let condemned = work.starting.remove(&id).is_some_and(|doing| doing.condemned);
        let early = match &outcome {
            Ok(cell) => {
                let pid = cell.get_id().pid();
                let early = work.early.remove(&pid);
                if early.is_none() {
                    work.children.insert(id, PlacedChild { cell: cell.clone(), linked });
                    work.pids.insert(pid, id);
                }
                early
            }
            Err(_) => None,
        };
        if let (true, Ok(cell)) = (condemned, &outcome) {
            cell.kill();
        }
        // Under the lock: its end is reported after its start.
        self.send(Frame::Placed { id, outcome: outcome.map(|cell| cell.get_id().pid()) }, Bytes::new());
        if let Some(exit) = early {
            self.send(Frame::Exited { id, exit }, Bytes::new());
        }
        drop(work);
        self.work_ended();
    }

    /// Hands a child's snapshot to its guardian.
    pub(crate) fn save(&self, id: u64, snapshot: Bytes) {
        self.send(Frame::Snapshot { id }, snapshot);
    }

    /// On the application's runtime: its actors' states are dropped there, which may take their time.
    pub(super) fn drop_on_app(&self, ended: Ended) {
        self.app.spawn(async move { drop(ended) });
    }

    pub(super) fn child_ended(&self, pid: u64, exit: Exit) {
        let id = {
            let mut work = self.work.lock();
            let id = work.pids.remove(&pid);
            if id.is_none() {
                work.early.insert(pid, exit.clone());
            }
            id
        };
        if let Some(id) = id {
            self.send(Frame::Exited { id, exit }, Bytes::new());
            // Not before, as for a task.
            let ended = self.work.lock().children.remove(&id);
            drop(ended);
            self.work_ended();
        }
    }

    fn order(&self, id: u64, order: Order) {
        let mut work = self.work.lock();
        let child = work.children.get(&id).map(|child| child.cell.clone());
        let starting = work.starting.get_mut(&id).map(|doing| {
            doing.condemned = true;
            doing.end.clone()
        });
        drop(work);
        match (child, starting, order) {
            (Some(cell), _, Order::Stop(reason)) => cell.stop(reason),
            (Some(cell), _, Order::Kill) => cell.kill(),
            (None, Some(end), _) => end.now(),
            // It ended by itself in the meantime, and that is on its way.
            (None, None, _) => {}
        }
    }

    // ---- leaving: see terminator.rs ----

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    pub(crate) fn lost_its_parent(&self) -> bool {
        self.orphaned.load(Ordering::Acquire)
    }

    pub(crate) fn set_leaving(&self, orphaned: bool) {
        self.leaving.store(true, Ordering::Release);
        self.orphaned.fetch_or(orphaned, Ordering::AcqRel);
    }

    /// Whether nothing is left to wait for; without a parent that is what was not linked to it.
    pub(crate) fn may_stop(&self) -> bool {
        let orphaned = self.lost_its_parent();
        let work = self.work.lock();
        let mut doing = work.tasks.values().chain(work.starting.values());
        !doing.any(|doing| !(orphaned && doing.linked))
            && !work.children.values().any(|child| !(orphaned && child.linked))
    }

    fn work_ended(&self) {
        if self.is_leaving() {
            self.tell_terminator(TerminatorMsg::WorkEnded);
        }
    }

    /// Has this runner leave in good order, as when its platform wants it away.
    pub(crate) fn leave(&self) {
        self.tell_terminator(TerminatorMsg::Asked);
    }

    pub(super) fn ask_to_leave(&self) {
        self.send(Frame::Leaving, Bytes::new());
    }

    fn tell_terminator(&self, message: TerminatorMsg) {
        if let Some(terminator) = self.terminator.get() {
            let _ = terminator.cast(message);
        }
    }

    /// Ends work: all of it, or what is linked to the parent.
    pub(crate) fn abort_work(&self, unlinked_too: bool) {
        let (ends, cells) = {
            let mut work = self.work.lock();
            let Work { tasks, starting, .. } = &mut *work;
            let doing = tasks.values_mut().chain(starting.values_mut()).filter(|doing| doing.linked || unlinked_too);
            let ends: Vec<_> = doing
                .map(|doing| {
                    doing.condemned = true;
                    doing.end.clone()
                })
                .collect();
            let children = work.children.values().filter(|child| child.linked || unlinked_too);
            (ends, children.map(|child| child.cell.clone()).collect::<Vec<_>>())
        };
        ends.into_iter().for_each(End::now);
        cells.iter().for_each(ActorCell::kill);
    }

    /// The last step: nothing is taken or answered after it.
    pub(crate) fn stop(&self) {
        self.abort_work(true);
        if let Some(link) = self.link() {
            link.close(Cause::Stopped);
        }
        if let Some(LinkHold::Owned(link)) = self.link.get() {
            link.lock().take();
        }
        self.supervisor.stop(None);
        let (brought, stopped) = (files::take_brought(&self.node), self.stopped.clone());
        if brought.is_empty() {
            stopped.send_replace(true);
        } else {
            // Disks may take their time.
            runtime::bulk().spawn_blocking(move || {
                drop(brought);
                stopped.send_replace(true);
            });
        }
    }

    pub(crate) fn has_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    pub(crate) async fn stopped(&self) {
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Waits until the parent has all results, which takes its time when they are large.
    pub(crate) async fn reported(&self) {
        if let Some(link) = self.link()
            && !self.lost_its_parent()
        {
            link.wait_ended().await;
        }
    }
}

impl Role for Arc<Agent> {
    fn receive(&self, link: &Arc<Link>, frame: Frame, body: Bytes) {
        match frame {
            Frame::Run { id, task, deadline_ms, linked, window } => {
                self.run(id, task, body, deadline_ms.map(Duration::from_millis), linked, window);
            }
            Frame::Credit { id, items, bytes } => {
                if let Some(outbox) = self.outbox(id) {
                    outbox.grant(items, bytes);
                }
            }
            Frame::Unread { id } => {
                if let Some(outbox) = self.outbox(id) {
                    outbox.unread();
                }
            }
            Frame::Cancel { id } => {
                let end = self.work.lock().tasks.get_mut(&id).map(|doing| {
                    doing.condemned = true;
                    doing.end.clone()
                });
                if let Some(end) = end {
                    end.now();
                }
            }
            Frame::Place { id, guardian, actor, snapshot_len, handler_len, linked, comes_back } => {
                let guardian = route::address_on(link, guardian);
                let room =
                    MAX_MESSAGE_BYTES.saturating_sub(body.len() - body.len().min(snapshot_len.unwrap_or(0) as usize));
                let saving = Saving { agent: Arc::downgrade(self), id, room };
                let identity = Identity { node: Arc::clone(&self.node), guardian, comes_back, snapshot: None, saving };
                self.place(id, identity, actor, (snapshot_len, handler_len), body, linked);
            }
            Frame::Child { id, order } => self.order(id, order),
            Frame::Shutdown { grace_ms } => {
                self.tell_terminator(TerminatorMsg::Leave(Duration::from_millis(grace_ms)));
            }
            other => {
                let parent = Arc::clone(link.peer());
                report!(WARN, %parent, ?other, "a frame that no parent sends");
            }
        }
    }

    fn closed(&self, cause: &Cause) {
        let unread: Vec<_> = self.work.lock().tasks.values().filter_map(|doing| doing.outbox.clone()).collect();
        unread.iter().for_each(|outbox| outbox.unread());
        self.tell_terminator(TerminatorMsg::ParentLost(cause.clone()));
    }
}

fn not_started(actor: String, err: &ractor::SpawnErr) -> Error {
    let reason = match err {
        ractor::SpawnErr::StartupFailed(reason) => match reason.downcast_ref::<ChildError>() {
            Some(ChildError::Panicked(text)) => return Error::Panicked(text.clone()),
            _ => reason.to_string(),
        },
        other => other.to_string(),
    };
    Error::NotStarted { actor, reason }
}

/// Reports the end of a task, also of one that was aborted.
struct Report {
    agent: Arc<Agent>,
    id: u64,
    run: Arc<Run>,
    outcome: Option<Result<(Bytes, bool), Error>>,
}

impl Drop for Report {
    fn drop(&mut self) {
        self.run.cancel();
        let outcome = self.outcome.take().unwrap_or_else(|| Err(Error::Cancelled("the task".to_owned())));
        self.agent.ran(self.id, outcome);
    }
}

/// Reports the start of a child, also of one that was aborted.
struct Start {
    agent: Arc<Agent>,
    id: u64,
    linked: bool,
    outcome: Option<Result<ActorCell, Error>>,
}

impl Drop for Start {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Err(Error::Cancelled("the placement".to_owned())));
        self.agent.placed(self.id, self.linked, outcome);
    }
}
