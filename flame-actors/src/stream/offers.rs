//! What this node has offered to others and nobody has opened yet.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::error::StreamError;
use super::porter::{self, PorterMsg};
use super::sink::Target;
use super::source::Source;
use crate::node::{runtime, tls};

/// One that travels in a message has so long to arrive and be opened.
const EXPIRY: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_secs(5);

/// Which way the bytes go, seen from who has offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Out,
    In,
}

/// What was offered. Dropped, its receipt says that nobody came.
pub(super) enum Offer {
    Out(Source),
    In(Target),
}

impl Offer {
    fn kind(&self) -> Kind {
        match self {
            Self::Out(_) => Kind::Out,
            Self::In(_) => Kind::In,
        }
    }

    /// Drops it where it was made: that is the application's work, which may take its time or panic.
    fn bury(self) {
        let app = match &self {
            Self::Out(source) => source.app().clone(),
            Self::In(target) => target.app().clone(),
        };
        app.spawn(async move { drop(self) });
    }

    /// The same, after its receipt was told this.
    fn fail(mut self, err: StreamError) {
        match &mut self {
            Self::Out(source) => source.told.tell(Err(err)),
            Self::In(target) => target.told.tell(Err(err)),
        }
        self.bury();
    }
}

struct Entry {
    offer: Offer,
    since: Instant,
    /// Whoever has encoded it knows when it cannot be opened any more, and says so.
    held: bool,
    /// So many are opening it; all but one are in vain.
    openers: u32,
    /// Nobody else will, if these do not.
    withdrawn: bool,
}

#[derive(Default)]
struct Offers {
    entries: HashMap<u64, Entry>,
    is_swept: bool,
}

impl Offers {
    fn add(&mut self, id: u64, offer: Offer, held: bool, now: Instant) {
        self.entries.insert(id, Entry { offer, since: now, held, openers: 0, withdrawn: false });
    }

    fn claim(&mut self, id: u64, kind: Kind) -> bool {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.offer.kind() == kind);
        entry.map(|entry| entry.openers += 1).is_some()
    }

    fn take(&mut self, id: u64) -> Option<Offer> {
        self.entries.remove(&id).map(|entry| entry.offer)
    }

    /// One of those who were opening it does not any more; gives it back if it was the last that could.
    fn release(&mut self, id: u64, is_lost: bool) -> Option<Offer> {
        let entry = self.entries.get_mut(&id)?;
        entry.openers -= 1;
        if entry.openers == 0 && (entry.withdrawn || is_lost) { self.take(id) } else { None }
    }

    fn withdraw(&mut self, ids: &[u64]) -> Vec<Offer> {
        let mut idle = Vec::new();
        for id in ids {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.withdrawn = true;
                if entry.openers == 0 {
                    idle.extend(self.take(*id));
                }
            }
        }
        idle
    }

    fn expire(&mut self, now: Instant) -> Vec<Offer> {
        let is_old =
            |entry: &Entry| !entry.held && entry.openers == 0 && now.saturating_duration_since(entry.since) > EXPIRY;
        self.entries.extract_if(|_, entry| is_old(entry)).map(|(_, entry)| entry.offer).collect()
    }
}

static OFFERS: LazyLock<Mutex<Offers>> = LazyLock::new(Mutex::default);

thread_local! {
    /// The streams that were offered during `collect`.
    static OFFERED: RefCell<Option<Vec<u64>>> = const { RefCell::new(None) };
}

/// The streams in something that was encoded. Dropped, those are withdrawn that nobody has opened.
#[derive(Debug, Default)]
pub(crate) struct Offered(Vec<u64>);

/// Runs `encode` and gives the streams that went into it, too.
pub(crate) fn collect<T>(encode: impl FnOnce() -> T) -> (T, Offered) {
    let mut collecting = Collecting(OFFERED.replace(Some(Vec::new())));
    let result = encode();
    (result, collecting.end())
}

/// Whether a stream has gone into what is being encoded.
pub(crate) fn is_offering() -> bool {
    OFFERED.with_borrow(|offered| offered.as_ref().is_some_and(|offered| !offered.is_empty()))
}

/// Ends with `collect`, also when that panics.
struct Collecting(Option<Vec<u64>>);

impl Collecting {
    fn end(&mut self) -> Offered {
        Offered(OFFERED.replace(self.0.take()).unwrap_or_default())
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.end());
        }
    }
}

impl Offered {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves them to whoever gets what was encoded; tells whether there are any.
    pub(crate) fn are_sent(mut self) -> bool {
        let sent = std::mem::take(&mut self.0);
        let mut offers = OFFERS.lock();
        for id in &sent {
            if let Some(entry) = offers.entries.get_mut(id) {
                (entry.held, entry.since) = (false, Instant::now());
            }
        }
        !sent.is_empty()
    }
}

/// The streams in a message that waits in a mailbox. Dropped, the message was taken or is lost.
#[derive(Debug)]
pub(crate) struct UntilTaken(Option<Offered>);

impl From<Offered> for UntilTaken {
    fn from(offered: Offered) -> Self {
        Self(Some(offered))
    }
}

impl Drop for UntilTaken {
    fn drop(&mut self) {
        // Whoever has decoded the message has begun to open them, or may still.
        self.0.take().map(Offered::are_sent);
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // Behind the wishes to open them that have arrived before.
            let withdrawn = PorterMsg::Withdraw(std::mem::take(&mut self.0));
            let _ = porter::porter().cast(withdrawn);
        }
    }
}

/// Enters it; gives the number by which others ask for it, which nobody can guess.
pub(super) fn add(offer: Offer) -> u64 {
    let held = |id| OFFERED.with_borrow_mut(|offered| offered.as_mut().map(|offered| offered.push(id)).is_some());
    let (id, is_first) = {
        let mut offers = OFFERS.lock();
        let id = loop {
            let id = tls::number();
            if !offers.entries.contains_key(&id) {
                break id;
            }
        };
        offers.add(id, offer, held(id), Instant::now());
        (id, !std::mem::replace(&mut offers.is_swept, true))
    };
    if is_first {
        runtime::spawn(sweep_until_empty());
    }
    id
}

async fn sweep_until_empty() {
    loop {
        tokio::time::sleep(SWEEP).await;
        let (expired, is_empty) = {
            let mut offers = OFFERS.lock();
            let expired = offers.expire(Instant::now());
            offers.is_swept = !offers.entries.is_empty();
            (expired, !offers.is_swept)
        };
        // Outside the lock: what is dropped is the application's.
        expired.into_iter().for_each(Offer::bury);
        if is_empty {
            return;
        }
    }
}

/// Says that somebody is opening it.
pub(super) fn claim(id: u64, kind: Kind) -> bool {
    OFFERS.lock().claim(id, kind)
}

/// Says that who was opening it does not any more: it did not come, or was lost.
pub(super) fn release(id: u64, lost: Option<StreamError>) {
    let released = OFFERS.lock().release(id, lost.is_some());
    match (released, lost) {
        (Some(offer), Some(err)) => offer.fail(err),
        (Some(offer), None) => offer.bury(),
        (None, _) => {}
    }
}

/// Takes it, if nobody has yet.
pub(super) fn take(id: u64) -> Option<Offer> {
    OFFERS.lock().take(id)
}

/// Drops those that nobody is opening, and the others if nobody succeeds.
pub(super) fn withdraw(ids: &[u64]) {
    let idle = OFFERS.lock().withdraw(ids);
    idle.into_iter().for_each(Offer::bury);
}

#[cfg(test)]
mod tests;
