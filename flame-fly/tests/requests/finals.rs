//! What is not tried again, and what callers are told to do about it.

use std::time::{Duration, Instant};

use flame_actors::{Error, task};
use flame_fly::FlyBackend;

use crate::stub::{Answer, Stub, TOKEN};

const PATIENT: Duration = Duration::from_secs(20);

/// The error of a call on this backend, which is told at once.
async fn refused(stub: &Stub, backend: FlyBackend) -> String {
    let (pool, start) = (stub.pool(backend, PATIENT).await, Instant::now());
    let error = pool.call(task!([] {})).await.unwrap_err();
    assert!(start.elapsed() < PATIENT / 2, "{:?}", start.elapsed());
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    pool.shutdown().await;
    error.to_string()
}

/// What callers are told when the API says this, which it is asked for once.
async fn told(status: u16, said: &str) -> String {
    let stub = Stub::start().await;
    *stub.api.always.lock() = Some(Answer::status(status, said));
    let text = refused(&stub, stub.backend()).await;
    assert_eq!(stub.creates().len(), 1, "{status}");
    assert!(text.contains(&format!("answers {status} ")) && text.contains(said), "{text}");
    text
}

#[tokio::test]
async fn a_wrong_request_says_which_options_to_check() {
    let text = told(400, "invalid config.guest.cpu_kind").await;
    assert!(text.contains("check the options of FlyBackend"), "{text}");
}

#[tokio::test]
async fn a_wrong_token_says_how_to_make_one() {
    let text = told(401, "authenticate: token validation error").await;
    assert!(text.contains("fly secrets set -a thumbs FLY_API_TOKEN="), "{text}");
}

#[tokio::test]
async fn a_token_of_another_app_says_so() {
    let text = told(403, "unauthorized").await;
    assert!(text.contains("the token is not for app \"thumbs\""), "{text}");
}

#[tokio::test]
async fn a_quota_says_that_it_is_one() {
    let text = told(403, "organization has reached its machine limit").await;
    assert!(text.contains("a quota is used up"), "{text}");
}

#[tokio::test]
async fn an_app_that_is_not_there_is_named() {
    let text = told(404, "App not found").await;
    assert!(text.contains("is \"thumbs\" the name of the app (FLY_APP_NAME)"), "{text}");
}

#[tokio::test]
async fn an_image_that_is_not_there_is_not_taken_for_an_app() {
    let text = told(404, "image not found: manifest unknown").await;
    assert!(text.contains("FLY_IMAGE_REF") && !text.contains("FLY_APP_NAME"), "{text}");
}

#[tokio::test]
async fn missing_settings_are_one_error_and_no_request() {
    let stub = Stub::start().await;
    let text = refused(&stub, FlyBackend::new().host(stub.host())).await;
    for name in ["FLY_APP_NAME", "FLY_IMAGE_REF", "FLY_API_TOKEN"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(stub.api.seen.lock().is_empty());
}

#[tokio::test]
async fn a_host_that_is_none_is_an_error_and_not_repeated() {
    let stub = Stub::start().await;
    let text = refused(&stub, stub.backend().host(format!("ftp://{TOKEN}"))).await;
    assert!(text.contains("FLY_API_HOSTNAME") && !text.contains(TOKEN), "{text}");
}
