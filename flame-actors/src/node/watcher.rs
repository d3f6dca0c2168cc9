//! Tells other nodes when an actor of ours ends that they hold a proxy for.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, ActorStatus, SupervisionEvent};

use super::frame::{Exit, Frame};
use super::link::Link;
use super::{route, runtime};
use crate::error::ChildError;

struct Watcher;

enum WatcherMsg {
    /// Whether an actor that was ending already when the watch began has told its end all the same.
    Settle(u64),
}

impl ractor::Message for WatcherMsg {}

/// By pid: who wants to know.
static WATCHED: LazyLock<Mutex<HashMap<u64, Vec<Arc<Link>>>>> = LazyLock::new(Mutex::default);

static WATCHER: OnceLock<ActorRef<WatcherMsg>> = OnceLock::new();

fn watcher() -> &'static ActorRef<WatcherMsg> {
    WATCHER.get_or_init(|| {
        let _runtime = runtime::work().enter();
        let (actor, _) = ActorRuntime::spawn_instant(None, Watcher, ()).expect("it has no name that could be taken");
        actor
    })
}

/// Reports the end of this actor over the link.
///
/// The watch has begun when this returns: what the same link brings next may end the actor, and its reason is told.
pub(crate) fn watch(link: &Arc<Link>, pid: u64) {
    let Ok(cell) = route::local(pid) else {
        return down(link, pid, Exit::Stopped(None));
    };
    WATCHED.lock().entry(pid).or_default().push(Arc::clone(link));
    watcher().get_cell().monitor(cell.clone());
    if cell.get_status() >= ActorStatus::Stopping {
        runtime::spawn(async move {
            let _ = cell.wait(None).await;
            // Supervision events come before messages, so its own word, if there is one, is heard first.
            let _ = watcher().cast(WatcherMsg::Settle(pid));
        });
    }
}

pub(crate) fn link_closed(link: &Arc<Link>) {
    WATCHED.lock().retain(|_, watchers| {
        watchers.retain(|other| !Arc::ptr_eq(other, link));
        !watchers.is_empty()
    });
}

fn down(link: &Link, pid: u64, exit: Exit) {
    // A closed link has already ended the proxies on its far side.
    let _ = link.send(Frame::Down { node: None, pid, exit }, Bytes::new());
}

fn ended(pid: u64, exit: &Exit) {
    let watchers = WATCHED.lock().remove(&pid);
    for link in watchers.into_iter().flatten() {
        down(&link, pid, exit.clone());
    }
}

impl Actor for Watcher {
    type Msg = WatcherMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<WatcherMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<WatcherMsg>,
        WatcherMsg::Settle(pid): WatcherMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        ended(pid, &Exit::Stopped(None));
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<WatcherMsg>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                ended(who.get_id().pid(), &Exit::Stopped(reason));
            }
            SupervisionEvent::ActorFailed(who, err) => {
                ended(who.get_id().pid(), &Exit::Failed(ChildError::Failed(err.to_string())));
            }
            _ => {}
        }
        Ok(())
    }
}
