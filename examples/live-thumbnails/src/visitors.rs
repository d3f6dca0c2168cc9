//! Who is here: the pages that are open, by the secret that each of them was given.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Result, ensure};
use flame_actors::ractor::{Actor, ActorRef};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use ulid::Ulid;

use crate::app::App;
use crate::recorder::Recorder;
use crate::visitor::{Arguments, Limits, Visitor, VisitorMsg};

/// All open pages.
#[derive(Default)]
pub(crate) struct Visitors(Mutex<HashMap<String, Seat>>);

/// What an upload needs of its page.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) actor: ActorRef<VisitorMsg>,
    pub(crate) owner: String,
    /// The uploads that are under way.
    pub(crate) active: watch::Receiver<BTreeSet<u64>>,
}

/// An open page. Dropped, its actor ends, and with that all its uploads.
pub(crate) struct Visit {
    app: Arc<App>,
    pub(crate) id: String,
    pub(crate) actor: ActorRef<VisitorMsg>,
}

// ANCHOR: visit
impl Visit {
    /// Starts the actor of a page.
    ///
    /// # Errors
    /// When there are as many pages as may be.
    pub(crate) async fn begin(app: Arc<App>, page: mpsc::Sender<String>, owner: String) -> Result<Self> {
        let limits = Limits { uploads: app.cli.max_uploads.into(), bytes: app.cli.max_upload };
        let (active, seen) = watch::channel(BTreeSet::new());
        let recorder = Recorder::new(Some(&app.db).filter(|_| !app.cli.backend.shares_disk()));
        let arguments = Arguments { page, active, owner: owner.clone(), db: app.db.clone(), recorder, limits };
        let (actor, _) = Actor::spawn(None, Visitor, arguments).await?;
        let id = secret();
        let visit = Self { app: Arc::clone(&app), id: id.clone(), actor: actor.clone() };
        let mut seats = app.visitors.0.lock();
        ensure!(seats.len() < app.cli.max_visitors.into(), "{} pages are open already", seats.len());
        seats.insert(id, Seat { actor, owner, active: seen });
        Ok(visit)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.app.visitors.0.lock().remove(&self.id);
        self.actor.stop(None);
    }
}
// ANCHOR_END: visit

impl Visitors {
    /// The page of this secret.
    pub(crate) fn find(&self, id: &str) -> Option<Seat> {
        self.0.lock().get(id).cloned()
    }
}

/// 160 random bits as 40 hexadecimal digits.
pub(crate) fn secret() -> String {
    format!("{:020x}{:020x}", Ulid::new().random(), Ulid::new().random())
}

/// Whether a text can be one of ours.
pub(crate) fn is_secret(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognised_and_differ() {
        let (one, other) = (secret(), secret());
        assert!(is_secret(&one) && is_secret(&other) && one != other, "{one} {other}");
        for text in [
            "",
            &one[1..],
            &format!("{}G", &one[1..]),
            &format!("{one}0"),
            "../../../../../../../../../../etc/passwd12345",
        ] {
            assert!(!is_secret(text), "{text}");
        }
    }
}
