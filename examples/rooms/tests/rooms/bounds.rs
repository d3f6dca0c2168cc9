//! How much there can be of everything.

use std::fs;

use crate::client::Client;
use crate::server::{Server, wait};

#[test]
fn one_client_too_many_is_told_so_and_comes_in_when_another_has_gone() {
    let server = Server::with(&["--clients", "2"]);
    let (alice, _bob) = (Client::join(&server, "alice", "tea"), Client::join(&server, "bob", "tea"));
    let carol = Client::connect(&server);
    carol.hears("* there are 2 clients already, and no more are served");
    wait("carol's connection closes", || carol.is_closed());
    alice.says("/quit");
    wait("there is room again", || {
        let dora = Client::connect(&server);
        wait("an answer", || dora.heard().contains('\n'));
        dora.heard().starts_with("* you are guest-")
    });
}

#[test]
fn one_room_too_many_is_refused_and_opened_when_another_is_empty() {
    let server = Server::with(&["--runners", "1", "--rooms", "2"]);
    let (alice, bob) = (Client::join(&server, "alice", "one"), Client::join(&server, "bob", "two"));
    let carol = Client::join(&server, "carol", "two");
    carol.says("/join three");
    carol.hears("* there are 2 rooms already, and no more until one of them is empty");
    assert_eq!(carol.who("two"), "* in two: bob, carol");
    alice.says("/quit");
    carol.asks_until("/join three", "* you are in three");
    assert_eq!(bob.who("two"), "* in two: bob");
    assert_eq!(carol.who("three"), "* in three: carol");
}

#[test]
fn a_client_that_does_not_read_is_disconnected_and_the_others_go_on() {
    let server = Server::start();
    let alice = Client::join(&server, "alice", "tea");
    let bob = Client::join(&server, "bob", "tea");
    let deaf = Client::deaf(&server, "/name deaf\n/join tea\n");
    alice.hears("* deaf has joined");
    let line = "x".repeat(4000);
    let mut said: usize = 0;
    wait("the deaf one is gone", || {
        for _ in 0..100 {
            alice.says(&line);
        }
        // Its own lines come back: no more are on their way than these.
        (0..100).for_each(|_| drop(alice.hears("alice: x")));
        said += 100 * line.len();
        alice.heard().contains("* deaf has left")
    });
    assert_eq!(alice.who("tea"), "* in tea: alice, bob");
    bob.hears(&format!("alice: {line}"));
    let peak = peak_kib(server.pid());
    assert!((1..48 * 1024).contains(&peak), "{peak} KiB after {said} bytes");
    drop(deaf);
}

/// The most memory that a process has had.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
