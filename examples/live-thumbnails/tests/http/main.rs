//! The real binary over plain HTTP: what needs no browser to be seen.

mod backends;
mod page;
mod server;
mod socket;

use page::Page;
use server::{Answer, Server};

#[test]
fn a_page_comes_with_a_cookie_of_its_own_and_may_run_no_foreign_script() {
    let server = Server::start(&[]);
    let (one, other) = (server.get("/", &[]), server.get("/", &[]));
    assert_eq!(one.status, 200);
    assert_ne!(one.cookie(), other.cookie());
    assert!(one.header("set-cookie").ends_with("HttpOnly; SameSite=Strict"));
    for page in [one, server.get("/port", &[]), server.get("/app.js", &[]), server.get("/nowhere", &[])] {
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        for inline in ["<style", " style=", " onclick=", "javascript:", "<script>", "http-equiv"] {
            assert!(!page.body.contains(inline), "{inline}");
        }
    }
}

#[test]
fn who_comes_back_keeps_the_cookie() {
    let server = Server::start(&[]);
    let cookie = server.get("/", &[]).cookie();
    assert_eq!(server.get("/", &[("Cookie", &cookie)]).cookie(), cookie);
}

#[test]
fn connections_are_for_pages_of_ours() {
    let server = Server::start(&[]);
    let (cookie, host) = (server.get("/", &[]).cookie(), server.address.to_string());
    let (ours, foreign) = (format!("http://{host}"), "http://evil.example");
    assert_eq!(server.socket("/live", &[("Cookie", &cookie), ("Origin", &ours)]).status, 101);
    assert_eq!(server.socket("/live", &[("Cookie", &cookie), ("Origin", foreign)]).status, 403);
    assert_eq!(server.socket("/live", &[("Origin", &ours)]).status, 403, "without a cookie");
    let upload = format!("/upload?visitor={}&name=a&size=1", "0".repeat(40));
    assert_eq!(server.socket(&upload, &[("Cookie", &cookie), ("Origin", &ours)]).status, 403, "there is no such page");
}

#[test]
fn paths_lead_nowhere_but_to_the_database() {
    let server = Server::start(&[]);
    let cookie = server.get("/", &[]).cookie();
    for path in [
        "/videos/../videos.sqlite",
        "/videos/..%2f..%2fetc/passwd",
        "/videos/x/..%2f..%2f..%2fetc%2fpasswd.jpg",
        "/videos/'%20OR%201=1%20--/0.jpg",
        "/videos/x/-1.jpg",
        "/../../etc/passwd",
    ] {
        assert_eq!(server.get(path, &[("Cookie", &cookie)]).status, 404, "{path}");
    }
}

#[test]
fn the_sample_is_a_video_that_is_made_once() {
    let server = Server::start(&[]);
    let Answer { status, bytes, .. } = server.get("/sample.mkv", &[]);
    assert_eq!(status, 200);
    assert!(bytes.len() > 100_000 && bytes.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]), "{} bytes", bytes.len());
    assert!(server.get("/sample.mkv", &[]).bytes == bytes);
}

#[test]
fn one_page_too_many_gets_no_actor() {
    let server = Server::start(&["--max-visitors", "1"]);
    let cookie = server.get("/", &[]).cookie();
    let mut first = server.socket("/live", &[("Cookie", &cookie)]);
    assert!(first.hears().contains(r#""op":"hello""#), "the page's own secret");
    assert_eq!(server.socket("/live", &[("Cookie", &cookie)]).hears(), "", "the connection ends");
    drop(first);
    server.until("there is room again", || !server.socket("/live", &[("Cookie", &cookie)]).hears().is_empty());
}

#[test]
fn one_upload_too_many_is_refused_and_taken_when_there_is_room_again() {
    let server = Server::start(&["--backend", "in-process", "--max-uploads", "1"]);
    let mut page = Page::open(&server);
    let mut first = page.begin("one.mkv", 1000);
    assert!(first.hears().contains(r#""upload":1"#), "its generator waits for its bytes");
    assert_eq!(page.begin("two.mkv", 1000).hears(), "", "the connection ends");
    let shown = page.shown();
    let card = shown.changes.last().expect("the refusal")["html"].to_string();
    assert!(card.contains("two.mkv") && card.contains("Too many uploads: 1 are under way already."), "{card}");
    drop(first);
    server.until("there is room again", || page.begin("three.mkv", 1000).hears().contains(r#""received":0"#));
}
