//! What the macros' expansions refer to. No interface: it changes without notice.

use std::marker::PhantomData;

pub use inventory;
pub use ractor;
use ractor::Actor;
pub use serde;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::codec::{from_bytes, to_bytes};
pub use crate::message::{Encoded, ReplyTo, box_message, cluster, from_boxed, reply_port};
pub use crate::parent::is_started_over_stdin;
pub use crate::place::Snapshots;
pub use crate::registry::{ActorEntry, TaskEntry};
pub use crate::task::{Remote, Returns};
pub use crate::yields::{Stream, YieldsItems};
use crate::{AnyError, Error, Message, Snapshot};

// ---- readable errors -----------------------------------------------------------------------------------------

/// What can be an argument, a result, a field of a message.
///
/// Serde's traits are not supertraits: with them the compiler would talk about those, at length, and not about this.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel to a runner",
    label = "this type cannot be sent to another process",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; an actor travels as `ActorRef<M>` or, inside other types, as `ActorAddr<M>`, an error of any type as `anyhow::Error` or, there and in messages, as `AnyError`"
)]
pub trait Travels: Sized {
    /// Named by the macros at the user's type, so that the compiler's complaint is about that type.
    const ASSERT: () = ();
    /// As serde's.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    /// As serde's.
    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Travels for T {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Serialize::serialize(self, serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer)
    }
}

/// A field of a message on the wire, there as if it were not wrapped.
pub struct Field<T>(pub T);

impl<T: Travels> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Travels::serialize(&self.0, serializer)
    }
}

impl<'de, T: Travels> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Travels::deserialize(deserializer).map(Field)
    }
}

/// What can be an argument or a result, or become one: an error of `anyhow` does, as an [`AnyError`].
///
/// No type goes both ways, so that `_` finds its `Way`; one trait without ways could not be implemented for a foreign
/// type beside all that have serde's traits.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel to a runner",
    label = "this type cannot be sent to another process",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; an actor travels as `ActorRef<M>` or, inside other types, as `ActorAddr<M>`, an error of any type as `anyhow::Error` or, there and in messages, as `AnyError`"
)]
pub trait TravelsBy<Way>: Sized {
    /// As `Travels::ASSERT`.
    const ASSERT: () = ();
}

/// The way of what has serde's traits.
pub enum ByItself {}

/// The way of what becomes an [`AnyError`].
pub enum ByText {}

#[diagnostic::do_not_recommend]
impl<T: Travels> TravelsBy<ByItself> for T {}

#[diagnostic::do_not_recommend]
impl TravelsBy<ByText> for anyhow::Error {}

#[diagnostic::do_not_recommend]
impl<T: Travels> TravelsBy<ByText> for Result<T, anyhow::Error> {}

/// What the actors behind references that travel take.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message that travels",
    label = "derive `Message` for this type",
    note = "`#[derive(flame_actors::Message)]` makes a message that travels; `LocalMessage` and ractor's own do not"
)]
pub trait Addressed {
    /// As `Travels::ASSERT`.
    const ASSERT: () = ();
}

#[diagnostic::do_not_recommend]
impl<M: Message> Addressed for M {}

// ---- codecs by what a type can do ----------------------------------------------------------------------------

/// Encodes a value whose type the macros have asserted to travel.
///
/// `(&Codec::<T>::new()).encode(&value)` finds `ByCodec` where `T` travels and `NoCodec` elsewhere; the second exists
/// so that the assertion is the only error a user sees.
pub struct Codec<T>(PhantomData<T>);

#[expect(clippy::new_without_default, reason = "the expansions want a const fn")]
impl<T> Codec<T> {
    /// The codec of the type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// The codec of this value's type.
    pub const fn of(_: &T) -> Self {
        Self(PhantomData)
    }

    /// The codec of what this conversion gives; some types that travel have no name that a macro could know.
    pub fn after<U>(_: impl FnOnce(U) -> T) -> Self {
        Self(PhantomData)
    }
}

/// The codec of a type that travels.
pub trait ByCodec<T> {
    /// Encodes.
    fn encode(&self, value: &T) -> Result<Vec<u8>, Error>;
    /// Decodes.
    fn decode(&self, bytes: &[u8]) -> Result<T, Error>;
}

impl<T: Serialize + DeserializeOwned> ByCodec<T> for Codec<T> {
    fn encode(&self, value: &T) -> Result<Vec<u8>, Error> {
        to_bytes(value)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, Error> {
        from_bytes(bytes)
    }
}

/// What stands in for the codec of a type that does not travel. It never compiles into anything.
pub trait NoCodec<T> {
    /// Refuses to compile.
    fn encode(&self, value: &T) -> Result<Vec<u8>, Error>;
    /// Refuses to compile.
    fn decode(&self, bytes: &[u8]) -> Result<T, Error>;
}

/// Fails whatever the type is, but names it, so that the compiler does not evaluate it before there is one.
const fn refuse<T>() -> ! {
    let _ = size_of::<T>();
    panic!("derive Serialize and Deserialize for this type: it travels to a runner")
}

impl<T> NoCodec<T> for &Codec<T> {
    fn encode(&self, _: &T) -> Result<Vec<u8>, Error> {
        const { refuse::<T>() }
    }

