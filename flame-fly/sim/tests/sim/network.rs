//! Namespaces: needs the right to make them, which root has, and fails without.

use std::net::SocketAddr;

use flame_fly_sim::{Builder, Isolation, Output, Simulator, State};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, exec_once, is_alive, path, until, until_state};

pub(crate) fn isolated() -> Builder {
    Simulator::builder().isolation(Isolation::Required).limits(None).output(Output::Quiet)
}

/// Says its address to whoever listens there, and writes what it hears.
const CALLER: &str = "exec 3<>/dev/tcp/$PARENT/$PORT; echo $FLY_PRIVATE_IP >&3; cat <&3; sleep 60";

#[tokio::test]
async fn a_machine_reaches_its_parent_from_an_address_of_its_own() {
    let simulator = isolated().start().await.expect("namespaces");
    let client = Client::of(&simulator);
    let listener = TcpListener::bind((simulator.parent_ip(), 0)).await.expect("the gateway is ours");
    let address = listener.local_addr().expect("bound");
    let mut machines = Vec::new();
    for _ in 0..2 {
        let mut body = exec_once(&["/bin/bash", "-c", CALLER]);
        body["config"]["env"] = json!({ "PARENT": address.ip().to_string(), "PORT": address.port().to_string() });
        client.create(body).await.id();
    }
    for _ in 0..2 {
        let accepted = tokio::time::timeout(crate::client::PATIENCE, listener.accept()).await;
        let (mut stream, peer) = accepted.expect("it calls").expect("it connects");
        let mut said = [0; 64];
        let length = stream.read(&mut said).await.expect("it says something");
        assert_eq!(String::from_utf8_lossy(&said[..length]).trim(), peer.ip().to_string());
        stream.write_all(format!("welcome {}\n", peer.ip()).as_bytes()).await.expect("it hears");
        machines.push(peer.ip());
    }
    assert_ne!(machines[0], machines[1]);
    for machine in simulator.machines() {
        assert!(machines.contains(&machine.private_ip.into()));
        assert_eq!(machine.private_ip.segments()[0], 0xfdaa);
        let line = format!("welcome {}", machine.private_ip);
        until(&line, || simulator.lines().iter().any(|written| written.ends_with(&line)).then_some(())).await;
    }
    simulator.stop().await;
}

#[tokio::test]
async fn a_parent_reaches_its_machine_and_machines_reach_each_other() {
    let simulator = isolated().start().await.expect("namespaces");
    let client = Client::of(&simulator);
    // A simulator serves in its own network: a machine that is one can be asked from outside.
    let inner = env!("CARGO_BIN_EXE_flame-fly-sim");
    let id = client.run(&[inner, "--listen", "[::]:4280", "--no-namespaces"]).await;
    let ip = until_state(&simulator, &id, State::Started).await.private_ip;
    let address = SocketAddr::from((ip, 4280));
    until("it listens", || std::net::TcpStream::connect(address).ok()).await;
    let listed = Client::at(&format!("http://{address}")).get("/v1/apps/sim/machines").await;
    assert_eq!((listed.status, listed.body), (200, json!([])));

    let mut body = exec_once(&["/bin/bash", "-c", "exec 3<>/dev/tcp/$OTHER/4280 && echo reached"]);
    body["config"]["env"] = json!({ "OTHER": ip.to_string() });
    client.create(body).await.id();
    until("the other is reached", || simulator.lines().iter().any(|line| line.ends_with("] reached")).then_some(()))
        .await;
    // Nothing of it is to be found here.
    assert!(TcpStream::connect("[::1]:4280").await.is_err());
    simulator.stop().await;
}

#[tokio::test]
async fn machines_reach_the_api_at_its_internal_address() {
    let simulator = isolated().start().await.expect("namespaces");
    let client = Client::of(&simulator);
    let url = simulator.internal_url();
    assert_eq!(Client::at(&url).get("/v1/apps/sim/machines").await.status, 200);
    let (ip, port) = url.trim_start_matches("http://[").split_once("]:").expect("an address");
    let mut body = exec_once(&["/bin/bash", "-c", "exec 3<>/dev/tcp/$API/$PORT && echo reached"]);
    body["config"]["env"] = json!({ "API": ip, "PORT": port });
    client.create(body).await.id();
    until("the API is reached", || simulator.lines().iter().any(|line| line.ends_with("] reached")).then_some(()))
        .await;
    simulator.stop().await;
}

#[tokio::test]
async fn a_machine_takes_all_its_processes_along() {
    let simulator = isolated().start().await.expect("namespaces");
    let client = Client::of(&simulator);
    // One that left its process group, as a daemon does.
    let id = client.run(&["/bin/sh", "-c", "setsid sleep 3600 & echo child $!; exec sleep 3600"]).await;
    let find = || {
        let lines = simulator.lines();
        let number = lines.iter().find_map(|line| line.split_once("child "))?.1.parse::<u32>().ok()?;
        is_alive(number).then_some(number)
    };
    let daemon = until("the daemon runs", find).await;
    client.ask("DELETE", &path(&id, "?force=true"), None).await;
    until_state(&simulator, &id, State::Destroyed).await;
    assert!(!is_alive(daemon));
    simulator.stop().await;
}

#[tokio::test]
async fn simulators_do_not_disturb_each_other() {
    let (one, two) = (isolated().start().await.expect("one"), isolated().start().await.expect("two"));
    assert_ne!(one.parent_ip(), two.parent_ip());
    let client = Client::of(&two);
    let id = client.run(&["/bin/sleep", "60"]).await;
    one.stop().await;
    let pid = until_state(&two, &id, State::Started).await.pid.expect("it runs");
    assert!(is_alive(pid));
    two.stop().await;
}

#[tokio::test]
async fn the_network_can_be_chosen() {
    let simulator = isolated().network(0xf1a3, 0x7e57).start().await.expect("namespaces");
    assert_eq!(simulator.parent_ip().to_string(), "fdaa:f1a3:7e57:a7b::1");
    simulator.stop().await;
}
