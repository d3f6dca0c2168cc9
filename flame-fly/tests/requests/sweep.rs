//! What a former life of this parent has left is destroyed, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use crate::contract::machine;
use crate::stub::{Stub, node};

fn runner(id: &str, parent: &str, parent_machine: &str, life: &str) -> Value {
    let metadata = json!({ "flame_parent": parent, "flame_parent_machine": parent_machine, "flame_parent_life": life });
    machine(&json!({ "id": id, "name": id, "state": "started", "config": { "metadata": metadata } }))
}

#[tokio::test]
async fn own_leftovers_go_and_strangers_stay() {
    let stub = Stub::start().await;
    // A process that has ended, or rather one of another boot of the system.
    let (gone, alive) = ("0000.1.1", life());
    let mut ended = runner("ended", "stub-01a", "148parent", gone);
    ended["state"] = "destroyed".into();
    stub.api.machines.lock().extend([
        runner("of-another-machine", "stub-01a", "148other", gone),
        runner("of-another-name", "stubborn-01a", "148parent", gone),
        runner("of-a-parent-that-lives", "stub-01b", "148parent", &alive),
        machine(&json!({ "id": "of-no-pool", "state": "started", "config": { "metadata": {} } })),
        machine(&json!({ "id": "of-nobody", "state": "started" })),
        ended,
        runner("left-behind", "stub-01a", "148parent", gone),
        runner("left-behind-too", "stub-01c", "148parent", gone),
    ]);
    let pool = stub.pool(stub.backend().machine_id("148parent"), Duration::from_secs(3)).await;
    stub.until("two are destroyed", |stub| stub.seen("DELETE").len() >= 2).await;
    pool.shutdown().await;
    let destroyed: Vec<_> = stub.seen("DELETE").iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(
        destroyed,
        ["left-behind", "left-behind-too"].map(|id| format!("/v1/apps/thumbs/machines/{id}?force=true"))
    );
    assert_eq!(stub.api.machines.lock().len(), 6);
}

#[tokio::test]
async fn a_parent_that_is_no_machine_looks_for_nothing() {
    let stub = Stub::start().await;
    let pool = stub.pool(stub.backend(), Duration::from_secs(3)).await;
    pool.shutdown().await;
    assert!(stub.api.seen.lock().is_empty(), "{:?}", stub.api.seen.lock());
    drop(node().await);
}

/// This process, as the backend names it.
fn life() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let stat = read("/proc/self/stat");
    let started = stat[stat.rfind(')').unwrap() + 1..].split_whitespace().nth(19).unwrap().to_owned();
    format!("{}.{}.{started}", read("/proc/sys/kernel/random/boot_id"), std::process::id())
}
