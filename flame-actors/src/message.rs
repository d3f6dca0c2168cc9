//! Messages that can be sent to an actor on another node.
//!
//! A message for an actor elsewhere is encoded and queued on the link *by its sender*, inside `cast`: ractor boxes
//! every message through [`ractor::Message::box_message`], with the receiver's pid at hand, and that is where we look
//! whether the pid belongs to a proxy or guardian. So messages, results and exits of one sender leave in the order in
//! which it sent them, and a message that cannot be encoded fails at once. The mailbox of the proxy gets an empty
//! envelope, which ractor drops.
//!
//! What arrives is put into the mailbox as it is (see `arrival.rs`), and decoded by the actor that takes it out. A reply
//! is encoded where the actor sends it, and decoded on the runtime of its caller. So what a message's own code does
//! concerns those two, and no link.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ractor::message::{BoxedDowncastErr, BoxedMessage, SerializedMessage};
use ractor::{ActorId, RpcReplyPort};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::coop::unconstrained;
use tracing::{Dispatch, dispatcher};

use crate::node::frame::Frame;
use crate::node::link::Link;
use crate::node::{arrival, route, runtime};
use crate::report::report;
use crate::stream::UntilTaken;
use crate::{Error, codec, stream};

/// A message that can cross to an actor on another node. Implemented by `#[derive(Message)]`.
///
/// It is ractor's own [`ractor::Message`] and the way to encode and decode it. Encoding is MessagePack; a reply port
/// stays here and the reply finds it.
pub trait Message: ractor::Message {
    /// Encodes the message for the link.
    ///
    /// # Errors
    /// [`Error::Encode`] when a field refuses.
    fn encode(self) -> Result<Encoded, Error>;

    /// Makes the message from its encoded form; `reply` is where its reply port leads.
    ///
    /// # Errors
    /// [`Error::Decode`] when the bytes are not this message.
    fn decode(body: &[u8], reply: Option<ReplyTo>) -> Result<Self, Error>;
}

/// An encoded message and, for a call, where its reply goes.
pub struct Encoded {
    pub(crate) body: Vec<u8>,
    pub(crate) reply: Option<ReplySink>,
    pub(crate) timeout: Option<Duration>,
}

impl Encoded {
    /// A message without a reply port.
    pub fn cast(body: Vec<u8>) -> Self {
        Self { body, reply: None, timeout: None }
    }

    /// A message with a reply port.
    pub fn call<T: Send + 'static>(
        body: Vec<u8>,
        port: RpcReplyPort<T>,
        decode: fn(&[u8]) -> Result<T, Error>,
    ) -> Self {
        let timeout = port.get_timeout();
        let sink = PortSink { port, decode, app: Handle::try_current().ok() };
        Self { body, reply: Some(ReplySink(Box::new(sink))), timeout }
    }
}

/// Takes the answer of a call to the port that waits for it. Dropped, it ends the wait with an error.
pub(crate) struct ReplySink(Box<dyn Sink>);

trait Sink: Send {
    fn answer(self: Box<Self>, answer: Result<Bytes, Error>);
    /// Whether nobody waits any more.
    fn is_closed(&self) -> bool;
}

impl ReplySink {
    pub(crate) fn answer(self, answer: Result<Bytes, Error>) {
        self.0.answer(answer);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// For a call that passes through this node.
    pub(crate) fn relay(reply: ReplyTo) -> Self {
        Self(Box::new(reply))
    }
}

struct PortSink<T> {
    port: RpcReplyPort<T>,
    decode: fn(&[u8]) -> Result<T, Error>,
    /// The runtime of the caller, if it has one.
    app: Option<Handle>,
}

impl<T: Send + 'static> Sink for PortSink<T> {
    fn answer(self: Box<Self>, answer: Result<Bytes, Error>) {
        let body = match answer {
            Ok(body) => body,
            // The port drops here, which ends the caller's wait at once; ractor has no room for the reason.
            Err(err) => return report!(DEBUG, %err, "a call got no reply"),
        };
        let Self { port, decode, app } = *self;
        let take = move || match decode(&body) {
            // Nobody may wait any more; that is the caller's choice.
            Ok(value) => drop(port.send(value)),
            Err(err) => report!(DEBUG, %err, "a call got no reply"),
        };
        match app {
            Some(app) => drop(app.spawn(async move { take() })),
            None => drop(runtime::spawn(async move { runtime::foreign_now(take) })),
        }
    }

