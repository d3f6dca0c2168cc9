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

/// The ends here of what ties machines to a bridge.
fn ties(bridge: &str) -> usize {
    let listed = Command::new("ip").args(["-o", "link", "show", "type", "veth"]).output().expect("ip");
    // Both are named after their simulator.
    let number = bridge.trim_start_matches("flysim");
    String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains(&format!(" fs{number}"))).count()
}

/// A connection whose last words do not arrive any more holds the namespace of a machine that is gone.
#[tokio::test]
async fn a_network_is_down_though_a_parent_is_still_connected() {
    let simulator = isolated().start().await.expect("namespaces");
    let bridge = bridge_of(&simulator.parent_ip().to_string()).expect("it has a bridge");
    let listener = tokio::net::TcpListener::bind((simulator.parent_ip(), 0)).await.expect("the gateway is ours");
    let address = listener.local_addr().expect("bound");
    let script = format!("exec 3<>/dev/tcp/{}/{}; exec yes >&3", address.ip(), address.port());
    Client::of(&simulator).run(&["/bin/bash", "-c", &script]).await;
    let accepted = tokio::time::timeout(crate::client::PATIENCE, listener.accept()).await;
    let (connected, _) = accepted.expect("it calls").expect("it connects");
    // More than anybody reads.
    connected.readable().await.expect("it talks");
    assert_eq!(ties(&bridge), 1);
    simulator.stop().await;
    assert_eq!(ties(&bridge), 0);
}

/// A machine with a process that has left its group, as daemons do; both processes.
async fn with_daemon(client: &Client) -> (u32, u32) {
    // It says its number by its name, which is in no other test.
    let name = format!("flame-daemon-{}", ulid::Ulid::new());
    let script = format!("setsid /bin/sh -c 'sleep 3600; : {name}' & exec sleep 3600");
    let id = client.run(&["/bin/sh", "-c", &script]).await;
    assert_eq!(client.get(&crate::client::path(&id, "/wait")).await.status, 200);
    let shown = client.get("/_sim/machines").await;
    let machine = shown.body.as_array().expect("machines").iter().find(|machine| machine["id"] == id).cloned();
    let main = machine.and_then(|machine| machine["pid"].as_u64()).and_then(|pid| u32::try_from(pid).ok());
    let main = main.expect("it runs");
    let is_daemon = |number: &u32| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        *number != main && String::from_utf8_lossy(&line).contains(&format!(": {name}"))
    };
    let numbers = || {
        let processes = std::fs::read_dir("/proc").expect("proc").flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(is_daemon)
    };
    (main, until("the daemon runs", numbers).await)
}

/// The process may end right after.
#[tokio::test]
async fn a_machine_is_gone_with_its_daemons_as_soon_as_its_simulator_is_dropped() {
    let simulator = isolated().start().await.expect("namespaces");
    let (main, daemon) = with_daemon(&Client::of(&simulator)).await;
    drop(simulator);
    assert!(!is_alive(main) && !is_alive(daemon));
}

#[tokio::test]
async fn a_simulator_that_is_killed_takes_its_machines_along_and_the_next_one_ends_the_rest() {
    let mut program = Program::start(&["--no-limits"]).await;
    let (main, daemon) = with_daemon(&program.client()).await;
    let bridge = bridge_of(program.value("FLY_PRIVATE_IP")).expect("it has a bridge");
    program.kill().await;
    until("the machine is gone", || (!is_alive(main)).then_some(())).await;
    // Another test's simulator may have swept by now.
    isolated().start().await.expect("namespaces").stop().await;
    until("the daemon is gone", || (!is_alive(daemon)).then_some(())).await;
    assert!(!bridges().contains(&bridge));
}