    fn decode(&self, _: &[u8]) -> Result<T, Error> {
        const { refuse::<T>() }
    }
}

// ---- errors of anyhow ----------------------------------------------------------------------------------------

/// The way of a type that may be an error of `anyhow`, whatever name or alias it is written by.
///
/// `(&Open::<T>::new()).pack(value)` finds `ViaText` by value, and `AsItIs` only by one more reference.
pub struct Open<T>(PhantomData<T>);

#[expect(clippy::new_without_default, reason = "the expansions want a const fn")]
impl<T> Open<T> {
    /// The way of the type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// An error of `anyhow`, or a result with one.
pub trait ViaText {
    /// The type.
    type Value;
    /// Its form on the wire.
    type Wire;
    /// Keeps the texts.
    fn pack(&self, value: Self::Value) -> Self::Wire;
    /// Makes an error of the texts.
    fn unpack(&self, wire: Self::Wire) -> Self::Value;
}

impl ViaText for Open<anyhow::Error> {
    type Value = anyhow::Error;
    type Wire = AnyError;

    fn pack(&self, value: anyhow::Error) -> AnyError {
        value.into()
    }

    fn unpack(&self, wire: AnyError) -> anyhow::Error {
        wire.into()
    }
}

impl<T> ViaText for Open<Result<T, anyhow::Error>> {
    type Value = Result<T, anyhow::Error>;
    type Wire = Result<T, AnyError>;

    fn pack(&self, value: Self::Value) -> Self::Wire {
        value.map_err(Into::into)
    }

    fn unpack(&self, wire: Self::Wire) -> Self::Value {
        wire.map_err(Into::into)
    }
}

/// Anything else.
pub trait AsItIs<T> {
    /// Does nothing.
    fn pack(&self, value: T) -> T;
    /// Does nothing.
    fn unpack(&self, wire: T) -> T;
}

impl<T> AsItIs<T> for &Open<T> {
    fn pack(&self, value: T) -> T {
        value
    }

    fn unpack(&self, wire: T) -> T {
        wire
    }
}

// ---- handlers ------------------------------------------------------------------------------------------------

/// How a handler travels: by serde where it can, as nothing where it is nothing.
///
/// `(&Handler::<T>::new()).encode(self)` finds `ViaSerde` by value, and `ViaNothing` only by one more reference.
pub struct Handler<T>(PhantomData<T>);

#[expect(clippy::new_without_default, reason = "the expansions want a const fn")]
impl<T> Handler<T> {
    /// The way of the type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// A handler with fields.
pub trait ViaSerde<T> {
    /// Encodes.
    fn encode(&self, handler: &T) -> Result<Vec<u8>, Error>;
    /// Decodes.
    fn decode(&self, bytes: &[u8]) -> Result<T, Error>;
}

impl<T: Serialize + DeserializeOwned> ViaSerde<T> for Handler<T> {
    fn encode(&self, handler: &T) -> Result<Vec<u8>, Error> {
        to_bytes(handler)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, Error> {
        from_bytes(bytes)
    }
}

/// A handler without any.
pub trait ViaNothing<T> {
    /// Encodes nothing.
    fn encode(&self, handler: &T) -> Result<Vec<u8>, Error>;
    /// Makes it of nothing.
    fn decode(&self, bytes: &[u8]) -> Result<T, Error>;
}

const fn assert_zero_sized<T>() {
    assert!(
        size_of::<T>() == 0,
        "derive Serialize and Deserialize for this actor: its handler has fields and travels to the runner"
    );
}

impl<T> ViaNothing<T> for &Handler<T> {
    fn encode(&self, _: &T) -> Result<Vec<u8>, Error> {
        const { assert_zero_sized::<T>() }
        Ok(Vec::new())
    }

    #[allow(unsafe_code)]
    fn decode(&self, _: &[u8]) -> Result<T, Error> {
        const { assert_zero_sized::<T>() }
        // SAFETY: `T` has no bytes to initialise, as asserted, and a value of it was given to `place_child`; for a
        // type that can have no value `zeroed` aborts. Tested by `a_unit_handler_needs_no_serde`.
        Ok(unsafe { std::mem::zeroed() })
    }
}

/// `Handler::<T>::SNAPSHOTS` at compile time: likewise.
pub trait NoSnapshot<T: Actor> {
    /// Without snapshots.
    const SNAPSHOTS: Option<Snapshots<T>> = None;
}

impl<T: Actor> NoSnapshot<T> for Handler<T> {}

impl<T: Snapshot> Handler<T> {
    /// With snapshots.
    pub const SNAPSHOTS: Option<Snapshots<T>> = Some(Snapshots::OF);
}

/// `Handler::<T>::HAS_SERDE` at compile time: the inherent constant wins over this one where its bounds hold.
pub trait NoSerde {
    /// Without serde.
    const HAS_SERDE: bool = false;
}

impl<T> NoSerde for Handler<T> {}

impl<T: Serialize + DeserializeOwned> Handler<T> {
    /// With serde.
    pub const HAS_SERDE: bool = true;
}
