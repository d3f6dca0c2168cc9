//! Who may open what was offered, and until when.

use super::*;
use crate::ByteStream;
use crate::stream::receipt::StreamReceipt;

const ID: u64 = 7;
const SOON: Duration = Duration::from_secs(59);
const LATE: Duration = Duration::from_secs(61);

/// Offers with one in them, and its receipt.
fn offered(held: bool, now: Instant) -> (Offers, StreamReceipt) {
    let mut source = Source::new(tokio::io::empty());
    let receipt = source.told.somebody();
    let mut offers = Offers::default();
    offers.add(ID, Offer::Out(source), held, now);
    (offers, receipt)
}

#[tokio::test]
async fn what_travels_in_a_message_expires_after_a_minute() {
    let now = Instant::now();
    let (mut offers, receipt) = offered(false, now);
    assert!(offers.expire(now + SOON).is_empty());
    let expired = offers.expire(now + LATE);
    assert_eq!(expired.len(), 1);
    assert!(!offers.claim(ID, Kind::Out) && offers.take(ID).is_none());
    expired.into_iter().for_each(Offer::bury);
    assert_eq!(receipt.await, Err(StreamError::ReaderGone));
}

#[tokio::test]
async fn what_is_held_does_not_expire() {
    let now = Instant::now();
    let (mut offers, _receipt) = offered(true, now);
    assert!(offers.expire(now + 100 * LATE).is_empty());
    assert!(offers.claim(ID, Kind::Out));
}

#[tokio::test]
async fn what_is_being_opened_does_not_expire() {
    let now = Instant::now();
    let (mut offers, _receipt) = offered(false, now);
    assert!(offers.claim(ID, Kind::Out));
    assert!(offers.expire(now + LATE).is_empty());
    // It may be asked for again, in what is left of its time.
    assert!(offers.release(ID, false).is_none());
    assert!(offers.claim(ID, Kind::Out) && offers.release(ID, false).is_none());
    assert_eq!(offers.expire(now + LATE).len(), 1);
}

#[tokio::test]
async fn what_is_withdrawn_goes_at_once_or_with_the_last_who_opens_it() {
    let now = Instant::now();
    let (mut offers, _receipt) = offered(true, now);
    assert_eq!(offers.withdraw(&[ID, 8]).len(), 1);
    let (mut offers, _receipt) = offered(true, now);
    assert!(offers.claim(ID, Kind::Out) && offers.claim(ID, Kind::Out));
    assert!(offers.withdraw(&[ID]).is_empty());
    assert!(offers.release(ID, false).is_none());
    assert!(offers.release(ID, false).is_some());
    assert!(offers.release(ID, false).is_none(), "it has gone");
}

#[tokio::test]
async fn what_a_lost_node_was_opening_goes_unless_another_is_opening_it() {
    let now = Instant::now();
    let (mut offers, _receipt) = offered(true, now);
    assert!(offers.claim(ID, Kind::Out) && offers.claim(ID, Kind::Out));
    assert!(offers.release(ID, true).is_none());
    assert!(offers.release(ID, true).is_some());
}

#[tokio::test]
async fn it_is_taken_once_and_as_what_it_is() {
    let (mut offers, _receipt) = offered(true, Instant::now());
    assert!(!offers.claim(ID, Kind::In), "it is no sink");
    assert!(offers.claim(ID, Kind::Out));
    assert!(offers.take(ID).is_some() && offers.take(ID).is_none());
    assert!(!offers.claim(ID, Kind::Out) && offers.withdraw(&[ID]).is_empty());
}

#[test]
fn what_is_encoded_is_collected_also_after_a_panic() {
    let source = || Offer::Out(Source::new(tokio::io::empty()));
    let panicked = std::panic::catch_unwind(|| collect(|| panic!("of the application's")).1);
    assert!(panicked.is_err());
    assert!(OFFERED.with_borrow(Option::is_none));
    let (id, mut offered) = collect(|| add(source()));
    assert_eq!(std::mem::take(&mut offered.0), [id]);
    assert_ne!(id, add(source()), "they cannot be guessed");
}

/// An application's value may do anything when it is dropped.
struct Rude;

impl Drop for Rude {
    fn drop(&mut self) {
        drop(OFFERS.lock());
        panic!("not again");
    }
}

impl tokio::io::AsyncRead for Rude {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_source_that_panics_when_it_is_dropped_does_not_end_the_porter() {
    let drop_one = || {
        let (stream, receipt) = ByteStream::new(Rude).with_receipt();
        let source = stream.into_source().expect("it is here");
        let (_, offered) = collect(|| add(Offer::Out(source)));
        drop(offered);
        receipt
    };
    let before = porter::porter().get_id();
    for _ in 0..3 {
        let told = tokio::time::timeout(SOON, drop_one()).await.expect("it is dropped");
        assert_eq!(told, Err(StreamError::ReaderGone));
    }
    assert_eq!(porter::porter().get_id(), before);
}
