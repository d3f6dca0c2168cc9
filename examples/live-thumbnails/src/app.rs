//! What all of the server shares.

use std::sync::Arc;

use axum::body::Bytes;
use flame_actors::Pool;
use tokio::sync::{OnceCell, watch};

use crate::cli::Cli;
use crate::db::Db;
use crate::visitors::Visitors;

/// What all of the server shares.
pub(crate) struct App {
    pub(crate) cli: Cli,
    pub(crate) pool: Pool,
    pub(crate) db: Db,
    pub(crate) visitors: Visitors,
    /// The strip of the pool, as the change of a page that shows it.
    pub(crate) strip: watch::Receiver<Arc<str>>,
    pub(crate) sample: OnceCell<Bytes>,
}
