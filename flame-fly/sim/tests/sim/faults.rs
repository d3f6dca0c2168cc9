//! What the simulator can be told to do wrong.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use flame_fly_sim::{Action, Fault, State};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::client::{Client, MACHINES, exec_once, exit, is_alive, path, plain, started, until, until_state};

#[tokio::test]
async fn a_status_is_answered_as_often_as_it_is_told() {
    let (simulator, client) = started().await;
    for status in [408, 409, 412, 422, 500, 502, 503, 504, 401, 403] {
        simulator.fault(Fault::status(status).on(Action::Create).times(2));
        // What it is not for goes well.
        assert_eq!(client.get(MACHINES).await.status, 200);
        for expected in [status, status, 200] {
            let reply = client.create(exec_once(&["/bin/true"])).await;
            assert_eq!(reply.status, expected);
            assert_eq!(reply.error().is_empty(), expected == 200);
        }
    }
    assert_eq!(simulator.machines().len(), 10);
    assert_eq!(simulator.violations(), []);
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_again() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::rate_limit(Duration::from_secs(7)).times(1));
    simulator.fault(Fault::status(429).times(1));
    for seconds in ["7", "1"] {
        let refused = client.get(MACHINES).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some(seconds)));
    }
    assert_eq!(client.get(MACHINES).await.status, 200);
}

#[tokio::test]
async fn a_slow_answer_comes_late_though_the_thing_is_done() {
    let (simulator, client) = started().await;
    let (since, by) = (Instant::now(), Duration::from_millis(500));
    simulator.fault(Fault::slow(by).on(Action::Create).times(1));
    let id = client.run(&["/bin/sleep", "60"]).await;
    assert!(since.elapsed() >= by);
    assert_eq!(simulator.machines()[0].id, id);
    assert_eq!(simulator.faults(), []);
}

#[tokio::test]
async fn a_dropped_connection_leaves_nothing_done() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::drop_connection().times(1));
    let body = exec_once(&["/bin/true"]).to_string();
    let lost = client.try_ask("POST", MACHINES, Some(&body)).await.err().expect("no answer");
    assert!(matches!(lost.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{lost}");
    assert!(simulator.machines().is_empty());
    assert_eq!(simulator.requests()[0].status, None);
    assert_eq!(client.create(exec_once(&["/bin/true"])).await.status, 200);
}

#[tokio::test]
async fn a_lost_answer_leaves_a_machine_that_its_name_finds() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::lose_answer().times(1));
    let mut body = exec_once(&["/bin/sleep", "60"]);
    body["name"] = "lost".into();
    assert!(client.try_ask("POST", MACHINES, Some(&body.to_string())).await.is_err());
    let machine = simulator.machines().pop().expect("it was created");
    until_state(&simulator, &machine.id, State::Started).await;
    let log = simulator.requests().remove(0);
    assert_eq!((log.status, log.answer.expect("it was lost")["id"].as_str()), (None, Some(machine.id.as_str())));
    let again = client.create(body).await;
    assert!(again.status == 409 && again.error().contains(&machine.id));
}

#[tokio::test]
async fn there_is_no_capacity_where_it_is_told() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::no_capacity().region("fra"));
    simulator.fault(Fault::no_capacity().size("performance-2x").times(1));
    let sized = |region: &str, kind: &str, memory: u32| {
        let mut body = exec_once(&["/bin/true"]);
        body["region"] = region.into();
        body["config"]["guest"] = json!({ "cpu_kind": kind, "cpus": 2, "memory_mb": memory });
        body
    };
    for (body, expected) in [
        (sized("fra", "shared", 512), 422),
        (sized("fra", "shared", 512), 422),
        (sized("ams", "performance", 4096), 422),
        (sized("ams", "performance", 4096), 200),
        (sized("ams", "shared", 512), 200),
    ] {
        let reply = client.create(body).await;
        assert_eq!(reply.status, expected, "{}", reply.body);
        if expected == 422 {
            assert_eq!(reply.body["status"], "insufficient_capacity");
            assert!(reply.error().contains("insufficient resources"));
        }
    }
    simulator.clear_faults();
    assert_eq!(client.create(sized("fra", "shared", 512)).await.status, 200);
}

#[tokio::test]
async fn a_machine_dies_at_boot() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::die_at_boot(42).times(1));
    let id = client.run(&["/bin/sleep", "60"]).await;
    let machine = until_state(&simulator, &id, State::Destroyed).await;
    assert_eq!(exit(&machine)["exit_code"], 42);
    let id = client.run(&["/bin/sleep", "60"]).await;
    until_state(&simulator, &id, State::Started).await;
}

#[tokio::test]
async fn a_machine_that_never_connects_only_sleeps() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::never_connect().times(1));
    let id = client.run(&["/bin/sh", "-c", "echo I am up"]).await;
    let pid = until_state(&simulator, &id, State::Started).await.pid.expect("it runs");
    let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|name| name == "sleep\n");
    until("it sleeps", name).await;
    assert!(simulator.lines().is_empty());
}

#[tokio::test]
async fn a_slow_boot_leaves_a_machine_created_for_long() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::slow_boot(Duration::from_secs(3600)).times(1));
    let id = client.run(&["/bin/sleep", "60"]).await;
    let over = client.get(&path(&id, "/wait?timeout=1")).await;
    assert!(over.status == 408 && over.error().ends_with("started, currently created"), "{}", over.error());
}

