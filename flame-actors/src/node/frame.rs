//! What is said on a link.
//!
//! One frame on the wire is `u32 length · u16 head length · head · body`, big-endian, where the length counts all
//! that follows it, the head is a [`Frame`] in compact MessagePack, and the body is what a caller encoded, untouched.
//! A frame over 64 KiB is cut into parts, each with a length of its own; the highest bit of that says that it is a part,
//! and the next one that it is the last. Heartbeats go between the parts.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::codec::{self, MAX_MESSAGE_BYTES};
use crate::error::{ChildError, Error};

/// The node that a frame is about; `None` is one of the two nodes of this link.
pub(crate) type Hop = Option<Arc<str>>;

/// How an actor ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Exit {
    /// It stopped, with the reason that was given.
    Stopped(Option<String>),
    /// It failed, or its node did.
    Failed(ChildError),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped(None) => f.write_str("it stopped"),
            Self::Stopped(Some(reason)) => write!(f, "it stopped: {reason}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// What to do to an actor on another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    Stop(Option<String>),
    Kill,
}

/// The head of one frame. `id`s are given out by the side that asks and unique on their link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// A heartbeat; the other side answers with the same number.
    Ping(u64),
    Pong(u64),

    /// Runner to parent: the application called `serve`.
    Ready,
    /// Runner to parent: it is wanted away, so it is to get no more work, and a `Shutdown` when it has none.
    Leaving,
    /// Parent to runner: end what runs within the grace, then leave.
    Shutdown {
        grace_ms: u64,
    },

    /// Run a task. The body holds its arguments. One that yields has a window: so many items it may make before the
    /// first `Credit`.
    Run {
        id: u64,
        task: String,
        deadline_ms: Option<u64>,
        linked: bool,
        window: Option<u32>,
    },
    /// The next piece of what it has yielded, in the body; see `yields/pieces.rs`. All of it comes before its `Ran`.
    Items {
        id: u64,
    },
    /// So much of that was read: as much more may be made.
    Credit {
        id: u64,
        items: u32,
        bytes: u64,
    },
    /// Nobody reads it any more, and the task goes on all the same.
    Unread {
        id: u64,
    },
    /// It ended. The body holds its result; while streams that are in it are open, its slot is taken.
    Ran {
        id: u64,
        outcome: Result<(), Error>,
        has_streams: bool,
    },
    /// Nobody waits for it any more.
    Cancel {
        id: u64,
    },

    /// Start an actor. The body holds the snapshot that it starts from, if any, and its handler, of these lengths, and
    /// its arguments; `guardian` is the pid under which it is known outside. What comes back is placed
    /// again when it ends.
    Place {
        id: u64,
        guardian: u64,
        actor: String,
        snapshot_len: Option<u32>,
        handler_len: u32,
        linked: bool,
        comes_back: bool,
    },
    /// It runs under this pid, or did not start.
    Placed {
        id: u64,
        outcome: Result<u64, Error>,
    },
    /// The guardian's wish.
    Child {
        id: u64,
        order: Order,
    },
    /// It hands over its state, in the body.
    Snapshot {
        id: u64,
    },
    /// It ended.
    Exited {
        id: u64,
        exit: Exit,
    },

    /// A message for an actor; `reply` asks for an answer, `ack` to be told when it is taken from the mailbox.
    Message {
        to: Hop,
        pid: u64,
        reply: Option<u64>,
        ack: Option<u64>,
        timeout_ms: Option<u64>,
    },
    /// The answer, in the body, or why there is none.
    Reply {
        id: u64,
        outcome: Result<(), Error>,
    },
    /// The message was taken from the mailbox, or never will be.
    Taken {
        id: u64,
    },
    /// A proxy was stopped or killed.
    Actor {
        to: Hop,
        pid: u64,
        order: Order,
    },
    /// Tell me when the actor ends.
    Watch {
        to: Hop,
        pid: u64,
    },
    /// The actor of `node` ended.
    Down {
        node: Hop,
        pid: u64,
        exit: Exit,
    },
}

/// A duration as frames have it; the longest are cut to what no clock will see the end of.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The most bytes of texts that are left in a frame whose head would be too long: of all texts together, and of one.
const CLIPPED_BYTES: usize = 48 * 1024;
const CLIPPED_TEXT_BYTES: usize = 16 * 1024;
/// The most ends of a history that are left, the last ones.
const CLIPPED_ENDS: usize = 16;

fn clip(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
}

