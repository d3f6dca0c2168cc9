//! What this node has offered to others and nobody has opened yet.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::porter::{self, PorterMsg};
use super::sink::Target;
use super::source::Source;
use crate::node::runtime;

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
}

struct Entry {
    offer: Offer,
    since: Instant,
    /// Whoever has encoded it knows when it cannot be opened any more, and says so.
    held: bool,
    /// Somebody is opening it.
    claimed: bool,
}

#[derive(Default)]
struct Offers {
    next: u64,
    entries: HashMap<u64, Entry>,
    swept: bool,
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
    let before = OFFERED.replace(Some(Vec::new()));
    let result = encode();
    (result, Offered(OFFERED.replace(before).unwrap_or_default()))
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

/// Enters it; gives the number by which others ask for it.
pub(super) fn add(offer: Offer) -> u64 {
    let (id, sweep) = {
        let mut offers = OFFERS.lock();
        offers.next += 1;
        let id = offers.next;
        let held = OFFERED.with_borrow_mut(|offered| offered.as_mut().map(|offered| offered.push(id)).is_some());
        offers.entries.insert(id, Entry { offer, since: Instant::now(), held, claimed: false });
        (id, !std::mem::replace(&mut offers.swept, true))
    };
    if sweep {
        runtime::spawn(sweep_until_empty());
    }
    id
}

async fn sweep_until_empty() {
    loop {
        tokio::time::sleep(SWEEP).await;
        let expired: Vec<Offer> = {
            let mut offers = OFFERS.lock();
            let old = |entry: &Entry| (entry.claimed || !entry.held) && entry.since.elapsed() > EXPIRY;
            let expired = offers.entries.extract_if(|_, entry| old(entry)).map(|(_, entry)| entry.offer).collect();
            if offers.entries.is_empty() {
                offers.swept = false;
                return;
            }
            expired
        };
        // Outside the lock: what is dropped is the application's.
        drop(expired);
    }
}

/// Says that somebody is opening it.
pub(super) fn claim(id: u64, kind: Kind) -> bool {
    let mut offers = OFFERS.lock();
    let Some(entry) = offers.entries.get_mut(&id).filter(|entry| entry.offer.kind() == kind) else { return false };
    entry.claimed = true;
    entry.since = Instant::now();
    true
}

/// Takes it, if nobody has yet.
pub(super) fn take(id: u64) -> Option<Offer> {
    OFFERS.lock().entries.remove(&id).map(|entry| entry.offer)
}

/// Drops those that nobody is opening.
pub(super) fn withdraw(ids: &[u64]) {
    let withdrawn: Vec<Option<Entry>> = {
        let mut offers = OFFERS.lock();
        let unclaimed = |offers: &Offers, id| offers.entries.get(id).is_some_and(|entry| !entry.claimed);
        let ids = ids.iter().filter(|id| unclaimed(&offers, *id)).collect::<Vec<_>>();
        ids.into_iter().map(|id| offers.entries.remove(id)).collect()
    };
    drop(withdrawn);
}
