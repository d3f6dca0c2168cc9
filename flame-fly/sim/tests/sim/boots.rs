//! What a machine runs, and what it finds in its environment.

use std::collections::BTreeMap;

use flame_fly_sim::State;
use serde_json::json;

use crate::client::{Client, exec_once, plain, until_state};

/// What `/usr/bin/env` wrote in a machine.
fn environment(lines: &[String]) -> BTreeMap<String, String> {
    let pairs = lines.iter().filter_map(|line| line.split_once("] ")?.1.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn the_environment_is_what_was_described_and_what_fly_adds() {
    let simulator = plain().secret("SECRET", "s").secret("BOTH", "secret").start().await.expect("it starts");
    let client = Client::of(&simulator);
    let mut body = exec_once(&["/usr/bin/env"]);
    body["region"] = "fra".into();
    body["config"]["image"] = "registry.fly.io/sim:v1".into();
    body["config"]["guest"] = json!({ "memory_mb": 512 });
    body["config"]["metadata"] = json!({ "fly_process_group": "app" });
    body["config"]["env"] = json!({ "MINE": "a=b c", "BOTH": "machine", "FLY_REGION": "elsewhere" });
    let created = client.create(body).await;
    let id = created.id();
    until_state(&simulator, &id, State::Destroyed).await;
    let find = || {
        let found = environment(&simulator.lines());
        found.contains_key("PATH").then_some(found)
    };
    let mut found = crate::client::until("it wrote all", find).await;
    assert!(found.remove("PATH").is_some());
    let instance = created.body["instance_id"].as_str().expect("one");
    let expected = [
        ("SECRET", "s"),
        ("MINE", "a=b c"),
        ("BOTH", "machine"),
        ("FLY_APP_NAME", "sim"),
        ("FLY_MACHINE_ID", &id),
        ("FLY_ALLOC_ID", &id),
        ("FLY_MACHINE_VERSION", instance),
        ("FLY_REGION", "fra"),
        ("FLY_IMAGE_REF", "registry.fly.io/sim:v1"),
        ("FLY_PRIVATE_IP", "::1"),
        ("FLY_PUBLIC_IP", "2001:db8::0:0:0"),
        ("FLY_VM_MEMORY_MB", "512"),
        ("FLY_PROCESS_GROUP", "app"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found, BTreeMap::from(expected));
}

#[tokio::test]
async fn an_image_is_an_executable_that_init_may_change() {
    let simulator =
        plain().image("registry.fly.io/sim:v1", "/bin/echo").any_image("/bin/false").start().await.expect("it starts");
    let client = Client::of(&simulator);
    for (image, init, line) in [
        ("registry.fly.io/sim:v1", json!({ "cmd": ["of", "cmd"] }), "] of cmd"),
        ("registry.fly.io/sim:v1", json!({ "entrypoint": ["/bin/echo", "of"], "cmd": ["both"] }), "] of both"),
        ("another", json!({ "exec": ["/bin/echo", "of exec"], "cmd": ["not", "this"] }), "] of exec"),
    ] {
        let config = json!({ "image": image, "init": init, "auto_destroy": true, "restart": { "policy": "no" } });
        client.create(json!({ "config": config })).await.id();
        crate::client::until(line, || simulator.lines().iter().any(|written| written.ends_with(line)).then_some(()))
            .await;
    }
    let config = json!({ "image": "another", "auto_destroy": true, "restart": { "policy": "no" } });
    let id = client.create(json!({ "config": config })).await.id();
    let machine = until_state(&simulator, &id, State::Destroyed).await;
    assert_eq!(crate::client::exit(&machine)["exit_code"], 1);
}

#[tokio::test]
async fn lines_carry_the_name_of_their_machine() {
    let (simulator, client) = crate::client::started().await;
    let mut body = exec_once(&["/bin/sh", "-c", "echo out; echo err >&2; printf unfinished"]);
    body["name"] = "talker".into();
    client.create(body).await.id();
    for line in ["[talker] out", "[talker] err", "[talker] unfinished"] {
        crate::client::until(line, || simulator.lines().iter().any(|written| written == line).then_some(())).await;
    }
}
