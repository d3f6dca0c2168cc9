//! Values to bytes.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::stack::{self, Stack};
use super::{Fault, MAX_DEPTH, MAX_MESSAGE_BYTES, mark};

/// Encodes one value.
#[derive(Debug)]
pub(super) struct Encoder<const NAMED: bool> {
    bytes: Vec<u8>,
    /// How many bytes there would be. Past the limit they are counted and not kept.
    size: usize,
    depth: usize,
    has_wide: bool,
    stack: Stack,
}

/// An array or map whose header may have to be written again.
#[derive(Debug)]
struct Open {
    at: usize,
    kind: Kind,
    written: usize,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Array,
    Map,
}

/// The elements of an array, map, struct or variant.
#[derive(Debug)]
pub(super) struct Elements<'a, const NAMED: bool> {
    encoder: &'a mut Encoder<NAMED>,
    open: Open,
}

fn header(kind: Kind, len: usize) -> Result<([u8; 5], usize), Fault> {
    let (fix, short, long) = match kind {
        Kind::Array => (mark::FIX_ARRAY, mark::ARRAY_16, mark::ARRAY_32),
        Kind::Map => (mark::FIX_MAP, mark::MAP_16, mark::MAP_32),
    };
    let len = u32::try_from(len).map_err(|_| Fault::new("it has more than 4,294,967,295 elements"))?;
    let mut header = [0; 5];
    let used = match len {
        0..=15 => {
            header[0] = fix | len as u8;
            1
        }
        16..=0xffff => {
            header[0] = short;
            header[1..3].copy_from_slice(&(len as u16).to_be_bytes());
            3
        }
        _ => {
            header[0] = long;
            header[1..].copy_from_slice(&len.to_be_bytes());
            5
        }
    };
    Ok((header, used))
}

impl<const NAMED: bool> Encoder<NAMED> {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), size: 0, depth: 0, has_wide: false, stack: Stack::here() }
    }

    /// Returns the bytes; `Err` has their number when there are too many.
    pub(super) fn finish(self) -> Result<Vec<u8>, usize> {
        if self.is_over() { Err(self.size) } else { Ok(self.bytes) }
    }

    /// Whether an integer of more than 64 bits is in it, which serde cannot decode everywhere.
    pub(super) fn has_wide_integer(&self) -> bool {
        self.has_wide
    }

    fn is_over(&self) -> bool {
        self.size > MAX_MESSAGE_BYTES
    }

    fn put(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(bytes.len());
        if !self.is_over() {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn put_marked<const N: usize>(&mut self, mark: u8, bytes: [u8; N]) {
        self.put(&[mark]);
        self.put(&bytes);
    }

    fn put_wide(&mut self, kind: u8, bytes: [u8; 16]) {
        self.has_wide = true;
        self.put(&[mark::FIX_EXT_16, kind]);
        self.put(&bytes);
    }

    /// Puts the mark of a string or of bytes before them.
    fn put_long(&mut self, marks: [u8; 3], bytes: &[u8]) -> Result<(), Fault> {
        match bytes.len() {
            len @ 0..=0xff => self.put_marked(marks[0], [len as u8]),
            len @ 0x100..=0xffff => self.put_marked(marks[1], (len as u16).to_be_bytes()),
            len => {
                let len = u32::try_from(len).map_err(|_| Fault::new("a text or bytes of 4 GiB or more"))?;
                self.put_marked(marks[2], len.to_be_bytes());
            }
        }
        self.put(bytes);
        Ok(())
    }

    fn put_str(&mut self, text: &str) -> Result<(), Fault> {
        if text.len() < 32 {
            self.put(&[mark::FIX_STR | text.len() as u8]);
            self.put(text.as_bytes());
            return Ok(());
        }
        self.put_long([mark::STR_8, mark::STR_16, mark::STR_32], text.as_bytes())
    }

    /// Encodes a value, with enough stack.
    pub(super) fn encode<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        if !self.stack.is_short() {
            return value.serialize(self);
        }
        let before = self.stack;
        stack::on_another(|stack| {
            self.stack = stack;
            value.serialize(&mut *self)
        })?;
        self.stack = before;
        Ok(())
    }

    /// Encodes a value inside another.
    fn nested<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::too_deep());
        }
        self.encode(value)?;
        self.depth -= 1;
        Ok(())
    }

    fn open(&mut self, kind: Kind, len: Option<usize>) -> Result<Open, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::too_deep());
        }
        let (at, written) = (self.bytes.len(), len.unwrap_or(0));
        let (header, used) = header(kind, written)?;
        self.put(&header[..used]);
        Ok(Open { at, kind, written, count: 0 })
    }

    /// Says how many elements there were, if that is not what was written before them.
    fn close(&mut self, open: &Open) -> Result<(), Fault> {
        if open.count == open.written || self.is_over() {
            return Ok(());
        }
        let ((_, before), (header, used)) = (header(open.kind, open.written)?, header(open.kind, open.count)?);
        self.size = self.size - before + used;
        if !self.is_over() {
            self.bytes.splice(open.at..open.at + before, header[..used].iter().copied());
        }
        Ok(())
    }

    fn elements(&mut self, kind: Kind, len: Option<usize>) -> Result<Elements<'_, NAMED>, Fault> {
        let open = self.open(kind, len)?;
        Ok(Elements { encoder: self, open })
    }

    fn fields(&mut self, len: usize) -> Result<Elements<'_, NAMED>, Fault> {
        self.elements(if NAMED { Kind::Map } else { Kind::Array }, Some(len))
    }

    fn variant(&mut self, index: u32, name: &'static str) -> Result<(), Fault> {
        if NAMED { self.put_str(name) } else { self.serialize_u32(index) }
    }

    /// A variant with something in it is a map of one entry.
    fn variant_of(&mut self, index: u32, name: &'static str) -> Result<(), Fault> {
        self.put(&[mark::FIX_MAP | 1]);
        self.variant(index, name)
    }
}

