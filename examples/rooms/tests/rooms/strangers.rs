//! Clients that send anything.

use crate::client::Client;
use crate::server::{Server, wait};

#[test]
fn names_of_rooms_that_are_none_are_refused_in_words() {
    let server = Server::start();
    let alice = Client::join(&server, "alice", "tea");
    let long = "x".repeat(33);
    for name in ["", "two words", "../etc", "a.b", "semi;colon", &long] {
        alice.says(&format!("/join {name}"));
        alice.hears("* the name of a room has 1 to 32 letters, digits, - or _");
    }
    for name in ["", "two words", &long] {
        alice.says(&format!("/name {name}"));
        alice.hears("* the name of a client has 1 to 32 letters, digits, - or _");
    }
    assert_eq!(alice.who("tea"), "* in tea: alice", "a refusal leaves one where one was");
    for name in [&long[1..], "Tee-Stube_2", "чай"] {
        alice.goes_to(name);
        assert_eq!(alice.who(name), format!("* in {name}: alice"));
    }
}

#[test]
fn garbage_harms_nobody_and_who_sent_it_can_go_on() {
    let server = Server::start();
    let (alice, bob) = (Client::join(&server, "alice", "tea"), Client::join(&server, "bob", "tea"));
    let mallory = Client::join(&server, "mallory", "tea");
    let room = alice.process("tea");

    mallory.sends(b"\xff\xfe\xc3\x28\n").unwrap();
    mallory.hears("* a line that is not UTF-8 was dropped");
    mallory.sends("y".repeat(4097).as_bytes()).unwrap();
    mallory.says("");
    mallory.hears("* a line over 4096 bytes was dropped");
    mallory.sends("z".repeat(4 << 20).as_bytes()).unwrap();
    mallory.says("");
    mallory.hears("* a line over 4096 bytes was dropped");
    mallory.says(&"w".repeat(4096));
    alice.hears(&format!("mallory: {}", "w".repeat(4096)));
    mallory.says("\x1b[2J\x1b]0;owned\x07 \u{9b}31m\r\0");
    alice.hears("mallory: [2J ]0;owned   31m");
    mallory.says("GET / HTTP/1.1\r\nHost: tea\r\n\r\n");
    alice.hears("mallory: Host: tea");
    mallory.says("/\n/ join\n/join\0tea\n//\n/who are you");
    // A fixed sequence, that every run sends the same.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_be_bytes()
    })
    .take(10_000)
    .flatten()
    .collect();
    mallory.sends(&noise).unwrap();
    mallory.says("");
    mallory.says("enough");
    alice.hears("mallory: enough");

    assert!(!alice.heard().contains(|char: char| char.is_control() && char != '\n'));
    assert!(!alice.heard().contains("yyyy") && !alice.heard().contains("zzzz"), "a part of a dropped line");
    alice.says("all is well");
    bob.hears("alice: all is well");
    assert_eq!(alice.process("tea"), room);
}

#[test]
fn half_a_line_at_the_end_counts_and_half_a_command_harms_nobody() {
    let server = Server::start();
    let alice = Client::join(&server, "alice", "tea");
    let bob = Client::join(&server, "bob", "tea");
    bob.sends(b"by").unwrap();
    bob.closes_its_side();
    alice.hears("bob: by");
    alice.hears("* bob has left");
    wait("bob's connection closes", || bob.is_closed());
    let carol = Client::connect(&server);
    carol.sends(b"/jo").unwrap();
    drop(carol);
    assert_eq!(alice.who("tea"), "* in tea: alice");
}
