//! What becomes no thumbnails, and how the page says so.

use std::path::PathBuf;

use crate::chromium::Chromium;
use crate::clip;
use crate::server::{Server, until};

#[test]
fn a_file_that_is_no_video_says_so_in_words() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = server.dir().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let tab = chromium.visitor().visit(&server);
    let text = write("letter.mp4", "This is a letter. ".repeat(5000).as_bytes());
    tab.choose(&[&text, &write("nothing.mkv", b"")]);
    let letter = tab.over("letter.mp4");
    assert_eq!((&letter.state[..], &letter.badge[..]), ("failed", "Failed"), "{letter:?}");
    assert!(letter.error.starts_with("This is no video that ffmpeg can read: "), "{letter:?}");
    assert_eq!(tab.over("nothing.mkv").error, "The file is empty.");
    tab.screenshot("failed");
    until("ffmpeg has ended", || server.ffmpegs().is_empty());
    assert!(tab.kept().is_empty());
}

#[test]
fn a_file_that_is_too_large_is_not_even_begun() {
    let (server, chromium) = (Server::start(&["--max-upload", "1000"]), Chromium::start());
    let tab = chromium.visitor().visit(&server);
    tab.choose(&[&clip::fragmented(server.dir(), "clip.mp4", 1)]);
    assert_eq!(tab.over("clip.mp4").error, "Too large: a video may have 1 kB.");
    assert!(tab.pool().runners.is_empty(), "no runner was booted for it");
}

#[test]
fn markup_in_the_name_of_a_file_is_text() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let tab = chromium.visitor().visit(&server);
    // A dialog, a script that is refused or a picture that is not found would be heard.
    let name = "<img src=x onerror=alert(1)>\"'&amp;.mp4";
    tab.choose(&[&clip::fragmented(server.dir(), name, 2)]);
    assert_eq!(tab.done(name).count, 2);
    tab.until("the gallery has it", "document.querySelector('[data-testid=gallery-video]')");
    assert_eq!(tab.kept()[0].name, name);
    tab.goto(&server.url);
    tab.until_live();
    assert_eq!(tab.kept()[0].name, name);
    assert_eq!(tab.value::<usize>("document.querySelectorAll('[onerror], img[src=x]').length"), 0);
    let alt: String = tab.value("document.querySelector('[data-testid=gallery-thumbnail] img').alt");
    assert_eq!(alt, format!("{name} at 0:00"));
}
