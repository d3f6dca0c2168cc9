//! The program, as one starts it.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::{Client, MACHINES, PATIENCE, exec_once, path};

pub(crate) struct Program {
    child: Child,
    exports: BTreeMap<String, String>,
}

impl Program {
    /// Runs on a free port, and has said how to reach it.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flame-fly-sim"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut exports = BTreeMap::new();
        while !exports.contains_key("FLY_MACHINE_ID") {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it speaks");
            let line = line.expect("text").expect("it goes on");
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) {
                exports.insert(name.to_owned(), value.to_owned());
            }
        }
        Self { child, exports }
    }

    pub(crate) fn value(&self, name: &str) -> &str {
        &self.exports[name]
    }

    pub(crate) fn client(&self) -> Client {
        let token = format!("Bearer {}", self.value("FLY_API_TOKEN"));
        Client::at(self.value("FLY_API_HOSTNAME")).with_authorization(Some(&token))
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it was there");
    }
}

#[tokio::test]
async fn the_program_serves_what_its_options_say() {
    let options = ["--no-namespaces", "--token", "t", "--app", "one", "--app", "two", "--region", "mars"];
    let rest = ["--image", "registry.fly.io/one:v1=/bin/echo", "--secret", "S=1", "--machine-quota", "1"];
    let program = Program::start(&[&options[..], &rest[..]].concat()).await;
    assert_eq!(program.value("FLY_APP_NAME"), "one");
    assert_eq!(program.value("FLY_REGION"), "mars");
    assert_eq!(program.value("FLY_IMAGE_REF"), "registry.fly.io/one:v1");
    let client = program.client();
    assert_eq!(client.get(MACHINES).await.status, 404);
    let mut body = exec_once(&["/bin/sh", "-c", "exit $S"]);
    body["config"]["auto_destroy"] = false.into();
    let two = "/v1/apps/two/machines";
    let created = client.ask("POST", two, Some(body.clone())).await;
    let (id, version) = (created.id(), created.body["instance_id"].as_str().expect("one").to_owned());
    let waited = client.get(&format!("{two}/{id}/wait?state=stopped&instance_id={version}")).await;
    assert_eq!(waited.status, 200);
    let events = client.get(&format!("{two}/{id}/events")).await;
    assert_eq!(events.body[0]["request"]["exit_event"]["exit_code"], 1);
    assert_eq!(client.ask("POST", two, Some(body)).await.status, 422);
    drop(program);
}

#[tokio::test]
async fn the_program_ends_with_its_machines_when_it_is_told_to() {
    let mut program = Program::start(&["--no-namespaces"]).await;
    let client = program.client();
    let id = client.run(&["/bin/sleep", "3600"]).await;
    assert_eq!(client.get(&path(&id, "/wait")).await.body, json!({ "ok": true }));
    let pid = client.get("/_sim/machines").await.body[0]["pid"].as_u64().expect("it runs");
    let process = nix::unistd::Pid::from_raw(program.child.id().expect("it runs").cast_signed());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).expect("it is there");
    let ended = tokio::time::timeout(Duration::from_secs(30), program.child.wait()).await.expect("in time");
    assert!(ended.expect("it was there").success());
    assert!(!crate::client::is_alive(u32::try_from(pid).expect("a process")));
}
