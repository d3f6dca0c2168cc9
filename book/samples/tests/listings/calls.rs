//! calls.md.

use std::time::Duration;

use flame_actors::{Error, Pool, Stage, cancelled, deadline, provided, remote, runner, task};
use flame_tests::{Runners, everywhere, node};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![
        a_function_and_a_block_run_here_and_there,
        errors_are_told_apart,
        a_call_has_settings,
        a_task_finds_what_is_around_it,
        what_a_task_has_started_hears_of_its_end,
        an_anyhow_error_travels,
    ]
}

// ANCHOR: function
#[derive(Debug, Serialize, Deserialize)]
struct Video {
    name: String,
    seconds: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum MediaError {
    TooShort { seconds: u32 },
}

#[remote]
async fn thumbnails(video: Video, every: u32) -> Result<Vec<String>, MediaError> {
    if video.seconds < every {
        return Err(MediaError::TooShort { seconds: video.seconds });
    }
    Ok((0..video.seconds / every).map(|n| format!("{}-{n}.png", video.name)).collect())
}
// ANCHOR_END: function

fn video(seconds: u32) -> Video {
    Video { name: "cat".to_owned(), seconds }
}

async fn a_function_and_a_block_run_here_and_there(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    let (first, second, third) = (video(60), video(60), video(60));
    // ANCHOR: three
    let here = thumbnails(first, 5).await; // Result<Vec<String>, MediaError>
    let there = pool.call(thumbnails(second, 5)).await?; // the same, or an Error of ours before it
    pool.cast(thumbnails(third, 5)).await?; // accepted; nobody waits for the result
    // ANCHOR_END: three
    assert_eq!(here, there);
    let video = video(60);
    // ANCHOR: block
    let every = 5;
    let count = pool.call(task!([video: Video, every: u32] -> usize {
        thumbnails(video, every).await.map_or(0, |thumbnails| thumbnails.len())
    }));
    assert_eq!(count.await?, 12);
    // ANCHOR_END: block
    pool.shutdown().await;
    Ok(())
}

// ANCHOR: errors
async fn report(pool: &Pool, video: Video) -> String {
    match pool.call(thumbnails(video, 5)).await {
        Ok(Ok(thumbnails)) => format!("{} thumbnails", thumbnails.len()),
        Ok(Err(MediaError::TooShort { seconds })) => format!("{seconds} s are too short"), // the function said so
        Err(Error::RunnerLost { cause, .. }) => format!("it may or may not have been made: {cause}"),
        Err(Error::Timeout { stage: Stage::Waiting, .. }) => "nothing was done: no runner was free in time".to_owned(),
        Err(Error::Timeout { stage: Stage::Running, .. }) => "it took too long, and was stopped".to_owned(),
        Err(Error::PoolFull { .. }) => "too many are waiting already".to_owned(),
        Err(other) => format!("it could not be done: {other}"),
    }
}
// ANCHOR_END: errors

async fn errors_are_told_apart(runners: Runners) {
    let pool = runners.start().await;
    assert_eq!(report(&pool, video(60)).await, "12 thumbnails");
    assert_eq!(report(&pool, video(2)).await, "2 s are too short");
    pool.shutdown().await;
    assert!(report(&pool, video(60)).await.starts_with("it could not be done: pool \"trial-"));
}

async fn a_call_has_settings(runners: Runners) {
    let pool = runners.start().await;
    pool.call(task!([] {})).await.unwrap(); // so that a boot takes none of the time
    // ANCHOR: settings
    let call = pool
        .call(task!([] { std::future::pending::<()>().await }))
        .timeout(Duration::from_millis(500)) // waiting and running together
        .link(true); // stops when this future is dropped
    let err = call.await.unwrap_err();
    assert!(matches!(err, Error::Timeout { stage: Stage::Running, .. }), "{err}");
    // ANCHOR_END: settings
    pool.shutdown().await;
}

// ANCHOR: around
struct Database(String);

#[remote]
async fn where_am_i() -> Result<String, Error> {
    let database = provided::<Database>()?; // what the node was given
    let runner = runner().unwrap_or_else(|| "no runner".into());
    let bound = deadline().map_or("no bound", |_| "a bound");
    Ok(format!("{} on {runner} with {bound}", database.0))
}
// ANCHOR_END: around

async fn a_task_finds_what_is_around_it(runners: Runners) {
    let pool = runners.start().await;
    // ANCHOR: provide
    node().provide(Database("postgres".to_owned()));
    // ANCHOR_END: provide
    assert_eq!(where_am_i().await.unwrap(), "postgres on no runner with no bound");
    let there = pool.call(where_am_i()).await.unwrap();
    match runners {
        Runners::InProcess => assert!(there.unwrap().ends_with(" with a bound")),
        // The runners of these tests are given something else.
        Runners::Processes | Runners::Fly => assert!(matches!(there, Err(Error::NotProvided(_)))),
    }
    pool.shutdown().await;
}

// ANCHOR: cancelled
#[remote]
async fn count_primes(limit: u32) -> Option<usize> {
    let cancelled = cancelled(); // here, and not on the other thread
    let count = tokio::task::spawn_blocking(move || {
        let mut primes = Vec::new();
        for n in 2..limit {
            if cancelled.is_cancelled() {
                return None; // nobody waits for the rest
            }
            if primes.iter().all(|prime| n % prime != 0) {
                primes.push(n);
            }
        }
        Some(primes.len())
    });
    count.await.ok().flatten()
}
// ANCHOR_END: cancelled

async fn what_a_task_has_started_hears_of_its_end(runners: Runners) {
    let pool = runners.start().await;
    assert_eq!(pool.call(count_primes(30)).await.unwrap(), Some(10));
    let ended = pool.call(count_primes(u32::MAX)).timeout(Duration::from_millis(500)).await;
    // One that hears of its end may return before it is aborted.
    let is_over = matches!(ended, Ok(None) | Err(Error::Timeout { stage: Stage::Running, .. }));
    assert!(is_over, "{ended:?}");
    pool.shutdown().await; // would wait for a thread that still counts
}

// ANCHOR: anyhow
#[remote]
async fn port(text: String) -> anyhow::Result<u16> {
    use anyhow::Context as _;
    text.parse().with_context(|| format!("{text:?} is no port"))
}
// ANCHOR_END: anyhow

async fn an_anyhow_error_travels(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    // ANCHOR: anyhow_call
    let err = pool.call(port("http".to_owned())).await?.unwrap_err();
    assert_eq!(format!("{err:#}"), "\"http\" is no port: invalid digit found in string");
    // ANCHOR_END: anyhow_call
    pool.shutdown().await;
    Ok(())
}
