//! What is said on the connection of a stream.
//!
//! Both sides speak the same: `u32`, big-endian. Without the highest bit it is a length, and so many bytes of the
//! stream follow. With it the other bits are the length of a [`Word`] in compact MessagePack.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::StreamError;
use super::peer::Lost;
use super::reuse::{Then, Wire};
use crate::codec;

/// The most bytes of a stream behind one length.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// In a length: a word follows.
const WORD: u32 = 1 << 31;
const MAX_WORD_BYTES: usize = 64 * 1024;

/// What is said besides the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Word {
    /// Writer to reader: that was all.
    Finished { bytes: u64 },
    /// Writer to reader: no more comes, for this reason. Reader to writer: no more is taken.
    Failed(StreamError),
    /// Reader to writer: it has all, in good order.
    Received { bytes: u64 },
}

fn encode(word: &Word) -> Vec<u8> {
    let bytes = codec::to_compact(word).expect("words are plain data");
    let mut said = (WORD | bytes.len() as u32).to_be_bytes().to_vec();
    said.extend(bytes);
    said
}

/// Reads one length, or one word, over as many polls as it takes.
#[derive(Debug, Default)]
struct Hearing {
    buf: Vec<u8>,
}

enum Heard {
    Bytes(u32),
    Word(Word),
}

impl Hearing {
    fn poll(&mut self, cx: &mut Context<'_>, wire: &mut (impl AsyncRead + Unpin)) -> Poll<io::Result<Heard>> {
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        loop {
            let needed = match self.buf.first_chunk::<4>().map(|head| u32::from_be_bytes(*head)) {
                None => 4,
                // Nobody says it, and who says only that would be listened to for ever.
                Some(0) => return Poll::Ready(Err(broken("no bytes"))),
                Some(len) if len & WORD == 0 => {
                    self.buf.clear();
                    return Poll::Ready(Ok(Heard::Bytes(len)));
                }
                Some(len) => 4 + (len & !WORD) as usize,
            };
            if needed > MAX_WORD_BYTES {
                return Poll::Ready(Err(broken("a word that is too long")));
            }
            if self.buf.len() == needed {
                let word = codec::from_bytes(&self.buf[4..]).map_err(|_| broken("a word that nobody knows"));
                self.buf.clear();
                return Poll::Ready(word.map(Heard::Word));
            }
            let mut bytes = [0; 1024];
            let missing = (needed - self.buf.len()).min(bytes.len());
            let mut read = ReadBuf::new(&mut bytes[..missing]);
            ready!(Pin::new(&mut *wire).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.buf.extend_from_slice(read.filled());
        }
    }
}

/// A connection that has broken without a word tells why a moment later, if its node is lost.
enum State {
    Open,
    Broken,
    Ended(Result<(), StreamError>),
}

/// The reading end.
pub(super) struct Inbound {
    wire: Option<Wire>,
    lost: Lost,
    hearing: Hearing,
    /// How much of a chunk is still to come.
    left: u32,
    total: u64,
    /// What is still to be written of the word that all was received; once it is begun nothing else is said.
    thanks: Option<Vec<u8>>,
    state: State,
}

impl Inbound {
    pub(super) fn new(wire: Wire, lost: Lost) -> Self {
        Self {
            wire: Some(wire),
            lost,
            hearing: Hearing::default(),
            left: 0,
            total: 0,
            thanks: None,
            state: State::Open,
        }
    }

    /// So many bytes have come.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Reads; at the end in good order nothing, and every time again. There has to be room.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), StreamError>> {
        loop {
            match &self.state {
                State::Ended(outcome) => return Poll::Ready(outcome.clone()),
                State::Broken => self.state = State::Ended(Err(ready!(self.lost.poll_why(cx)))),
                State::Open => {
                    if let Some(lost) = self.lost.known() {
                        self.end(Err(lost));
                        continue;
                    }
                    match self.poll_open(cx, buf) {
                        Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                        Poll::Ready(Ok(false)) => {}
                        Poll::Ready(Err(_)) => {
                            self.wire = None;
                            self.lost.broken();
                            self.state = State::Broken;
                        }
                        Poll::Pending => {
                            let lost = ready!(self.lost.poll(cx));
                            self.end(Err(lost));
                        }
                    }
                }
            }
        }
    }

