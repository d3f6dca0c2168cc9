//! The runner's side: what it has, what it writes, and what it removes when it goes.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use tokio::io::AsyncReadExt;

use super::{Identity, Item};
use crate::node::unique;
use crate::{ByteStream, remote, runner};

/// What one runner has brought here.
#[derive(Debug, Default)]
struct Brought {
    /// Each with a shared lock.
    files: Vec<(PathBuf, File)>,
    directories: Vec<PathBuf>,
}

/// By node name: runners in this process share it.
static BROUGHT: LazyLock<Mutex<HashMap<Arc<str>, Brought>>> = LazyLock::new(Mutex::default);

fn bring(change: impl FnOnce(&mut Brought)) {
    let node = runner().unwrap_or_else(|| Arc::from(""));
    change(BROUGHT.lock().entry(node).or_default());
}

/// The places in the list of what is not here.
#[remote]
pub(super) async fn missing(items: Vec<Item>) -> Result<Vec<usize>, String> {
    let mut missing = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match Found::at(item).map_err(|err| of(item, &err))? {
            Found::Nothing => missing.push(index),
            Found::Same => {}
            Found::OfARunner(file) => bring(|brought| brought.files.push((item.to.clone(), file))),
            Found::Another => return Err(of(item, &"there is another file of this name on the runner")),
        }
    }
    Ok(missing)
}

/// Writes these, whose contents come one after the other.
#[remote]
pub(super) async fn receive(items: Vec<Item>, contents: ByteStream) -> Result<(), String> {
    let mut contents = contents;
    for item in &items {
        write(item, &mut contents).await.map_err(|err| of(item, &err))?;
    }
    Ok(())
}

fn of(item: &Item, err: &dyn std::fmt::Display) -> String {
    format!("{}: {err}", item.to.display())
}

async fn write(item: &Item, contents: &mut ByteStream) -> io::Result<()> {
    let (Some(directory), Some(name)) = (item.to.parent(), item.to.file_name()) else {
        return Err(io::Error::other("it is no place for a file"));
    };
    let made = make(directory)?;
    bring(|brought| brought.directories.extend(made));
    let draft = Draft(directory.join(format!(".{}.{}", name.to_string_lossy(), unique())));
    let mut file = tokio::fs::File::create_new(&draft.0).await?;
    let copied = tokio::io::copy(&mut contents.take(item.size), &mut file).await?;
    if copied < item.size {
        return Err(io::Error::other(format!("{copied} of {} bytes came", item.size)));
    }
    tokio::io::AsyncWriteExt::flush(&mut file).await?;
    let file = file.into_std().await;
    file.set_permissions(Permissions::from_mode(item.mode))?;
    let (seconds, nanos) = item.modified;
    let since = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
    file.set_modified(SystemTime::UNIX_EPOCH + since)?;
    flock(&file, FlockOperation::NonBlockingLockShared)?;
    match renameat_with(CWD, &draft.0, CWD, &item.to, RenameFlags::NOREPLACE) {
        Ok(()) => bring(|brought| brought.files.push((item.to.clone(), file))),
        // Another runner was faster.
        Err(rustix::io::Errno::EXIST) => match Found::at(item)? {
            Found::OfARunner(file) => bring(|brought| brought.files.push((item.to.clone(), file))),
            Found::Same => {}
            Found::Nothing | Found::Another => {
                return Err(io::Error::other("another file of this name came meanwhile"));
            }
        },
        Err(err) => return Err(err.into()),
    }
    Ok(())
}

/// A file that has not its name yet. Dropped, it is gone.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // It has its name now, mostly.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a directory and those above it; gives those that were not there, the outermost first.
fn make(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made: Vec<PathBuf> =
        directory.ancestors().take_while(|directory| !directory.exists()).map(Path::to_owned).collect();
    made.reverse();
    fs::create_dir_all(directory)?;
    Ok(made)
}

/// What is there already.
enum Found {
    Nothing,
    /// The same file, or one of the same size and time, which is not ours.
    Same,
    /// Such a one that another runner has brought, and a share in it.
    OfARunner(File),
    Another,
}

impl Found {
    fn at(item: &Item) -> io::Result<Self> {
        let metadata = match fs::metadata(&item.to) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            metadata => metadata?,
        };
        if Identity::of(&metadata) == item.identity {
            return Ok(Self::Same);
        }
        let alike = metadata.is_file()
            && metadata.len() == item.size
            && (metadata.mtime(), metadata.mtime_nsec()) == item.modified;
        if !alike {
            return Ok(Self::Another);
        }
        let file = match File::open(&item.to) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            file => file?,
        };
        // Whoever has brought it holds a lock on it.
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(Self::Same);
        }
        flock(&file, FlockOperation::LockShared)?;
        Ok(if is_at(&file, &item.to) { Self::OfARunner(file) } else { Self::Nothing })
    }
}

/// Whether this file is at that place still.
fn is_at(file: &File, place: &Path) -> bool {
    let inode = |metadata: io::Result<fs::Metadata>| metadata.map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((inode(file.metadata()), inode(fs::metadata(place))), (Ok(one), Ok(other)) if one == other)
}

/// Removes what this runner has brought, but for what other runners here still use.
pub(crate) fn remove(node: &str) {
    let Some(Brought { files, directories }) = BROUGHT.lock().remove(node) else { return };
    for (place, file) in files {
        let is_last = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_last
            && is_at(&file, &place)
            && let Err(err) = fs::remove_file(&place)
        {
            tracing::warn!(%err, file = %place.display(), "a file that was brought along is left behind");
        }
    }
    for directory in directories.iter().rev() {
        // Something else may be in it now.
        let _ = fs::remove_dir(directory);
    }
}
