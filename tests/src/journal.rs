//! A file in which other processes note what happened to them.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::wait::until;

/// A file of lines that goes with its last handle.
#[derive(Clone, Debug)]
pub struct Journal {
    _dir: Arc<TempDir>,
    entry: Entry,
}

/// The journal as it travels: whoever has it may write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry(PathBuf);

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}

impl Journal {
    /// An empty one.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files can be made");
        let entry = Entry(dir.path().join("journal"));
        Self { _dir: Arc::new(dir), entry }
    }

    /// What other processes write with.
    pub fn entry(&self) -> Entry {
        self.entry.clone()
    }

    /// All whole lines.
    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.entry.0).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// How often this line is there.
    pub fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|known| *known == line).count()
    }

    /// Whether this line is there.
    pub fn has(&self, line: &str) -> bool {
        self.count(line) > 0
    }

    /// Waits for this line.
    pub async fn wait_for(&self, line: &str) {
        until(&format!("the line \"{line}\""), || self.has(line)).await;
    }

    /// Waits for a line of the form `key=value` and gives the value.
    pub async fn value(&self, key: &str) -> String {
        let prefix = format!("{key}=");
        let find = || self.lines().iter().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned));
        until(&format!("a line \"{prefix}…\""), || find().is_some()).await;
        find().expect("waited for it")
    }

    /// Waits for a line `key=pid`.
    pub async fn pid(&self, key: &str) -> u32 {
        self.value(key).await.parse().expect("a process id")
    }
}

impl Entry {
    /// Where it is.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The file's path.
    pub fn path(&self) -> &PathBuf {
        &self.0
    }

    /// Adds a line, whole or not at all.
    pub fn note(&self, line: impl std::fmt::Display) {
        // In one write, so that lines of several processes do not mix.
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.0)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        // A trial that has ended has taken its journal along.
        if let Err(err) = written
            && err.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!("a line of a journal is lost: {err}");
        }
    }

    /// Adds a line when dropped.
    pub fn on_drop(&self, line: impl Into<String>) -> OnDrop {
        OnDrop(self.clone(), line.into())
    }
}

/// Adds a line when dropped.
#[derive(Debug)]
pub struct OnDrop(Entry, String);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.note(&self.1);
    }
}
