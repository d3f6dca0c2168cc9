//! Messages as bytes, by way of ractor's own remoting: `#[message(cluster)]` opens the codec to tests.

use flame_actors::Message;
use flame_actors::ractor::RpcReplyPort;
use flame_actors::ractor::concurrency::{OneshotReceiver, oneshot};
use flame_actors::ractor::message::SerializedMessage;
use serde_json::Value;

/// The message as it arrives elsewhere.
pub(crate) fn travelled<M: Message>(message: M) -> M {
    assert!(M::serializable(), "the message is not `#[message(cluster)]`");
    M::deserialize(message.serialize().unwrap()).unwrap()
}

/// What is sent of the message.
pub(crate) fn body<M: Message>(message: M) -> Vec<u8> {
    match message.serialize().unwrap() {
        SerializedMessage::Cast { args, .. } | SerializedMessage::Call { args, .. } => args,
        SerializedMessage::CallReply(..) => panic!("a message became a reply"),
    }
}

/// What is sent of the message, to be read.
pub(crate) fn readable<M: Message>(message: M) -> Value {
    rmp_serde::from_slice(&body(message)).unwrap()
}

/// The message that arrives when this is sent.
pub(crate) fn received<M: Message>(sent: &Value) -> Result<M, flame_actors::Error> {
    M::decode(&rmp_serde::to_vec_named(sent).unwrap(), None)
}

/// A reply port and where its reply comes out.
pub(crate) fn port<T>() -> (RpcReplyPort<T>, OneshotReceiver<T>) {
    let (sender, receiver) = oneshot();
    (sender.into(), receiver)
}
