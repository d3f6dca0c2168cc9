//! What each endpoint gives.

use flame_fly_sim::State;
use serde_json::json;

use crate::client::{Client, MACHINES, exec_once, path, started, until_state};

#[tokio::test]
async fn a_created_machine_is_shown_as_it_was_described() {
    let (simulator, client) = started().await;
    let mut body = exec_once(&["/bin/sleep", "60"]);
    (body["name"], body["region"]) = ("flame-1".into(), "fra".into());
    body["config"]["metadata"] = json!({ "flame_pool": "ffmpeg" });
    body["config"]["guest"] = json!({ "cpu_kind": "performance", "cpus": 2, "memory_mb": 4096 });
    let created = client.create(body.clone()).await;
    let id = created.id();
    assert_eq!((&created.body["name"], &created.body["region"]), (&json!("flame-1"), &json!("fra")));
    assert_eq!((&created.body["state"], &created.body["private_ip"]), (&json!("created"), &json!("::1")));
    for (name, value) in body["config"].as_object().expect("it is one") {
        let shown = &created.body["config"][name];
        assert_eq!(shown, value, "{name}");
    }
    assert_eq!(created.body["events"][0]["type"], "launch");

    until_state(&simulator, &id, State::Started).await;
    let shown = client.get(&path(&id, "")).await;
    assert_eq!((shown.status, &shown.body["state"]), (200, &json!("started")));
    let events = client.get(&path(&id, "/events")).await;
    assert_eq!((events.status, &events.body), (200, &shown.body["events"]));
    let told: Vec<_> = events.body.as_array().expect("events").iter().map(|event| &event["type"]).collect();
    assert_eq!(told, ["start", "launch"]);
}

#[tokio::test]
async fn a_machine_without_a_name_and_a_region_gets_both() {
    let (_simulator, client) = started().await;
    let (one, two) = (client.create(exec_once(&["/bin/true"])).await, client.create(exec_once(&["/bin/true"])).await);
    assert_eq!(one.body["region"], "iad");
    assert!(one.body["name"].as_str().is_some_and(|name| !name.is_empty()));
    assert_ne!(one.body["id"], two.body["id"]);
}

#[tokio::test]
async fn a_machine_that_is_not_launched_waits_for_a_start() {
    let (simulator, client) = started().await;
    let mut body = exec_once(&["/bin/sleep", "60"]);
    body["skip_launch"] = true.into();
    let id = client.create(body).await.id();
    let started = client.ask("POST", &path(&id, "/start"), None).await;
    assert_eq!((started.status, &started.body["previous_state"]), (200, &json!("created")));
    until_state(&simulator, &id, State::Started).await;
    let again = client.ask("POST", &path(&id, "/start"), None).await;
    assert_eq!((again.status, &again.body["previous_state"]), (200, &json!("started")));
}

#[tokio::test]
async fn a_list_has_the_machines_of_the_app_that_fit_its_filters() {
    let (simulator, client) = started().await;
    let mut ids = Vec::new();
    for (name, region, pool) in [("a", "fra", "one"), ("b", "fra", "two"), ("c", "ams", "one"), ("d", "fra", "one")] {
        let mut body = exec_once(&["/bin/sleep", "60"]);
        (body["name"], body["region"]) = (name.into(), region.into());
        body["config"]["metadata"] = json!({ "flame_pool": pool });
        ids.push(client.create(body).await.id());
    }
    assert_eq!(client.ask("DELETE", &path(&ids[3], "?force=true"), None).await.body, json!({ "ok": true }));
    until_state(&simulator, &ids[3], State::Destroyed).await;
    for id in &ids[..3] {
        until_state(&simulator, id, State::Started).await;
    }
    for (query, names) in [
        ("", "abc"),
        ("?region=fra", "ab"),
        ("?metadata.flame_pool=one", "ac"),
        ("?metadata.flame_pool=one&region=fra", "a"),
        ("?metadata.flame_pool=three", ""),
        ("?include_deleted=true", "abcd"),
        ("?state=started", "abc"),
        ("?state=stopped,created", ""),
    ] {
        let listed = client.get(&format!("{MACHINES}{query}")).await;
        assert_eq!(listed.status, 200);
        let listed = listed.body.as_array().expect("a list").clone();
        let listed: String = listed.iter().map(|machine| machine["name"].as_str().expect("a name")).collect();
        assert_eq!(listed, names, "{query}");
    }
}

