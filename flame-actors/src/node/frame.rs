//! What is said on a link.
//!
//! One frame on the wire is `u32 length · u16 head length · head · body`, big-endian, where the length counts all
//! that follows it, the head is a [`Frame`] in compact MessagePack, and the body is what a caller encoded, untouched.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::codec::MAX_MESSAGE_BYTES;
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
    /// Parent to runner: end what runs within the grace, then leave.
    Shutdown {
        grace_ms: u64,
    },

    /// Run a task. The body holds its arguments.
    Run {
        id: u64,
        task: String,
        deadline_ms: Option<u64>,
        linked: bool,
    },
    /// It ended. The body holds its result.
    Ran {
        id: u64,
        outcome: Result<(), Error>,
    },
    /// Nobody waits for it any more.
    Cancel {
        id: u64,
    },

    /// Start an actor. The body holds its handler, of this length, and its arguments; `guardian` is the pid under which
    /// it is known outside.
    Place {
        id: u64,
        guardian: u64,
        actor: String,
        handler_len: u32,
        linked: bool,
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

/// So much of a text is kept when its frame's head would be too long.
const CLIPPED_BYTES: usize = 16 * 1024;

fn clip(text: &mut String) {
    if text.len() > CLIPPED_BYTES {
        text.truncate(text.floor_char_boundary(CLIPPED_BYTES));
        text.push('…');
    }
}

impl Frame {
    /// The same with its texts cut to a length that a head can hold.
    pub(crate) fn clipped(mut self) -> Self {
        match &mut self {
            Self::Ran { outcome: Err(err), .. }
            | Self::Placed { outcome: Err(err), .. }
            | Self::Reply { outcome: Err(err), .. } => err.texts().into_iter().for_each(clip),
            Self::Exited { exit, .. } | Self::Down { exit, .. } => match exit {
                Exit::Stopped(Some(text)) | Exit::Failed(ChildError::Failed(text) | ChildError::Panicked(text)) => {
                    clip(text)
                }
                Exit::Stopped(None) | Exit::Failed(_) => {}
            },
            Self::Child { order: Order::Stop(Some(text)), .. } | Self::Actor { order: Order::Stop(Some(text)), .. } => {
                clip(text);
            }
            _ => {}
        }
        self
    }
}

/// More than this is no frame of ours: the greatest body with room for its head.
const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES + 64 * 1024;

/// Encodes the head of a frame.
pub(crate) fn encode_head(frame: &Frame) -> Vec<u8> {
    rmp_serde::to_vec(frame).expect("heads are plain data")
}

/// Appends one frame to the write buffer.
pub(crate) fn put(buf: &mut BytesMut, head: &[u8], body: &[u8]) {
    let head_len = u16::try_from(head.len()).expect("heads that are queued were checked by `fits`");
    buf.put_u32((2 + head.len() + body.len()) as u32);
    buf.put_u16(head_len);
    buf.put_slice(head);
    buf.put_slice(body);
}

/// Whether a head can be sent; texts in it (reasons, panics) may be of any length.
pub(crate) fn fits(head: &[u8]) -> bool {
    head.len() <= usize::from(u16::MAX)
}

/// Takes one frame off the read buffer, or says how it is broken. `Ok(None)` asks for more bytes.
pub(crate) fn take(buf: &mut BytesMut) -> Result<Option<(Frame, Bytes)>, String> {
    if buf.len() < 4 {
        return Ok(None);
    }
    let len = u32::from_be_bytes([buf[0], buf[1], buf[2], buf[3]]) as usize;
    if !(2..=MAX_FRAME_BYTES).contains(&len) {
        return Err(format!("a frame of {len} bytes"));
    }
    if buf.len() < 4 + len {
        return Ok(None);
    }
    buf.advance(4);
    let mut body = buf.split_to(len).freeze();
    let head_len = usize::from(body.get_u16());
    if body.len() < head_len {
        return Err(format!("a head of {head_len} bytes in a frame of {len}"));
    }
    let head = body.split_to(head_len);
    let frame = rmp_serde::from_slice(&head).map_err(|err| format!("a head that does not decode: {err}"))?;
    Ok(Some((frame, body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_comes_back_whole_from_any_pieces() {
        let frame = Frame::Run { id: 7, task: "a::b".into(), deadline_ms: Some(3), linked: true };
        let mut wire = BytesMut::new();
        put(&mut wire, &encode_head(&frame), b"body");
        put(&mut wire, &encode_head(&Frame::Ready), b"");
        let mut buf = BytesMut::new();
        let mut seen = Vec::new();
        for byte in wire {
            buf.put_u8(byte);
            if let Some((frame, body)) = take(&mut buf).unwrap() {
                seen.push((frame, body.to_vec()));
            }
        }
        assert_eq!(seen, [(frame, b"body".to_vec()), (Frame::Ready, Vec::new())]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let mut buf = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut buf) {}
        }

        #[test]
        fn a_length_over_the_limit_is_refused_before_it_is_awaited(len in (MAX_FRAME_BYTES as u32 + 1)..) {
            let mut buf = BytesMut::from(&len.to_be_bytes()[..]);
            prop_assert!(take(&mut buf).is_err());
        }
    }
}
