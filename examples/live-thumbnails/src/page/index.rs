//! The page that people look at first.

use maud::{Markup, PreEscaped, html};

use super::{gallery, layout, upload};
use crate::cli::Cli;
use crate::db::Kept;

/// The whole page, as it is before anything has happened on it.
pub(crate) fn page(cli: &Cli, kept: &[Kept]) -> Markup {
    let content = html! {
        header.top {
            a.brand href="/" { (PreEscaped(include_str!("../../assets/icon.svg"))) span { "Live thumbnails" } }
            nav { a href="/port" data-testid="port-link" { "How it is made" } }
        }
        p.banner #banner data-testid="banner" role="alert" hidden { "The server is away. This page comes back with it." }
        main {
            section.hero {
                h1 { "Thumbnails, while it uploads" }
                p { "Each video goes, piece by piece, to an actor on a temporary copy of this application. It runs ffmpeg and sends
                    each image straight to this page." }
            }
            section.send aria-label="Upload" {
                div.drop #drop data-testid="drop-zone" {
                    input.file #file type="file" multiple accept="video/*,.mkv,.ts,.mts" data-testid="file-input";
                    label for="file" {
                        (PreEscaped(ARROW))
                        span { b { "Drop videos here" } " or choose some" }
                        small { "up to " (upload::bytes(cli.max_upload)) " each, " (cli.max_uploads) " at a time" }
                    }
                }
                div.side {
                    (settings(cli))
                    button #sample type="button" data-testid="sample" { "Use a sample video" }
                }
            }
            section aria-labelledby="pool-title" {
                h2 #pool-title { "The pool" }
                div #pool data-testid="pool" {}
            }
            section.uploads aria-labelledby="uploads-title" {
                h2 #uploads-title { "Your uploads" }
                div #uploads data-testid="uploads" { }
                p.empty { "Thumbnails show up here as they are made." }
            }
            section aria-labelledby="gallery-title" {
                h2 #gallery-title { "Earlier videos" }
                div.gallery #gallery data-testid="gallery" { (gallery::videos(kept)) }
            }
        }
        (super::foot())
    };
    layout("Live thumbnails", true, content)
}

fn settings(cli: &Cli) -> Markup {
    let settings = cli.settings();
    let (rate, is_fps) = cli.fps.map_or((settings.every, false), |fps| (fps, true));
    html! {
        form #settings data-testid="settings" {
            label for="rate" { "A thumbnail every" }
            span.pair {
                input #rate name="rate" type="number" value=(rate) min="0.001" max="3600" step="any" required data-testid="rate";
                select name="unit" aria-label="Unit" data-testid="unit" {
                    option value="seconds" selected[!is_fps] { "seconds" }
                    option value="fps" selected[is_fps] { "per second" }
                }
            }
            label for="width" { "Width" }
            span.pair {
                input #width name="width" type="number" value=(settings.width) min="32" max="1280" step="1" required
                    data-testid="width";
                span.unit { "pixels" }
            }
        }
    }
}

const ARROW: &str = r#"<svg viewBox="0 0 48 48" aria-hidden="true"><path d="M24 33V9m0 0-9 9m9-9 9 9M8 31v6a3 3 0 0 0 3 3h26a3 3 0 0 0 3-3v-6"/></svg>"#;