#[tokio::test]
async fn a_wait_ends_when_the_state_is_reached() {
    let (simulator, client) = started().await;
    let id = client.run(&["/bin/sleep", "60"]).await;
    assert_eq!(client.get(&path(&id, "/wait")).await.body, json!({ "ok": true }));
    let url = simulator.url();
    let waiting = tokio::spawn({
        let id = id.clone();
        async move { Client::at(&url).get(&path(&id, "/wait?state=destroyed&timeout=60")).await }
    });
    crate::client::until("the wait has come", || {
        simulator
            .requests()
            .iter()
            .any(|request| request.query.contains(&("timeout".into(), "60".into())))
            .then_some(())
    })
    .await;
    client.ask("DELETE", &path(&id, "?force=true"), None).await;
    assert_eq!(waiting.await.expect("it ended").status, 200);
    // What is gone will never start.
    assert_eq!(client.get(&path(&id, "/wait?state=started&timeout=60")).await.status, 404);
}

#[tokio::test]
async fn a_wait_that_is_over_says_what_the_machine_is() {
    let (simulator, client) = started().await;
    let id = client.run(&["/bin/sleep", "60"]).await;
    let version = until_state(&simulator, &id, State::Started).await.shown["instance_id"].clone();
    let version = version.as_str().expect("one").to_owned();
    let over = client.get(&path(&id, &format!("/wait?state=stopped&instance_id={version}&timeout=1"))).await;
    assert_eq!(over.status, 408);
    assert!(over.error().contains("stopped, currently started"), "{}", over.error());
    for query in ["?timeout=0", "?timeout=61", "?state=happy", "?state=stopped", "?timeout=soon"] {
        assert_eq!(client.get(&path(&id, &format!("/wait{query}"))).await.status, 400, "{query}");
    }
    let other = client.get(&path(&id, "/wait?instance_id=other")).await;
    assert_eq!(other.status, 404);
}

#[tokio::test]
async fn metadata_can_be_read_set_and_removed() {
    let (_simulator, client) = started().await;
    let id = client.run(&["/bin/sleep", "60"]).await;
    assert_eq!(client.get(&path(&id, "/metadata")).await.body, json!({}));
    let key = path(&id, "/metadata/flame%2Fpool");
    assert_eq!(client.ask("POST", &key, Some(json!({ "value": "ffmpeg" }))).await.status, 204);
    assert_eq!(client.get(&path(&id, "/metadata")).await.body, json!({ "flame/pool": "ffmpeg" }));
    assert_eq!(client.get(&path(&id, "")).await.body["config"]["metadata"]["flame/pool"], "ffmpeg");
    assert_eq!(client.ask("DELETE", &key, None).await.status, 204);
    assert_eq!(client.get(&path(&id, "/metadata")).await.body, json!({}));
}

#[tokio::test]
async fn the_simulator_shows_its_machines_and_what_it_was_asked() {
    let (simulator, client) = started().await;
    let id = client.run(&["/bin/sleep", "60"]).await;
    let machine = until_state(&simulator, &id, State::Started).await;
    let nobody = Client::of(&simulator).with_authorization(None);
    let shown = nobody.get("/_sim/machines").await;
    assert_eq!(shown.body[0]["pid"].as_u64(), machine.pid.map(u64::from));
    let requests = nobody.get("/_sim/requests").await.body;
    assert_eq!((&requests[0]["action"], &requests[0]["status"]), (&json!("create"), &json!(200)));
    assert_eq!(requests[0]["body"]["config"]["init"]["exec"][1], "60");
    assert_eq!(nobody.get("/_sim/violations").await.body, json!([]));
}
