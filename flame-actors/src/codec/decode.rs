//! Bytes to values.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::stack::{self, Stack};
use super::{Fault, MAX_DEPTH, mark};

/// serde_json's name for text that it passes through, which asks for a newtype and wants a map.
const RAW_JSON: &str = "$serde_json::private::RawValue";

/// Decodes one value from the front of some bytes.
#[derive(Debug)]
pub(super) struct Decoder<'de> {
    rest: &'de [u8],
    depth: usize,
    stack: Stack,
}

/// The next piece of the bytes. Of an array or map it is the number of elements or entries, which follow.
#[derive(Debug)]
enum Token<'de> {
    Nil,
    Some,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    U128(u128),
    I128(i128),
    F32(f32),
    F64(f64),
    Str(&'de str),
    Bytes(&'de [u8]),
    Array(usize),
    Map(usize),
}

impl<'de> Decoder<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes, depth: 0, stack: Stack::here() }
    }

    /// Checks that nothing is left.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Fault::new(format!("there are {left} more bytes than it has"))),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'de [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(Fault::too_short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(Fault::too_short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn len_8(&mut self) -> Result<usize, Fault> {
        self.array().map(|[len]| len.into())
    }

    fn len_16(&mut self) -> Result<usize, Fault> {
        self.array().map(|len| u16::from_be_bytes(len).into())
    }

    fn len_32(&mut self) -> Result<usize, Fault> {
        self.array().map(|len| u32::from_be_bytes(len) as usize)
    }

    fn str(&mut self, len: usize) -> Result<Token<'de>, Fault> {
        let text = std::str::from_utf8(self.take(len)?);
        text.map(Token::Str).map_err(|_| Fault::new("a text that is not UTF-8"))
    }

    fn bytes(&mut self, len: usize) -> Result<Token<'de>, Fault> {
        self.take(len).map(Token::Bytes)
    }

    fn token(&mut self) -> Result<Token<'de>, Fault> {
        let [first] = self.array()?;
        Ok(match first {
            0..=0x7f => Token::Unsigned(first.into()),
            mark::FIX_MAP..=0x8f => Token::Map((first & 0x0f).into()),
            mark::FIX_ARRAY..=0x9f => Token::Array((first & 0x0f).into()),
            mark::FIX_STR..=0xbf => self.str((first & 0x1f).into())?,
            mark::NIL => Token::Nil,
            mark::SOME => Token::Some,
            mark::FALSE => Token::Bool(false),
            mark::TRUE => Token::Bool(true),
            mark::BIN_8 => self.len_8().and_then(|len| self.bytes(len))?,
            mark::BIN_16 => self.len_16().and_then(|len| self.bytes(len))?,
            mark::BIN_32 => self.len_32().and_then(|len| self.bytes(len))?,
            mark::F32 => Token::F32(f32::from_be_bytes(self.array()?)),
            mark::F64 => Token::F64(f64::from_be_bytes(self.array()?)),
            mark::U8 => Token::Unsigned(u8::from_be_bytes(self.array()?).into()),
            mark::U16 => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            mark::U32 => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            mark::U64 => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            mark::I8 => Token::Signed(i8::from_be_bytes(self.array()?).into()),
            mark::I16 => Token::Signed(i16::from_be_bytes(self.array()?).into()),
            mark::I32 => Token::Signed(i32::from_be_bytes(self.array()?).into()),
            mark::I64 => Token::Signed(i64::from_be_bytes(self.array()?)),
            mark::FIX_EXT_16 => match self.array()? {
                [mark::EXT_U128] => Token::U128(u128::from_be_bytes(self.array()?)),
                [mark::EXT_I128] => Token::I128(i128::from_be_bytes(self.array()?)),
                [other] => return Err(Fault::new(format!("an extension of the type {other}, which is not known"))),
            },
            mark::STR_8 => self.len_8().and_then(|len| self.str(len))?,
            mark::STR_16 => self.len_16().and_then(|len| self.str(len))?,
            mark::STR_32 => self.len_32().and_then(|len| self.str(len))?,
            mark::ARRAY_16 => Token::Array(self.len_16()?),
            mark::ARRAY_32 => Token::Array(self.len_32()?),
            mark::MAP_16 => Token::Map(self.len_16()?),
            mark::MAP_32 => Token::Map(self.len_32()?),
            mark::NEGATIVE.. => Token::Signed(i64::from(first as i8)),
            other => return Err(Fault::new(format!("a byte {other:#04x}, which begins no value"))),
        })
    }

    /// Decodes something, with enough stack.
    pub(super) fn decode<T>(&mut self, decode: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if !self.stack.is_short() {
            return decode(self);
        }
        let before = self.stack;
        let value = stack::on_another(|stack| {
            self.stack = stack;
            decode(self)
        })?;
        self.stack = before;
        Ok(value)
    }

    /// Decodes something inside this value.
    fn nested<T>(&mut self, decode: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::too_deep());
        }
        let value = self.decode(decode)?;
        self.depth -= 1;
        Ok(value)
    }

    fn visit<V: Visitor<'de>>(&mut self, token: Token<'de>, visitor: V) -> Result<V::Value, Fault> {
        match token {
            Token::Nil => visitor.visit_unit(),
            Token::Some => self.nested(|decoder| visitor.visit_some(decoder)),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Unsigned(value) => visitor.visit_u64(value),
            Token::Signed(value) => visitor.visit_i64(value),
            Token::U128(value) => visitor.visit_u128(value),
            Token::I128(value) => visitor.visit_i128(value),
            Token::F32(value) => visitor.visit_f32(value),
            Token::F64(value) => visitor.visit_f64(value),
            Token::Str(text) => visitor.visit_borrowed_str(text),
            Token::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::Array(len) => self.elements(len, |elements| visitor.visit_seq(elements)),
            Token::Map(len) => self.elements(len, |entries| visitor.visit_map(entries)),
        }
    }

    fn elements<T>(
        &mut self,
        len: usize,
        visit: impl FnOnce(&mut Elements<'_, 'de>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.nested(|decoder| {
            let mut elements = Elements { decoder, left: len };
            let value = visit(&mut elements)?;
            match elements.left {
                0 => Ok(value),
                left => Err(Fault::new(format!("{left} of {len} elements are too many"))),
            }
        })
    }

    /// Passes over a value, whatever is in it, without recursion.
    fn skip(&mut self) -> Result<(), Fault> {
        let mut values = 1_usize;
        while values > 0 {
            let inside = match self.token()? {
                Token::Some => 1,
                Token::Array(len) => len,
                Token::Map(len) => len.saturating_mul(2),
                _ => 0,
            };
            values = (values - 1).saturating_add(inside);
        }
        Ok(())
    }
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let token = self.token()?;
        self.visit(token, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.rest.first() {
            Some(&mark::NIL) => {
                self.rest = &self.rest[1..];
                visitor.visit_none()
            }
            Some(&mark::SOME) => {
                self.rest = &self.rest[1..];
                self.nested(|decoder| visitor.visit_some(decoder))
            }
            // Counts as a level, though no byte stands for it: a type of nothing but options would never end.
            _ => self.nested(|decoder| visitor.visit_some(decoder)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        if name == RAW_JSON {
            return self.deserialize_any(visitor);
        }
        self.nested(|decoder| visitor.visit_newtype_struct(decoder))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.token()? {
            Token::Str(name) => visitor.visit_enum(name.into_deserializer()),
            Token::Unsigned(index) => visitor.visit_enum(IndexOnly(index)),
            Token::Map(1) => visitor.visit_enum(Variant { decoder: self }),
            Token::Map(len) => Err(Fault::invalid_length(len, &"a map of one entry, which is a variant")),
            other => {
                // For what serde says of it.
                let unexpected = self.visit(other, serde::de::IgnoredAny).map(|_| Unexpected::Other("no variant"))?;
                Err(Fault::invalid_type(unexpected, &visitor))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// What is left of an array or a map.
struct Elements<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
}

impl<'de> Elements<'_, 'de> {
    /// Takes one of what is left.
    fn next(&mut self) -> Option<&mut Decoder<'de>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.decoder)
    }

    /// Each element has a byte at least: no more room is made than the bytes can fill.
    fn hint(&self) -> usize {
        self.left.min(self.decoder.rest.len())
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.next().map(|decoder| seed.deserialize(decoder)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.next().map(|decoder| seed.deserialize(decoder)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

/// The number of a variant that has nothing in it.
struct IndexOnly(u64);

impl<'de> EnumAccess<'de> for IndexOnly {
    type Error = Fault;
    type Variant = Empty;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Empty), Fault> {
        Ok((seed.deserialize(IntoDeserializer::<Fault>::into_deserializer(self.0))?, Empty))
    }
}

struct Empty;

impl<'de> VariantAccess<'de> for Empty {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"newtype variant"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"tuple variant"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::UnitVariant, &"struct variant"))
    }
}

/// A variant with something in it.
struct Variant<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        Ok((seed.deserialize(&mut *self.decoder)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        serde::Deserialize::deserialize(self.decoder)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.decoder.nested(|decoder| seed.deserialize(decoder))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.decoder.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.decoder.deserialize_any(visitor)
    }
}
