//! What the API refuses, and how.

use flame_fly_sim::{Simulator, State};
use serde_json::json;

use crate::client::{Client, MACHINES, exec_once, path, plain, started, until_state};

#[tokio::test]
async fn only_the_right_token_is_let_in() {
    let simulator = plain().token("right").start().await.expect("it starts");
    for (authorization, status) in [
        (None, 401),
        (Some("Bearer wrong"), 401),
        (Some("right"), 401),
        (Some("Basic right"), 401),
        (Some("Bearer right"), 200),
    ] {
        let reply = Client::of(&simulator).with_authorization(authorization).get(MACHINES).await;
        assert_eq!(reply.status, status, "{authorization:?}");
        assert_eq!(reply.error().is_empty(), status == 200);
    }
}

#[tokio::test]
async fn another_app_is_refused() {
    let simulator = plain().apps(["mine", "sim"]).forbidden_app("theirs").start().await.expect("it starts");
    let client = Client::of(&simulator);
    for (app, status) in [("mine", 200), ("theirs", 403), ("nobodys", 404)] {
        let reply = client.get(&format!("/v1/apps/{app}/machines")).await;
        assert_eq!(reply.status, status, "{app}: {}", reply.body);
    }
    // A machine is only found below its own app.
    let id = client.run(&["/bin/sleep", "60"]).await;
    assert_eq!(client.get(&format!("/v1/apps/mine/machines/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_machine_that_is_not_there_is_not_found() {
    let (_simulator, client) = started().await;
    for (method, rest) in [
        ("GET", ""),
        ("GET", "/wait"),
        ("GET", "/events"),
        ("POST", "/stop"),
        ("POST", "/start"),
        ("DELETE", "?force=true"),
        ("GET", "/metadata"),
    ] {
        let reply = client.ask(method, &path("1234", rest), None).await;
        assert_eq!((reply.status, reply.error()), (404, "not_found: machine not found"), "{method} {rest}");
    }
}

#[tokio::test]
async fn a_body_that_departs_from_the_contract_is_refused() {
    let (simulator, client) = started().await;
    for (body, what) in [
        (r#"{"config": {"image": "any"}, "regions": "fra"}"#, "regions is not known"),
        (r#"{"name": "x"}"#, "config is missing"),
        (r#"{"config": {"env": {}}}"#, "config.image is missing"),
        (r#"{"config": {"image": "any", "env": {"N": 1}}}"#, "config.env.N is not a string"),
        (r#"{"config": {"image": "any", "guest": {"cpus": "2"}}}"#, "config.guest.cpus is not an integer"),
        (r#"{"config": {"image": "any", "restart": {"policy": "never"}}}"#, "config.restart.policy is not no or"),
        ("[]", "the body is not an object"),
        ("{", "EOF"),
    ] {
        let reply = client.try_ask("POST", MACHINES, Some(body)).await.expect("an answer");
        assert!(reply.status == 400 && reply.error().contains(what), "{body}: {}", reply.body);
    }
    assert!(simulator.machines().is_empty());
    // Deep inside, the API takes what it does not know; the simulator tells it nevertheless.
    let mut body = exec_once(&["/bin/true"]);
    body["config"]["guest"] = json!({ "cpu": 2 });
    let created = client.create(body).await;
    assert_eq!((created.status, &created.body["config"]["guest"]["cpu"]), (200, &json!(null)));
    let last = simulator.violations().pop().expect("a violation");
    assert_eq!((last.what.as_str(), last.is_answer), ("config.guest.cpu is not known", false));
}

#[tokio::test]
async fn a_name_is_given_once_at_a_time() {
    let (simulator, client) = started().await;
    let mut body = exec_once(&["/bin/sleep", "60"]);
    body["name"] = "one".into();
    let id = client.create(body.clone()).await.id();
    let again = client.create(body.clone()).await;
    let told =
        format!("already_exists: unique machine name violation, machine ID {id} already exists with name \"one\"");
    assert_eq!((again.status, again.error()), (409, told.as_str()));
    client.ask("DELETE", &path(&id, "?force=true"), None).await;
    until_state(&simulator, &id, State::Destroyed).await;
    assert_eq!(client.create(body).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_had_is_refused() {
    let (_simulator, client) = started().await;
    let mut nowhere = exec_once(&["/bin/true"]);
    nowhere["region"] = "xyz".into();
    let mut too_big = exec_once(&["/bin/true"]);
    too_big["config"]["guest"] = json!({ "cpu_kind": "performance", "cpus": 8, "memory_mb": 4096 });
    let no_image = json!({ "config": { "image": "registry.fly.io/sim:gone" } });
    for (body, status, what) in [
        (nowhere, 400, "region xyz not found"),
        (too_big, 400, "minimum required 16384 MiB"),
        (no_image, 404, "image registry.fly.io/sim:gone not found"),
    ] {
        let reply = client.create(body).await;
        assert!(reply.status == status && reply.error().contains(what), "{}", reply.body);
    }
}

#[tokio::test]
async fn quotas_hold_for_what_is_there() {
    let simulator = plain().machine_quota(2).memory_quota_mb(1024).start().await.expect("it starts");
    let client = Client::of(&simulator);
    let mut big = exec_once(&["/bin/sleep", "60"]);
    big["config"]["guest"] = json!({ "cpus": 4, "memory_mb": 1024 });
    let first = client.run(&["/bin/sleep", "60"]).await;
    let refused = client.create(big.clone()).await;
    assert!(refused.status == 403 && refused.error().contains("over the allowed quota"), "{}", refused.body);
    let mut elsewhere = big;
    elsewhere["region"] = "fra".into();
    client.create(elsewhere).await.id();
    let refused = client.create(exec_once(&["/bin/true"])).await;
    assert!(refused.status == 422 && refused.error().contains("limit of machines"), "{}", refused.body);
    client.ask("DELETE", &path(&first, "?force=true"), None).await;
    until_state(&simulator, &first, State::Destroyed).await;
    client.run(&["/bin/true"]).await;
}

#[tokio::test]
async fn whoever_has_no_lease_leaves_a_leased_machine_alone() {
    let (simulator, client) = started().await;
    let mut body = exec_once(&["/bin/sleep", "60"]);
    body["lease_ttl"] = 600.into();
    let created = client.create(body).await;
    let (id, nonce) = (created.id(), created.body["nonce"].as_str().expect("a nonce").to_owned());
    for (method, rest) in [("POST", "/stop"), ("POST", "/start"), ("DELETE", "?force=true")] {
        let refused = client.ask(method, &path(&id, rest), None).await;
        assert!(refused.status == 409 && refused.error().contains("lease currently held"), "{}", refused.body);
    }
    assert_eq!(client.get(&path(&id, "")).await.status, 200);
    let holder = Client::of(&simulator).with_header(&format!("fly-machine-lease-nonce: {nonce}"));
    assert_eq!(holder.ask("DELETE", &path(&id, "?force=true"), None).await.status, 200);
}

#[tokio::test]
async fn what_the_simulator_does_not_have_is_not_found() {
    let (_simulator, client) = started().await;
    for path in ["/v1/apps/sim/volumes", "/v1/apps", "/", "/_sim/nothing"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let (simulator, _client) = started().await;
    let address = simulator.url().strip_prefix("http://").expect("a URL").parse().expect("an address");
    let second: std::io::Result<Simulator> = plain().listen(address).start().await;
    assert_eq!(second.expect_err("taken").kind(), std::io::ErrorKind::AddrInUse);
}
