//! References to actors as values that travel.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use ractor::ActorRef;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Message;
use crate::node::route;

/// An [`ActorRef`] inside a serialisable type: it derefs to it.
///
/// Use it in serde structs, the `Arguments` of an actor among them; in a `#[derive(Message)]` enum or a
/// `#[remote]` function an `ActorRef` may stand by itself. On the wire it is the node's name and the actor's pid. What
/// the receiver gets is an ordinary local `ActorRef`: the actor itself on its own node, elsewhere a proxy that stands
/// for it. An address whose actor is gone becomes a ref to a stopped actor.
///
/// ```
/// use flame_actors::ractor::{ActorRef, MessagingErr};
/// use flame_actors::{ActorAddr, Message};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Message)]
/// enum Progress {
///     Percent(u8),
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Open {
///     path: String,
///     tell: ActorAddr<Progress>,
/// }
///
/// fn open(path: String, tell: &ActorRef<Progress>) -> Open {
///     Open { path, tell: tell.into() }
/// }
///
/// fn half_way(open: &Open) -> Result<(), MessagingErr<Progress>> {
///     open.tell.cast(Progress::Percent(50)) // as on the ref itself
/// }
/// ```
///
/// # Errors
/// Serialising fails in a process that is not a [`Node`](crate::Node) yet; deserialising fails when the address is of
/// an actor with other messages.
pub struct ActorAddr<M>(ActorRef<M>);

impl<M> ActorAddr<M> {
    /// The reference itself.
    pub fn into_ref(self) -> ActorRef<M> {
        self.0
    }
}

impl<M> From<ActorRef<M>> for ActorAddr<M> {
    fn from(actor: ActorRef<M>) -> Self {
        Self(actor)
    }
}

impl<M> From<&ActorRef<M>> for ActorAddr<M> {
    fn from(actor: &ActorRef<M>) -> Self {
        Self(actor.clone())
    }
}

impl<M> From<ActorAddr<M>> for ActorRef<M> {
    fn from(address: ActorAddr<M>) -> Self {
        address.0
    }
}

impl<M> Deref for ActorAddr<M> {
    type Target = ActorRef<M>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<M> Clone for ActorAddr<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> fmt::Debug for ActorAddr<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<M> PartialEq for ActorAddr<M> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<M> Eq for ActorAddr<M> {}

impl<M> Hash for ActorAddr<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<M: Message> Serialize for ActorAddr<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        actor_ref::serialize(&self.0, serializer)
    }
}

impl<'de, M: Message> Deserialize<'de> for ActorAddr<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        actor_ref::deserialize(deserializer).map(Self)
    }
}

/// For `#[serde(with = "flame_actors::actor_ref")]` on a field of type `ActorRef<M>`.
///
/// ```
/// use flame_actors::{Message, ractor::ActorRef};
///
/// #[derive(Message)]
/// struct Percent(u8);
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Open {
///     #[serde(with = "flame_actors::actor_ref")]
///     tell: ActorRef<Percent>,
/// }
/// ```
pub mod actor_ref {
    use super::{ActorRef, Deserialize, Deserializer, Message, Serialize, Serializer, route};

    /// Writes the actor's address.
    ///
    /// # Errors
    /// When this process is not a [`Node`](crate::Node) yet.
    pub fn serialize<M: Message, S: Serializer>(actor: &ActorRef<M>, serializer: S) -> Result<S::Ok, S::Error> {
        route::address_of(actor).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    /// Makes a local ref of an address.
    ///
    /// # Errors
    /// When the address is of an actor with other messages.
    pub fn deserialize<'de, M: Message, D: Deserializer<'de>>(deserializer: D) -> Result<ActorRef<M>, D::Error> {
        let address = route::Address::deserialize(deserializer)?;
        route::resolve(&address).map_err(serde::de::Error::custom)
    }
}