impl Frame {
    /// The same with its texts cut to a length that a head can hold.
    pub(crate) fn clipped(mut self) -> Self {
        let texts = match &mut self {
            Self::Ran { outcome: Err(err), .. }
            | Self::Placed { outcome: Err(err), .. }
            | Self::Reply { outcome: Err(err), .. } => err.texts(),
            Self::Exited { exit: Exit::Failed(err), .. } | Self::Down { exit: Exit::Failed(err), .. } => {
                err.texts(CLIPPED_ENDS)
            }
            Self::Exited { exit: Exit::Stopped(Some(text)), .. }
            | Self::Down { exit: Exit::Stopped(Some(text)), .. }
            | Self::Child { order: Order::Stop(Some(text)), .. }
            | Self::Actor { order: Order::Stop(Some(text)), .. } => vec![text],
            _ => Vec::new(),
        };
        let most = CLIPPED_TEXT_BYTES.min(CLIPPED_BYTES / texts.len().max(1));
        texts.into_iter().for_each(|text| clip(text, most));
        self
    }
}

/// More than this is no frame of ours: the greatest body with room for its head.
const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES + 64 * 1024;

fn encode_head(frame: &Frame) -> Result<Vec<u8>, Error> {
    let head = codec::to_compact(frame)?;
    if fits(&head) {
        return Ok(head);
    }
    let limit = usize::from(u16::MAX);
    Err(Error::TooLarge { what: "a frame's head".to_owned(), size: head.len(), limit })
}

/// The head of a frame, for the wire.
///
/// # Errors
/// [`Error::TooLarge`].
pub(crate) fn head(frame: Frame) -> Result<Vec<u8>, Error> {
    match encode_head(&frame) {
        // Somebody waits for what it says, so it is said in fewer words.
        Err(Error::TooLarge { .. }) => encode_head(&frame.clipped()),
        head => head,
    }
}

/// A frame that is longer than this is sent in parts of this size.
const PART_BYTES: usize = 64 * 1024;
/// In a length: these bytes are a part of a frame.
const PART: u32 = 1 << 31;
/// In a length: they are the last part.
const LAST: u32 = 1 << 30;

/// A frame that is being written.
pub(crate) struct Writing<'a> {
    head: &'a [u8],
    body: &'a [u8],
    begun: bool,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(head: &'a [u8], body: &'a [u8]) -> Self {
        Self { head, body, begun: false }
    }

    /// Appends the next part to the write buffer, or the whole frame if it is short. `false`: that was all of it.
    pub(crate) fn put(&mut self, buf: &mut BytesMut) -> bool {
        let head_len = u16::try_from(self.head.len()).expect("heads that are queued were checked by `fits`");
        let prefix = if self.begun { 0 } else { 2 + self.head.len() };
        let len = (prefix + self.body.len()).min(PART_BYTES.max(prefix));
        let (now, rest) = self.body.split_at(len - prefix);
        let is_whole = !self.begun && rest.is_empty();
        let flags = if is_whole { 0 } else { PART | if rest.is_empty() { LAST } else { 0 } };
        buf.put_u32(len as u32 | flags);
        if !self.begun {
            buf.put_u16(head_len);
            buf.put_slice(self.head);
        }
        buf.put_slice(now);
        self.begun = true;
        self.body = rest;
        !rest.is_empty()
    }
}

/// Whether a head can be sent; texts in it (reasons, panics) may be of any length.
fn fits(head: &[u8]) -> bool {
    head.len() <= usize::from(u16::MAX)
}

/// What has been read and is not yet a frame.
#[derive(Default)]
pub(crate) struct Reader {
    /// To be filled from the connection.
    pub(crate) buf: BytesMut,
    parts: BytesMut,
}

impl Reader {
    /// Takes the next frame, or says how it is broken. `Ok(None)` asks for more bytes.
    pub(crate) fn take(&mut self) -> Result<Option<(Frame, Bytes)>, String> {
        loop {
            if self.buf.len() < 4 {
                return Ok(None);
            }
            let prefix = u32::from_be_bytes([self.buf[0], self.buf[1], self.buf[2], self.buf[3]]);
            let len = (prefix & !(PART | LAST)) as usize;
            let is_part = prefix & PART != 0;
            let total = if is_part { self.parts.len() + len } else { len };
            if len == 0 || total > MAX_FRAME_BYTES {
                return Err(format!("a frame of {total} bytes"));
            }
            if self.buf.len() < 4 + len {
                return Ok(None);
            }
            self.buf.advance(4);
            let bytes = self.buf.split_to(len);
            if !is_part {
                return decode(bytes.freeze()).map(Some);
            }
            self.parts.extend_from_slice(&bytes);
            if prefix & LAST != 0 {
                return decode(std::mem::take(&mut self.parts).freeze()).map(Some);
            }
        }
    }
}

