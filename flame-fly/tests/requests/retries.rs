//! What is tried again, and until when.

use std::time::{Duration, Instant};

use flame_actors::Error;
use serde_json::json;

use crate::stub::{Answer, Stub, first_failure};

const PATIENT: Duration = Duration::from_secs(8);

/// A boot to which the API says this first, and then yes.
async fn is_tried_again_after(answer: Answer) {
    let stub = Stub::that_says([answer.clone()]).await;
    let pool = stub.pool(stub.backend(), PATIENT).await;
    let asking = pool.clone();
    let call = tokio::spawn(async move { asking.call(flame_actors::task!([] {})).await });
    stub.until("it is asked again", |stub| stub.creates().len() == 2).await;
    let creates = stub.creates();
    assert_eq!(creates[0].body["name"], creates[1].body["name"], "another machine after {answer:?}");
    stub.until("it is created", |stub| stub.api.machines.lock().len() == 1).await;
    call.abort();
    pool.shutdown().await;
    stub.until("nothing is left", |stub| stub.api.machines.lock().is_empty()).await;
    assert_eq!(stub.creates().len(), 2, "after {answer:?}");
}

#[tokio::test]
async fn too_many_requests_are_tried_again() {
    is_tried_again_after(Answer::status(429, "rate limit exceeded")).await;
}

#[tokio::test]
async fn a_conflict_that_is_no_name_is_tried_again() {
    is_tried_again_after(Answer::status(409, "another update is under way")).await;
}

#[tokio::test]
async fn a_failed_precondition_is_tried_again() {
    is_tried_again_after(Answer::status(412, "not now")).await;
}

#[tokio::test]
async fn what_cannot_be_processed_is_tried_again() {
    is_tried_again_after(Answer::status(422, "could not reserve resource for machine")).await;
}

#[tokio::test]
async fn a_request_that_timed_out_is_tried_again() {
    is_tried_again_after(Answer::status(408, "deadline exceeded")).await;
}

#[tokio::test]
async fn errors_of_the_server_are_tried_again() {
    for status in [500, 502, 503, 504] {
        is_tried_again_after(Answer::status(status, "internal")).await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again() {
    is_tried_again_after(Answer::Hangs).await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_tried_again() {
    is_tried_again_after(Answer::Babbles(200, json!("what?"), Vec::new())).await;
}

#[tokio::test]
async fn a_connection_that_is_refused_is_tried_again() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = socket.local_addr().unwrap();
    drop(socket);
    let stub = Stub::start().await;
    let pool = stub.pool(stub.backend().host(format!("http://{closed}")), Duration::from_millis(1500)).await;
    let reason = first_failure(&pool).await.to_string();
    assert!(reason.contains("no answer from the Machines API") && reason.contains("attempt"), "{reason}");
    pool.shutdown().await;
}

#[tokio::test]
async fn the_api_is_left_alone_for_as_long_as_it_says() {
    let wait = vec![("retry-after", "2".to_owned())];
    let stub = Stub::that_says([Answer::Says(429, json!({ "error": "slow down" }), wait)]).await;
    let pool = stub.pool(stub.backend(), PATIENT).await;
    let asking = pool.clone();
    let call = tokio::spawn(async move { asking.call(flame_actors::task!([] {})).await });
    stub.until("it is asked again", |stub| stub.creates().len() == 2).await;
    let [first, second] = &stub.creates()[..] else { panic!("two requests") };
    let pause = second.at - first.at;
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&pause), "{pause:?}");
    call.abort();
    pool.shutdown().await;
}

#[tokio::test]
async fn a_boot_gives_up_within_its_time_and_says_what_it_was_told() {
    let stub = Stub::start().await;
    *stub.api.always.lock() = Some(Answer::status(503, "the host is on fire"));
    let (bound, start) = (Duration::from_secs(3), Instant::now());
    let pool = stub.pool(stub.backend(), bound).await;
    let error = first_failure(&pool).await;
    assert!(start.elapsed() < bound + Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(matches!(&error, Error::Backend { backend, .. } if backend == "fly"), "{error:?}");
    let reason = error.to_string();
    assert!(reason.contains("answers 503 (Service Unavailable): the host is on fire"), "{reason}");
    assert!(reason.contains("(attempt "), "{reason}");
    assert!(stub.creates().len() >= 3, "{}", stub.creates().len());
    pool.shutdown().await;
}

#[tokio::test]
async fn a_wait_that_would_be_too_long_ends_the_boot_at_once() {
    for seconds in [60, u64::MAX] {
        let wait = vec![("retry-after", seconds.to_string())];
        let stub = Stub::that_says([Answer::Says(429, json!({ "error": "slow down" }), wait)]).await;
        let (pool, start) = (stub.pool(stub.backend(), PATIENT).await, Instant::now());
        let reason = first_failure(&pool).await.to_string();
        assert!(reason.contains("429") && start.elapsed() < PATIENT / 2, "{:?}: {reason}", start.elapsed());
        pool.shutdown().await;
    }
}
