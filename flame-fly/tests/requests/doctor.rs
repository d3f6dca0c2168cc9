//! What is told of a machine that does not come up.

use std::time::Duration;

use serde_json::json;

use crate::contract::event;
use crate::stub::{Stub, first_failure};

#[tokio::test]
async fn a_machine_that_does_not_connect_is_described_and_destroyed() {
    let stub = Stub::start().await;
    let events = [event("start", "started", 2), event("launch", "created", 1)];
    *stub.api.fields.lock() = json!({ "events": events });
    let pool = stub.pool(stub.backend(), Duration::from_secs(2)).await;
    let reason = first_failure(&pool).await.to_string();
    let name = stub.creates()[0].body["name"].as_str().unwrap().to_owned();
    let expected = format!(
        "backend fly: the runner did not join within 2s; machine 148e0 ({name}) in fra is started; its events: launch \
         created, start started; what it wrote: fly logs -a thumbs --machine 148e0"
    );
    assert_eq!(reason, expected);
    stub.until("it is destroyed", |stub| stub.api.machines.lock().is_empty()).await;
    pool.shutdown().await;
}

#[tokio::test]
async fn a_machine_that_dies_fails_its_boot_at_once_with_its_exit() {
    let stub = Stub::start().await;
    let exit = json!({ "exit_event": { "exit_code": 137, "guest_signal": 9, "oom_killed": true } });
    let mut exited = event("exit", "stopped", 1);
    exited["request"] = exit;
    *stub.api.fields.lock() = json!({ "state": "stopped", "events": [exited] });
    let start = std::time::Instant::now();
    let pool = stub.pool(stub.backend(), Duration::from_secs(20)).await;
    let reason = first_failure(&pool).await.to_string();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(reason.contains("ended before it joined: it ran out of memory"), "{reason}");
    assert!(reason.contains("is stopped; its events: exit stopped; it ran out of memory"), "{reason}");
    stub.until("it is destroyed", |stub| !stub.seen("DELETE").is_empty()).await;
    pool.shutdown().await;
}
