//! Who sees what, and what stays when somebody leaves.

use crate::chromium::Chromium;
use crate::clip;
use crate::page::Kept;
use crate::server::{Server, until};

#[test]
fn two_visitors_see_only_their_own() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let (here, there) = (chromium.visitor(), chromium.visitor());
    let (mine, yours) = (here.visit(&server), there.visit(&server));
    mine.choose(&[&clip::fragmented(server.dir(), "mine.mp4", 2)]);
    yours.choose(&[&clip::fragmented(server.dir(), "yours.mp4", 3)]);
    for (tab, name, count) in [(&mine, "mine.mp4", 2), (&yours, "yours.mp4", 3)] {
        assert_eq!(tab.done(name).count, count);
        tab.until("the gallery follows", "document.querySelector('[data-testid=gallery-video]')");
    }
    for (visitor, tab, name, count) in [(&here, &mine, "mine.mp4", 2), (&there, &yours, "yours.mp4", 3)] {
        assert_eq!(tab.uploads().iter().map(|upload| &upload.name[..]).collect::<Vec<_>>(), [name]);
        // A new tab of the same visitor has the gallery, and no upload of another tab.
        let tab = visitor.visit(&server);
        let kept = Kept { name: name.to_owned(), count, cover: count };
        tab.until_some("its pictures are there", || (tab.kept() == [kept.clone()]).then_some(()));
        assert!(tab.uploads().is_empty());
    }
    // Nor is another's picture to be had by its address.
    let picture: String = mine.value("document.querySelector('[data-testid=gallery-video] img').getAttribute('src')");
    let status = format!("fetch('{picture}').then((answer) => answer.status)");
    assert_eq!((mine.value::<u16>(&status), yours.value::<u16>(&status)), (200, 404));
    yours.forgive("404");
}

#[test]
fn closing_the_tab_ends_its_generator_and_ffmpeg() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let (who_leaves, who_stays) = (chromium.visitor().visit(&server), chromium.visitor().visit(&server));
    who_leaves.throttle(300e3);
    who_leaves.choose(&[&clip::streamable(server.dir(), "clip.mkv", 20)]);
    who_leaves.upload("clip.mkv", |upload| upload.count > 0);
    assert_eq!(server.ffmpegs().len(), 1);
    who_stays.until("the runner is busy", "document.querySelector('[data-testid=runner][data-state=busy]')");
    let runners = server.runners();
    who_leaves.close();
    until("ffmpeg ends", || server.ffmpegs().is_empty());
    who_stays.until("its slot is free", "document.querySelector('[data-testid=runner][data-state=idle]')");
    assert_eq!(server.runners(), runners, "the runner is there for others");
}

#[test]
fn the_gallery_is_there_after_a_restart_of_the_server() {
    let (mut server, chromium) = (Server::start(&[]), Chromium::start());
    let visitor = chromium.visitor();
    let tab = visitor.visit(&server);
    tab.choose(&[&clip::fragmented(server.dir(), "clip.mp4", 5)]);
    tab.done("clip.mp4");
    server.stop();
    tab.until("the page says that the server is away", "!document.getElementById('banner').hidden");
    tab.screenshot("away");
    server.start_again();
    tab.until(
        "the page comes back",
        "document.body?.dataset.live === 'yes' && document.getElementById('banner').hidden",
    );
    // It is a new page: what was on the old one is unknown to the new server.
    tab.until("the page is new", "!document.querySelector('[data-testid=upload]')");
    let tab = visitor.visit(&server);
    let kept = Kept { name: "clip.mp4".to_owned(), count: 5, cover: 4 };
    tab.until_some("its pictures are there", || (tab.kept() == [kept.clone()]).then_some(()));
    tab.click("[data-testid=gallery-video] summary");
    // Asked for after the removal, a picture would not be found.
    tab.until("it opens", "document.querySelectorAll('.kept[open] .images img').length === 5");
    tab.until("all are shown", "[...document.querySelectorAll('.kept .images img')].every((it) => it.naturalWidth)");
    tab.click("[data-testid=remove]");
    tab.until("it is removed", "document.querySelector('[data-testid=gallery-empty]')");
    // The browser reports each attempt to connect.
    tab.forgive("ERR_CONNECTION_REFUSED");
}
