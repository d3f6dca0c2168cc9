//! The parent's view of one runner: how it is booted, what it has under way, and how it ends.

pub(crate) mod agent;
mod boot;
mod handles;
mod outbox;
mod supervisor;
pub(crate) mod terminator;
pub(crate) mod way_out;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ractor::ActorRef;
use tokio::sync::{oneshot, watch};

use self::boot::Hosted;
pub(crate) use self::handles::{ChildHandle, Overdue, Pending, Unplaced};
use crate::error::{Cause, ChildError, Error, Stage};
use crate::node::frame::{self, Exit, Frame};
use crate::node::link::{Link, Role};
use crate::place::{Encoded, Ward};
use crate::pool::Slot;
use crate::report::report;
use crate::yields::inbox::Inbox;

/// One runner of a pool.
pub(crate) struct Runner {
    /// The pool's number for it.
    pub(crate) id: u64,
    node: Arc<str>,
    hosted: Hosted,
    link: Arc<Link>,
    work: Arc<Work>,
    /// Set when it is sent away: whoever does that sees to its end.
    leaving: AtomicBool,
    /// Nothing of it is left.
    gone: watch::Sender<bool>,
}

/// A task that is to be sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) task: &'a str,
    pub(crate) args: Bytes,
    pub(crate) deadline: Option<Duration>,
    pub(crate) linked: bool,
    /// Where its items go, if it yields.
    pub(crate) items: Option<Arc<Inbox>>,
}

/// What was asked of a runner and has not ended.
pub(crate) struct Work {
    ready: watch::Sender<bool>,
    /// It has said that it is wanted away.
    leaving: watch::Sender<bool>,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    next: u64,
    runs: HashMap<u64, Run>,
    placements: HashMap<u64, Placement>,
}

struct Run {
    result: oneshot::Sender<Ran>,
    /// `None` for what the pool itself asks.
    slot: Option<Slot>,
    /// Whether the caller gets the slot with the result, for the actors in it.
    keep_slot: bool,
    items: Option<Arc<Inbox>>,
}

/// The result of a task, and the slot that it ran in if that is to be kept.
pub(crate) type Ran = (Result<Bytes, Error>, Option<Slot>);

struct Placement {
    placed: Option<oneshot::Sender<Result<u64, Error>>>,
    child: Child,
    /// A snapshot that came before somebody was there to keep it.
    saved: Option<Bytes>,
    slot: Slot,
    /// Dropped with the rest: for those who wait until nothing of the child is left.
    _ended: oneshot::Sender<Infallible>,
}

/// Who is told of a child's end.
enum Child {
    /// Its guardian is on its way, and will find here how the child ended, if it has.
    Awaited(Option<Exit>),
    Guarded(ActorRef<Ward>),
    /// Nobody: whoever asked for it has gone.
    Abandoned,
}

