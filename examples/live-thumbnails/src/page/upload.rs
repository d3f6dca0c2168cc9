//! An upload on the page.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, html};

use crate::visitor::{Stage, Upload};
use crate::words::short;

/// The id of a part of an upload's card.
pub(crate) fn id(upload: u64, part: &str) -> String {
    format!("upload-{upload}-{part}")
}

/// All of an upload.
pub(crate) fn card(upload: &Upload) -> Markup {
    let part = |part| id(upload.number, part);
    let name = &upload.name;
    html! {
        article.upload id=(part("card")) data-testid="upload" data-upload=(upload.number) data-state=(upload.stage.name())
            aria-label={ "Upload of " (name) } {
            h3 data-testid="upload-name" title=(name) { (name) }
            div.stage id=(part("stage")) { (stage(upload)) }
            div.bar {
                progress id=(part("progress")) data-testid="upload-progress" max=(upload.size.unwrap_or(1).max(1)) value="0"
                    aria-label={ "Upload progress of " (name) } {}
                span.bytes id=(part("bytes")) data-testid="upload-bytes" { (upload.size.map(bytes).unwrap_or_default()) }
            }
            p.facts {
                span id=(part("count")) { (count(upload.images)) }
                span id=(part("runner")) {}
            }
            div.images id=(part("images")) data-testid="images" {}
        }
    }
}

/// How far it is, and what can be done about it.
pub(crate) fn stage(upload: &Upload) -> Markup {
    let (badge, note) = match &upload.stage {
        Stage::Waiting => ("Waiting", Some("It waits for a runner.")),
        Stage::Uploading => ("Uploading", None),
        Stage::Spooling => ("Uploading", Some("Its index is at the end: thumbnails come when all of it is there.")),
        Stage::Finishing => ("Finishing", None),
        Stage::Done => ("Done", upload.note.as_deref()),
        Stage::Cancelled => ("Cancelled", None),
        Stage::Failed(reason) => ("Failed", Some(&reason[..])),
    };
    html! {
        span.badge data-testid="upload-state" role="status" { (badge) }
        @if !upload.stage.is_over() {
            button.quiet type="button" id=(id(upload.number, "cancel")) data-testid="cancel" data-cancel=(upload.number)
                aria-label={ "Cancel " (upload.name) } { "Cancel" }
        }
        @if let Some(note) = note {
            p.note data-testid=(if matches!(upload.stage, Stage::Failed(_)) { "upload-error" } else { "upload-note" }) {
                (note)
            }
        }
    }
}

/// How many thumbnails there are.
pub(crate) fn count(images: u32) -> Markup {
    html! { span data-testid="upload-count" data-count=(images) { (images) (plural(images, " thumbnail")) } }
}

/// Who makes them.
pub(crate) fn runner(node: &str, pid: u32, machine: &str) -> Markup {
    html! {
        span data-testid="upload-runner" data-node=(node) data-pid=(pid) data-machine=(machine) title=(node) {
            "by runner " b { (short(node)) } ", process " (pid) " on " (machine)
        }
    }
}

/// One thumbnail, as part of the page: there is nothing to be fetched.
pub(crate) fn image(name: &str, second: f64, jpeg: &[u8]) -> Markup {
    let time = time(second);
    html! {
        figure data-testid="thumbnail" {
            img src={ "data:image/jpeg;base64," (BASE64_STANDARD.encode(jpeg)) } alt={ (name) " at " (time) };
            figcaption { (time) }
        }
    }
}

pub(crate) fn plural(number: u32, noun: &str) -> String {
    if number == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// A time in a video: `1:05`, `1:00:05`, `0:00.25`.
pub(crate) fn time(second: f64) -> String {
    let hundredths = (second * 100.0).round() as u64;
    let (seconds, part) = (hundredths / 100, hundredths % 100);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let part = if part == 0 { String::new() } else { format!(".{part:02}") };
    match hours {
        0 => format!("{minutes}:{seconds:02}{part}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}{part}"),
    }
}

/// A size, as the script on the page shows it too.
pub(crate) fn bytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{megabytes:.1} MB"),
        _ => format!("{:.1} GB", megabytes / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        assert_eq!([0.0, 65.0, 3605.0, 0.25, 0.999_999].map(time), ["0:00", "1:05", "1:00:05", "0:00.25", "0:01"]);
        assert_eq!([7, 4_200, 5_250_000, 2 << 30].map(bytes), ["7 bytes", "4 kB", "5.2 MB", "2.1 GB"]);
    }

    #[test]
    fn a_name_is_text_wherever_it_stands() {
        let markup = image("\"><script>alert(1)</script>", 0.0, b"x").into_string();
        assert!(!markup.contains("<script") && markup.contains("&quot;&gt;&lt;script"), "{markup}");
    }
}
