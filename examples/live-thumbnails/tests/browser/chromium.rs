//! A headless Chromium of one test, driven over Chrome's DevTools protocol.
//!
//! The protocol goes over a pair of pipes and not over a port: nobody else can speak to this browser, and it ends with
//! the test in whatever way that ends. <https://chromedevtools.github.io/devtools-protocol/>

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tab::Tab;

/// How long a command may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

const INSTALL: &str = "sudo apt-get update && sudo apt-get install -y chromium";

/// The shell puts the pipes where Chromium looks for them: it reads commands from 3 and writes answers to 4.
const TO_ITS_PIPES: &str = r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#;

const OPTIONS: [&str; 17] = [
    "--headless",
    "--remote-debugging-pipe",
    // It cannot start as root otherwise, and shows nothing but our own pages.
    "--no-sandbox",
    // Containers have a small one.
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--force-color-profile=srgb",
    // They take room that a phone's do not.
    "--hide-scrollbars",
    "--lang=en-US",
    "--no-first-run",
    // It is to speak with nobody but the server.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    // Several visitors look at once: none of their pages is to be slower than the others.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "about:blank",
];

/// Dropped, it ends with all of its processes, and the test fails if a page had anything to complain about.
pub(crate) struct Chromium {
    process: Child,
    link: Arc<Link>,
    home: TempDir,
}

/// Somebody with cookies of their own.
pub(crate) struct Visitor<'a> {
    link: &'a Arc<Link>,
    context: String,
}

/// The way to the browser and back.
pub(crate) struct Link {
    to: Mutex<ChildStdin>,
    last: AtomicU64,
    answers: Mutex<HashMap<u64, mpsc::Sender<Value>>>,
    /// What went wrong in pages: errors in the console, exceptions, crashes, dialogs.
    troubles: Mutex<Vec<String>>,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let is_here = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("chromium").is_file()));
        assert!(is_here, "chromium is missing; install it with: {INSTALL}");
        let home = tempfile::tempdir().expect("a directory");
        let log = File::create(home.path().join("log")).expect("a file");
        let mut process = Command::new("sh")
            .args(["-c", TO_ITS_PIPES, "chromium"])
            .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
            .args(OPTIONS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A group of its own, which is killed in the end.
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        let link = Arc::new(Link {
            to: Mutex::new(process.stdin.take().expect("a pipe")),
            last: AtomicU64::new(0),
            answers: Mutex::default(),
            troubles: Mutex::default(),
        });
        let (from, listening) = (process.stdout.take().expect("a pipe"), Arc::clone(&link));
        std::thread::spawn(move || listening.listen(from));
        let this = Self { process, link, home };
        if let Err(reason) = this.link.try_ask(None, "Browser.getVersion", &json!({})) {
            panic!("chromium: {reason}\n{}\nis it installed in full? {INSTALL}", this.last_words());
        }
        this
    }

    /// Somebody who was never here.
    pub(crate) fn visitor(&self) -> Visitor<'_> {
        let context = self.link.ask(None, "Target.createBrowserContext", &json!({}));
        Visitor { link: &self.link, context: string(&context["browserContextId"]) }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        // What a machine without a desktop lacks is of no interest.
        let lines: Vec<_> = log.lines().filter(|line| !line.contains("dbus")).rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.process.id().cast_signed());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.process.wait();
        // What still writes into the profile would keep it from being removed.
        let deadline = Instant::now() + Duration::from_secs(2);
        while killpg(group, None).is_ok() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let troubles = std::mem::take(&mut *self.link.troubles.lock());
        if std::thread::panicking() {
            eprintln!("in the pages: {troubles:#?}\nchromium: {}", self.last_words());
        } else {
            assert!(troubles.is_empty(), "in the pages: {troubles:#?}");
        }
    }
}

impl Visitor<'_> {
    /// A tab with the page in it.
    pub(crate) fn open(&self, url: &str) -> Tab {
        let about = json!({ "url": "about:blank", "browserContextId": self.context, "newWindow": true, "width": 1280, "height": 900 });
        let target = string(&self.link.ask(None, "Target.createTarget", &about)["targetId"]);
        let attach = json!({ "targetId": target, "flatten": true });
        let session = string(&self.link.ask(None, "Target.attachToTarget", &attach)["sessionId"]);
        let tab = Tab::new(Arc::clone(self.link), target, session);
        tab.goto(url);
        tab
    }
}

impl Link {
    /// Has the browser do something, or one of its tabs.
    pub(crate) fn ask(&self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.try_ask(session, method, params).unwrap_or_else(|reason| panic!("chromium: {method}: {reason}"))
    }

    fn try_ask(&self, session: Option<&str>, method: &str, params: &Value) -> Result<Value, String> {
        let (sender, answer) = mpsc::channel();
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.answers.lock().insert(id, sender);
        self.tell(id, session, method, params).map_err(|err| format!("it does not listen: {err}"))?;
        let answer = answer.recv_timeout(PATIENCE).map_err(|err| match err {
            mpsc::RecvTimeoutError::Timeout => format!("no answer within {PATIENCE:?}"),
            mpsc::RecvTimeoutError::Disconnected => "it has ended".to_owned(),
        })?;
        match &answer["error"] {
            Value::Null => Ok(answer["result"].clone()),
            error => Err(error.to_string()),
        }
    }

    fn tell(&self, id: u64, session: Option<&str>, method: &str, params: &Value) -> std::io::Result<()> {
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        self.to.lock().write_all(format!("{message}\0").as_bytes())
    }

    /// Takes troubles away that a test has caused on purpose.
    pub(crate) fn forgive(&self, what: &str) {
        self.troubles.lock().retain(|trouble| !trouble.contains(what));
    }

    fn listen(&self, from: ChildStdout) {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        while from.read_until(0, &mut bytes).is_ok_and(|length| length > 0) {
            let message: Value = serde_json::from_slice(bytes.trim_ascii_end().strip_suffix(&[0]).unwrap_or(&bytes))
                .unwrap_or_else(|err| json!({ "method": err.to_string() }));
            bytes.clear();
            match message["id"].as_u64() {
                // Who asked may have given up.
                Some(id) => _ = self.answers.lock().remove(&id).map(|sender| sender.send(message)),
                None => self.hear(&message),
            }
        }
        self.answers.lock().clear();
    }

    fn hear(&self, event: &Value) {
        let params = &event["params"];
        let trouble = match event["method"].as_str().unwrap_or_default() {
            "Runtime.consoleAPICalled"
                if ["error", "assert", "warning"].contains(&string(&params["type"]).as_str()) =>
            {
                format!("console: {}", params["args"])
            }
            "Runtime.exceptionThrown" => format!("exception: {}", params["exceptionDetails"]),
            "Log.entryAdded" if params["entry"]["level"] == "error" => format!("log: {}", params["entry"]),
            "Inspector.targetCrashed" => "a page has crashed".to_owned(),
            "Page.javascriptDialogOpening" => {
                // Until it is answered the page does nothing else, and so no command would end.
                let _ = self.tell(
                    0,
                    event["sessionId"].as_str(),
                    "Page.handleJavaScriptDialog",
                    &json!({ "accept": true }),
                );
                format!("dialog: {} {}", params["type"], params["message"])
            }
            _ => return,
        };
        self.troubles.lock().push(trouble);
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
