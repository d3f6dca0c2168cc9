//! How streams end badly.

use std::io;

use serde::{Deserialize, Serialize};

use crate::error::Cause;

/// Why a stream of bytes ended before its end.
///
/// Readers and writers have it inside an [`io::Error`], where [`of`](Self::of) finds it; a
/// [`StreamReceipt`](crate::StreamReceipt) gives it directly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StreamError {
    /// What is read from failed, with this text. Everything that it gave before has arrived.
    #[error("the source failed: {0}")]
    Source(String),
    /// What is written into failed, with this text.
    #[error("the target failed: {0}")]
    Target(String),
    /// Nobody reads it any more, or ever did.
    #[error("its reader has gone")]
    ReaderGone,
    /// It was given up by its writer before its end.
    #[error("it was cancelled by its writer")]
    Cancelled,
    /// The node at its other end is gone.
    #[error("node {node} was lost: {cause}")]
    NodeLost {
        /// The node name.
        node: String,
        /// What is known of the reason.
        cause: Cause,
    },
    /// The source ended before the size that was said.
    #[error("its source ended after {got} of {expected} bytes")]
    TooShort {
        /// So many bytes were said.
        expected: u64,
        /// So many came.
        got: u64,
    },
    /// It could not be opened: the text says why.
    #[error("it cannot be opened: {0}")]
    NotOpened(String),
}

/// So much of a text is kept.
const CLIPPED_BYTES: usize = 16 * 1024;

impl StreamError {
    /// The reason inside an error that a reader or a writer gave, if it is one of a stream.
    pub fn of(err: &io::Error) -> Option<&Self> {
        err.get_ref()?.downcast_ref()
    }

    /// What a source said, or what the stream said that it was.
    pub(super) fn source(err: &io::Error) -> Self {
        Self::of(err).cloned().unwrap_or_else(|| Self::Source(clipped(err)))
    }

    pub(super) fn target(err: &io::Error) -> Self {
        Self::of(err).cloned().unwrap_or_else(|| Self::Target(clipped(err)))
    }

    /// For who asks for one that is not, or no longer, to be had.
    pub(super) fn not_offered() -> Self {
        Self::not_opened("it was opened before, or expired")
    }

    pub(super) fn not_opened(why: impl std::fmt::Display) -> Self {
        Self::NotOpened(clipped(why))
    }
}

fn clipped(text: impl std::fmt::Display) -> String {
    let mut text = text.to_string();
    text.truncate(text.floor_char_boundary(CLIPPED_BYTES));
    text
}

impl From<StreamError> for io::Error {
    fn from(err: StreamError) -> Self {
        let kind = match err {
            StreamError::ReaderGone => io::ErrorKind::BrokenPipe,
            StreamError::Cancelled => io::ErrorKind::ConnectionAborted,
            StreamError::NodeLost { .. } => io::ErrorKind::ConnectionReset,
            StreamError::TooShort { .. } => io::ErrorKind::UnexpectedEof,
            StreamError::NotOpened(_) => io::ErrorKind::NotConnected,
            StreamError::Source(_) | StreamError::Target(_) => io::ErrorKind::Other,
        };
        Self::new(kind, err)
    }
}
