//! How often things may be asked.

use std::time::Instant;

use flame_fly_sim::{Limit, Limits};

use crate::client::{Client, MACHINES, exec_once, path, plain, started};

/// As many as come at once, and then one for each second that this takes.
#[tokio::test]
async fn three_creates_at_once_are_all_that_there_may_be() {
    let simulator = plain().limits(Limits::default()).start().await.expect("it starts");
    let (client, since) = (Client::of(&simulator), Instant::now());
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let reply = client.create(exec_once(&["/bin/true"])).await;
        assert!(reply.status == 200 || reply.error() == "rate limit exceeded", "{}", reply.body);
        assert_eq!(reply.header("retry-after"), (reply.status == 429).then_some("1"));
        statuses.push(reply.status);
    }
    assert_eq!(statuses[..3], [200; 3]);
    let allowed = statuses.iter().filter(|status| **status == 200).count();
    assert!(allowed as u64 <= 3 + since.elapsed().as_secs(), "{statuses:?}");
    assert_eq!(simulator.machines().len(), allowed);
    // Another action has a limit of its own.
    assert_eq!(client.get(MACHINES).await.status, 200);
}

#[tokio::test]
async fn retry_after_says_how_long_there_is_none() {
    let slow = Limit { per_second: 0.1, burst: 1 };
    let simulator = plain().limits(Limits { get: slow, others: slow }).start().await.expect("it starts");
    let client = Client::of(&simulator);
    let id = client.run(&["/bin/sleep", "60"]).await;
    assert_eq!(client.get(&path(&id, "")).await.status, 200);
    let refused = client.get(&path(&id, "")).await;
    let wait: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
    assert!(refused.status == 429 && (8..=10).contains(&wait), "{wait}");
}

#[tokio::test]
async fn nothing_is_limited_where_there_are_no_limits() {
    let (_simulator, client) = started().await;
    for _ in 0..20 {
        assert_eq!(client.get(MACHINES).await.status, 200);
    }
}