    fn is_closed(&self) -> bool {
        self.port.is_closed()
    }
}

impl Sink for ReplyTo {
    fn answer(mut self: Box<Self>, answer: Result<Bytes, Error>) {
        self.send(answer);
    }

    fn is_closed(&self) -> bool {
        false
    }
}

/// Where the reply to a decoded message goes. Dropped without an answer, it says so to the caller.
pub struct ReplyTo(Option<Way>);

enum Way {
    Link { link: Arc<Link>, id: u64, timeout: Option<Duration> },
    Serialized(RpcReplyPort<Vec<u8>>),
    Nowhere,
}

impl ReplyTo {
    const NOWHERE: Self = Self(Some(Way::Nowhere));

    pub(crate) fn over(link: Arc<Link>, id: u64, timeout: Option<Duration>) -> Self {
        Self(Some(Way::Link { link, id, timeout }))
    }

    /// Sends the reply, or the reason why there is none.
    pub(crate) fn answer(mut self, answer: Result<Vec<u8>, Error>) {
        self.send(codec::within_limit(answer, || "a reply".to_owned()));
    }

    fn send(&mut self, answer: Result<Bytes, Error>) {
        match self.0.take() {
            Some(Way::Link { link, id, .. }) => {
                let (outcome, body) = match answer {
                    Ok(body) => (Ok(()), body),
                    Err(err) => (Err(err), Bytes::new()),
                };
                // A closed link has already ended the caller's wait.
                let _ = link.send(Frame::Reply { id, outcome }, body);
            }
            Some(Way::Serialized(port)) => {
                if let Ok(body) = answer {
                    let _ = port.send(body.into());
                }
            }
            Some(Way::Nowhere) | None => {}
        }
    }

    fn timeout(&self) -> Option<Duration> {
        match &self.0 {
            Some(Way::Link { timeout, .. }) => *timeout,
            Some(Way::Serialized(port)) => port.get_timeout(),
            Some(Way::Nowhere) | None => None,
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        self.send(Err(Error::NoReply));
    }
}

/// The reply port of a decoded message: what is sent into it is encoded and goes back.
///
/// # Errors
/// [`Error::Decode`] when there is nowhere to reply to.
pub fn reply_port<T: Send + 'static>(
    reply: Option<ReplyTo>,
    encode: fn(T) -> Result<Vec<u8>, Error>,
) -> Result<RpcReplyPort<T>, Error> {
    let Some(reply) = reply else {
        return Err(Error::Decode { what: "a call".to_owned(), reason: "it came without a reply port".to_owned() });
    };
    let (tx, rx) = oneshot::channel();
    let timeout = reply.timeout();
    if !matches!(reply.0, Some(Way::Nowhere)) {
        on_end(rx, move |value| {
            let value = value.map_err(|_| Error::NoReply);
            reply.answer(value.and_then(encode));
        });
    }
    Ok(match timeout {
        Some(timeout) => (tx, timeout).into(),
        None => tx.into(),
    })
}

/// Calls this with what is sent, on the thread that sends it, or with an error on the one that drops the sender.
///
/// The sender is new: nothing was sent yet.
pub(crate) fn on_end<T: Send + 'static>(
    rx: oneshot::Receiver<T>,
    then: impl FnOnce(Result<T, oneshot::error::TryRecvError>) + Send + 'static,
) {
    let end = Arc::new(OnEnd { parts: Mutex::new(Some((rx, then))) });
    let waker = Waker::from(Arc::clone(&end));
    if let Some((rx, _)) = &mut *end.parts.lock() {
        // Without the budget of the task in which this is called: that may be spent. The sender has not sent yet.
        let _ = std::pin::pin!(unconstrained(rx)).poll(&mut Context::from_waker(&waker));
    }
}

/// What is to be done when something is sent, without a task that waits for it.
struct OnEnd<T, F> {
    parts: Mutex<Option<(oneshot::Receiver<T>, F)>>,
}

