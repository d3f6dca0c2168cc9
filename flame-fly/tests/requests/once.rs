//! A boot is one machine, whatever becomes of requests and answers.

use std::time::Duration;

use flame_actors::task;
use serde_json::json;

use crate::contract::machine;
use crate::stub::{Answer, Stub, first_failure};

#[tokio::test]
async fn a_machine_whose_answer_was_lost_is_found_again() {
    let stub = Stub::that_says([Answer::Lost]).await;
    let pool = stub.pool(stub.backend(), Duration::from_secs(3)).await;
    let reason = first_failure(&pool).await.to_string();
    // It was taken for booted, though it never joined.
    assert!(reason.contains("did not join") && reason.contains("machine 148e0"), "{reason}");
    assert_eq!(stub.creates().len(), 1);
    pool.shutdown().await;
    stub.until("nothing is left", |stub| stub.api.machines.lock().is_empty()).await;
}

#[tokio::test]
async fn a_machine_that_is_there_under_its_name_is_taken() {
    // Nothing is heard of the first request, which is still under way when it is looked for.
    let stub = Stub::that_says([Answer::Hangs]).await;
    let pool = stub.pool(stub.backend(), Duration::from_secs(3)).await;
    let late = stub.clone();
    tokio::spawn(async move {
        late.until("it is asked for", |stub| !stub.creates().is_empty()).await;
        late.until("it is looked for", |stub| stub.seen("GET").iter().any(|seen| seen.path.contains("flame_runner")))
            .await;
        let mut asked = late.creates()[0].body.clone();
        (asked["id"], asked["state"]) = ("late".into(), "started".into());
        late.api.machines.lock().push(machine(&asked));
    });
    let reason = first_failure(&pool).await.to_string();
    assert!(reason.contains("did not join") && reason.contains("machine late"), "{reason}");
    pool.shutdown().await;
    stub.until("nothing is left", |stub| stub.api.machines.lock().is_empty()).await;
}

#[tokio::test]
async fn a_machine_whose_answer_does_not_come_is_found_within_the_time_of_its_boot() {
    let stub = Stub::that_says([Answer::Late(Duration::from_secs(60))]).await;
    let pool = stub.pool(stub.backend(), Duration::from_secs(4)).await;
    let reason = first_failure(&pool).await.to_string();
    assert!(reason.contains("did not join") && reason.contains("machine 148e0"), "{reason}");
    assert_eq!(stub.creates().len(), 1);
    pool.shutdown().await;
    stub.until("nothing is left", |stub| stub.api.machines.lock().is_empty()).await;
}

#[tokio::test]
async fn a_boot_that_is_given_up_half_way_leaves_no_machine() {
    let stub = Stub::that_says([Answer::Late(Duration::from_secs(5))]).await;
    let pool = stub.pool(stub.backend(), Duration::from_secs(20)).await;
    let asking = pool.clone();
    let call = tokio::spawn(async move { asking.call(task!([] {})).await });
    stub.until("it is asked for", |stub| stub.api.machines.lock().len() == 1).await;
    pool.shutdown().await;
    stub.until("it is destroyed", |stub| stub.api.machines.lock().is_empty()).await;
    let destroyed = stub.seen("DELETE");
    assert_eq!(destroyed.len(), 1);
    assert_eq!(destroyed[0].path, "/v1/apps/thumbs/machines/148e0?force=true");
    call.abort();
}

#[tokio::test]
async fn a_machine_is_asked_for_as_one_that_leaves_nothing_and_serves_nobody() {
    let stub = Stub::start().await;
    let backend = stub.backend().env("MODE", "fast").metadata("team", "video").machine_id("148parent").gpu_kind("a10");
    let pool = stub.pool(backend, Duration::from_secs(3)).await;
    let asking = pool.clone();
    let call = tokio::spawn(async move { asking.call(task!([] {})).await });
    stub.until("it is asked for", |stub| stub.creates().len() == 1).await;
    let body = stub.creates()[0].body.clone();
    let config = &body["config"];
    assert_eq!(body["region"], "fra");
    assert!(body["name"].as_str().unwrap().starts_with(&format!("flame-{}-", pool.name())), "{body}");
    assert_eq!((&config["auto_destroy"], &config["restart"]["policy"]), (&true.into(), &"no".into()));
    assert_eq!(config["dns"]["skip_registration"], true);
    assert_eq!(config["image"], "registry/thumbs:1");
    assert_eq!((&config["guest"]["gpu_kind"], &config["guest"]["gpus"]), (&"a10".into(), &1.into()));
    assert_eq!(config["guest"]["memory_mb"], 4096);
    let variables: Vec<_> = config["env"].as_object().unwrap().keys().collect();
    assert_eq!(variables, ["FLAME_PARENT", "MODE"], "something else was inherited");
    let marks = config["metadata"].as_object().unwrap();
    assert_eq!(marks["team"], "video");
    assert_eq!(marks["flame_parent_machine"], "148parent");
    assert_eq!(marks["flame_pool"], pool.name());
    for name in ["flame_parent", "flame_parent_life", "flame_runner", "flame_build", "flame_expires"] {
        assert!(marks[name].as_str().is_some_and(|value| !value.is_empty()), "{name}: {marks:?}");
    }
    // That is what `fly deploy` goes by.
    assert!(!marks.contains_key("fly_platform_version") && !marks.contains_key("fly_process_group"));
    // Nobody asked for these.
    for name in ["services", "mounts", "init", "stop_config"] {
        assert!(config.get(name).is_none(), "{config}");
    }
    call.abort();
    pool.shutdown().await;
}

#[tokio::test]
async fn what_a_machine_is_given_beyond_that_is_passed_on_as_it_is() {
    let stub = Stub::start().await;
    let (init, services) = (json!({ "cmd": ["serve"] }), json!([{ "internal_port": 80, "protocol": "tcp" }]));
    let (mounts, stop) = (json!([{ "volume": "vol_1", "path": "/data" }]), json!({ "signal": "SIGTERM" }));
    let backend = stub.backend().init(init.clone()).services(services.clone());
    let backend = backend.mounts(mounts.clone()).stop_config(stop.clone()).memory_mb(2048).cpus(1).cpu_kind("shared");
    let pool = stub.pool(backend, Duration::from_secs(3)).await;
    let asking = pool.clone();
    let call = tokio::spawn(async move { asking.call(task!([] {})).await });
    stub.until("it is asked for", |stub| stub.creates().len() == 1).await;
    let config = stub.creates()[0].body["config"].clone();
    let given = ["init", "services", "mounts", "stop_config"].map(|name| config[name].clone());
    assert_eq!(given, [init, services, mounts, stop]);
    assert_eq!(config["guest"], json!({ "cpu_kind": "shared", "cpus": 1, "memory_mb": 2048 }));
    call.abort();
    pool.shutdown().await;
}
