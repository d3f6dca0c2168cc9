//! Nothing outlives a simulator.

use std::process::Command;

use flame_fly_sim::State;

use crate::client::{Client, is_alive, plain, until, until_state};
use crate::network::isolated;
use crate::program::Program;

fn bridges() -> Vec<String> {
    let listed = Command::new("ip").args(["-j", "link", "show", "type", "bridge"]).output().expect("ip");
    let links: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
    links.iter().filter_map(|link| Some(link["ifname"].as_str()?.to_owned())).collect()
}

/// The bridge that has this address.
fn bridge_of(ip: &str) -> Option<String> {
    let listed = Command::new("ip").args(["-6", "-o", "addr", "show", "to", ip]).output().expect("ip");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.split_whitespace().nth(1).map(str::to_owned)
}

#[tokio::test]
async fn a_simulator_that_stops_takes_its_machines_and_its_network_along() {
    let simulator = isolated().start().await.expect("namespaces");
    let bridge = bridge_of(&simulator.parent_ip().to_string()).expect("it has a bridge");
    assert!(bridges().contains(&bridge));
    let id = Client::of(&simulator).run(&["/bin/sleep", "60"]).await;
    let pid = until_state(&simulator, &id, State::Started).await.pid.expect("it runs");
    simulator.stop().await;
    assert!(!is_alive(pid));
    assert!(!bridges().contains(&bridge));
}

#[tokio::test]
async fn a_simulator_that_is_dropped_takes_its_machines_along() {
    let simulator = plain().start().await.expect("it starts");
    let id = Client::of(&simulator).run(&["/bin/sleep", "60"]).await;
    let pid = until_state(&simulator, &id, State::Started).await.pid.expect("it runs");
    drop(simulator);
    until("the machine is gone", || (!is_alive(pid)).then_some(())).await;
}

/// The process may end right after.
#[tokio::test]
async fn a_network_is_down_as_soon_as_its_simulator_is_dropped() {
    let simulator = isolated().start().await.expect("namespaces");
    let bridge = bridge_of(&simulator.parent_ip().to_string()).expect("it has a bridge");
    drop(simulator);
    assert!(!bridges().contains(&bridge));
}

#[tokio::test]
async fn a_simulator_that_is_killed_takes_its_machines_along_and_the_next_one_its_bridge() {
    let mut program = Program::start(&["--no-limits"]).await;
    let client = program.client();
    let id = client.run(&["/bin/sleep", "3600"]).await;
    assert_eq!(client.get(&crate::client::path(&id, "/wait")).await.status, 200);
    let pid = client.get("/_sim/machines").await.body[0]["pid"].as_u64().expect("it runs");
    let pid = u32::try_from(pid).expect("a process");
    let bridge = bridge_of(program.value("FLY_PRIVATE_IP")).expect("it has a bridge");
    program.kill().await;
    until("the machine is gone", || (!is_alive(pid)).then_some(())).await;
    // Another test's simulator may have swept it by now.
    isolated().start().await.expect("namespaces").stop().await;
    assert!(!bridges().contains(&bridge));
}
