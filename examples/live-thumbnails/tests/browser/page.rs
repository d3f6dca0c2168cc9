//! The page as these tests see it: by its `data-testid`s, which the crate's README lists.

use serde::Deserialize;
use serde_json::json;

use crate::chromium::Visitor;
use crate::server::Server;
use crate::tab::Tab;

/// An upload on the page.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) badge: String,
    pub(crate) note: String,
    pub(crate) error: String,
    /// How many thumbnails there are, as the page says.
    pub(crate) count: usize,
    /// The width of each thumbnail that the browser could decode.
    pub(crate) widths: Vec<u32>,
    /// The part of the file that the server has, as the page says.
    pub(crate) progress: f64,
    pub(crate) node: String,
    pub(crate) pid: u32,
}

/// The strip of the pool on the page.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pool {
    pub(crate) waiting: usize,
    /// The state, the node and the process of each runner.
    pub(crate) runners: Vec<(String, String, String)>,
}

/// A video of the gallery on the page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) count: usize,
    /// So many pictures of its cover could be decoded.
    pub(crate) cover: usize,
}

const UPLOADS: &str = "[...document.querySelectorAll('[data-testid=upload]')].map((card) => {
    const part = (id) => card.querySelector(`[data-testid=${id}]`);
    const text = (id) => part(id)?.textContent ?? '';
    const pictures = [...card.querySelectorAll('[data-testid=thumbnail] img')];
    const { value, max } = part('upload-progress');
    const runner = part('upload-runner')?.dataset;
    return {
        name: text('upload-name'), state: card.dataset.state, badge: text('upload-state'), note: text('upload-note'),
        error: text('upload-error'), count: Number(part('upload-count').dataset.count),
        widths: pictures.map((picture) => picture.naturalWidth).filter((width) => width > 0), progress: value / max,
        node: runner?.node ?? '', pid: Number(runner?.pid ?? 0),
    };
})";

const POOL: &str = "({
    waiting: Number(document.querySelector('[data-testid=pool-waiting]')?.dataset.count ?? 0),
    runners: [...document.querySelectorAll('[data-testid=runner]')].map(
        ({ dataset }) => [dataset.state, dataset.node ?? '', dataset.pid ?? '']),
})";

const KEPT: &str = "[...document.querySelectorAll('[data-testid=gallery-video]')].map((video) => ({
    name: video.querySelector('[data-testid=gallery-name]').textContent, count: Number(video.dataset.count),
    cover: [...video.querySelectorAll('.cover img')].filter((picture) => picture.naturalWidth > 0).length,
}))";

impl Visitor<'_> {
    /// The server's page, once it is connected.
    pub(crate) fn visit(&self, server: &Server) -> Tab {
        let tab = self.open(&server.url);
        tab.until_live();
        tab
    }
}

impl Tab {
    pub(crate) fn until_live(&self) {
        self.until("the page is connected", "document.body?.dataset.live === 'yes'");
    }

    pub(crate) fn uploads(&self) -> Vec<Upload> {
        self.value(UPLOADS)
    }

    /// Waits until the upload of this name is as it should be.
    pub(crate) fn upload(&self, name: &str, mut is_it: impl FnMut(&Upload) -> bool) -> Upload {
        self.until_some(&format!("the upload of {name}"), || {
            self.uploads().into_iter().find(|upload| upload.name == name && is_it(upload))
        })
    }

    /// Waits until it is done: all of its thumbnails are there, and decoded.
    pub(crate) fn done(&self, name: &str) -> Upload {
        let upload = self.over(name);
        assert_eq!((&upload.state[..], &upload.badge[..]), ("done", "Done"), "{upload:?}");
        self.upload(name, |upload| upload.widths.len() == upload.count)
    }

    /// Waits until it has ended in whatever way.
    pub(crate) fn over(&self, name: &str) -> Upload {
        self.upload(name, |upload| ["done", "failed", "cancelled"].contains(&&upload.state[..]))
    }

    pub(crate) fn pool(&self) -> Pool {
        self.value(POOL)
    }

    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.value(KEPT)
    }

    /// Puts a value into a field of the settings.
    pub(crate) fn set(&self, field: &str, value: &str) {
        let _: String =
            self.value(&format!("document.querySelector('[data-testid={field}]').value = {}", json!(value)));
    }
}
