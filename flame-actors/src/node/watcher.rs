//! Tells other nodes when an actor of ours ends that they hold a proxy for.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorRuntime, ActorStatus, SupervisionEvent};

use super::frame::{Exit, Frame};
use super::link::Link;
use super::runtime;
use crate::error::ChildError;

struct Watcher;

enum WatcherMsg {
    Watch {
        cell: ActorCell,
        pid: u64,
        link: Arc<Link>,
    },
    /// Whether an actor that had stopped already when the watch began has told its end all the same.
    Settle(u64),
    LinkClosed(Arc<Link>),
}

impl ractor::Message for WatcherMsg {}

/// By pid: who wants to know.
type Watched = HashMap<u64, Vec<Arc<Link>>>;

static WATCHER: OnceLock<ActorRef<WatcherMsg>> = OnceLock::new();

fn watcher() -> &'static ActorRef<WatcherMsg> {
    WATCHER.get_or_init(|| {
        let _runtime = runtime::handle().enter();
        let (actor, _) = ActorRuntime::spawn_instant(None, Watcher, ()).expect("it has no name that could be taken");
        actor
    })
}

/// Reports the end of this actor over the link.
pub(crate) fn watch(link: &Arc<Link>, pid: u64) {
    match ractor::registry::where_is_pid(ActorId::Local(pid)) {
        Some(cell) => {
            let _ = watcher().cast(WatcherMsg::Watch { cell, pid, link: Arc::clone(link) });
        }
        None => down(link, pid, Exit::Stopped(None)),
    }
}

pub(crate) fn link_closed(link: &Arc<Link>) {
    if let Some(watcher) = WATCHER.get() {
        let _ = watcher.cast(WatcherMsg::LinkClosed(Arc::clone(link)));
    }
}

fn down(link: &Link, pid: u64, exit: Exit) {
    // A closed link has already ended the proxies on its far side.
    let _ = link.send(Frame::Down { node: None, pid, exit }, Bytes::new());
}

fn ended(watched: &mut Watched, pid: u64, exit: &Exit) {
    for link in watched.remove(&pid).unwrap_or_default() {
        down(&link, pid, exit.clone());
    }
}

impl Actor for Watcher {
    type Msg = WatcherMsg;
    type State = Watched;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<WatcherMsg>, (): ()) -> Result<Watched, ActorProcessingErr> {
        Ok(Watched::new())
    }

    async fn handle(
        &self,
        myself: ActorRef<WatcherMsg>,
        message: WatcherMsg,
        watched: &mut Watched,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WatcherMsg::Watch { cell, pid, link } => {
                watched.entry(pid).or_default().push(link);
                myself.get_cell().monitor(cell.clone());
                if cell.get_status() == ActorStatus::Stopped {
                    // Supervision events come before messages, so its own word, if there is one, is heard first.
                    let _ = myself.cast(WatcherMsg::Settle(pid));
                }
            }
            WatcherMsg::Settle(pid) => ended(watched, pid, &Exit::Stopped(None)),
            WatcherMsg::LinkClosed(link) => watched.retain(|_, watchers| {
                watchers.retain(|other| !Arc::ptr_eq(other, &link));
                !watchers.is_empty()
            }),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<WatcherMsg>,
        event: SupervisionEvent,
        watched: &mut Watched,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                ended(watched, who.get_id().pid(), &Exit::Stopped(reason));
            }
            SupervisionEvent::ActorFailed(who, err) => {
                ended(watched, who.get_id().pid(), &Exit::Failed(ChildError::Failed(err.to_string())));
            }
            _ => {}
        }
        Ok(())
    }
}
