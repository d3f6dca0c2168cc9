//! How a process learns that it is a runner, and how it reaches its parent.

mod afresh;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::fs::{FileType, Mode, OFlags};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::afresh::Value;
use crate::node::join::{self, Build, HANDSHAKE_DEADLINE, Hello, Invitation, PROTOCOL, Purpose, Secret};
use crate::node::{jitter, runtime, tls};
use crate::report::report;
use crate::{Error, codec};

/// The variable that makes a process a runner.
///
/// It holds what the process needs to join, or `pipe` and the inode number of a pipe: when that is the standard input of
/// the process, what it needs comes there in one line, and the parent holds the other end open as long as it lives.
/// Where it is not, this process is no runner: it was started by one, and has inherited the variable.
///
/// What it holds is a secret until the runner has joined, and useless after that. So that neither `/proc` nor the
/// processes that tasks start have it, [`Node::start`](crate::Node::start) starts the executable of such a process
/// afresh, in the same process and with the same arguments, and its standard input is empty from then on: what `main`
/// does before that, it does twice.
pub const FLAME_PARENT: &str = "FLAME_PARENT";

/// What [`FLAME_PARENT`] says before the inode of the pipe.
const OVER_STDIN: &str = "pipe ";

/// A connection takes no longer than this, or is not made.
const CONNECT_BOUND: Duration = Duration::from_secs(20);
/// So often a handshake that breaks off is begun again, about so long after.
const TLS_ATTEMPTS: u32 = 8;
const TLS_PAUSE: Duration = Duration::from_millis(400);
/// No invitation is longer.
const MAX_INVITATION_BYTES: usize = 64 * 1024;

/// The process that booted this one.
#[derive(Clone, Debug)]
pub struct Parent {
    name: Arc<str>,
    address: String,
    pool: String,
}

impl Parent {
    /// The parent's node name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the parent listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name of the pool that booted this runner.
    pub fn pool(&self) -> &str {
        &self.pool
    }
}

/// Turns an invitation into the text that a backend passes on.
pub(crate) fn to_text(invitation: &Invitation) -> Result<String, Error> {
    codec::to_bytes(invitation).map(|bytes| BASE64.encode(bytes))
}

fn from_text(text: &str) -> Result<Invitation, Error> {
    let invalid = |why: String| Error::Join(format!("{FLAME_PARENT} is set and holds no invitation: {why}"));
    let bytes = BASE64.decode(text.trim()).map_err(|err| invalid(err.to_string()))?;
    // Without the decoder's reason, which quotes what it read.
    codec::from_bytes(&bytes).map_err(|_| invalid("it does not decode, maybe another version wrote it".to_owned()))
}

/// The value of [`FLAME_PARENT`] that names a pipe.
pub(crate) fn naming(pipe: impl AsFd) -> io::Result<String> {
    let stat = rustix::fs::fstat(pipe)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no pipe"));
    }
    Ok(format!("{OVER_STDIN}{}", stat.st_ino))
}

/// Whether a backend of this computer has started this process, and it has not joined yet.
pub fn is_started_over_stdin() -> bool {
    std::env::var(FLAME_PARENT).is_ok_and(|value| Value::of(&value) == Value::OverStdin)
}

/// What this process was booted with.
pub(crate) struct Booted {
    pub(crate) invitation: Invitation,
    pub(crate) lifeline: Option<Lifeline>,
}

/// What ties a process to the parent's on the same computer.
pub(crate) struct Lifeline {
    /// Ends when the parent's process does.
    pub(crate) stdin: OwnedFd,
    /// A read end of the pipe that standard error is, whose other one the parent has: as long as there is one, writing
    /// to it is no error. To be read once the parent does not.
    pub(crate) stderr: Option<File>,
}

/// Finds out whether this process was booted as a runner.
pub(crate) async fn booted() -> Result<Option<Booted>, Error> {
    let Ok(value) = std::env::var(FLAME_PARENT) else { return Ok(None) };
    let has_lifeline = match Value::of(&value) {
        Value::OverStdin => true,
        Value::OfThisProcess => false,
        Value::OfAnother => return Ok(None),
        Value::Other => {
            let invitation = from_text(&value)?;
            let err = afresh::start(&value);
            report!(WARN, %err, "cannot start afresh: {FLAME_PARENT} stays in this process' environment");
            return Ok(Some(Booted { invitation, lifeline: None }));
        }
    };
    // A thread of its own: a runtime would wait for it when `main` gives up.
    let (tx, read) = oneshot::channel();
    let thread = std::thread::Builder::new().name("flame-stdin".to_owned());
    thread.spawn(move || drop(tx.send(read_stdin()))).map_err(|err| Error::Join(format!("no thread: {err}")))?;
    let mut booted = read.await.map_err(|err| Error::Join(err.to_string()))??;
    booted.lifeline = booted.lifeline.filter(|_| has_lifeline);
    Ok(Some(booted))
}

