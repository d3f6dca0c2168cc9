//! One tab, and what a person does in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::chromium::Link;

/// How long a page may take for anything on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Tab {
    link: Arc<Link>,
    target: String,
    session: String,
}

impl Tab {
    pub(crate) fn new(link: Arc<Link>, target: String, session: String) -> Self {
        let tab = Self { link, target, session };
        for domain in ["Page", "Runtime", "Log", "Network", "Inspector"] {
            tab.ask(&format!("{domain}.enable"), json!({}));
        }
        tab
    }

    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        self.link.ask(Some(&self.session), method, &params)
    }

    pub(crate) fn goto(&self, url: &str) {
        let went = self.ask("Page.navigate", json!({ "url": url }));
        assert_eq!(went["errorText"], Value::Null, "{url}");
        self.until("the page is there", "document.readyState === 'complete'");
    }

    /// The way a person closes it; whether the page wants that or not.
    pub(crate) fn close(self) {
        self.link.ask(None, "Target.closeTarget", &json!({ "targetId": self.target }));
    }

    /// What an expression is in the page.
    pub(crate) fn value<T: DeserializeOwned>(&self, script: &str) -> T {
        let answer =
            self.ask("Runtime.evaluate", json!({ "expression": script, "returnByValue": true, "awaitPromise": true }));
        assert_eq!(answer["exceptionDetails"], Value::Null, "{script}");
        serde_json::from_value(answer["result"]["value"].clone()).unwrap_or_else(|err| panic!("{script}: {err}"))
    }

    /// Waits until an expression is true in the page.
    pub(crate) fn until(&self, what: &str, script: &str) {
        self.until_some(what, || self.value::<bool>(&format!("!!({script})")).then_some(()));
    }

    /// Waits until there is something.
    pub(crate) fn until_some<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            if start.elapsed() > PATIENCE {
                let picture =
                    self.screenshot(&format!("failed-{}", what.replace(|char: char| !char.is_alphanumeric(), "-")));
                let text: String = self.value("document.body.innerText");
                panic!("waited in vain: {what}\n{} shows:\n{text}", picture.display());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Gives files to the page's input, as the system's dialog does.
    pub(crate) fn choose(&self, files: &[&Path]) {
        let input = "document.querySelector('[data-testid=file-input]')";
        let input = self.ask("Runtime.evaluate", json!({ "expression": input }));
        self.ask("DOM.setFileInputFiles", json!({ "files": files, "objectId": input["result"]["objectId"] }));
    }

    /// Drops files onto what the selector finds; they are held over it until `before` is done.
    pub(crate) fn drop_onto(&self, selector: &str, files: &[&Path], before: impl FnOnce()) {
        let (x, y) = self.middle(selector);
        let data = json!({ "items": [], "files": files, "dragOperationsMask": 1 });
        let drag = |kind| self.ask("Input.dispatchDragEvent", json!({ "type": kind, "x": x, "y": y, "data": data }));
        drag("dragEnter");
        drag("dragOver");
        before();
        drag("drop");
    }

    /// A click with the mouse: it hits what lies on top.
    pub(crate) fn click(&self, selector: &str) {
        let (x, y) = self.middle(selector);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    fn middle(&self, selector: &str) -> (f64, f64) {
        let script = format!(
            "(() => {{ const element = document.querySelector({}); if (!element) return null;
                element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        );
        self.until_some(&format!("there is {selector}"), || self.value(&script))
    }

    /// A key of the keyboard: `Tab`, `Enter`, `Backspace` or a digit.
    pub(crate) fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Backspace" => (8, ""),
            digit => (u32::from(digit.as_bytes()[0]), digit),
        };
        let event = json!({ "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
        for kind in ["keyDown", "keyUp"] {
            let mut event = event.clone();
            event["type"] = json!(kind);
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// From now on the page sends so many bytes a second at the most.
    pub(crate) fn throttle(&self, upload: f64) {
        let conditions =
            json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload });
        self.ask("Network.emulateNetworkConditions", conditions);
    }

    /// Makes it as wide as this, and light or dark.
    pub(crate) fn look(&self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size);
        // Without motion: a picture that is half-way there looks like a fault.
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// All of the page as a picture, for a person to look at: `target/live-thumbnails/<name>.png`.
    pub(crate) fn screenshot(&self, name: &str) -> PathBuf {
        std::fs::create_dir_all(pictures()).expect("a directory");
        let picture = pictures().join(format!("{name}.png"));
        std::fs::write(&picture, self.picture(true)).expect("a picture is written");
        picture
    }

    /// A PNG of all of the page, or of what one sees of it.
    pub(crate) fn picture(&self, all: bool) -> Vec<u8> {
        let mut params = json!({ "format": "png", "captureBeyondViewport": all });
        if all {
            params["clip"] = self.ask("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
            params["clip"]["scale"] = json!(1);
        }
        let answer = self.ask("Page.captureScreenshot", params);
        BASE64_STANDARD.decode(answer["data"].as_str().unwrap_or_default()).expect("base64")
    }

    /// Forgets errors of the browser that the test has caused on purpose.
    pub(crate) fn forgive(&self, what: &str) {
        self.link.forgive(what);
    }
}

/// Where pictures go.
pub(crate) fn pictures() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
    target.join("live-thumbnails")
}
