//! An API that answers as it is told, and keeps what it was asked.
//!
//! Dropped, it fails the test if something was asked, or answered, that is not in the contract.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use flame_actors::{Error, Event, Events, Node, Pool, PoolBuilder, task};
use flame_fly::FlyBackend;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::contract;

/// The token of all tests.
pub(crate) const TOKEN: &str = "FlyV1 fm2_hidden";

/// What is answered to a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This status, with this body and these headers.
    Says(u16, Value, Vec<(&'static str, String)>),
    /// The same, and the contract knows no such answer.
    Babbles(u16, Value, Vec<(&'static str, String)>),
    /// Nothing: the connection is closed. What was asked is not done.
    Hangs,
    /// What was asked is done, and the connection is closed.
    Lost,
    /// What was asked is done, and said this much later.
    Late(Duration),
}

impl Answer {
    pub(crate) fn status(status: u16, error: &str) -> Self {
        Self::Says(status, json!({ "error": error }), Vec::new())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Api {
    /// What is said to the next requests to create a machine; after that they are created.
    pub(crate) creates: Mutex<VecDeque<Answer>>,
    /// What is said to all of them.
    pub(crate) always: Mutex<Option<Answer>>,
    pub(crate) machines: Mutex<Vec<Value>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    /// What each machine has beyond what it was asked for.
    pub(crate) fields: Mutex<Value>,
    /// What was asked or answered against the contract.
    violations: Mutex<BTreeSet<String>>,
}

/// A running API.
#[derive(Clone, Debug)]
pub(crate) struct Stub {
    pub(crate) api: Arc<Api>,
    host: String,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self { api: Arc::default(), host: format!("http://{}", socket.local_addr().unwrap()) };
        let api = Arc::clone(&stub.api);
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(serve(Arc::clone(&api), stream));
            }
        });
        stub
    }

    /// One that says this to the first requests to create a machine.
    pub(crate) async fn that_says(answers: impl IntoIterator<Item = Answer>) -> Self {
        let stub = Self::start().await;
        stub.api.creates.lock().extend(answers);
        stub
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn backend(&self) -> FlyBackend {
        FlyBackend::new().host(&self.host).app("thumbs").image("registry/thumbs:1").token(TOKEN).region("fra")
    }

    /// A pool of one runner that may take so long to boot.
    pub(crate) async fn pool(&self, backend: FlyBackend, boot_timeout: Duration) -> Pool {
        pool(boot_timeout).backend(backend).start(&node().await).await.unwrap()
    }

    pub(crate) fn seen(&self, method: &str) -> Vec<Seen> {
        self.api.seen.lock().iter().filter(|seen| seen.method == method).cloned().collect()
    }

    pub(crate) fn creates(&self) -> Vec<Seen> {
        self.seen("POST")
    }

    /// Waits until this holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            let paths =
                || self.api.seen.lock().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect::<Vec<_>>();
            assert!(start.elapsed() < Duration::from_secs(30), "not within 30 s: {what}: {:#?}", paths());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let violations = self.api.violations.lock();
            assert!(violations.is_empty(), "against the contract: {violations:#?}");
        }
    }
}

pub(crate) async fn node() -> Node {
    Node::builder().name("stub").start().await.unwrap()
}

pub(crate) fn pool(boot_timeout: Duration) -> PoolBuilder {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Pool::builder(format!("p{}", NEXT.fetch_add(1, Ordering::Relaxed))).max(1).boot_timeout(boot_timeout)
}

/// Asks a pool for a runner; gives the error of its first boot.
pub(crate) async fn first_failure(pool: &Pool) -> Error {
    let mut events = pool.events();
    let (asking, call) = (pool.clone(), task!([] {}));
    let _call = tokio::spawn(async move { asking.call(call).await });
    failure(&mut events).await
}

pub(crate) async fn failure(events: &mut Events) -> Error {
    let first = async {
        loop {
            if let Event::BootFailed { error, .. } = events.next().await.expect("a boot that fails") {
                return error;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), first).await.expect("a boot that fails within 30 s")
}

async fn serve(api: Arc<Api>, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read(&mut stream).await {
        api.violations.lock().extend(contract::of_request(&seen));
        api.seen.lock().push(seen.clone());
        let answer = api.answer(&seen);
        let is_by_contract = !matches!(answer, Answer::Babbles(..));
        let (status, body, headers) = match answer {
            Answer::Hangs => return,
            Answer::Lost => return drop(api.done(&seen)),
            Answer::Says(status, body, headers) | Answer::Babbles(status, body, headers) => (status, body, headers),
            Answer::Late(pause) => {
                let (status, body) = api.done(&seen);
                tokio::time::sleep(pause).await;
                (status, body, Vec::new())
            }
        };
        if is_by_contract {
            api.violations.lock().extend(contract::of_answer(&seen, status, &body));
        }
        let body = body.to_string();
        let mut text = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        text.push_str(&format!("\r\n{body}"));
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Seen { at: Instant::now(), method, path, authorization, body })
}

impl Api {
    fn answer(&self, seen: &Seen) -> Answer {
        let scripted = (seen.method == "POST").then(|| self.creates.lock().pop_front()).flatten();
        let always = || self.always.lock().clone().filter(|_| seen.method == "POST");
        scripted.or_else(always).unwrap_or_else(|| {
            let (status, body) = self.done(seen);
            Answer::Says(status, body, Vec::new())
        })
    }

    /// Does what was asked.
    fn done(&self, seen: &Seen) -> (u16, Value) {
        let mut machines = self.machines.lock();
        let path = seen.path.split('?').next().expect("there is a first");
        let id = path.split('/').nth(5).unwrap_or_default().to_owned();
        match seen.method.as_str() {
            "POST" => {
                if machines.iter().any(|machine| machine["name"] == seen.body["name"]) {
                    return (409, json!({ "error": "already_exists: unique machine name violation" }));
                }
                let mut machine = contract::machine(&json!({
                    "id": format!("148e{}", machines.len()), "name": seen.body["name"], "state": "started",
                    "region": seen.body["region"], "config": seen.body["config"],
                }));
                if let Some(fields) = self.fields.lock().as_object() {
                    machine.as_object_mut().unwrap().extend(fields.clone());
                }
                machines.push(machine.clone());
                (200, machine)
            }
            // It knows no filters.
            "GET" if id.is_empty() => (200, machines.clone().into()),
            "GET" => match machines.iter().find(|machine| machine["id"] == id) {
                Some(machine) => (200, machine.clone()),
                None => (404, json!({ "error": "machine not found" })),
            },
            _ => {
                machines.retain(|machine| machine["id"] != id);
                (200, json!({ "ok": true }))
            }
        }
    }
}
