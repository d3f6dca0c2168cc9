//! Sending with back-pressure.

use std::sync::Arc;

use ractor::{ActorRef, MessagingErr};
use tokio::sync::Semaphore;

use crate::Message;
use crate::message::{Permit, permit};

/// A sender with a bounded number of messages under way to an actor.
///
/// A mailbox takes whatever is sent to it; a fast sender fills the memory of a slow actor, or of everything between
/// the two. [`send`](Self::send) waits instead until fewer than `in_flight` of this sender's messages are between it
/// and the actor's handler, wherever that lives: a message counts until the actor takes it from its mailbox. Clones
/// share the bound; two senders of one actor each have their own.
///
/// ```
/// # use flame_actors::{BoundedSender, Message, ractor::{Actor, ActorProcessingErr, ActorRef}};
/// # #[derive(Message)] enum FileMsg { Chunk(Vec<u8>) }
/// # struct File;
/// # impl Actor for File {
/// #     type Msg = FileMsg; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<FileMsg>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # async fn upload(file: ActorRef<FileMsg>, chunks: Vec<Vec<u8>>) -> anyhow::Result<()> {
/// let file = BoundedSender::new(file, 8);
/// for chunk in chunks {
///     file.send(FileMsg::Chunk(chunk)).await?; // waits while eight are on their way
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BoundedSender<M> {
    actor: ActorRef<M>,
    permits: Arc<Semaphore>,
    in_flight: usize,
}

impl<M: Message> BoundedSender<M> {
    /// A sender with so many messages under way at the most; 0 counts as 1.
    pub fn new(actor: ActorRef<M>, in_flight: usize) -> Self {
        let in_flight = in_flight.clamp(1, u32::MAX as usize);
        Self { actor, permits: Arc::new(Semaphore::new(in_flight)), in_flight }
    }

    /// Sends a message, once fewer than the bound are under way.
    ///
    /// When the actor or its node ends while this waits, it goes on at once, and the message meets the ended actor.
    ///
    /// # Errors
    /// Those of `ActorRef::cast`: the actor has ended, or the message cannot be encoded.
    pub async fn send(&self, message: M) -> Result<(), MessagingErr<M>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        permit::with(Some(Permit::of_sender(permit)), || self.actor.send_message(message))
    }

    /// Waits until the actor has taken every message of this sender from its mailbox, or has ended.
    pub async fn flush(&self) {
        let all = u32::try_from(self.in_flight).expect("it was clamped");
        drop(self.permits.acquire_many(all).await);
    }

    /// The actor.
    pub fn actor(&self) -> &ActorRef<M> {
        &self.actor
    }
}

impl<M> Clone for BoundedSender<M> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), permits: Arc::clone(&self.permits), in_flight: self.in_flight }
    }
}
