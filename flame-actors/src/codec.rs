//! MessagePack with named fields, and the limit on what may be sent at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::error::panic_text;

/// The greatest encoded size of arguments, a result or a message: 16 MiB.
///
/// More is refused before it is sent, with [`Error::TooLarge`]: a single large message delays everything behind it
/// on the link. What arrives may be nested 128 levels deep.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Values that are nested deeper are refused: each level takes stack, and a thread has 2 MiB of it.
const MAX_DEPTH: usize = 128;

/// Encodes a value as MessagePack, structs as maps; never panics, whatever the type's own encoder does.
///
/// # Errors
/// [`Error::Encode`] with the type's name.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let encoded = without_panic("encoder", || rmp_serde::to_vec_named(value).map_err(|err| err.to_string()));
    encoded.map_err(|reason| Error::Encode { what: std::any::type_name::<T>().to_owned(), reason })
}

/// Decodes a value; never panics, whatever the bytes are and whatever the type's own decoder does.
///
/// # Errors
/// [`Error::Decode`] with the type's name.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let decoded = without_panic("decoder", || {
        let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
        decoder.set_max_depth(MAX_DEPTH);
        T::deserialize(&mut decoder).map_err(|err| err.to_string())
    });
    decoded.map_err(|reason| Error::Decode { what: std::any::type_name::<T>().to_owned(), reason })
}

fn without_panic<T>(whose: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(format!("its {whose} panicked: {}", panic_text(panic))))
}

/// Checks the limit, naming what it is that would be sent.
pub(crate) fn within_limit(bytes: Vec<u8>, what: impl FnOnce() -> String) -> Result<Bytes, Error> {
    check_limit(&bytes, what)?;
    Ok(Bytes::from(bytes))
}

/// The same for what is copied further.
pub(crate) fn check_limit(bytes: &[u8], what: impl FnOnce() -> String) -> Result<(), Error> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Error::TooLarge { what: what(), size: bytes.len(), limit: MAX_MESSAGE_BYTES });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Deserializer};

    #[test]
    fn a_decoder_that_panics_is_an_error() {
        #[derive(Debug)]
        struct Bomb;
        impl<'de> Deserialize<'de> for Bomb {
            fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                panic!("it is not defused")
            }
        }
        let err = from_bytes::<Bomb>(&to_bytes(&()).unwrap()).unwrap_err();
        assert!(err.to_string().contains("its decoder panicked: it is not defused"), "{err}");
    }
}
