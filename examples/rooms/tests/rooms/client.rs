//! A client as `nc` would be one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::server::{Server, wait};

pub(crate) struct Client {
    stream: TcpStream,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    text: String,
    closed: bool,
    /// How much of the text was looked at by [`Client::hears`].
    looked_at: usize,
}

impl Client {
    pub(crate) fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).expect("the server listens");
        let (mut from, heard) = (stream.try_clone().expect("a socket"), Arc::<Mutex<Heard>>::default());
        let to = Arc::clone(&heard);
        thread::spawn(move || {
            let (mut bytes, mut pending) = ([0; 65536], Vec::new());
            while let Ok(length @ 1..) = from.read(&mut bytes) {
                pending.extend_from_slice(&bytes[..length]);
                // Whole lines, which are UTF-8 whatever was sent to the server.
                let end = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let lines: Vec<u8> = pending.drain(..end).collect();
                to.lock().unwrap().text += std::str::from_utf8(&lines).expect("UTF-8");
            }
            to.lock().unwrap().closed = true;
        });
        Self { stream, heard }
    }

    /// One that says this and never reads.
    pub(crate) fn deaf(server: &Server, says: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address).expect("the server listens");
        stream.write_all(says.as_bytes()).expect("the server reads");
        stream
    }

    /// One with a name, in a room.
    pub(crate) fn join(server: &Server, name: &str, room: &str) -> Self {
        let client = Self::connect(server);
        client.says(&format!("/name {name}"));
        client.hears(&format!("* you are {name}"));
        client.goes_to(room);
        client
    }

    pub(crate) fn goes_to(&self, room: &str) {
        self.says(&format!("/join {room}"));
        self.hears(&format!("* you are in {room}"));
    }

    pub(crate) fn says(&self, line: &str) {
        self.sends(format!("{line}\n").as_bytes()).expect("the server reads");
    }

    pub(crate) fn sends(&self, bytes: &[u8]) -> std::io::Result<()> {
        (&self.stream).write_all(bytes)
    }

    /// Says that nothing more is said, and still listens.
    pub(crate) fn closes_its_side(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
    }

    /// Waits for a line that begins so, after those that were waited for before, and returns it.
    pub(crate) fn hears(&self, start: &str) -> String {
        let mut found = None;
        wait(&format!("a line {start:?}"), || {
            found = self.has_heard(start);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// The first line that begins so, after those that were waited for before.
    pub(crate) fn has_heard(&self, start: &str) -> Option<String> {
        let mut heard = self.heard.lock().unwrap();
        let (before, mut at) = (heard.looked_at, heard.looked_at);
        for line in heard.text[before..].split_inclusive('\n') {
            at += line.len();
            if line.starts_with(start) {
                let line = line.trim_end().to_owned();
                heard.looked_at = at;
                return Some(line);
            }
        }
        None
    }

    /// All that it has heard so far.
    pub(crate) fn heard(&self) -> String {
        self.heard.lock().unwrap().text.clone()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.heard.lock().unwrap().closed
    }

    /// Asks until this is the answer.
    pub(crate) fn asks_until(&self, question: &str, answer: &str) {
        wait(&format!("the answer {answer:?} to {question:?}"), || {
            self.says(question);
            self.hears("* ") == answer
        });
    }

    /// Who is in its room.
    pub(crate) fn who(&self, room: &str) -> String {
        self.says("/who");
        self.hears(&format!("* in {room}: "))
    }

    /// The process that its room is in.
    pub(crate) fn process(&self, room: &str) -> u32 {
        self.says("/where");
        let answer = self.hears(&format!("* {room} is in process "));
        let pid = answer.split(" process ").nth(1).and_then(|rest| rest.split_once(' ')).map(|(pid, _)| pid.parse());
        pid.unwrap_or_else(|| panic!("{answer}")).expect("a number")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Its reader has a clone of the socket.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
