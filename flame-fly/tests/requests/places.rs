//! Where there is no room, and what is tried then.

use std::time::Duration;

use flame_actors::{Event, task};
use flame_fly::Size;
use serde_json::json;

use crate::stub::{Answer, Stub};

#[tokio::test]
async fn without_capacity_regions_and_then_sizes_are_tried_in_order_and_told() {
    let full =
        |status| Answer::Says(status, json!({ "error": "no room", "status": "insufficient_capacity" }), Vec::new());
    // However it is said.
    let by_text = Answer::status(422, "insufficient resources available to fulfill request");
    let stub = Stub::that_says([full(412), by_text, full(503)]).await;
    let backend = stub.backend().cpu_kind("performance").cpus(2).fallback_regions(["ams"]);
    let pool = stub.pool(backend.fallback_sizes([Size::new("shared", 4, 2048)]), Duration::from_secs(10)).await;
    let (mut events, asking) = (pool.events(), pool.clone());
    let call = tokio::spawn(async move { asking.call(task!([] {})).await });
    stub.until("it is created", |stub| stub.api.machines.lock().len() == 1).await;

    let tried: Vec<_> = stub
        .creates()
        .iter()
        .map(|seen| {
            let guest = &seen.body["config"]["guest"];
            (seen.body["region"].as_str().unwrap().to_owned(), guest["cpu_kind"].as_str().unwrap().to_owned())
        })
        .collect();
    let tried: Vec<_> = tried.iter().map(|(region, kind)| (region.as_str(), kind.as_str())).collect();
    assert_eq!(tried, [("fra", "performance"), ("ams", "performance"), ("fra", "shared"), ("ams", "shared")]);

    let mut steps = Vec::new();
    while steps.len() < 3 {
        match events.next().await.expect("the steps are told") {
            Event::FellBack { from, to, reason, .. } => steps.push((from, to, reason)),
            Event::BootFailed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
    assert_eq!(steps[0].0, "performance-2x with 4096 MiB in fra");
    assert_eq!(steps[0].1, "performance-2x with 4096 MiB in ams");
    assert_eq!(steps[2].1, "shared-4x with 2048 MiB in ams");
    assert!(steps[1].2.contains("insufficient resources"), "{steps:?}");
    call.abort();
    pool.shutdown().await;
}

#[tokio::test]
async fn where_nothing_has_room_it_is_tried_from_the_start() {
    let full = Answer::Says(412, json!({ "error": "no room", "status": "insufficient_capacity" }), Vec::new());
    let stub = Stub::that_says([full.clone(), full]).await;
    let pool = stub.pool(stub.backend().fallback_regions(["ams"]), Duration::from_secs(10)).await;
    let asking = pool.clone();
    let call = tokio::spawn(async move { asking.call(task!([] {})).await });
    stub.until("it is created", |stub| stub.api.machines.lock().len() == 1).await;
    let regions: Vec<_> = stub.creates().iter().map(|seen| seen.body["region"].to_string()).collect();
    assert_eq!(regions, ["\"fra\"", "\"ams\"", "\"fra\""]);
    call.abort();
    pool.shutdown().await;
}