fn decode(mut body: Bytes) -> Result<(Frame, Bytes), String> {
    let len = body.len();
    let head_len = usize::from(body.try_get_u16().map_err(|_| format!("a frame of {len} bytes"))?);
    if body.len() < head_len {
        return Err(format!("a head of {head_len} bytes in a frame of {len}"));
    }
    let head = body.split_to(head_len);
    let frame = codec::from_bytes(&head).map_err(|err| format!("a head that does not decode: {err}"))?;
    Ok((frame, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;
    use proptest::prelude::*;

    fn run() -> Frame {
        Frame::Run { id: 7, task: "a::b".into(), deadline_ms: Some(3), linked: true, window: None }
    }

    fn all(reader: &mut Reader, bytes: &[u8]) -> Vec<(Frame, Vec<u8>)> {
        reader.buf.put_slice(bytes);
        std::iter::from_fn(|| reader.take().unwrap()).map(|(frame, body)| (frame, body.to_vec())).collect()
    }

    #[test]
    fn a_frame_comes_back_whole_from_any_pieces() {
        let mut wire = BytesMut::new();
        assert!(!Writing::new(&encode_head(&run()).unwrap(), b"body").put(&mut wire));
        assert!(!Writing::new(&encode_head(&Frame::Ready).unwrap(), b"").put(&mut wire));
        let mut reader = Reader::default();
        let seen: Vec<_> = wire.iter().flat_map(|byte| all(&mut reader, &[*byte])).collect();
        assert_eq!(seen, [(run(), b"body".to_vec()), (Frame::Ready, Vec::new())]);
    }

    #[test]
    fn an_end_of_any_length_can_be_sent() {
        let history: Vec<String> = (0..10_000).map(|number| format!("{number}{}", "ä".repeat(20_000))).collect();
        let (max_restarts, period) = (history.len() - 1, Duration::MAX);
        let exit = Exit::Failed(ChildError::TooManyRestarts { max_restarts, period, history });
        let head = head(Frame::Exited { id: 1, exit }).unwrap();
        match codec::from_bytes(&head).unwrap() {
            Frame::Exited { exit: Exit::Failed(ChildError::TooManyRestarts { history, .. }), .. } => {
                assert_eq!(history.len(), 16);
                assert!(history[15].starts_with("9999ä") && history[15].ends_with("ä…"), "the last one is there");
            }
            other => panic!("{other:?}"),
        }
        for cause in [Cause::Refused("x".repeat(100_000)), Cause::Protocol("x".repeat(100_000))] {
            let error = Error::RunnerLost { node: "n".to_owned(), cause: cause.clone() };
            assert!(super::head(Frame::Placed { id: 1, outcome: Err(error) }).is_ok());
            let exit = Exit::Failed(ChildError::RunnerLost { node: "n".to_owned(), cause });
            assert!(super::head(Frame::Down { node: None, pid: 1, exit }).is_ok());
        }
    }

    #[test]
    fn a_heartbeat_overtakes_the_rest_of_a_long_frame() {
        let body: Vec<u8> = (0..3 * PART_BYTES).map(|n| n as u8).collect();
        let (head, beat) = (encode_head(&run()).unwrap(), encode_head(&Frame::Ping(1)).unwrap());
        let mut long = Writing::new(&head, &body);
        let mut wire = BytesMut::new();
        while long.put(&mut wire) {
            assert!(!Writing::new(&beat, &[]).put(&mut wire));
        }
        let seen = all(&mut Reader::default(), &wire);
        let beats = vec![(Frame::Ping(1), Vec::new()); 3];
        assert_eq!(seen, [beats, vec![(run(), body)]].concat());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let mut reader = Reader { buf: BytesMut::from(&bytes[..]), ..Reader::default() };
            while let Ok(Some(_)) = reader.take() {}
        }

        #[test]
        fn hostile_parts_never_panic(
            parts in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..5_u32, any::<[u8; 4]>()), 0..20),
        ) {
            let mut reader = Reader::default();
            for (part, last, len, bytes) in parts {
                reader.buf.put_u32(len | if part { PART } else { 0 } | if last { LAST } else { 0 });
                reader.buf.put_slice(&bytes[..bytes.len().min(len as usize)]);
            }
            while let Ok(Some(_)) = reader.take() {}
        }

        #[test]
        fn any_body_comes_back(len in 0..4 * PART_BYTES) {
            let (head, body) = (encode_head(&run()).unwrap(), vec![7; len]);
            let mut wire = BytesMut::new();
            let mut writing = Writing::new(&head, &body);
            while writing.put(&mut wire) {}
            prop_assert_eq!(all(&mut Reader::default(), &wire), [(run(), body)]);
        }

        #[test]
        fn a_length_over_the_limit_is_refused_before_it_is_awaited(len in (MAX_FRAME_BYTES as u32 + 1)..LAST) {
            let mut reader = Reader { buf: BytesMut::from(&len.to_be_bytes()[..]), ..Reader::default() };
            prop_assert!(reader.take().is_err());
        }
    }

    #[test]
    fn parts_over_the_limit_are_refused() {
        let mut reader = Reader::default();
        let part = [&(PART_BYTES as u32 | PART).to_be_bytes()[..], &vec![0; PART_BYTES]].concat();
        let refused = (0..=MAX_FRAME_BYTES / PART_BYTES).any(|_| {
            reader.buf.put_slice(&part);
            reader.take().is_err()
        });
        assert!(refused);
    }
}
