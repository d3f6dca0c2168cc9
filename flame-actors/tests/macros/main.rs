//! What the macros generate does what the user's code says, here and on a runner.
//!
//! The lints are those of a strict user: what is generated has to be free of their warnings.
#![warn(clippy::pedantic, clippy::nursery, unused_qualifications)]
#![allow(clippy::redundant_pub_crate, reason = "rustc's `unreachable_pub` wants the opposite")]
#![allow(clippy::significant_drop_tightening, reason = "a test's pool lives as long as the test")]

mod any_errors;
mod attributes;
mod blocks;
mod cluster;
mod decoding;
mod fields;
mod functions;
mod generics;
mod handlers;
mod hygiene;
mod messages;
mod panics;
mod references;
mod structs;
mod wire;
mod yields;

use flame_actors::ractor::rpc::CallResult;
use flame_actors::ractor::{ActorRef, RpcReplyPort};
use flame_actors::{InProcess, Message, Node, Pool};

/// A pool of this test alone, with its runners in this process.
async fn pool(name: &str) -> Pool {
    let node = Node::start().await.unwrap();
    Pool::builder(name).backend(InProcess::new()).start(&node).await.unwrap()
}

/// Calls an actor that has to answer.
async fn ask<M: Message, T: Send + 'static>(
    actor: &ActorRef<M>,
    message: impl FnOnce(RpcReplyPort<T>) -> M + Send,
) -> T {
    try_ask(actor, message).await.expect("it answers")
}

/// Calls an actor; `None` when there is no answer.
async fn try_ask<M: Message, T: Send + 'static>(
    actor: &ActorRef<M>,
    message: impl FnOnce(RpcReplyPort<T>) -> M + Send,
) -> Option<T> {
    match actor.call(message, None).await {
        Ok(CallResult::Success(answer)) => Some(answer),
        _ => None,
    }
}

/// Ends a placed child, so that its pool need not wait for it.
async fn stop<M: Message>(child: &ActorRef<M>) {
    child.stop_and_wait(None, None).await.unwrap();
}
