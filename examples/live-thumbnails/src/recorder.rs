//! Who writes what is made of a video: the side that has the database at hand, and only that one.

use anyhow::Result;

use crate::db::{Db, Video};

/// Records videos and their thumbnails, or leaves that to the other side.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Option<Db>);

impl Recorder {
    /// One for each side: that of the runners has the database where they share a disk with their parent.
    pub(crate) fn new(db: Option<&Db>) -> Self {
        Self(db.cloned())
    }

    /// A video is about to get thumbnails.
    pub(crate) async fn begin(&self, video: &Video<'_>) -> Result<()> {
        match &self.0 {
            Some(db) => db.begin(video).await,
            None => Ok(()),
        }
    }

    /// The next thumbnail of a video.
    pub(crate) async fn add(&self, video: &str, number: u32, second: f64, jpeg: &[u8]) -> Result<()> {
        match &self.0 {
            Some(db) => db.add(video, number, second, jpeg).await,
            None => Ok(()),
        }
    }

    /// A video has all its thumbnails.
    pub(crate) async fn finish(&self, video: &str) -> Result<()> {
        match &self.0 {
            Some(db) => db.finish(video).await,
            None => Ok(()),
        }
    }
}