impl<T, F> Wake for OnEnd<T, F>
where
    T: Send + 'static,
    F: FnOnce(Result<T, oneshot::error::TryRecvError>) + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        let parts = self.parts.lock().take();
        if let Some((mut rx, then)) = parts {
            then(rx.try_recv());
        }
    }
}

// ---- what ractor calls ---------------------------------------------------------------------------------------

/// What ractor carries for a [`Message`].
enum Envelope<M> {
    /// For an actor of this process. The permit is given back when it is taken from the mailbox.
    Here(M, Option<Permit>),
    /// Already on its link. ractor may find the mailbox closed a moment later and wants the message back, in the
    /// sender's own task; everyone else gets nothing.
    Sent { body: Bytes, sender: Option<tokio::task::Id> },
}

impl<M: Message> ractor::Message for Envelope<M> {
    fn serializable() -> bool {
        M::serializable()
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        match self {
            Self::Here(message, _) => message.serialize(),
            Self::Sent { .. } => Err(BoxedDowncastErr),
        }
    }

    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        M::deserialize(message).map(|message| Self::Here(message, None))
    }
}

/// Boxes a message for its receiver; one for an actor elsewhere leaves here and now.
///
/// # Errors
/// When it cannot be encoded or sent, which is logged.
pub fn box_message<M: Message>(message: M, pid: &ActorId) -> Result<BoxedMessage, BoxedDowncastErr> {
    use ractor::Message as _;
    let permit = permit::take();
    let Some(route) = route::to(pid) else { return Envelope::Here(message, permit).box_message(pid) };
    let (encoded, offered) = stream::collect(|| message.encode());
    // Streams in it can be opened as long as the message waits in a mailbox, and for a while after.
    let permit = match offered.is_empty() {
        true => permit,
        false => Some(Permit { _streams: Some(UntilTaken::from(offered)), ..permit.unwrap_or_default() }),
    };
    match encoded.and_then(|encoded| route.forward(encoded, permit)) {
        Ok(body) => {
            let sent = Envelope::<M>::Sent { body, sender: tokio::task::try_id() };
            let mut boxed = without_span(|| sent.box_message(pid))?;
            // A serialised message that does not decode is dropped by ractor; any other would fail the proxy.
            boxed.serialized_msg = Some(SerializedMessage::CallReply(0, Vec::new()));
            Ok(boxed)
        }
        Err(err) => {
            report!(WARN, %err, message = std::any::type_name::<M>(), "a message was not sent");
            Err(BoxedDowncastErr)
        }
    }
}

/// The span of the sender would come along in the box and be left by a thread of ours, which is to call no subscriber.
fn without_span<T>(work: impl FnOnce() -> T) -> T {
    // Without a subscriber there is no span, and none is to be had for one: see `runtime.rs`.
    if dispatcher::has_been_set() { dispatcher::with_default(&Dispatch::none(), work) } else { work() }
}

/// Takes a message out of its box: decodes it, if it came from another node.
///
/// # Errors
/// When it has left for another node, does not decode, or is another message.
pub fn from_boxed<M: Message>(mut boxed: BoxedMessage) -> Result<M, BoxedDowncastErr> {
    use ractor::Message as _;
    match boxed.serialized_msg.take() {
        Some(SerializedMessage::Cast { args, .. }) => return decode_arrived(&args, None),
        Some(SerializedMessage::Call { variant, args, reply, metadata }) => {
            if let Some(arrival) = metadata.as_deref().and_then(arrival::claim) {
                return decode_arrived(&args, arrival.reply);
            }
            // From a session, which has a port of its own.
            boxed.serialized_msg = Some(SerializedMessage::Call { variant, args, reply, metadata });
        }
        other => boxed.serialized_msg = other,
    }
    match Envelope::<M>::from_boxed(boxed)? {
        Envelope::Here(message, _permit) => Ok(message),
        Envelope::Sent { body, sender } if sender == tokio::task::try_id() => {
            M::decode(&body, Some(ReplyTo::NOWHERE)).map_err(|_| BoxedDowncastErr)
        }
        Envelope::Sent { .. } => Err(BoxedDowncastErr),
    }
}

