//! How machines start, stop and go.

use flame_fly_sim::State;
use serde_json::{Value, json};

use crate::client::{exec_once, exit, is_alive, path, started, until, until_state};

/// One that stays when it has ended.
fn lasting(exec: &[&str]) -> Value {
    let mut body = exec_once(exec);
    body["config"]["auto_destroy"] = false.into();
    body
}

const DEAF: [&str; 3] = ["/bin/sh", "-c", "trap '' INT TERM; echo ready; while :; do sleep 0.1; done"];

#[tokio::test]
async fn a_machine_that_ends_tells_its_code_and_destroys_itself() {
    let (simulator, client) = started().await;
    let id = client.run(&["/bin/sh", "-c", "exit 3"]).await;
    let machine = until_state(&simulator, &id, State::Destroyed).await;
    let exit = exit(&machine);
    assert_eq!(
        (&exit["exit_code"], &exit["oom_killed"], &exit["requested_stop"]),
        (&json!(3), &json!(false), &json!(false))
    );
    let shown = client.get(&path(&id, "")).await;
    assert_eq!((shown.status, &shown.body["state"]), (200, &json!("destroyed")));
    assert_eq!(client.ask("DELETE", &path(&id, "?force=true"), None).await.status, 404);
}

#[tokio::test]
async fn a_machine_that_is_to_stay_is_stopped_and_starts_again() {
    let (simulator, client) = started().await;
    let id = client.create(lasting(&["/bin/sleep", "60"])).await.id();
    let first = until_state(&simulator, &id, State::Started).await.pid;
    assert_eq!(client.ask("POST", &path(&id, "/stop"), None).await.body, json!({ "ok": true }));
    let stopped = until_state(&simulator, &id, State::Stopped).await;
    // It got SIGINT, as nothing else was said.
    let exit = exit(&stopped);
    assert_eq!(
        (&exit["guest_signal"], &exit["exit_code"], &exit["requested_stop"]),
        (&json!(2), &json!(130), &json!(true))
    );
    assert_eq!(client.ask("POST", &path(&id, "/start"), None).await.body["previous_state"], "stopped");
    let second = until_state(&simulator, &id, State::Started).await.pid;
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_stop_sends_the_signal_that_is_asked_for() {
    let (simulator, client) = started().await;
    for (body, of_machine, signal) in [
        (json!({ "signal": "SIGTERM" }), json!(null), 15),
        (json!({}), json!({ "signal": "SIGQUIT" }), 3),
        (json!({ "signal": "SIGUSR1" }), json!({ "signal": "SIGQUIT" }), 10),
    ] {
        let mut machine = lasting(&["/bin/sleep", "60"]);
        if !of_machine.is_null() {
            machine["config"]["stop_config"] = of_machine;
        }
        let id = client.create(machine).await.id();
        until_state(&simulator, &id, State::Started).await;
        assert_eq!(client.ask("POST", &path(&id, "/stop"), Some(body)).await.status, 200);
        let stopped = until_state(&simulator, &id, State::Stopped).await;
        assert_eq!(exit(&stopped)["guest_signal"], signal);
    }
    let id = client.run(&["/bin/sleep", "60"]).await;
    let refused = client.ask("POST", &path(&id, "/stop"), Some(json!({ "signal": "SIGNAL" }))).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_machine_that_does_not_stop_loses_its_power() {
    let (simulator, client) = started().await;
    let id = client.create(lasting(&DEAF)).await.id();
    until("it is deaf", || simulator.lines().iter().any(|line| line.ends_with("] ready")).then_some(())).await;
    client.ask("POST", &path(&id, "/stop"), Some(json!({ "timeout": "100ms" }))).await;
    let stopped = until_state(&simulator, &id, State::Stopped).await;
    assert_eq!(exit(&stopped)["guest_signal"], 9);
}

#[tokio::test]
async fn a_machine_that_runs_is_destroyed_only_by_force() {
    let (simulator, client) = started().await;
    let id = client.create(lasting(&DEAF)).await.id();
    let pid = until_state(&simulator, &id, State::Started).await.pid.expect("it runs");
    let refused = client.ask("DELETE", &path(&id, ""), None).await;
    assert!(refused.status == 412 && refused.error().contains("unable to destroy machine, not currently stopped"));
    assert!(is_alive(pid));
    assert_eq!(client.ask("DELETE", &path(&id, "?force=true"), None).await.status, 200);
    let gone = until_state(&simulator, &id, State::Destroyed).await;
    assert!(!is_alive(pid));
    let told: Vec<_> = gone.shown["events"].as_array().expect("events").iter().map(|event| &event["status"]).collect();
    assert_eq!(told, ["destroyed", "stopped", "destroying", "started", "created"]);
}

#[tokio::test]
async fn a_machine_that_is_stopped_is_destroyed_without_force() {
    let (simulator, client) = started().await;
    let id = client.create(lasting(&["/bin/true"])).await.id();
    until_state(&simulator, &id, State::Stopped).await;
    assert_eq!(client.ask("DELETE", &path(&id, ""), None).await.status, 200);
    until_state(&simulator, &id, State::Destroyed).await;
}

#[tokio::test]
async fn a_signal_reaches_the_process() {
    let (simulator, client) = started().await;
    let script = "trap 'echo heard; exit 7' USR1; echo ready; while :; do sleep 0.1; done";
    let id = client.create(lasting(&["/bin/sh", "-c", script])).await.id();
    until("it listens", || simulator.lines().iter().any(|line| line.ends_with("] ready")).then_some(())).await;
    let signal = path(&id, "/signal");
    assert_eq!(client.ask("POST", &signal, Some(json!({ "signal": "SIGUSR1" }))).await.status, 200);
    let stopped = until_state(&simulator, &id, State::Stopped).await;
    assert_eq!(exit(&stopped)["exit_code"], 7);
    assert_eq!(client.ask("POST", &signal, Some(json!({ "signal": "SIGUSR1" }))).await.status, 412);
    assert_eq!(client.ask("POST", &signal, Some(json!({ "signal": "SIGNAL" }))).await.status, 400);
    assert_eq!(client.ask("POST", &signal, None).await.status, 400);
}

#[tokio::test]
async fn a_machine_restarts_as_its_policy_says() {
    let (simulator, client) = started().await;
    for (policy, script, exits) in [
        (json!({ "policy": "no" }), "exit 1", 1),
        (json!({ "policy": "on-failure", "max_retries": 2 }), "exit 1", 3),
        (json!({ "policy": "on-failure" }), "exit 0", 1),
    ] {
        let mut body = lasting(&["/bin/sh", "-c", script]);
        body["config"]["restart"] = policy.clone();
        let id = client.create(body).await.id();
        let is_over = || {
            let machine = simulator.machines().into_iter().find(|machine| machine.id == id)?;
            let is_last = machine.shown["events"][0]["request"]["exit_event"]["restarting"] == false;
            (machine.state == State::Stopped && is_last).then_some(machine)
        };
        let machine = until("it restarts no more", is_over).await;
        let events = machine.shown["events"].as_array().expect("events");
        assert_eq!(events.iter().filter(|event| event["type"] == "exit").count(), exits, "{policy}");
    }
    let mut body = lasting(&["/bin/true"]);
    body["config"]["restart"] = json!({ "policy": "always" });
    let id = client.create(body).await.id();
    let often = || {
        let machine = simulator.machines().into_iter().find(|machine| machine.id == id)?;
        (machine.shown["events"].as_array()?.len() > 10).then_some(())
    };
    until("it restarts again and again", often).await;
    client.ask("DELETE", &path(&id, "?force=true"), None).await;
    until_state(&simulator, &id, State::Destroyed).await;
}

#[tokio::test]
async fn a_machine_that_cannot_run_its_command_says_so() {
    let (simulator, client) = started().await;
    let id = client.run(&["/no/such/program"]).await;
    let machine = until_state(&simulator, &id, State::Destroyed).await;
    let exit = exit(&machine);
    assert_eq!(exit["exit_code"], 1);
    assert!(exit["guest_error"].as_str().is_some_and(|text| text.contains("/no/such/program")), "{exit}");
}
