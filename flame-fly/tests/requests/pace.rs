//! The limits of the API, kept.

use std::time::{Duration, Instant};

use flame_actors::{Event, task};

use crate::stub::{Stub, failure, node, pool};

/// Two pools of one app want seven runners at once. The time that each has to boot begins with its turn: the last of
/// them waits for longer than that.
#[tokio::test]
async fn no_second_sees_more_creations_than_the_limit_and_a_wait_is_no_part_of_a_boot() {
    let stub = Stub::start().await;
    let bound = Duration::from_millis(1200);
    let start = |max| {
        let builder = pool(bound).max(max).max_concurrency(1).backend(stub.backend());
        async move { builder.start(&node().await).await.unwrap() }
    };
    let (one, two, began) = (start(4).await, start(3).await, Instant::now());
    let (mut events, mut calls) = ([one.events(), two.events()], Vec::new());
    for asking in [&one, &one, &one, &one, &two, &two, &two] {
        let asking = asking.clone();
        // Whoever waits has patience; a boot has not.
        calls.push(tokio::spawn(async move { asking.call(task!([] {})).timeout(Duration::from_secs(60)).await }));
    }
    stub.until("seven machines were asked for", |stub| stub.creates().len() >= 7).await;
    let seen: Vec<Duration> = stub.creates().iter().map(|create| create.at - began).collect();
    // However late they are heard of: the fourth was sent a second after the first at the earliest, and so on.
    for (number, at) in seen.iter().enumerate().skip(3) {
        assert!(*at >= Duration::from_secs(number as u64 - 2), "{seen:?}");
    }
    assert!(seen[6] > bound, "the last did not have to wait: {seen:?}");
    let names: std::collections::HashSet<_> = stub.creates().iter().map(|seen| seen.body["name"].to_string()).collect();
    assert_eq!(names.len(), stub.creates().len());
    for events in &mut events {
        // Each got to the point where it waits for its machine, however long it had to wait before.
        let reason = failure(events).await.to_string();
        assert!(reason.contains("the runner did not join within"), "{reason}");
    }
    calls.iter().for_each(|call| call.abort());
    one.shutdown().await;
    two.shutdown().await;
    for mut events in events {
        while let Some(event) = events.next().await {
            if let Event::BootFailed { error, .. } = event {
                let reason = error.to_string();
                assert!(!reason.contains("not accepted") && !reason.contains("no answer"), "{reason}");
            }
        }
    }
}
