//! Callers who find the link of their runner closed.

use super::*;
use crate::Node;
use crate::error::Cause;

/// Asks until it has a slot on a runner that is there, as a call does it.
async fn served(mut asked: Asked) -> Slot {
    loop {
        let slot = asked.slot(Some(Duration::from_secs(30))).await.unwrap();
        let runner = Arc::clone(slot.runner());
        if runner.link().cause().is_none() {
            return slot;
        }
        drop(slot);
        asked.again(&runner).unwrap();
    }
}

/// Also in front of more callers than may wait.
#[tokio::test]
async fn who_goes_back_to_the_queue_is_served_before_all_who_came_later() {
    let node = Node::start().await.unwrap();
    let pool = Pool::builder("again").max_concurrency(1).max_waiting(3).start(&node).await.unwrap();
    let mut first = pool.ask().unwrap();
    let slot = first.slot(Some(Duration::from_secs(30))).await.unwrap();
    let later: Vec<_> = (0..3).map(|_| pool.ask().unwrap()).collect();
    assert!(matches!(pool.ask().map(drop), Err(Error::PoolFull { waiting: 3, .. })));

    // No other runner is there before it has gone back.
    pool.pause_growth().unwrap();
    let lost = Arc::clone(slot.runner());
    lost.link().close(Cause::ConnectionClosed);
    drop(slot);
    first.again(&lost).unwrap();
    pool.resume_growth().unwrap();

    let order = parking_lot::Mutex::new(Vec::new());
    let asked: Vec<_> = std::iter::once(first).chain(later).collect();
    // The last is polled first.
    let served = asked.into_iter().enumerate().rev().map(|(n, asked)| {
        let order = &order;
        async move {
            let slot = served(asked).await;
            order.lock().push(n);
            drop(slot);
        }
    });
    futures_util::future::join_all(served).await;
    assert_eq!(*order.lock(), [0, 1, 2, 3]);
    pool.shutdown().await;
}