    /// `true` when bytes have come.
    fn poll_open(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let wire = self.wire.as_mut().expect("it is open");
        if self.left > 0 {
            let room = buf.remaining().min(self.left as usize);
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            ready!(Pin::new(wire.tls()).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            buf.advance(read);
            self.left -= read as u32;
            self.total += read as u64;
            return Poll::Ready(Ok(true));
        }
        match ready!(self.hearing.poll(cx, wire.tls()))? {
            Heard::Bytes(len) => self.left = len,
            Heard::Word(Word::Finished { bytes }) if bytes == self.total => {
                self.end(Ok(()));
            }
            Heard::Word(Word::Finished { bytes }) => {
                self.end(Err(StreamError::TooShort { expected: bytes, got: self.total }));
            }
            Heard::Word(Word::Failed(err)) => self.end(Err(err)),
            Heard::Word(Word::Received { .. }) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
        Poll::Ready(Ok(false))
    }

    fn end(&mut self, outcome: Result<(), StreamError>) {
        if outcome.is_err() {
            // The other side has said why, or is gone.
            self.wire = None;
        }
        self.state = State::Ended(outcome);
    }

    /// Waits for the loss of the other node, whatever is still to be read.
    pub(super) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        self.lost.poll(cx)
    }

    /// Tells the writer that all was received, after the end in good order; then the connection may be used again.
    ///
    /// When it returns that is with the system, which delivers it even when this process ends.
    pub(super) fn poll_thank(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Ended(Ok(())) = self.state else { return Poll::Ready(()) };
        let bytes = self.total;
        while let Some(wire) = &mut self.wire {
            let thanks = self.thanks.get_or_insert_with(|| encode(&Word::Received { bytes }));
            let said = if thanks.is_empty() {
                Pin::new(wire.tls()).poll_flush(cx).map_ok(|()| true)
            } else {
                Pin::new(wire.tls()).poll_write(cx, thanks).map_ok(|written| {
                    thanks.drain(..written);
                    false
                })
            };
            match said {
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Ok(true)) => self.wire.take().into_iter().for_each(Wire::reuse),
                // The writer's loss: here is all that there was.
                Poll::Ready(Err(_)) => self.wire = None,
                Poll::Pending => {
                    ready!(self.lost.poll(cx));
                    self.wire = None;
                }
            }
        }
        Poll::Ready(())
    }

    /// Tells the writer why no more is taken.
    pub(super) fn refuse(mut self, err: StreamError) {
        self.say_farewell(err);
    }

    fn say_farewell(&mut self, err: StreamError) {
        let Some(wire) = self.wire.take() else { return };
        match self.thanks.take() {
            Some(thanks) => wire.farewell(thanks, Then::Reuse, self.lost.clone()),
            None => wire.farewell(encode(&Word::Failed(err)), Then::HangUp, self.lost.clone()),
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.say_farewell(StreamError::ReaderGone);
    }
}

/// The writing end.
pub(super) struct Outbound {
    wire: Option<Wire>,
    lost: Lost,
    hearing: Hearing,
    /// A chunk with its length before it, or a word.
    out: Vec<u8>,
    /// What of it is still to be written.
    unwritten: Range<usize>,
    /// Something was written that may still be in TLS' own buffer.
    unflushed: bool,
    total: u64,
    finished: bool,
    state: State,
}

impl Outbound {
    pub(super) fn new(wire: Wire, lost: Lost) -> Self {
        Self {
            wire: Some(wire),
            lost,
            hearing: Hearing::default(),
            out: vec![0; 4 + CHUNK_BYTES],
            unwritten: 0..0,
            unflushed: false,
            total: 0,
            finished: false,
            state: State::Open,
        }
    }

    /// Waits until the other side wants no more.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        // Before all is written it cannot be content.
        self.poll_end(cx).map(|end| end.err().unwrap_or(StreamError::ReaderGone))
    }