fn decode_arrived<M: Message>(body: &[u8], reply: Option<ReplyTo>) -> Result<M, BoxedDowncastErr> {
    // Where a stand-in of ours gets it, this is a thread of ours.
    runtime::foreign_now(|| M::decode(body, reply)).map_err(|err| {
        report!(DEBUG, %err, message = std::any::type_name::<M>(), "a message did not arrive");
        BoxedDowncastErr
    })
}

/// What goes back when a message is taken from the mailbox of its actor, or never will be.
#[derive(Default)]
pub(crate) struct Permit {
    /// The right of its sender here to have one more message on its way.
    _sender: Option<OwnedSemaphorePermit>,
    /// Tells the node that it came from.
    _ack: Option<Ack>,
    /// The streams in it, which are offered here.
    _streams: Option<UntilTaken>,
}

impl Permit {
    pub(crate) fn of_sender(permit: OwnedSemaphorePermit) -> Self {
        Self { _sender: Some(permit), ..Self::default() }
    }

    pub(crate) fn acknowledging(ack: Ack) -> Self {
        Self { _ack: Some(ack), ..Self::default() }
    }
}

/// Tells the other side of a link that a message was taken.
pub(crate) struct Ack {
    pub(crate) link: Arc<Link>,
    pub(crate) id: u64,
}

impl Drop for Ack {
    fn drop(&mut self) {
        // A closed link has given its permits back already.
        let _ = self.link.send(Frame::Taken { id: self.id }, Bytes::new());
    }
}

/// How a permit comes along with a message: `cast` has no room for it, and boxes in the caller's thread.
pub(crate) mod permit {
    use super::Permit;
    use std::cell::RefCell;

    thread_local! {
        static WITH_NEXT: RefCell<Option<Permit>> = const { RefCell::new(None) };
    }

    /// Runs `cast`, whose message gets the permit.
    pub(crate) fn with<T>(permit: Option<Permit>, cast: impl FnOnce() -> T) -> T {
        let before = WITH_NEXT.replace(permit);
        let result = cast();
        // A message that was not boxed leaves its permit here.
        drop(WITH_NEXT.replace(before));
        result
    }

    pub(super) fn take() -> Option<Permit> {
        WITH_NEXT.take()
    }
}

/// ractor's own remoting with our codec, for `#[message(cluster)]`.
pub mod cluster {
    use super::{BoxedDowncastErr, Message, ReplyTo, SerializedMessage, Way, on_end};
    use bytes::Bytes;
    use tokio::sync::oneshot;

    /// Encodes a message for a ractor_cluster session.
    ///
    /// # Errors
    /// When it cannot be encoded, which is logged.
    pub fn serialize<M: Message>(message: M) -> Result<SerializedMessage, BoxedDowncastErr> {
        let encoded = message.encode().map_err(|err| {
            crate::report::report!(WARN, %err, message = std::any::type_name::<M>(), "a message was not sent");
            BoxedDowncastErr
        })?;
        let (variant, args, metadata) = (String::new(), encoded.body, None);
        Ok(match encoded.reply {
            None => SerializedMessage::Cast { variant, args, metadata },
            Some(sink) => {
                let (tx, rx) = oneshot::channel::<Vec<u8>>();
                on_end(rx, |body| match body {
                    Ok(body) => sink.answer(Ok(Bytes::from(body))),
                    Err(_) => drop(sink),
                });
                let reply = match encoded.timeout {
                    Some(timeout) => (tx, timeout).into(),
                    None => tx.into(),
                };
                SerializedMessage::Call { variant, args, reply, metadata }
            }
        })
    }

    /// Decodes a message from a ractor_cluster session.
    ///
    /// # Errors
    /// When the bytes are not this message, which is logged.
    pub fn deserialize<M: Message>(message: SerializedMessage) -> Result<M, BoxedDowncastErr> {
        let (args, reply) = match message {
            SerializedMessage::Cast { args, .. } => (args, None),
            SerializedMessage::Call { args, reply, .. } => (args, Some(ReplyTo(Some(Way::Serialized(reply))))),
            SerializedMessage::CallReply(..) => return Err(BoxedDowncastErr),
        };
        M::decode(&args, reply).map_err(|err| {
            crate::report::report!(WARN, %err, message = std::any::type_name::<M>(), "a message from a session did not decode");
            BoxedDowncastErr
        })
    }
}
