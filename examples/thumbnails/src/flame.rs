//! Stands in for `flame_actors` and `flame_local` until they exist: same names, everything in this process.

#![allow(dead_code, missing_docs, clippy::unused_async)]

use std::ops::Deref;

use anyhow::Result;
use ractor::{Actor, ActorCell, ActorRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

impl ractor::Message for crate::generator::GeneratorMsg {}
impl ractor::Message for crate::video::VideoMsg {}

pub(crate) fn node_name() -> String {
    "local".to_owned()
}

pub(crate) struct Node;

impl Node {
    pub(crate) async fn start() -> Result<Self> {
        Ok(Self)
    }
    pub(crate) fn is_runner(&self) -> bool {
        false
    }
    pub(crate) async fn serve(&self) -> Result<()> {
        Ok(())
    }
    pub(crate) async fn shutdown(&self) {}
}

pub(crate) struct ProcessBackend;

impl ProcessBackend {
    pub(crate) fn new() -> Self {
        Self
    }
}

#[derive(Clone)]
pub(crate) struct Pool;

impl Pool {
    pub(crate) fn builder(_: &str) -> Self {
        Self
    }
    pub(crate) fn max(self, _: usize) -> Self {
        self
    }
    pub(crate) fn max_concurrency(self, _: usize) -> Self {
        self
    }
    pub(crate) fn backend(self, _: ProcessBackend) -> Self {
        self
    }
    pub(crate) async fn start(self, _: &Node) -> Result<Self> {
        eprintln!("flame.rs is a stand-in: this pool runs in this process");
        Ok(self)
    }
    pub(crate) async fn shutdown(&self) {}
    pub(crate) fn place_child<A: Actor>(&self, actor: A, args: A::Arguments) -> Place<A> {
        Place { actor, args }
    }
}

pub(crate) struct Place<A: Actor> {
    actor: A,
    args: A::Arguments,
}

impl<A: Actor> Place<A> {
    pub(crate) async fn linked_to(self, cell: &ActorCell) -> Result<ActorRef<A::Msg>> {
        Ok(A::spawn_linked(None, self.actor, self.args, cell.clone()).await?.0)
    }
}

pub(crate) struct ActorAddr<M>(ActorRef<M>);

impl<M> From<ActorRef<M>> for ActorAddr<M> {
    fn from(actor: ActorRef<M>) -> Self {
        Self(actor)
    }
}

impl<M> Deref for ActorAddr<M> {
    type Target = ActorRef<M>;
    fn deref(&self) -> &ActorRef<M> {
        &self.0
    }
}

impl<M> Serialize for ActorAddr<M> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("flame.rs is a stand-in"))
    }
}

impl<'de, M> Deserialize<'de> for ActorAddr<M> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("flame.rs is a stand-in"))
    }
}
