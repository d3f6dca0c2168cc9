//! Who still uses a file that a runner has brought: all that do hold a shared lock on a file beside it.
//!
//! That other file, `.NAME.flame`, is what marks a file as brought: without it a file is the user's, and is never
//! removed. It lists the directories that were made for it. One that a killed runner has left is taken over by the next.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::report::report;

/// Whoever removes a file holds it alone for a moment.
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: u32 = 500;

/// A share in a file that was, or is about to be, brought.
#[derive(Debug)]
pub(super) struct Share {
    place: PathBuf,
    mark: PathBuf,
    lock: File,
}

impl Share {
    /// A share in a file that others have brought; `None` when it is nobody's.
    pub(super) async fn of(place: &Path) -> io::Result<Option<Self>> {
        Self::open(place, OpenOptions::new().read(true).write(true)).await
    }

    /// The same, which makes the mark where there is none.
    pub(super) async fn mark(place: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Self::open(place, &options).await?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn open(place: &Path, options: &OpenOptions) -> io::Result<Option<Self>> {
        let mark = mark_of(place);
        for _ in 0..PATIENCE {
            let lock = match options.open(&mark) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
                lock => lock?,
            };
            match flock(&lock, FlockOperation::NonBlockingLockShared) {
                Ok(()) if is_at(&lock, &mark) => return Ok(Some(Self { place: place.to_owned(), mark, lock })),
                Ok(()) | Err(Errno::WOULDBLOCK) => tokio::time::sleep(PAUSE).await,
                Err(err) => return Err(err.into()),
            }
        }
        Err(io::Error::other(format!("{} is locked by somebody else", mark.display())))
    }

    /// Notes directories that were made for it.
    pub(super) fn note(&mut self, directories: &[PathBuf]) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt;
        for directory in directories {
            self.lock.write_all(directory.as_os_str().as_bytes())?;
            self.lock.write_all(b"\0")?;
        }
        Ok(())
    }

    /// Whether nobody else has a share: then nobody gets one as long as this is there.
    fn is_last(&self) -> bool {
        flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_ok() && is_at(&self.lock, &self.mark)
    }

    /// Removes what nobody else uses; gives the directories that were made for it.
    pub(super) fn leave(mut self) -> Vec<PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        if !self.is_last() {
            return Vec::new();
        }
        let mut noted = Vec::new();
        let _ = io::Seek::rewind(&mut self.lock).and_then(|()| self.lock.read_to_end(&mut noted));
        for path in [&self.place, &self.mark] {
            match fs::remove_file(path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => {
                    let file = path.display().to_string();
                    report!(WARN, %err, file, "a file that was brought along is left behind");
                }
                _ => {}
            }
        }
        let noted = noted.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        noted.map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path))).collect()
    }
}

fn mark_of(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.flame"))
}

/// Whether this file is at that place still.
fn is_at(file: &File, place: &Path) -> bool {
    let inode = |metadata: io::Result<fs::Metadata>| metadata.map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((inode(file.metadata()), inode(fs::metadata(place))), (Ok(one), Ok(other)) if one == other)
}
