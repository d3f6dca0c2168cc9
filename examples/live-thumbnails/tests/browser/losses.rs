//! A runner that is killed while it works.

use crate::chromium::Chromium;
use crate::clip;
use crate::server::{Server, until};

#[test]
fn a_runner_killed_mid_upload_is_told_in_words_and_the_next_upload_works() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let tab = chromium.visitor().visit(&server);
    tab.throttle(300e3);
    tab.choose(&[&clip::streamable(server.dir(), "clip.mkv", 20)]);
    let before = tab.upload("clip.mkv", |upload| upload.count > 0);
    tab.click("[data-testid=kill]");
    let lost = tab.over("clip.mkv");
    let name = &lost.node[lost.node.len() - 6..];
    assert_eq!(lost.state, "failed");
    assert_eq!(
        lost.error,
        format!("Runner {name} was lost: its process was ended by signal 9. Upload the video again.")
    );
    assert!(lost.widths.len() >= before.count, "what there was stays");
    tab.screenshot("lost");
    until("its ffmpeg ends too", || server.ffmpegs().is_empty());
    tab.throttle(-1.0);
    tab.choose(&[&clip::fragmented(server.dir(), "next.mp4", 3)]);
    let next = tab.done("next.mp4");
    assert_eq!(next.count, 3);
    assert_ne!(next.pid, lost.pid);
    assert_eq!(tab.kept().iter().map(|kept| &kept.name[..]).collect::<Vec<_>>(), ["next.mp4"]);
}
