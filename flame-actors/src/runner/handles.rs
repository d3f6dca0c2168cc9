//! What those have in hand who have asked a runner for something.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::{Child, Placement, Ran, Runner};
use crate::error::{Cause, ChildError, Error};
use crate::node::frame::{Exit, Frame, Order};
use crate::node::link::Link;
use crate::place::Ward;

/// A task that is under way. Dropped before its end it is cancelled, if it is linked.
pub(crate) struct Pending {
    pub(super) runner: Arc<Runner>,
    pub(super) id: u64,
    pub(super) result: oneshot::Receiver<Ran>,
    pub(super) linked: bool,
    pub(super) yields: bool,
    pub(super) ended: bool,
}

impl Pending {
    pub(crate) fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.linked
    }

    pub(crate) async fn result(&mut self) -> Ran {
        let result = (&mut self.result).await;
        self.ended = true;
        result.unwrap_or_else(|_| (Err(Error::Cancelled("the task".to_owned())), None))
    }

    /// Has the task aborted, whether or not it is linked.
    pub(crate) fn abort(mut self) -> Overdue {
        self.linked = true;
        self.give_up()
    }

    /// Nobody waits for the result any more, which ends a linked task.
    pub(crate) fn give_up(mut self) -> Overdue {
        self.cancel();
        Overdue::Run(self)
    }

    fn cancel(&mut self) {
        if (self.linked || self.yields) && !std::mem::replace(&mut self.ended, true) {
            let id = self.id;
            // One that goes on without its reader would wait for credit.
            let frame = if self.linked { Frame::Cancel { id } } else { Frame::Unread { id } };
            let _ = self.runner.link.send(frame, Bytes::new());
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Work that was told to end, or whose result nobody waits for.
pub(crate) enum Overdue {
    Run(Pending),
    Placement { runner: Arc<Runner>, id: u64 },
}

impl Overdue {
    /// Whether it keeps its slot for longer than this.
    pub(crate) async fn persists(&mut self, grace: Duration) -> bool {
        match self {
            Self::Run(pending) => tokio::time::timeout(grace, &mut pending.result).await.is_err(),
            Self::Placement { runner, id } => {
                tokio::time::sleep(grace).await;
                runner.work.under_way.lock().placements.contains_key(id)
            }
        }
    }

    pub(crate) fn runner(&self) -> &Arc<Runner> {
        match self {
            Self::Run(pending) => &pending.runner,
            Self::Placement { runner, .. } => runner,
        }
    }
}

/// A placement that was asked for. Dropped, it leaves nothing behind.
pub(crate) struct Unplaced {
    pub(super) child: Option<ChildHandle>,
    pub(super) placed: oneshot::Receiver<Result<u64, Error>>,
    pub(super) ended: oneshot::Receiver<Infallible>,
}

impl Unplaced {
    /// Waits until the child runs; gives its pid on the runner.
    pub(crate) async fn placed(&mut self) -> Result<u64, Error> {
        let placed = (&mut self.placed).await;
        let placed = placed.unwrap_or_else(|_| Err(Error::Cancelled("the placement".to_owned())));
        if placed.is_err() {
            self.child = None;
        }
        placed
    }

    /// Gives it up, and waits until nothing of it is left: its start may not yield.
    pub(crate) async fn give_up(mut self) {
        if let Some(child) = self.child.take() {
            child.abandon();
        }
        let _ = (&mut self.ended).await;
    }

    /// The handle that the guardian takes over.
    pub(crate) fn into_child(mut self) -> Option<ChildHandle> {
        self.child.take()
    }
}

impl Drop for Unplaced {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            child.abandon();
        }
    }
}

/// What a guardian holds of its child.
#[derive(Clone)]
pub(crate) struct ChildHandle {
    pub(super) runner: Arc<Runner>,
    pub(super) id: u64,
}

impl ChildHandle {
    pub(crate) fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    /// Whether it is the same incarnation.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.runner, &other.runner) && self.id == other.id
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.runner.link
    }

    pub(crate) fn order(&self, order: Order) {
        // On a closed link the child has ended with its runner.
        let _ = self.runner.link.send(Frame::Child { id: self.id, order }, Bytes::new());
    }

    /// Tells the ward of the child's end from now on, or at once if that has come already.
    pub(crate) fn guard(&self, ward: &ActorRef<Ward>) {
        let mut under_way = self.runner.work.under_way.lock();
        if let Some(saved) = under_way.placements.get_mut(&self.id).and_then(|placement| placement.saved.take()) {
            let _ = ward.cast(Ward::Saved(saved));
        }
        let exit = match under_way.placements.get_mut(&self.id).map(|placement| &mut placement.child) {
            Some(Child::Awaited(Some(_))) => match under_way.placements.remove(&self.id) {
                Some(Placement { child: Child::Awaited(exit), .. }) => exit,
                _ => None,
            },
            Some(child) => {
                *child = Child::Guarded(ward.clone());
                None
            }
            // Its runner was lost in the meantime.
            None => Some(Exit::Failed(ChildError::RunnerLost {
                node: self.runner.node.to_string(),
                cause: self.runner.link.cause().unwrap_or(Cause::ConnectionClosed),
            })),
        };
        drop(under_way);
        if let Some(exit) = exit {
            let _ = ward.cast(Ward::Ended(exit));
        }
    }

    /// Kills a child that nobody will guard; its slot is free once it has ended.
    fn abandon(&self) {
        let mut under_way = self.runner.work.under_way.lock();
        let (ended, pool) = match under_way.placements.get_mut(&self.id) {
            Some(Placement { child: Child::Awaited(Some(_)), .. }) => (under_way.placements.remove(&self.id), None),
            Some(placement) => {
                placement.child = Child::Abandoned;
                (None, Some(placement.slot.pool().clone()))
            }
            None => (None, None),
        };
        drop(under_way);
        drop(ended);
        self.order(Order::Kill);
        if let Some(pool) = pool {
            let overdue = Overdue::Placement { runner: Arc::clone(&self.runner), id: self.id };
            pool.watch_over(overdue, Duration::ZERO);
        }
    }
}
