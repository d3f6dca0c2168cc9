//! A pipe that nobody reads.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;

use nix::fcntl::OFlag;

/// Has its other end for as long as it is there, so that writers wait.
pub(crate) struct Unread {
    writer: PipeWriter,
    _reader: PipeReader,
}

impl Unread {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let (reader, writer) = std::io::pipe().expect("there are descriptors");
        Self { writer, _reader: reader }
    }

    /// What a process writes to.
    pub(crate) fn stdio(&self) -> Stdio {
        self.writer.try_clone().expect("there are descriptors").into()
    }

    /// Fills it, so that the next one who writes waits.
    pub(crate) fn fill(&self) {
        // Opened once more: the other writers are to wait, and not to be told that they would.
        let path = format!("/proc/self/fd/{}", self.writer.as_raw_fd());
        let mut options = File::options();
        let mut pipe = options.write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).expect("it is there");
        for size in [4096, 1] {
            let some = vec![b'\n'; size];
            while pipe.write(&some).map_err(|err| assert_eq!(err.kind(), ErrorKind::WouldBlock)).is_ok() {}
        }
    }
}
