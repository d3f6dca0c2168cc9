//! Files that a pool has its runners bring along.
//!
//! The parent lists them, the runner says which it has not, and the contents of those come as one stream, in the order
//! of the list. Of several runners on one computer the last one that uses a file removes it (`share.rs`); what was there
//! before is never touched.

mod receive;
mod share;

use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::JoinHandle;

pub(crate) use self::receive::take_brought;
use self::receive::{missing, receive};
use crate::node::link::Link;
use crate::node::runtime;
use crate::runner::Work;
use crate::{ByteStream, Error, Task};

/// A file or directory of the parent, and where it is to be on runners. Both are absolute.
#[derive(Clone, Debug)]
pub(crate) struct CopyPath {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
}

/// A file as it is on the parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Item {
    to: PathBuf,
    size: u64,
    modified: (i64, i64),
    mode: u32,
    /// Tells whether a file there is this very file.
    identity: Identity,
}

/// Which file it is: on one boot of one computer no other has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    boot: String,
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(file: &Metadata) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot, device: file.dev(), inode: file.ino() }
    }
}

/// Brings what is missing to a runner that has joined.
pub(crate) async fn copy(paths: &[CopyPath], link: &Arc<Link>, work: &Work) -> Result<(), Error> {
    if paths.is_empty() {
        return Ok(());
    }
    let paths = paths.to_vec();
    // A disk may never answer: that must be nobody else's thread.
    let listed = runtime::bulk().spawn_blocking(move || list(&paths)).await;
    let items = listed.map_err(|err| failed(&err))?.map_err(|err| failed(&err))?;
    let wanted = items.iter().map(|(_, item)| item.clone()).collect();
    let missing = ask(link, work, missing(wanted)).await.map_err(too_many)?.map_err(|err| failed(&err))?;
    let items: Vec<_> = missing.into_iter().filter_map(|index| items.get(index).cloned()).collect();
    if items.is_empty() {
        return Ok(());
    }
    let size = items.iter().map(|(_, item)| item.size).sum();
    let files = items.iter().cloned().collect();
    let contents = {
        // Where it is read and sent.
        let _bulk = runtime::bulk().enter();
        ByteStream::new(Contents { files, state: Reading::Next }).with_size(size)
    };
    let items = items.into_iter().map(|(_, item)| item).collect();
    // What goes wrong on the way may go well the next time.
    let broken = |err| Error::Backend { backend: "copy_paths".to_owned(), reason: err };
    ask(link, work, receive(items, contents)).await?.map_err(broken)
}

/// The list goes as one message, whose size does not change with another try.
fn too_many(err: Error) -> Error {
    match err {
        Error::TooLarge { .. } => failed(&format!("there are too many files: {err}")),
        err => err,
    }
}

fn failed(err: &dyn std::fmt::Display) -> Error {
    Error::Config { option: "copy_paths".to_owned(), reason: err.to_string() }
}

async fn ask<R: Send + 'static>(link: &Arc<Link>, work: &Work, task: Task<R>) -> Result<R, Error> {
    let task = task.encode()?;
    (task.decode)(&work.ask(link, &task.key, task.args).await?)
}

/// Every file of these paths, with where it is here.
fn list(paths: &[CopyPath]) -> Result<Vec<(PathBuf, Item)>, String> {
    let mut items = Vec::new();
    // With the directories on the way to each.
    let mut todo: VecDeque<_> = paths.iter().map(|path| (path.clone(), Vec::new())).collect();
    while let Some((CopyPath { from, to }, mut above)) = todo.pop_front() {
        let cannot = |err: io::Error| format!("{}: {err}", from.display());
        let metadata = fs::metadata(&from).map_err(cannot)?;
        if metadata.is_dir() {
            let directory = (metadata.dev(), metadata.ino());
            if above.contains(&directory) {
                return Err(format!("{}: its links lead in a circle", from.display()));
            }
            above.push(directory);
            for entry in fs::read_dir(&from).map_err(cannot)? {
                let entry = entry.map_err(cannot)?;
                let path = CopyPath { from: entry.path(), to: to.join(entry.file_name()) };
                todo.push_back((path, above.clone()));
            }
        } else if metadata.is_file() {
            let (size, mode) = (metadata.len(), metadata.mode() & 0o7777);
            let (modified, identity) = ((metadata.mtime(), metadata.mtime_nsec()), Identity::of(&metadata));
            items.push((from, Item { to, size, modified, mode, identity }));
        } else {
            return Err(format!("{}: it is neither a file nor a directory", from.display()));
        }
    }
    Ok(items)
}

/// The contents of files, one after the other, each as long as it was when it was listed.
struct Contents {
    files: VecDeque<(PathBuf, Item)>,
    state: Reading,
}

enum Reading {
    Next,
    Opening(JoinHandle<io::Result<File>>, PathBuf, u64),
    Open(tokio::fs::File, PathBuf, u64),
}

impl AsyncRead for Contents {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let named = |path: &Path, err: &dyn std::fmt::Display| io::Error::other(format!("{}: {err}", path.display()));
        loop {
            match &mut self.state {
                Reading::Next => {
                    let Some((path, item)) = self.files.pop_front() else { return Poll::Ready(Ok(())) };
                    let (size, file) = (item.size, path.clone());
                    let opening = runtime::bulk().spawn_blocking(move || open(&file, &item));
                    self.state = Reading::Opening(opening, path, size);
                }
                Reading::Opening(opening, path, size) => {
                    let opened = ready!(Pin::new(opening).poll(cx)).map_err(io::Error::other).flatten();
                    let file = opened.map_err(|err| named(path, &err))?;
                    self.state = Reading::Open(file.into(), std::mem::take(path), *size);
                }
                Reading::Open(_, _, 0) => self.state = Reading::Next,
                Reading::Open(file, path, left) => {
                    let room = buf.remaining().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
                    ready!(Pin::new(file).poll_read(cx, &mut part)).map_err(|err| named(path, &err))?;
                    let read = part.filled().len();
                    if read == 0 {
                        return Poll::Ready(Err(named(path, &"it has become shorter meanwhile")));
                    }
                    buf.advance(read);
                    *left -= read as u64;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// Opens a file that was listed, if it is that file still.
fn open(path: &Path, item: &Item) -> io::Result<File> {
    // A pipe would otherwise be opened once somebody writes into it.
    let options = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | options, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || Identity::of(&metadata) != item.identity {
        return Err(io::Error::other("there is another file in its place meanwhile"));
    }
    Ok(file)
}