impl<const NAMED: bool> Elements<'_, NAMED> {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.open.count += 1;
        self.encoder.nested(value)
    }

    fn add_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Fault> {
        if NAMED {
            self.encoder.put_str(name)?;
        }
        self.add(value)
    }

    fn done(self) -> Result<(), Fault> {
        self.encoder.close(&self.open)
    }
}

impl<'a, const NAMED: bool> Serializer for &'a mut Encoder<NAMED> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Elements<'a, NAMED>;
    type SerializeTuple = Elements<'a, NAMED>;
    type SerializeTupleStruct = Elements<'a, NAMED>;
    type SerializeTupleVariant = Elements<'a, NAMED>;
    type SerializeMap = Elements<'a, NAMED>;
    type SerializeStruct = Elements<'a, NAMED>;
    type SerializeStructVariant = Elements<'a, NAMED>;

    fn serialize_bool(self, value: bool) -> Result<(), Fault> {
        self.put(&[if value { mark::TRUE } else { mark::FALSE }]);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Fault> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Fault> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Fault> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Fault> {
        if let Ok(value) = u64::try_from(value) {
            return self.serialize_u64(value);
        }
        match value {
            -32.. => self.put(&[value as u8]),
            -0x80.. => self.put_marked(mark::I8, (value as i8).to_be_bytes()),
            -0x8000.. => self.put_marked(mark::I16, (value as i16).to_be_bytes()),
            -0x8000_0000.. => self.put_marked(mark::I32, (value as i32).to_be_bytes()),
            _ => self.put_marked(mark::I64, value.to_be_bytes()),
        }
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Fault> {
        self.has_wide = true;
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => self.serialize_u64(value),
            (_, Ok(value)) => self.serialize_i64(value),
            _ => {
                self.put_wide(mark::EXT_I128, value.to_be_bytes());
                Ok(())
            }
        }
    }

    fn serialize_u8(self, value: u8) -> Result<(), Fault> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Fault> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Fault> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Fault> {
        match value {
            0..=0x7f => self.put(&[value as u8]),
            0x80..=0xff => self.put_marked(mark::U8, (value as u8).to_be_bytes()),
            0x100..=0xffff => self.put_marked(mark::U16, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.put_marked(mark::U32, (value as u32).to_be_bytes()),
            _ => self.put_marked(mark::U64, value.to_be_bytes()),
        }
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Fault> {
        self.has_wide = true;
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => {
                self.put_wide(mark::EXT_U128, value.to_be_bytes());
                Ok(())
            }
        }
    }

    fn serialize_f32(self, value: f32) -> Result<(), Fault> {
        self.put_marked(mark::F32, value.to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Fault> {
        self.put_marked(mark::F64, value.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Fault> {
        self.put_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Fault> {
        self.put_str(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Fault> {
        self.put_long([mark::BIN_8, mark::BIN_16, mark::BIN_32], value)
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.put(&[mark::NIL]);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        let at = self.bytes.len();
        self.nested(value)?;
        // Would be read as `None`, or as one `Some` less.
        if matches!(self.bytes.get(at), Some(&(mark::NIL | mark::SOME))) {
            self.size += 1;
            if !self.is_over() {
                self.bytes.insert(at, mark::SOME);
            }
        }
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.put(&[mark::NIL]);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, name: &'static str) -> Result<(), Fault> {
        self.variant(index, name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Fault> {
        self.nested(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        self.variant_of(index, name)?;
        self.nested(value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'a, NAMED>, Fault> {
        self.elements(Kind::Array, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Elements<'a, NAMED>, Fault> {
        self.elements(Kind::Array, Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Elements<'a, NAMED>, Fault> {
        self.elements(Kind::Array, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Elements<'a, NAMED>, Fault> {
        self.variant_of(index, name)?;
        self.elements(Kind::Array, Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Elements<'a, NAMED>, Fault> {
        self.elements(Kind::Map, len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Elements<'a, NAMED>, Fault> {
        self.fields(len)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Elements<'a, NAMED>, Fault> {
        self.variant_of(index, name)?;
        self.fields(len)
    }
}

/// Implements those traits of serde that differ in the names of their methods only.
macro_rules! elements {
    ($($of:ident: $add:ident),+) => {$(
        impl<const NAMED: bool> $of for Elements<'_, NAMED> {
            type Ok = ();
            type Error = Fault;

            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
                self.add(value)
            }

            fn end(self) -> Result<(), Fault> {
                self.done()
            }
        }
    )+};
}

elements! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

impl<const NAMED: bool> SerializeMap for Elements<'_, NAMED> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.encoder.nested(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.add(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.done()
    }
}

macro_rules! fields {
    ($($of:ident),+) => {$(
        impl<const NAMED: bool> $of for Elements<'_, NAMED> {
            type Ok = ();
            type Error = Fault;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Fault> {
                self.add_field(name, value)
            }

            fn end(self) -> Result<(), Fault> {
                self.done()
            }
        }
    )+};
}

fields!(SerializeStruct, SerializeStructVariant);