/// Takes the pipe away from standard input, so that neither the application nor what it starts has it.
fn read_stdin() -> Result<Booted, Error> {
    let failed = |err: std::io::Error| Error::Join(format!("cannot read the invitation from standard input: {err}"));
    let mut stdin = File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let stderr = pipe_of_stderr().map_err(failed)?;
    let null = File::open("/dev/null").map_err(failed)?;
    rustix::stdio::dup2_stdin(&null).map_err(|err| failed(err.into()))?;
    let mut line = Vec::new();
    let mut byte = [0];
    // Byte by byte, since what follows the line belongs to the lifeline.
    while stdin.read(&mut byte).map_err(failed)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
        if line.len() > MAX_INVITATION_BYTES {
            return Err(Error::Join(format!("the invitation is over {MAX_INVITATION_BYTES} bytes")));
        }
    }
    if line.is_empty() {
        return Err(Error::Join("the parent has ended before it sent an invitation".to_owned()));
    }
    let invitation = from_text(&String::from_utf8_lossy(&line))?;
    Ok(Booted { invitation, lifeline: Some(Lifeline { stdin: stdin.into(), stderr }) })
}

/// A read end of standard error, if that is a pipe.
fn pipe_of_stderr() -> std::io::Result<Option<File>> {
    let stderr = std::io::stderr();
    let mode = rustix::fs::fstat(stderr.as_fd())?.st_mode;
    if !FileType::from_raw_mode(mode).is_fifo() {
        return Ok(None);
    }
    // Not a second descriptor of the write end, as `dup` would give: the other end of the same pipe.
    let options = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(Some(rustix::fs::open("/proc/self/fd/2", options, Mode::empty())?.into()))
}

/// Ends what this process has started and left in its process group, if it leads one: its backend, which would do
/// that, is gone with the parent.
pub(crate) fn end_process_group() {
    use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process};
    // `getpgid` would do, but for rustix' assertion that no process has group 0; kernel threads have.
    let group = |pid: i32| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
        let state = fields.next()?;
        if state == "Z" { None } else { fields.nth(1)?.parse().ok() }
    };
    let me = getpid();
    if getpgrp() != me {
        return;
    }
    // Not by one signal to the group: it would end this process too, before it has left `main`.
    for _ in 0..10 {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mine = me.as_raw_nonzero().get();
        let others: Vec<i32> = pids.filter(|pid| *pid != mine && group(*pid) == Some(mine)).collect();
        if others.is_empty() {
            return;
        }
        for pid in others.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Invitation {
    pub(crate) fn parent(&self) -> Parent {
        Parent { name: Arc::clone(&self.parent), address: self.address.clone(), pool: self.pool.clone() }
    }

    /// What is said first on a connection.
    pub(crate) fn hello(&self, purpose: Purpose, token: Secret, build: &Build) -> Hello {
        let (node, process) = (Arc::clone(&self.node), std::process::id());
        Hello { protocol: PROTOCOL, purpose, token, node, build: build.clone(), process }
    }

    /// Dials the parent and says hello; gives the connection and the parent's answer.
    pub(crate) async fn dial<W: serde::de::DeserializeOwned + Send + 'static>(
        &self,
        purpose: Purpose,
        token: Secret,
        build: &Build,
    ) -> Result<(TlsStream<TcpStream>, W), Error> {
        let connector = self.identity.connector(&token)?;
        let hello = self.hello(purpose, token, build);
        let address = self.address.clone();
        // On the runtime whose driver then serves the connection for good.
        let runtime = if purpose == Purpose::Link { runtime::links() } else { runtime::work() };
        let dialled = runtime.spawn(async move {
            let mut attempts = 0;
            let mut stream = loop {
                match tls_to(&address, &connector).await {
                    Ok(stream) => break stream,
                    // Displaced in a flood: nothing was said yet, so nothing is spent.
                    Err(err) if attempts < TLS_ATTEMPTS && is_broken(&err) => attempts += 1,
                    Err(err) => return Err(Error::Join(format!("{address}: {err}"))),
                }
                tokio::time::sleep(TLS_PAUSE.mul_f64(jitter())).await;
            };
            let talk = async {
                join::say(&mut stream, &hello).await?;
                join::hear::<Result<W, Error>, _>(&mut stream).await?
            };
            let answer = tokio::time::timeout(HANDSHAKE_DEADLINE, talk)
                .await
                .map_err(|_| Error::Join(format!("{address} does not answer the hello")))?;
            answer.map(|welcome| (stream, welcome))
        });
        dialled.await.map_err(|err| Error::Join(err.to_string()))?
    }
}

/// Connects and does the handshake.
async fn tls_to(address: &str, connector: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let late = |what: &str, bound: Duration| io::Error::other(format!("no {what} within {bound:?}"));
    let socket = tokio::time::timeout(CONNECT_BOUND, TcpStream::connect(address))
        .await
        .map_err(|_| late("connection", CONNECT_BOUND))??;
    socket.set_nodelay(true)?;
    tokio::time::timeout(HANDSHAKE_DEADLINE, connector.connect(tls::parent_name(), socket))
        .await
        .map_err(|_| late("handshake", HANDSHAKE_DEADLINE))?
}

/// Whether the other side hung up, which is no refusal: that would be an alert.
fn is_broken(err: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(err.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
