//! What the trials have run.

use std::convert::Infallible;
use std::time::Duration;

use flame_actors::remote;
use flame_tests::{Entry, OnDrop};
use futures_util::{Stream, StreamExt, stream};

/// Numbers from 0 on.
#[remote]
pub(crate) fn count(to: u64) -> impl Stream<Item = u64> {
    stream::iter(0..to)
}

/// The numbers, without an end, and in the journal how many were made; `started=` is its process.
#[remote]
pub(crate) fn count_on(journal: Entry) -> impl Stream<Item = u64> {
    noted(journal, None).chain(stream::pending())
}

/// The same up to a number, and then something else.
pub(crate) fn noted(journal: Entry, to: Option<u64>) -> impl Stream<Item = u64> {
    journal.note(format_args!("started={}", std::process::id()));
    let dropped = journal.on_drop("dropped");
    stream::unfold((0, journal, dropped), move |(number, journal, dropped): (u64, Entry, OnDrop)| async move {
        if to == Some(number) {
            return None;
        }
        journal.note("made");
        Some((number, (number + 1, journal, dropped)))
    })
}

/// Three numbers, and then nothing for ever.
#[remote]
pub(crate) fn three_and_rest(journal: Entry) -> impl Stream<Item = u64> {
    let rest = journal.clone();
    noted(journal, Some(3)).chain(stream::once(async move {
        let _rest = rest.on_drop("rest dropped");
        rest.note("rests");
        std::future::pending::<Infallible>().await;
        0
    }))
}

/// A number now and then.
#[remote]
pub(crate) fn ticks(every: Duration) -> impl Stream<Item = u64> {
    stream::unfold(0, move |number| async move {
        tokio::time::sleep(every).await;
        Some((number, number + 1))
    })
}
