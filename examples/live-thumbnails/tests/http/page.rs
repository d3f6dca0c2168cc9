//! An open page without a browser.

use serde_json::Value;

use crate::server::{Answer, Server};

/// What a page sends at once.
const PART: usize = 64 * 1024;

pub(crate) struct Page<'a> {
    server: &'a Server,
    cookie: String,
    visitor: String,
    live: Answer,
}

/// What a page has been shown of an upload that is over.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) images: usize,
    pub(crate) state: String,
    /// All changes, for who wants to know why.
    pub(crate) changes: Vec<Value>,
}

impl<'a> Page<'a> {
    pub(crate) fn open(server: &'a Server) -> Self {
        let cookie = server.get("/", &[]).cookie();
        let mut live = server.socket("/live", &[("Cookie", &cookie)]);
        let hello: Value = serde_json::from_str(&live.hears()).expect("JSON");
        let visitor = hello["visitor"].as_str().expect("the page's own secret").to_owned();
        Self { server, cookie, visitor, live }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.server.get(path, &[("Cookie", &self.cookie)])
    }

    /// The connection of an upload, on which the server has said nothing yet.
    pub(crate) fn begin(&self, name: &str, size: usize) -> Answer {
        let path = format!("/upload?visitor={}&name={name}&size={size}", self.visitor);
        self.server.socket(&path, &[("Cookie", &self.cookie)])
    }

    /// Uploads a video, and waits until it is over.
    pub(crate) fn upload(&mut self, name: &str, video: &[u8]) -> Shown {
        let mut upload = self.begin(name, video.len());
        let begun = upload.hears();
        // A refusal is told on the page.
        if !begun.is_empty() {
            video.chunks(PART).for_each(|part| upload.sends_bytes(part));
            upload.sends_text("end");
        }
        self.shown()
    }

    /// What is shown until an upload is over.
    pub(crate) fn shown(&mut self) -> Shown {
        let mut changes = Vec::new();
        loop {
            let change = self.live.hears();
            assert!(!change.is_empty(), "the page's connection ended: {changes:#?}");
            let change: Value = serde_json::from_str(&change).expect("JSON");
            // The strip of the pool changes all the time.
            if change["id"] == "pool" {
                continue;
            }
            changes.push(change.clone());
            let state = match change["op"].as_str() {
                Some("set") => change["value"].as_str(),
                // A card that is a refusal from the start.
                Some("prepend") if change.to_string().contains("data-state=\\\"failed\\\"") => Some("failed"),
                _ => None,
            };
            if let Some(state) = state.filter(|state| ["done", "failed", "cancelled"].contains(state)) {
                let is_image = |change: &&Value| change["op"] == "append" && change["id"] == "upload-1-images";
                let images = changes.iter().filter(is_image).count();
                return Shown { images, state: state.to_owned(), changes };
            }
        }
    }
}
