//! What the trials have run.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use flame_actors::{Message, placeable, remote};
use flame_tests::{Entry, OnDrop};
use serde_bytes::ByteBuf;

/// Takes a while, and gives its process.
#[remote]
pub(crate) async fn take(time: Duration, journal: Entry) -> u32 {
    journal.note(format_args!("pid={}", std::process::id()));
    let _dropped = journal.on_drop("dropped");
    tokio::time::sleep(time).await;
    journal.note("done");
    std::process::id()
}

/// Blocks its thread for ever.
#[remote]
pub(crate) async fn block(journal: Entry) {
    journal.note(format_args!("blocks={}", std::process::id()));
    loop {
        std::thread::sleep(Duration::from_secs(600));
    }
}

/// Gives a lot, after a while.
#[remote]
pub(crate) async fn make(size: usize, journal: Entry) -> ByteBuf {
    journal.note(format_args!("pid={}", std::process::id()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    ByteBuf::from(vec![1; size])
}

pub(crate) struct Child;

#[derive(Message)]
pub(crate) enum ChildMsg {
    Stop,
}

#[placeable]
impl Actor for Child {
    type Msg = ChildMsg;
    type State = OnDrop;
    type Arguments = Entry;

    async fn pre_start(&self, _: ActorRef<ChildMsg>, journal: Entry) -> Result<OnDrop, ActorProcessingErr> {
        journal.note(format_args!("pid={}", std::process::id()));
        Ok(journal.on_drop("dropped"))
    }

    async fn handle(&self, myself: ActorRef<ChildMsg>, _: ChildMsg, _: &mut OnDrop) -> Result<(), ActorProcessingErr> {
        myself.stop(None);
        Ok(())
    }
}