#[tokio::test]
async fn a_machine_that_is_told_to_end_before_it_has_booted_never_runs() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::slow_boot(Duration::from_millis(300)));
    let destroyed = client.run(&["/bin/sleep", "60"]).await;
    assert_eq!(client.ask("DELETE", &path(&destroyed, "?force=true"), None).await.status, 200);
    let mut body = exec_once(&["/bin/sleep", "60"]);
    body["config"]["auto_destroy"] = false.into();
    let stopped = client.create(body).await.id();
    assert_eq!(client.ask("POST", &path(&stopped, "/stop"), None).await.status, 200);
    for (id, state) in [(destroyed, State::Destroyed), (stopped, State::Stopped)] {
        let machine = until_state(&simulator, &id, state).await;
        let events = machine.shown["events"].as_array().expect("events");
        assert!(events.iter().all(|event| event["type"] != "start"), "{events:?}");
    }
}

/// Neither a boot, nor a wait, nor an answer that is late.
#[tokio::test]
async fn the_end_of_a_simulator_waits_for_nothing_that_takes_long() {
    let simulator = plain().start().await.expect("it starts");
    let client = Client::of(&simulator);
    simulator.fault(Fault::slow_boot(Duration::from_secs(3600)).times(1));
    simulator.fault(Fault::slow(Duration::from_secs(3600)).on(Action::List));
    let id = client.run(&["/bin/sleep", "60"]).await;
    let asked = ["/wait?state=destroyed", ""].map(|rest| {
        let (client, path) =
            (Client::of(&simulator), if rest.is_empty() { MACHINES.to_owned() } else { path(&id, rest) });
        tokio::spawn(async move { client.try_ask("GET", &path, None).await.map(|reply| reply.status) })
    });
    // One that a client keeps for later.
    let address = simulator.url().strip_prefix("http://").expect("a URL").to_owned();
    let mut kept = tokio::net::TcpStream::connect(address).await.expect("it listens");
    until("both are asked", || (simulator.requests().len() == 3).then_some(())).await;
    let since = Instant::now();
    simulator.stop().await;
    assert!(since.elapsed() < Duration::from_secs(9), "{:?}", since.elapsed());
    for asked in asked {
        assert!(!matches!(asked.await.expect("it ended"), Ok(200)));
    }
    assert_eq!(kept.read(&mut [0; 1]).await.expect("it is closed"), 0);
}

#[tokio::test]
async fn a_machine_is_killed_for_memory() {
    let (simulator, client) = started().await;
    simulator.fault(Fault::out_of_memory(Duration::from_millis(50)).times(1));
    let by_fault = client.run(&["/bin/sleep", "60"]).await;
    let by_handle = client.run(&["/bin/sleep", "60"]).await;
    let by_http = client.run(&["/bin/sleep", "60"]).await;
    for id in [&by_handle, &by_http] {
        until_state(&simulator, id, State::Started).await;
    }
    assert!(simulator.kill_for_memory(&by_handle));
    assert_eq!(client.ask("POST", &format!("/_sim/machines/{by_http}/oom"), None).await.status, 204);
    for id in [by_fault, by_handle, by_http] {
        let machine = until_state(&simulator, &id, State::Destroyed).await;
        let exit = exit(&machine);
        assert_eq!((&exit["oom_killed"], &exit["exit_code"]), (&json!(true), &json!(137)));
        assert!(!simulator.kill_for_memory(&id));
        assert_eq!(client.ask("POST", &format!("/_sim/machines/{id}/oom"), None).await.status, 404);
    }
}

#[tokio::test]
async fn faults_can_be_told_over_http() {
    let (simulator, _client) = started().await;
    let nobody = Client::of(&simulator).with_authorization(None);
    let fault = json!({ "effect": "status", "status": 503, "action": "create", "times": 1 });
    let told = nobody.ask("POST", "/_sim/faults", Some(fault.clone())).await;
    assert_eq!((told.status, &told.body), (201, &fault));
    assert_eq!(simulator.faults(), [Fault::status(503).on(Action::Create).times(1)]);
    let slip = nobody.ask("POST", "/_sim/faults", Some(json!({ "effect": "status", "status": 503, "time": 1 }))).await;
    assert!(slip.status == 400 && slip.error().contains("\"time\""), "{}", slip.body);
    assert_eq!(nobody.get("/_sim/faults").await.body, json!([fault]));
    assert_eq!(nobody.ask("DELETE", "/_sim/faults", None).await.status, 204);
    assert_eq!(nobody.get("/_sim/faults").await.body, json!([]));
}

#[tokio::test]
async fn a_machine_that_is_killed_from_outside_tells_the_signal() {
    let (simulator, client) = started().await;
    let id = client.run(&["/bin/sh", "-c", "kill -9 $$"]).await;
    let machine = until_state(&simulator, &id, State::Destroyed).await;
    let exit = exit(&machine);
    assert_eq!((&exit["guest_signal"], &exit["oom_killed"]), (&json!(9), &json!(false)));
    assert!(machine.pid.is_none_or(|pid| !is_alive(pid)));
}
