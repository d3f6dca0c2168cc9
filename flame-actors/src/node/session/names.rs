//! Keeps the names of a peer's actors out of ractor_cluster.
//!
//! A peer announces its remotable actors with their names. The stand-in that ractor_cluster starts for one has its name
//! too, does not register it, and still unregisters it when it ends: a local actor of that name, which any copy of an
//! application has, could no longer be found. So what is read from a peer passes here first.
//!
//! The wire format is that of ractor_cluster 0.16.5 (`src/net/session.rs`, `src/protocol/*.proto`): a `u64` length,
//! big-endian, and so many bytes of protobuf. A name is not cut out, which would change four lengths in front of it: the
//! number of its field becomes one that nobody knows, and a decoder skips it. Nothing is held back or allocated by the
//! length of anything. What this does not understand passes as it is, up to the end of its frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// What a peer says, without the names of its actors.
pub(super) struct Unnamed<R> {
    from: R,
    walker: Walker,
}

impl<R> Unnamed<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, walker: Walker::default() }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Unnamed<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let known = buf.filled().len();
        ready!(Pin::new(&mut this.from).poll_read(cx, buf))?;
        this.walker.walk(&mut buf.filled_mut()[known..]);
        Poll::Ready(Ok(()))
    }
}

/// The messages on the way to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Network,
    Control,
    Spawn,
    /// `PgJoin` or `PgLeave`.
    Group,
    Actor,
}

impl Kind {
    /// What is in a field, when there may be a name in it.
    fn of_field(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Network, 3) => Some(Self::Control),
            (Self::Control, 1) => Some(Self::Spawn),
            (Self::Control, 5 | 6) => Some(Self::Group),
            (Self::Spawn, 1) | (Self::Group, 2) => Some(Self::Actor),
            _ => None,
        }
    }
}

/// A key is `field << 3 | wire type`.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

/// `Actor.name`, and the field that no `Actor` has.
const NAME: u64 = 2 << 3 | LENGTH;
const NOBODYS: u8 = 15 << 3 | LENGTH as u8;

/// What the next byte is.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Of the length of a frame.
    Header(Number),
    Key(Number),
    /// Of the length of this field.
    Length(u64, Number),
    /// Of a number that says nothing.
    Varint(Number),
    /// The first of so many that say nothing.
    Bytes(u64),
}

/// A number of which some bytes have been read.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    value: u64,
    bytes: u32,
}

impl Number {
    /// The number with one more byte, and whether it was the last; `None` if it has too many.
    fn varint(self, byte: u8) -> Option<(Self, bool)> {
        let value = self.value | u64::from(byte & 0x7f).checked_shl(7 * self.bytes)?;
        Some((Self { value, bytes: self.bytes + 1 }, byte & 0x80 == 0))
    }
}

/// A message that has begun, and the position in its frame at which it ends.
#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    end: u64,
}

/// Follows the bytes of a connection, however they are split.
#[derive(Debug)]
struct Walker {
    /// Where it is in the frame.
    at: u64,
    next: Next,
    /// The frame, and in it the messages that have begun: four at the most, since kinds nest no deeper.
    open: Vec<Open>,
}

impl Default for Walker {
    fn default() -> Self {
        Self { at: 0, next: Next::Header(Number::default()), open: Vec::new() }
    }
}

impl Walker {
    /// Looks at the next bytes, and hides the keys of names among them.
    fn walk(&mut self, bytes: &mut [u8]) {
        let mut done = 0;
        while let Some(byte) = bytes.get_mut(done) {
            if let Next::Bytes(left) = self.next {
                let passed = left.min((bytes.len() - done) as u64);
                self.next = Next::Bytes(left - passed);
                self.at += passed;
                done += passed as usize;
            } else {
                self.at += 1;
                done += 1;
                if self.step(byte).is_none() {
                    self.give_up();
                }
            }
            self.close();
        }
    }

    /// Takes one byte; `None` when it makes no sense.
    fn step(&mut self, byte: &mut u8) -> Option<()> {
        self.next = match self.next {
            Next::Header(Number { value, bytes }) => {
                let length = Number { value: value << 8 | u64::from(*byte), bytes: bytes + 1 };
                if length.bytes == u64::BITS / 8 {
                    self.enter(Kind::Network, length.value)
                } else {
                    Next::Header(length)
                }
            }
            Next::Key(key) => match key.varint(*byte)? {
                (key, true) => self.field(key, byte)?,
                (key, false) => Next::Key(key),
            },
            Next::Varint(number) => match number.varint(*byte)? {
                (_, true) => Next::Key(Number::default()),
                (number, false) => Next::Varint(number),
            },
            Next::Length(field, length) => match length.varint(*byte)? {
                (length, true) => {
                    let length = self.within(length.value)?;
                    match self.open.last()?.kind.of_field(field) {
                        Some(kind) => self.enter(kind, length),
                        None => Next::Bytes(length),
                    }
                }
                (length, false) => Next::Length(field, length),
            },
            Next::Bytes(left) => Next::Bytes(left),
        };
        Some(())
    }

    /// Begins a message of this length.
    fn enter(&mut self, kind: Kind, length: u64) -> Next {
        if kind == Kind::Network {
            self.at = 0;
        }
        self.open.push(Open { kind, end: self.at + length });
        Next::Key(Number::default())
    }

    /// What follows a key, of which this is the last byte: it is another one when the key was a name's.
    fn field(&self, key: Number, byte: &mut u8) -> Option<Next> {
        if key.value == NAME && self.open.last()?.kind == Kind::Actor {
            // A key may have more bytes than it needs. Then this one is zero, and adds to the field.
            *byte = if key.bytes == 1 { NOBODYS } else { 1 };
        }
        Some(match key.value & 7 {
            VARINT => Next::Varint(Number::default()),
            FIXED_64 => Next::Bytes(self.within(8)?),
            LENGTH => Next::Length(key.value >> 3, Number::default()),
            FIXED_32 => Next::Bytes(self.within(4)?),
            // Groups are what nobody writes any more.
            _ => return None,
        })
    }

    /// The length, unless it leads out of the innermost message.
    fn within(&self, length: u64) -> Option<u64> {
        (length <= self.open.last()?.end.checked_sub(self.at)?).then_some(length)
    }

    /// Lets the rest of the frame pass.
    fn give_up(&mut self) {
        self.open.truncate(1);
        let end = self.open.first().map_or(self.at, |frame| frame.end);
        self.next = Next::Bytes(end - self.at);
    }

    /// Leaves the messages that end here.
    fn close(&mut self) {
        let is_in_between = match self.next {
            Next::Header(_) => return,
            Next::Bytes(left) => left == 0,
            Next::Key(key) => key.bytes == 0,
            Next::Varint(_) | Next::Length(..) => false,
        };
        if is_in_between {
            while self.open.pop_if(|open| open.end == self.at).is_some() {}
            self.next = Next::Key(Number::default());
            if self.open.is_empty() {
                (self.at, self.next) = (0, Next::Header(Number::default()));
            }
        } else if !matches!(self.next, Next::Bytes(_)) && self.open.last().is_some_and(|open| open.end == self.at) {
            // It ends inside a number. What encloses it goes on, and would be misread.
            self.give_up();
            self.close();
        }
    }
}

#[cfg(test)]
mod tests;
