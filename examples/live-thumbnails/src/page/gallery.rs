//! Earlier videos on the page.

use maud::{Markup, html};

use super::upload::{plural, time};
use crate::db::Kept;
use crate::words::short;

/// So many thumbnails stand for a video.
const COVER: usize = 4;

/// All of the gallery.
pub(crate) fn videos(kept: &[Kept]) -> Markup {
    html! {
        @if kept.is_empty() {
            p.empty data-testid="gallery-empty" { "Videos that are done are kept here, with their thumbnails." }
        }
        @for video in kept { (one(video)) }
    }
}

fn one(video: &Kept) -> Markup {
    let Kept { id, name, node, pid, machine, seconds } = video;
    let count = u32::try_from(seconds.len()).unwrap_or(u32::MAX);
    // From all of the video, not only from its beginning.
    let step = (seconds.len() / COVER).max(1);
    let cover = (0..seconds.len()).step_by(step).take(COVER);
    html! {
        details.kept data-testid="gallery-video" data-video=(id) data-count=(count) {
            summary id={ "kept-" (id) } {
                span.cover aria-hidden="true" {
                    @for number in cover { img src={ "/videos/" (id) "/" (number) ".jpg" } alt=""; }
                }
                span.title {
                    b data-testid="gallery-name" title=(name) { (name) }
                    small { (count) (plural(count, " thumbnail")) }
                }
            }
            p.facts {
                span { "by runner " b title=(node) { (short(node)) } ", process " (pid) " on " (machine) }
                button.quiet type="button" data-testid="remove" data-remove=(id) aria-label={ "Remove " (name) } { "Remove" }
            }
            div.images {
                @for (number, second) in seconds.iter().enumerate() {
                    figure data-testid="gallery-thumbnail" {
                        img src={ "/videos/" (id) "/" (number) ".jpg" } alt={ (name) " at " (time(*second)) } loading="lazy";
                        figcaption { (time(*second)) }
                    }
                }
            }
        }
    }
}
