//! The encoding of everything that is sent, and the limits on it.
//!
//! It is [MessagePack](https://github.com/msgpack/msgpack/blob/master/spec.md) with two additions, since each value
//! that serde can express has to arrive equal or to be refused where it is sent:
//!
//! - The byte 0xc1, which MessagePack never uses, stands before the content of a `Some` whose content begins with nil
//!   or with this byte. `Some(())` and `Some(None)` are so no `None`.
//! - The extension types 1 and 2 of 16 bytes are an `u128` and an `i128` that do not fit into 64 bits, big-endian.
//!
//! What users send has structs as maps by the fields' names and variants by their names; heads of frames have structs
//! as arrays and variants by their numbers.
//!
//! `is_human_readable` is `true` on both sides. Inside untagged, flattened and internally tagged types serde's own
//! deserializer returns `true` whatever the format says, and both sides have to agree.

mod decode;
mod encode;
mod stack;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::decode::Decoder;
use self::encode::Encoder;
use crate::Error;
use crate::error::panic_text;
use crate::stream;

/// The greatest encoded size of arguments, a result or a message: 16 MiB.
///
/// More is refused before it is sent, with [`Error::TooLarge`]: a single large message delays everything behind it
/// on the link. What is nested more than 128 levels deep is refused with [`Error::Encode`].
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The most levels of arrays, maps, structs, options and newtypes inside each other.
const MAX_DEPTH: usize = 128;

/// The first bytes of values, in MessagePack and beyond.
mod mark {
    pub(super) const FIX_MAP: u8 = 0x80;
    pub(super) const FIX_ARRAY: u8 = 0x90;
    pub(super) const FIX_STR: u8 = 0xa0;
    pub(super) const NIL: u8 = 0xc0;
    /// Ours: what follows is the content of a `Some`.
    pub(super) const SOME: u8 = 0xc1;
    pub(super) const FALSE: u8 = 0xc2;
    pub(super) const TRUE: u8 = 0xc3;
    pub(super) const BIN_8: u8 = 0xc4;
    pub(super) const BIN_16: u8 = 0xc5;
    pub(super) const BIN_32: u8 = 0xc6;
    pub(super) const F32: u8 = 0xca;
    pub(super) const F64: u8 = 0xcb;
    pub(super) const U8: u8 = 0xcc;
    pub(super) const U16: u8 = 0xcd;
    pub(super) const U32: u8 = 0xce;
    pub(super) const U64: u8 = 0xcf;
    pub(super) const I8: u8 = 0xd0;
    pub(super) const I16: u8 = 0xd1;
    pub(super) const I32: u8 = 0xd2;
    pub(super) const I64: u8 = 0xd3;
    pub(super) const FIX_EXT_16: u8 = 0xd8;
    pub(super) const STR_8: u8 = 0xd9;
    pub(super) const STR_16: u8 = 0xda;
    pub(super) const STR_32: u8 = 0xdb;
    pub(super) const ARRAY_16: u8 = 0xdc;
    pub(super) const ARRAY_32: u8 = 0xdd;
    pub(super) const MAP_16: u8 = 0xde;
    pub(super) const MAP_32: u8 = 0xdf;
    /// From here on a byte is a negative number of its own.
    pub(super) const NEGATIVE: u8 = 0xe0;
    /// Our extension types.
    pub(super) const EXT_U128: u8 = 1;
    pub(super) const EXT_I128: u8 = 2;
}

/// Encodes a value of a user's type, with names.
///
/// Never panics, whatever the type's own encoder does.
///
/// # Errors
/// [`Error::Encode`] with the type's name, [`Error::TooLarge`] past [`MAX_MESSAGE_BYTES`].
pub fn to_bytes<T: Serialize + DeserializeOwned>(value: &T) -> Result<Vec<u8>, Error> {
    let (bytes, has_wide_integer) = encode::<true, T>(value)?;
    // serde has no place for one where it keeps a value in between, as in untagged, flattened and internally tagged
    // types, which only the decoder knows. What is offered with the value would be taken back by decoding it.
    if has_wide_integer && !stream::is_offering() {
        from_bytes::<T>(&bytes).map_err(|err| match err {
            Error::Decode { what, reason } => {
                Error::Encode { what, reason: format!("it could not be decoded again: {reason}") }
            }
            err => err,
        })?;
    }
    Ok(bytes)
}

/// Encodes a value of ours, without names.
pub(crate) fn to_compact<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    encode::<false, T>(value).map(|(bytes, _)| bytes)
}

/// Returns the bytes, and whether an integer of more than 64 bits is in them.
fn encode<const NAMED: bool, T: Serialize>(value: &T) -> Result<(Vec<u8>, bool), Error> {
    let what = || std::any::type_name::<T>().to_owned();
    let encoded = without_panic("encoder", || {
        let mut encoder = Encoder::<NAMED>::new();
        encoder.encode(value)?;
        Ok(encoder)
    });
    let encoder = encoded.map_err(|fault| Error::Encode { what: what(), reason: fault.0 })?;
    let has_wide_integer = encoder.has_wide_integer();
    let bytes = encoder.finish().map_err(|size| Error::TooLarge { what: what(), size, limit: MAX_MESSAGE_BYTES })?;
    Ok((bytes, has_wide_integer))
}

/// Decodes a value, with names or without.
///
/// Never panics, whatever the bytes are and whatever the type's own decoder does.
///
/// # Errors
/// [`Error::Decode`] with the type's name.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let decoded = without_panic("decoder", || {
        let mut decoder = Decoder::new(bytes);
        let value = decoder.decode(|decoder| T::deserialize(decoder))?;
        decoder.finish().map(|()| value)
    });
    decoded.map_err(|fault| Error::Decode { what: std::any::type_name::<T>().to_owned(), reason: fault.0 })
}

fn without_panic<T>(whose: &str, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Fault::new(format!("its {whose} panicked: {}", panic_text(panic)))))
}

/// Why something was not encoded or decoded.
#[derive(Debug)]
struct Fault(String);

impl Fault {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    #[cold]
    fn too_deep() -> Self {
        Self(format!("it is nested more than {MAX_DEPTH} levels deep"))
    }

    #[cold]
    fn too_short() -> Self {
        Self("the bytes end before it does".to_owned())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl serde::ser::Error for Fault {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(reason.to_string())
    }
}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(reason.to_string())
    }
}

/// Checks the limit, naming what it is that would be sent.
pub(crate) fn within_limit(encoded: Result<Vec<u8>, Error>, what: impl FnOnce() -> String) -> Result<Bytes, Error> {
    match encoded {
        Ok(bytes) if bytes.len() <= MAX_MESSAGE_BYTES => Ok(Bytes::from(bytes)),
        Ok(bytes) => Err(Error::TooLarge { what: what(), size: bytes.len(), limit: MAX_MESSAGE_BYTES }),
        Err(Error::TooLarge { size, limit, .. }) => Err(Error::TooLarge { what: what(), size, limit }),
        Err(err) => Err(err),
    }
}