impl UnderWay {
    /// The number of what is asked next.
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Runner {
    pub(crate) fn node(&self) -> &Arc<str> {
        &self.node
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The backend's id of its instance.
    pub(crate) fn instance(&self) -> &str {
        self.hosted.id()
    }

    /// Has the children that come back go on elsewhere.
    pub(crate) fn move_children(self: &Arc<Self>) {
        let mut under_way = self.work.under_way.lock();
        for placement in under_way.placements.values_mut() {
            if let Child::Guarded(ward) = &placement.child {
                placement.slot.cut_off();
                let _ = ward.cast(Ward::Move(Arc::clone(self)));
            }
        }
    }

    /// Whether it has said that it is wanted away.
    pub(crate) fn wants_to_leave(&self) -> bool {
        *self.work.leaving.borrow()
    }

    /// Waits until it says that it is wanted away.
    pub(crate) async fn leaving(&self) {
        // The sender lives in self.
        let _ = self.work.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// Tells when nothing of it is left.
    pub(crate) fn gone(&self) -> watch::Receiver<bool> {
        self.gone.subscribe()
    }

    /// Waits until nothing of it is left, unless its link is open.
    pub(crate) async fn gone_if_closed(&self) {
        if self.link.cause().is_some() {
            let _ = self.gone().wait_for(|gone| *gone).await;
        }
    }

    /// Whether its end is on purpose.
    pub(crate) fn is_sent_away(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    // ---- tasks ----

    /// Sends a task to the runner. An error gives the slot back: nothing was sent.
    pub(crate) fn run(self: &Arc<Self>, mut slot: Slot, task: Outgoing<'_>, keep_slot: bool) -> Result<Pending, Error> {
        slot.worked(true);
        self.send_task(Some(slot), task, keep_slot)
    }

    /// Has the runner answer something, besides what its slots are for.
    pub(crate) async fn ask(self: &Arc<Self>, task: &str, args: Bytes, bound: Duration) -> Result<Bytes, Error> {
        let outgoing = Outgoing { task, args, deadline: Some(bound), linked: true, items: None };
        let mut pending = self.send_task(None, outgoing, false)?;
        let timed_out = |_| Error::Timeout { stage: Stage::Running, after: bound, what: task.to_owned() };
        tokio::time::timeout(bound, pending.result()).await.map_err(timed_out)?.0
    }

    fn send_task(self: &Arc<Self>, slot: Option<Slot>, task: Outgoing<'_>, keep_slot: bool) -> Result<Pending, Error> {
        let (linked, yields) = (task.linked, task.items.is_some());
        let (id, result) = self.work.send(&self.link, slot, task, keep_slot)?;
        Ok(Pending { runner: Arc::clone(self), id, result, linked, yields, ended: false })
    }

    // ---- placed children ----

    /// Asks the runner to start an actor; `Unplaced` kills it unless a guardian takes over.
    pub(crate) fn place(self: &Arc<Self>, mut slot: Slot, guardian: u64, child: Encoded) -> Result<Unplaced, Error> {
        slot.worked(true);
        let (tx, placed) = oneshot::channel();
        let (_ended, ended) = oneshot::channel();
        let id = {
            let mut under_way = self.work.under_way.lock();
            let id = under_way.id();
            let placement = Placement { placed: Some(tx), child: Child::Awaited(None), saved: None, slot, _ended };
            under_way.placements.insert(id, placement);
            id
        };
        let Encoded { actor, handler_len, body, linked, comes_back, snapshot } = child;
        let snapshot_len = snapshot.as_ref().map(|snapshot| snapshot.len() as u32);
        let body = match snapshot {
            // Together they have room, or it would not have been saved.
            Some(snapshot) => [&snapshot[..], &body[..]].concat().into(),
            None => body,
        };
        let frame =
            Frame::Place { id, guardian, actor: actor.to_owned(), snapshot_len, handler_len, linked, comes_back };
        let sent = self.link.send(frame, body);
        if let Err(err) = sent {
            let unsent = self.work.under_way.lock().placements.remove(&id);
            if let Some(mut unsent) = unsent {
                unsent.slot.worked(false);
            }
            return Err(err);
        }
        Ok(Unplaced { child: Some(ChildHandle { runner: Arc::clone(self), id }), placed, ended })
    }

    // ---- the end ----

    /// Returns the error with what the backend knows of the instance.
    pub(crate) async fn explain(&self, err: Error) -> Error {
        self.hosted.explain(err).await
    }

    /// Ends everything that is under way here with the loss of the runner, whose cause is looked for first.
    pub(crate) async fn lost(&self) -> Cause {
        let cause = self.link.cause().unwrap_or(Cause::ConnectionClosed);
        let cause = match self.hosted.find_cause(cause).await {
            // It was told to go, and went.
            Cause::ConnectionClosed | Cause::Exited(0) if self.leaving.load(Ordering::Acquire) => Cause::Stopped,
            cause => cause,
        };
        let node = self.node.to_string();
        let (runs, placements) = {
            let mut under_way = self.work.under_way.lock();
            (std::mem::take(&mut under_way.runs), std::mem::take(&mut under_way.placements))
        };
        for run in runs.into_values() {
            let _ = run.result.send((Err(Error::RunnerLost { node: node.clone(), cause: cause.clone() }), None));
        }
        for placement in placements.into_values() {
            let lost = ChildError::RunnerLost { node: node.clone(), cause: cause.clone() };
            if let Some(placed) = placement.placed {
                let _ = placed.send(Err(Error::RunnerLost { node: node.clone(), cause: cause.clone() }));
            }
            if let Child::Guarded(ward) = placement.child {
                let _ = ward.cast(Ward::Ended(Exit::Failed(lost)));
            }
        }
        cause
    }

    /// Sends the runner away: what it runs has `grace`, then it is destroyed.
    pub(crate) async fn stop(&self, grace: Duration) {
        if self.leaving.swap(true, Ordering::AcqRel) {
            let _ = self.gone().wait_for(|gone| *gone).await;
            return;
        }
        let grace_ms = frame::millis(grace);
        if self.link.send(Frame::Shutdown { grace_ms }, Bytes::new()).is_ok() {
            // The runner keeps to the grace itself; the second more is for its answer.
            let _ = tokio::time::timeout(grace.saturating_add(Duration::from_secs(1)), self.link.wait_closed()).await;
        }
        self.link.close(Cause::Stopped);
        if self.link.cause() != Some(Cause::LeaseExpired) {
            // The application on the runner may have things to do after `serve`.
            let _ = tokio::time::timeout(grace, self.hosted.ended()).await;
        }
        self.hosted.destroy().await;
        self.gone.send_replace(true);
    }

    /// Ends the instance at once, whatever it has under way.
    pub(crate) async fn destroy(&self) {
        self.link.close(Cause::Stopped);
        self.hosted.destroy().await;
    }

    /// Ends the instance at once, unless it is about to leave by itself; returns when it is gone.
    pub(crate) async fn clear_away(&self) {
        self.link.close(Cause::Stopped);
        if self.is_sent_away() {
            let _ = self.gone().wait_for(|gone| *gone).await;
        } else {
            self.hosted.destroy().await;
            self.gone.send_replace(true);
        }
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("node", &self.node).field("hosted", &self.hosted).finish_non_exhaustive()
    }
}

impl Work {
    /// Enters a task and sends it. An error gives the slot back: nothing was sent.
    fn send(
        &self,
        link: &Arc<Link>,
        slot: Option<Slot>,
        task: Outgoing<'_>,
        keep_slot: bool,
    ) -> Result<(u64, oneshot::Receiver<Ran>), Error> {
        let Outgoing { task, args, deadline, linked, items } = task;
        let window = items.as_ref().map(|items| items.window);
        let (tx, result) = oneshot::channel();
        let id = {
            let mut under_way = self.under_way.lock();
            let id = under_way.id();
            under_way.runs.insert(id, Run { result: tx, slot, keep_slot, items: items.clone() });
            id
        };
        let deadline_ms = deadline.map(frame::millis);
        let sent = link.send(Frame::Run { id, task: task.to_owned(), deadline_ms, linked, window }, args);
        if let Err(err) = sent {
            let unsent = self.under_way.lock().runs.remove(&id);
            if let Some(mut slot) = unsent.and_then(|run| run.slot) {
                slot.worked(false);
            }
            return Err(err);
        }
        if let Some(items) = &items {
            items.comes_from(link, id);
        }
        Ok((id, result))
    }

    /// Has a runner that is still coming up answer something.
    pub(crate) async fn ask(&self, link: &Arc<Link>, task: &str, args: Bytes) -> Result<Bytes, Error> {
        let outgoing = Outgoing { task, args, deadline: None, linked: true, items: None };
        let (_, result) = self.send(link, None, outgoing, false)?;
        let lost = |cause| Error::RunnerLost { node: link.peer().to_string(), cause };
        tokio::select! {
            biased;
            ran = result => ran.map_or_else(|_| Err(lost(Cause::ConnectionClosed)), |(outcome, _)| outcome),
            cause = link.wait_closed() => Err(lost(cause)),
        }
    }
}

impl Role for Work {
    fn receive(&self, link: &Arc<Link>, frame: Frame, body: Bytes) {
        match frame {
            Frame::Ready => drop(self.ready.send_replace(true)),
            Frame::Leaving => drop(self.leaving.send_replace(true)),
            Frame::Ran { id, outcome, has_streams } => {
                let run = self.under_way.lock().runs.remove(&id);
                if let Some(Run { result, mut slot, keep_slot, items: _ }) = run {
                    let is_cut_off = matches!(outcome, Err(Error::Cancelled(_) | Error::Timeout { .. }));
                    slot.iter_mut().filter(|_| is_cut_off).for_each(Slot::cut_off);
                    // First the slot: a caller that goes on at once finds it free.
                    let slot = slot.filter(|_| (keep_slot || has_streams) && outcome.is_ok());
                    let _ = result.send((outcome.map(|()| body), slot));
                }
            }
            Frame::Items { id } => {
                let items = self.under_way.lock().runs.get(&id).and_then(|run| run.items.clone());
                if let Some(items) = items {
                    items.put(body);
                }
            }
            Frame::Placed { id, outcome } => {
                let mut under_way = self.under_way.lock();
                let placed = under_way.placements.get_mut(&id).and_then(|placement| placement.placed.take());
                let ended = if outcome.is_err() { under_way.placements.remove(&id) } else { None };
                drop(under_way);
                drop(ended);
                if let Some(placed) = placed {
                    let _ = placed.send(outcome);
                }
            }
            Frame::Snapshot { id } => {
                match self.under_way.lock().placements.get_mut(&id) {
                    // Its guardian may be about to end.
                    Some(Placement { child: Child::Guarded(ward), .. }) => drop(ward.cast(Ward::Saved(body))),
                    Some(placement) => placement.saved = Some(body),
                    None => {}
                }
            }
            Frame::Exited { id, exit } => {
                let mut under_way = self.under_way.lock();
                if let Some(Placement { child: Child::Awaited(known), .. }) = under_way.placements.get_mut(&id) {
                    *known = Some(exit);
                    return;
                }
                let ended = under_way.placements.remove(&id);
                drop(under_way);
                match ended {
                    Some(Placement { child: Child::Guarded(ward), .. }) => drop(ward.cast(Ward::Ended(exit))),
                    Some(Placement { child: Child::Abandoned, mut slot, .. }) => slot.cut_off(),
                    _ => {}
                }
            }
            other => {
                let runner = Arc::clone(link.peer());
                report!(WARN, %runner, ?other, "a frame that no runner sends");
            }
        }
    }

    fn closed(&self, _: &Cause) {}
}
