//! `#[remote]` on functions that yield, of all forms.

use flame_actors::ractor::ActorRef;
use flame_actors::{Yields, remote};
use futures_util::stream::{self, Stream};
use futures_util::{StreamExt, TryStreamExt};

use crate::cluster::GreeterMsg;
use crate::pool;

/// Counts.
#[remote]
fn count(from: u64, mut to: u64) -> impl Stream<Item = u64> {
    to += 1;
    stream::iter(from..to)
}

#[tokio::test]
async fn a_function_gives_the_same_items_here_and_on_a_runner() {
    let pool = pool("items").await;
    assert_eq!(count(1, 3).collect::<Vec<_>>().await, [1, 2, 3]);
    assert_eq!(pool.stream(count(1, 3)).try_collect::<Vec<_>>().await, Ok(vec![1, 2, 3]));
    pool.shutdown().await;
}

#[test]
fn what_a_function_that_yields_gives_is_named_by_its_path_and_its_place_in_the_source() {
    let name = format!("{:?}", count(1, 2));
    assert!(name.contains("macros::yields::count") && name.contains("tests/macros/yields.rs:"), "{name}");
}

/// More that a bound may say, and whatever its stream is called.
mod forms {
    use futures_util::stream;

    #[super::remote]
    pub(crate) fn bounded() -> impl super::Stream<Item = (u8, String)> + Send + 'static {
        stream::iter([(1, "one".to_owned())])
    }

    #[super::remote]
    #[must_use]
    #[allow(clippy::needless_pass_by_value)]
    pub(super) fn patterns((a, b): (u8, u8), _: String, r#type: u8) -> impl Unpin + futures_util::Stream<Item = u8> {
        stream::iter([a, b, r#type])
    }
}

struct Source;

impl Source {
    #[remote]
    fn nothing() -> impl Stream<Item = ()> {
        stream::empty()
    }
}

#[tokio::test]
async fn bounds_patterns_and_places_are_as_elsewhere() {
    let pool = pool("forms").await;
    assert_eq!(pool.stream(forms::bounded()).try_collect::<Vec<_>>().await, Ok(vec![(1, "one".to_owned())]));
    let bytes: Yields<u8> = forms::patterns((1, 2), String::new(), 3);
    assert_eq!(pool.stream(bytes).try_collect::<Vec<_>>().await, Ok(vec![1, 2, 3]));
    assert_eq!(pool.stream(Source::nothing()).next().await, None);
    pool.shutdown().await;
}

/// Names of the prelude that mean something else.
mod shadowed {
    use super::{ActorRef, GreeterMsg, Stream, remote, stream};

    pub(super) type Result<T> = std::result::Result<T, String>;

    #[expect(dead_code)]
    struct Option;
    #[expect(dead_code)]
    struct Vec;
    #[expect(dead_code)]
    struct Yields;
    #[expect(dead_code)]
    trait Future {}

    #[remote]
    pub(super) fn aliased(greeter: Result<ActorRef<GreeterMsg>>) -> impl Stream<Item = Result<ActorRef<GreeterMsg>>> {
        stream::iter([greeter])
    }
}

#[tokio::test]
async fn items_travel_as_results_do() {
    let pool = pool("aliased").await;
    let items: Vec<_> = pool.stream(shadowed::aliased(Err("none".to_owned()))).try_collect().await.unwrap();
    assert!(matches!(&items[..], [Err(text)] if text == "none"));
    pool.shutdown().await;
}
