//! What is too large is refused before it is sent.

use flame_actors::{Error, MAX_MESSAGE_BYTES, remote};
use flame_tests::{Runners, everywhere};
use libtest_mimic::Trial;

use crate::tasks::whereabouts;

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![
        arguments_over_the_limit_are_refused,
        a_result_over_the_limit_is_refused,
        just_under_the_limit_everything_passes,
    ]
}

#[remote]
async fn reverse(bytes: serde_bytes::ByteBuf) -> serde_bytes::ByteBuf {
    bytes.into_iter().rev().collect::<Vec<u8>>().into()
}

#[remote]
async fn swell(size: usize) -> serde_bytes::ByteBuf {
    vec![7; size].into()
}

async fn arguments_over_the_limit_are_refused(on: Runners) {
    let pool = on.start().await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let bytes = || serde_bytes::ByteBuf::from(vec![0; MAX_MESSAGE_BYTES + 1]);
    for err in [pool.call(reverse(bytes())).await.unwrap_err(), pool.cast(reverse(bytes())).await.unwrap_err()] {
        match err {
            Error::TooLarge { what, size, limit } => {
                assert!(what.contains("reverse"), "{what}");
                assert!(size > limit && limit == MAX_MESSAGE_BYTES, "{size} {limit}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(pool.call(whereabouts()).await.unwrap().1, runner);
    pool.shutdown().await;
}

async fn a_result_over_the_limit_is_refused(on: Runners) {
    let pool = on.start().await;
    let (_, runner) = pool.call(whereabouts()).await.unwrap();
    let err = pool.call(swell(MAX_MESSAGE_BYTES + 1)).await.unwrap_err();
    assert!(matches!(&err, Error::TooLarge { what, .. } if what.contains("swell")), "{err}");
    assert_eq!(pool.call(whereabouts()).await.unwrap().1, runner);
    pool.shutdown().await;
}

async fn just_under_the_limit_everything_passes(on: Runners) {
    let pool = on.start().await;
    let mut bytes = vec![0; MAX_MESSAGE_BYTES - 100];
    bytes[0] = 9;
    let back = pool.call(reverse(bytes.into())).await.unwrap();
    assert_eq!((back.len(), back.last()), (MAX_MESSAGE_BYTES - 100, Some(&9)));
    pool.shutdown().await;
}
