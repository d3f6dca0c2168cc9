//! How the page looks, and that it can be used without a mouse.

use crate::chromium::Chromium;
use crate::clip;
use crate::server::Server;
use crate::tab::Tab;

/// What a person sees is for a person to judge; that nothing sticks out of the page is not.
fn looks_good(tab: &Tab, name: &str) {
    for scheme in ["light", "dark"] {
        for width in [1280, 390] {
            tab.look(width, scheme);
            let [wide, room]: [u32; 2] =
                tab.value("(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(document.documentElement)");
            assert!(wide <= room, "{name}: {wide} pixels in a window of {room}");
            tab.screenshot(&format!("{name}-{scheme}-{width}"));
        }
    }
}

#[test]
fn all_of_the_page_fits_light_and_dark_on_a_desk_and_on_a_phone() {
    let (server, chromium) = (Server::start(&["--max-concurrency", "1"]), Chromium::start());
    let (other, tab) = (chromium.visitor().visit(&server), chromium.visitor().visit(&server));
    looks_good(&tab, "empty");
    // Somebody else keeps a runner busy.
    other.throttle(100e3);
    other.choose(&[&clip::streamable(server.dir(), "other.mkv", 20)]);
    other.upload("other.mkv", |upload| upload.count > 0);
    let letter = server.dir().join("a letter with a very long name, without any spaces-".to_owned() + &"x".repeat(60));
    std::fs::write(&letter, "no video").expect("a file");
    tab.choose(&[&clip::fragmented(server.dir(), "a clip.mp4", 14), &letter]);
    tab.done("a clip.mp4");
    tab.until("the letter has failed", "document.querySelector('[data-state=failed]')");
    tab.until("the gallery has it", "document.querySelector('[data-testid=gallery-video]')");
    looks_good(&tab, "page");
    tab.click("[data-testid=gallery-video] summary");
    tab.until(
        "all of it is shown",
        "[...document.querySelectorAll('.kept .images img')].every((it) => it.naturalWidth > 0)",
    );
    looks_good(&tab, "gallery");
    tab.goto(&format!("{}/port", server.url));
    tab.until("the port is told", "document.querySelectorAll('[data-testid=step]').length > 5");
    looks_good(&tab, "port");
}

#[test]
fn the_page_can_be_used_by_tab_and_enter() {
    let (server, chromium) = (Server::start(&[]), Chromium::start());
    let tab = chromium.visitor().visit(&server);
    let focused = || tab.value::<String>("document.activeElement.dataset.testid ?? document.activeElement.tagName");
    let go_to = |wanted: &str| {
        for _ in 0..40 {
            if focused() == wanted {
                return;
            }
            tab.press("Tab");
        }
        panic!("Tab does not lead to {wanted}");
    };
    for part in ["port-link", "file-input", "rate", "unit", "width", "sample"] {
        go_to(part);
        let seen: String = tab.value("getComputedStyle(document.activeElement.matches('.file') ? document.activeElement.nextElementSibling : document.activeElement).outlineStyle");
        assert_eq!(seen, "solid", "one sees that {part} has the focus");
    }
    tab.throttle(100e3);
    tab.press("Enter");
    tab.upload("sample.mkv", |upload| upload.count > 0);
    // The strip is drawn anew all the time, and the focus stays where it was.
    go_to("kill");
    let strip = "document.querySelector('[data-testid=pool-strip]')";
    let _: bool = tab.value(&format!("!!(window.before = {strip})"));
    go_to("cancel");
    tab.press("Enter");
    assert_eq!(tab.over("sample.mkv").state, "cancelled");
    tab.until("the strip is drawn anew", &format!("{strip} !== window.before"));
    // The button that was pressed is gone: the next Tab starts somewhere, and leads to all the rest.
    go_to("kill");
    tab.press("Enter");
    tab.until("the runner is gone", "document.querySelector('[data-testid=no-runner]')");
}
