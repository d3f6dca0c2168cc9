//! Attributes of a `#[remote]` function end up where they mean something.
#![deny(unfulfilled_lint_expectations)]

use flame_actors::remote;

use crate::pool;

#[deprecated = "use another one"]
#[remote]
async fn old(number: u8) -> u8 {
    number
}

#[tokio::test]
async fn a_deprecated_function_is_deprecated_for_its_callers() {
    let pool = pool("deprecated").await;
    #[expect(deprecated)]
    let task = old(7);
    assert_eq!(pool.call(task).await, Ok(7));
    pool.shutdown().await;
}

#[remote]
#[cfg(any())]
async fn chosen(number: OfAnotherPlatform) -> u8 {
    0
}

#[remote]
#[cfg(not(any()))]
async fn chosen(number: u8) -> u8 {
    number
}

#[tokio::test]
async fn a_function_that_is_configured_away_is_not_there() {
    let pool = pool("cfg").await;
    assert_eq!(pool.call(chosen(1)).await, Ok(1));
    pool.shutdown().await;
}

#[remote]
#[must_use]
async fn important() -> u8 {
    1
}

#[tokio::test]
async fn a_task_must_be_used() {
    let pool = pool("must-use").await;
    #[expect(unused_must_use)]
    {
        important();
    }
    assert_eq!(pool.call(important()).await, Ok(1));
    pool.shutdown().await;
}

#[remote]
#[tracing::instrument(skip_all)]
#[allow(clippy::needless_return)]
async fn traced(number: u8) -> Result<u8, String> {
    return Ok(number);
}

#[tokio::test]
async fn attributes_that_change_the_body_see_the_body() {
    let pool = pool("traced").await;
    assert_eq!(pool.call(traced(1)).await, Ok(Ok(1)));
    pool.shutdown().await;
}
