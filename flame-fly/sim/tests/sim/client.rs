//! A client that sees what a client sees: a status, headers, a body, or a connection that was closed.

use std::io;
use std::ops::Deref;
use std::time::{Duration, Instant};

use flame_fly_sim::{Builder, Isolation, MachineInfo, Output, Simulator, State};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Generous, since many tests share few processors.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn id(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["id"].as_str().expect("a machine has an id").to_owned()
    }
}

pub(crate) struct Client {
    address: String,
    authorization: Option<String>,
    headers: String,
}

impl Client {
    pub(crate) fn of(simulator: &Simulator) -> Self {
        Self::at(&simulator.url())
    }

    pub(crate) fn at(url: &str) -> Self {
        let address = url.strip_prefix("http://").expect("a URL").to_owned();
        Self { address, authorization: Some("Bearer sim-token".to_owned()), headers: String::new() }
    }

    pub(crate) fn with_authorization(mut self, value: Option<&str>) -> Self {
        self.authorization = value.map(str::to_owned);
        self
    }

    pub(crate) fn with_header(mut self, line: &str) -> Self {
        self.headers = format!("{line}\r\n");
        self
    }

    /// One request on a connection of its own.
    pub(crate) async fn try_ask(&self, method: &str, path: &str, body: Option<&str>) -> io::Result<Reply> {
        let authorization = self.authorization.as_ref().map(|value| format!("Authorization: {value}\r\n"));
        let (authorization, body) = (authorization.unwrap_or_default(), body.unwrap_or_default());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n{authorization}{}Content-Length: {}\r\n\r\n{body}",
            self.headers,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (headers, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") };
        Ok(Reply { status, headers: headers.to_owned(), body })
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let body = body.map(|body| body.to_string());
        self.try_ask(method, path, body.as_deref()).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, None).await
    }

    pub(crate) async fn create(&self, body: Value) -> Reply {
        self.ask("POST", MACHINES, Some(body)).await
    }

    /// A machine that runs this, and is destroyed when that ends.
    pub(crate) async fn run(&self, exec: &[&str]) -> String {
        self.create(exec_once(exec)).await.id()
    }
}

pub(crate) const MACHINES: &str = "/v1/apps/sim/machines";

pub(crate) fn path(id: &str, rest: &str) -> String {
    format!("{MACHINES}/{id}{rest}")
}

/// The body that creates a machine which runs this once.
pub(crate) fn exec_once(exec: &[&str]) -> Value {
    let restart = json!({ "policy": "no" });
    json!({ "config": { "image": "any", "init": { "exec": exec }, "auto_destroy": true, "restart": restart } })
}

/// Plain processes, and no limits: what most tests are not about.
pub(crate) fn plain() -> Builder {
    Simulator::builder().isolation(Isolation::Off).limits(None).output(Output::Quiet)
}

/// A simulator that has to keep the contract itself, whatever its client does.
pub(crate) struct Faithful(Simulator);

impl Deref for Faithful {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.0
    }
}

impl Drop for Faithful {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let own: Vec<_> = self.violations().into_iter().filter(|violation| violation.is_answer).collect();
            assert_eq!(own, []);
        }
    }
}

pub(crate) async fn started() -> (Faithful, Client) {
    let simulator = plain().start().await.expect("it starts");
    let client = Client::of(&simulator);
    (Faithful(simulator), client)
}

pub(crate) async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn until_state(simulator: &Simulator, id: &str, state: State) -> MachineInfo {
    let find = || simulator.machines().into_iter().find(|machine| machine.id == id && machine.state == state);
    until(&format!("machine {id} is {}", state.name()), find).await
}

/// The exit that a machine tells first.
pub(crate) fn exit(machine: &MachineInfo) -> Value {
    let events = machine.shown["events"].as_array().expect("events");
    let exit = events.iter().find(|event| event["type"] == "exit").expect("an exit");
    exit["request"]["exit_event"].clone()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).join("ns/net").read_link().is_ok()
}
