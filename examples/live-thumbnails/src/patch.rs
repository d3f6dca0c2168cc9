//! What the server tells a page to change; `assets/app.js` does as it is told.

use maud::Markup;
use serde::Serialize;

/// One change of a page, as JSON. Ids are the server's own, and the HTML is made by templates that escape.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Patch<'a> {
    /// What the page is known by to its uploads.
    Hello { visitor: &'a str },
    /// Replaces what is in an element.
    Replace { id: &'a str, html: String },
    /// Adds to the end of an element.
    Append { id: &'a str, html: String },
    /// Adds to the beginning of an element.
    Prepend { id: &'a str, html: String },
    /// Sets an attribute of an element.
    Set { id: &'a str, name: &'a str, value: &'a str },
}

impl Patch<'_> {
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings become JSON")
    }
}

pub(crate) fn replace(id: &str, html: Markup) -> String {
    Patch::Replace { id, html: html.into_string() }.json()
}

pub(crate) fn append(id: &str, html: Markup) -> String {
    Patch::Append { id, html: html.into_string() }.json()
}

pub(crate) fn prepend(id: &str, html: Markup) -> String {
    Patch::Prepend { id, html: html.into_string() }.json()
}
