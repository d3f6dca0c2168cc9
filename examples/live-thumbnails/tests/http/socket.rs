//! The little of WebSockets that it takes to be a page: <https://www.rfc-editor.org/rfc/rfc6455#section-5.2>.

use std::io::{Read, Write};

use crate::server::Answer;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

impl Answer {
    /// The next text; nothing when the connection ends instead.
    pub(crate) fn hears(&mut self) -> String {
        loop {
            match self.frame() {
                Some((TEXT, text)) => return String::from_utf8(text).expect("UTF-8"),
                Some((PING, payload)) => self.send(PONG, &payload),
                Some((CLOSE, _)) | None => return String::new(),
                Some((kind, _)) => panic!("a frame that nobody sends: {kind:02x}"),
            }
        }
    }

    pub(crate) fn sends_text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    pub(crate) fn sends_bytes(&mut self, bytes: &[u8]) {
        self.send(BINARY, bytes);
    }

    /// A frame as servers send it: whole, and without a mask.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [kind, length] = self.array()?;
        let length = match length {
            126 => u16::from_be_bytes(self.array()?).into(),
            127 => u64::from_be_bytes(self.array()?),
            length => length.into(),
        };
        let mut payload = vec![0; length.try_into().expect("it fits into memory")];
        self.reader.read_exact(&mut payload).ok()?;
        Some((kind, payload))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        // With 64 bits of length, whatever it is, and a mask that changes nothing.
        let length = (payload.len() as u64).to_be_bytes();
        let frame = [&[kind, 0x80 | 127], &length[..], &[0; 4], payload].concat();
        self.reader.get_mut().write_all(&frame).expect("the server reads");
    }
}
