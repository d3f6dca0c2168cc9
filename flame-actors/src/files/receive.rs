//! The runner's side: what it has, what it writes, and what it removes when it goes.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::share::Share;
use super::{Identity, Item};
use crate::node::unique;
use crate::{ByteStream, remote, runner};

/// What a runner has brought here, or uses of what others have; `None` for one that has left.
type Shares = Option<Vec<Share>>;

/// By node name: runners may share this process.
static BROUGHT: LazyLock<Mutex<HashMap<Arc<str>, Shares>>> = LazyLock::new(Mutex::default);

fn bring(share: Share) {
    let node = runner().unwrap_or_else(|| Arc::from(""));
    match BROUGHT.lock().entry(node).or_insert_with(|| Some(Vec::new())) {
        Some(shares) => shares.push(share),
        None => give_back([share]),
    }
}

/// The places in the list of what is not here.
#[remote]
pub(super) async fn missing(items: Vec<Item>) -> Result<Vec<usize>, String> {
    let mut missing = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if !is_here(item).await.map_err(|err| of(item, &err))? {
            missing.push(index);
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

/// Whether it is here: the user's, which stays what it is, or one that a runner has brought, in which this one shares.
async fn is_here(item: &Item) -> io::Result<bool> {
    let share = Share::of(&item.to).await?;
    let metadata = match fs::metadata(&item.to) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        metadata => metadata?,
    };
    let alike =
        metadata.is_file() && metadata.len() == item.size && (metadata.mtime(), metadata.mtime_nsec()) == item.modified;
    if alike || Identity::of(&metadata) == item.identity {
        share.into_iter().for_each(bring);
        return Ok(true);
    }
    // An earlier one that a killed runner has left goes; one that others use stays.
    drop(share.map(Share::leave));
    match fs::exists(&item.to)? {
        true => Err(io::Error::other("there is another file of this name on the runner")),
        false => Ok(false),
    }
}

async fn write(item: &Item, contents: &mut ByteStream) -> io::Result<()> {
    let (Some(directory), Some(name)) = (item.to.parent(), item.to.file_name()) else {
        return Err(io::Error::other("it is no place for a file"));
    };
    let share = match prepare(directory, &item.to).await {
        // Another runner, which has made the directory, has just removed it.
        Err(err) if err.kind() == io::ErrorKind::NotFound => prepare(directory, &item.to).await?,
        share => share?,
    };
    let written = draft(item, directory.join(format!(".{}.{}", name.to_string_lossy(), unique())), contents).await;
    // Noted in any case: it is removed with the rest when this runner fails to boot.
    bring(share);
    written
}

/// Makes the directory and marks the place as one of ours.
async fn prepare(directory: &Path, place: &Path) -> io::Result<Share> {
    let missing = directory.ancestors().take_while(|directory| !directory.exists());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    missing.reverse();
    fs::create_dir_all(directory)?;
    // Before the mark: a file that is there without one is the user's.
    if fs::exists(place)? && Share::of(place).await?.is_none() {
        return Err(io::Error::other("another file of this name came meanwhile"));
    }
    let mut share = Share::mark(place).await?;
    share.note(&missing)?;
    Ok(share)
}

async fn draft(item: &Item, path: PathBuf, contents: &mut ByteStream) -> io::Result<()> {
    let draft = Draft(path);
    let mut file = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.0).await?;
    let copied = tokio::io::copy(&mut contents.take(item.size), &mut file).await?;
    if copied < item.size {
        return Err(io::Error::other(format!("{copied} of {} bytes came", item.size)));
    }
    file.flush().await?;
    let file = file.into_std().await;
    file.set_permissions(Permissions::from_mode(item.mode))?;
    let (seconds, nanos) = item.modified;
    let since = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
    file.set_modified(SystemTime::UNIX_EPOCH + since)?;
    match renameat_with(CWD, &draft.0, CWD, &item.to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Another runner was faster.
        Err(Errno::EXIST) if is_here(item).await? => Ok(()),
        Err(err) => Err(err.into()),
    }
}

/// A file that has not its name yet. Dropped, it is gone.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // It has its name now, mostly.
        let _ = fs::remove_file(&self.0);
    }
}

/// What a runner has brought here. Dropped, it is removed, but for what other runners here still use.
pub(crate) struct Brought(Vec<Share>);

impl Brought {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Brought {
    fn drop(&mut self) {
        give_back(self.0.drain(..));
    }
}

/// Takes what this runner has brought; what a start that is being cut off still brings is given back at once.
pub(crate) fn take_brought(node: &Arc<str>) -> Brought {
    Brought(BROUGHT.lock().get_mut(node).and_then(Option::take).unwrap_or_default())
}

fn give_back(shares: impl IntoIterator<Item = Share>) {
    let made: Vec<PathBuf> = shares.into_iter().flat_map(Share::leave).collect();
    for directory in made.iter().rev() {
        // Something else may be in it now.
        let _ = fs::remove_dir(directory);
    }
}