    /// Waits until the other side has all, or wants no more.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        loop {
            match &self.state {
                State::Ended(outcome) => return Poll::Ready(outcome.clone()),
                State::Broken => self.state = State::Ended(Err(ready!(self.lost.poll_why(cx)))),
                State::Open => {
                    let wire = self.wire.as_mut().expect("it is open");
                    self.state = match self.hearing.poll(cx, wire.tls()) {
                        Poll::Ready(Ok(Heard::Word(Word::Received { bytes })))
                            if self.finished && bytes == self.total =>
                        {
                            State::Ended(Ok(()))
                        }
                        Poll::Ready(Ok(Heard::Word(Word::Failed(err)))) => State::Ended(Err(err)),
                        Poll::Ready(_) => State::Broken,
                        Poll::Pending => State::Ended(Err(ready!(self.lost.poll(cx)))),
                    };
                    if !matches!(self.state, State::Ended(Ok(()))) {
                        self.wire = None;
                        self.lost.broken();
                    }
                }
            }
        }
    }

    /// Writes what is under way, down to the socket.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        while let (State::Open, Some(wire)) = (&self.state, &mut self.wire) {
            if self.unwritten.is_empty() && !self.unflushed {
                return Poll::Ready(Ok(()));
            }
            let written = if self.unwritten.is_empty() {
                Pin::new(wire.tls()).poll_flush(cx).map_ok(|()| self.unflushed = false)
            } else {
                Pin::new(wire.tls()).poll_write(cx, &self.out[self.unwritten.clone()]).map_ok(|written| {
                    self.unwritten.start += written;
                    self.unflushed = true;
                })
            };
            match written {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => break,
                Poll::Ready(Err(_)) => {
                    // The last word of the other side may have arrived, and says more than the system does.
                    if let Poll::Ready(err) = self.poll_gone(cx) {
                        return Poll::Ready(Err(err));
                    }
                    if matches!(self.state, State::Open) {
                        self.wire = None;
                        self.lost.broken();
                        self.state = State::Broken;
                    }
                }
            }
        }
        Poll::Ready(Err(ready!(self.poll_gone(cx))))
    }

    /// Room for the next bytes, once all before are written.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<&mut [u8], StreamError>> {
        ready!(self.poll_flush(cx))?;
        if self.finished {
            return Poll::Ready(Err(StreamError::not_opened("it was shut down")));
        }
        // A source that never waits would not hear it otherwise.
        if let Poll::Ready(err) = self.poll_gone(cx) {
            return Poll::Ready(Err(err));
        }
        Poll::Ready(Ok(&mut self.out[4..]))
    }

    /// So many bytes were put into the room.
    pub(super) fn fill(&mut self, bytes: usize) {
        self.out[..4].copy_from_slice(&(bytes as u32).to_be_bytes());
        self.unwritten = if bytes == 0 { 0..0 } else { 0..4 + bytes };
        self.total += bytes as u64;
    }

    /// Says that this was all, and waits until the other side has it in good order.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, StreamError>> {
        if !self.finished {
            ready!(self.poll_flush(cx))?;
            self.out = encode(&Word::Finished { bytes: self.total });
            self.unwritten = 0..self.out.len();
            self.finished = true;
        }
        if matches!(self.state, State::Open) {
            ready!(self.poll_flush(cx))?;
        }
        ready!(self.poll_end(cx))?;
        if let Some(wire) = self.wire.take() {
            wire.reuse();
        }
        Poll::Ready(Ok(self.total))
    }

    /// Says that no more comes, for this reason; what was written before arrives.
    pub(super) fn fail(mut self, err: StreamError) {
        self.say_farewell(err);
    }

    fn say_farewell(&mut self, err: StreamError) {
        let Some(wire) = self.wire.take() else { return };
        // A chunk that was begun is ended first.
        let mut out = self.out[self.unwritten.clone()].to_vec();
        out.extend(encode(&Word::Failed(err)));
        wire.farewell(out, Then::HangUp, self.lost.clone());
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.say_farewell(StreamError::Cancelled);
    }
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound").field("from", self.lost.node()).field("read", &self.total).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("to", self.lost.node()).field("written", &self.total).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
