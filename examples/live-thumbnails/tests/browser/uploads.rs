//! Videos that become thumbnails.

use crate::chromium::Chromium;
use crate::server::{Server, until};
use crate::{clip, page::Upload};

#[test]
fn a_video_becomes_a_thumbnail_for_each_second_and_the_page_says_who_made_them() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let tab = chromium.visitor().visit(&server);
    tab.choose(&[&clip::fragmented(server.dir(), "clip.mp4", 7)]);
    let upload = tab.done("clip.mp4");
    assert_eq!(upload.widths, [320; 7]);
    assert_eq!(server.runners(), [upload.pid], "{upload:?}");
    assert!(tab.pool().runners.iter().any(|(_, node, pid)| *node == upload.node && *pid == upload.pid.to_string()));
    tab.until("it is in the gallery", "document.querySelector('[data-testid=gallery-video][data-count=\"7\"]')");
}

#[test]
fn the_first_thumbnail_is_there_before_a_slow_upload_has_ended() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let clip = clip::streamable(server.dir(), "clip.mkv", 20);
    let tab = chromium.visitor().visit(&server);
    tab.throttle(500e3);
    tab.choose(&[&clip]);
    // One look at all of the page: it was so at one moment.
    let early = tab.upload("clip.mkv", |upload| upload.count > 0);
    assert!(early.state == "uploading" && early.progress < 0.9 && early.badge == "Uploading", "{early:?}");
    let later = tab.upload("clip.mkv", |upload| upload.count >= early.count + 3);
    assert!(later.state == "uploading" && early.progress < later.progress, "{later:?}");
    tab.screenshot("uploading");
    tab.throttle(-1.0);
    assert_eq!(tab.done("clip.mkv").count, 20);
}

#[test]
fn an_mp4_with_its_index_at_the_end_says_so_and_shows_its_thumbnails_afterwards() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let clip = clip::index_at_end(server.dir(), "clip.mp4", 8);
    let tab = chromium.visitor().visit(&server);
    tab.throttle(300e3);
    tab.choose(&[&clip]);
    let upload = tab.upload("clip.mp4", |upload| upload.state == "spooling");
    assert!(upload.note.contains("index is at the end") && upload.count == 0, "{upload:?}");
    assert!(server.ffmpegs().is_empty(), "there is nothing to decode yet");
    let upload = tab.upload("clip.mp4", |upload| upload.progress > 0.2);
    assert!(upload.count == 0 && upload.state == "spooling", "{upload:?}");
    tab.screenshot("spooling");
    tab.throttle(-1.0);
    assert_eq!(tab.done("clip.mp4").count, 8);
}

#[test]
fn the_settings_decide_how_many_thumbnails_there_are_and_how_wide() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let clip = clip::fragmented(server.dir(), "clip.mp4", 4);
    let named = |name: &str| {
        let path = server.dir().join(name);
        std::fs::copy(&clip, &path).expect("a copy");
        path
    };
    let tab = chromium.visitor().visit(&server);
    for (name, rate, unit, width, widths) in
        [("a.mp4", "2", "seconds", "160", vec![160; 2]), ("b.mp4", "2.5", "fps", "96", vec![96; 10])]
    {
        tab.set("rate", rate);
        tab.set("unit", unit);
        tab.set("width", width);
        tab.choose(&[&named(name)]);
        assert_eq!(tab.done(name).widths, widths, "{name}");
    }
    // A number that makes no sense is the browser's to refuse.
    tab.set("width", "5000");
    tab.choose(&[&named("c.mp4")]);
    tab.until("the form says so", "document.querySelector('#settings :invalid') === document.activeElement");
    assert!(tab.uploads().iter().all(|upload| upload.name != "c.mp4"));
}

#[test]
fn a_cancelled_upload_ends_its_ffmpeg_and_the_next_one_works() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let tab = chromium.visitor().visit(&server);
    tab.throttle(300e3);
    tab.choose(&[&clip::streamable(server.dir(), "clip.mkv", 20)]);
    tab.upload("clip.mkv", |upload| upload.count > 0);
    assert_eq!(server.ffmpegs().len(), 1);
    tab.click("[data-testid=cancel]");
    let Upload { state, badge, error, .. } = tab.over("clip.mkv");
    assert_eq!([state, badge, error], ["cancelled", "Cancelled", ""]);
    until("ffmpeg ends", || server.ffmpegs().is_empty());
    tab.until("its runner is idle", "document.querySelector('[data-testid=runner][data-state=idle]')");
    tab.throttle(-1.0);
    tab.choose(&[&clip::fragmented(server.dir(), "next.mp4", 2)]);
    assert_eq!(tab.done("next.mp4").count, 2);
    assert_eq!(tab.kept().iter().map(|kept| &kept.name[..]).collect::<Vec<_>>(), ["next.mp4"]);
}

#[test]
fn dropped_files_and_several_at_once_are_uploaded() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let tab = chromium.visitor().visit(&server);
    let dropped = clip::fragmented(server.dir(), "dropped.mp4", 3);
    tab.drop_onto("[data-testid=drop-zone]", &[&dropped], || {
        tab.until("it shows that it takes them", "document.querySelector('[data-testid=drop-zone].over')");
    });
    tab.until("and then no more", "!document.querySelector('[data-testid=drop-zone].over')");
    assert_eq!(tab.done("dropped.mp4").count, 3);
    let (one, other) = (clip::fragmented(server.dir(), "one.mp4", 1), clip::fragmented(server.dir(), "other.mp4", 2));
    tab.choose(&[&one, &other]);
    assert_eq!([tab.done("one.mp4").count, tab.done("other.mp4").count], [1, 2]);
}

#[test]
fn without_a_video_the_sample_is_uploaded() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let tab = chromium.visitor().visit(&server);
    tab.set("rate", "2");
    tab.throttle(100e3);
    tab.click("[data-testid=sample]");
    let upload = tab.upload("sample.mkv", |upload| upload.count > 0);
    assert_eq!(upload.state, "uploading", "one sees that it still uploads");
    tab.throttle(-1.0);
    assert_eq!(tab.done("sample.mkv").count, 10);
}
