//! The pages, as HTML: templates escape whatever is put into them.

pub(crate) mod gallery;
pub(crate) mod index;
pub(crate) mod pool;
pub(crate) mod port;
mod source;
pub(crate) mod upload;

use maud::{DOCTYPE, Markup, html};

/// What both pages have around their content.
fn layout(title: &str, scripted: bool, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                @if scripted { script src="/app.js" defer {} }
            }
            body { (content) }
        }
    }
}

fn foot() -> Markup {
    html! {
        footer { "Made with flame-actors: FLAME for Rust. Nothing on this page comes from anywhere else." }
    }
}
