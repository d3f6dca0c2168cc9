//! What clients hear of each other.

use crate::client::Client;
use crate::server::{Server, wait};

#[test]
fn two_in_a_room_hear_each_other_and_who_is_elsewhere_hears_nothing() {
    let server = Server::start();
    let (alice, bob) = (Client::join(&server, "alice", "tea"), Client::join(&server, "bob", "tea"));
    let carol = Client::join(&server, "carol", "coffee");
    alice.hears("* bob has joined");
    alice.says("hello");
    bob.hears("alice: hello");
    bob.says("good morning, alice");
    alice.hears("bob: good morning, alice");
    carol.says("is anybody here?");
    // From the same runner over the same connection: what was said before is here before.
    carol.hears("carol: is anybody here?");
    assert_eq!(carol.who("coffee"), "* in coffee: carol");
    assert!(!carol.heard().contains("alice") && !carol.heard().contains("bob"), "{}", carol.heard());
    alice.says("the last word");
    alice.hears("alice: the last word");
    assert!(!alice.heard().contains("carol"), "{}", alice.heard());
}

#[test]
fn a_room_is_in_another_process_than_the_server() {
    let server = Server::start();
    let alice = Client::join(&server, "alice", "tea");
    let room = alice.process("tea");
    assert_ne!(room, server.pid());
    assert!(server.processes().contains(&room));
}

#[test]
fn joining_leaving_and_closing_show_in_who() {
    let server = Server::start();
    let (alice, bob) = (Client::join(&server, "alice", "tea"), Client::join(&server, "bob", "tea"));
    let carol = Client::join(&server, "carol", "tea");
    assert_eq!(alice.who("tea"), "* in tea: alice, bob, carol");
    bob.says("/quit");
    bob.hears("* bye");
    wait("bob's connection closes", || bob.is_closed());
    alice.hears("* bob has left");
    assert_eq!(alice.who("tea"), "* in tea: alice, carol");
    drop(carol);
    alice.hears("* carol has left");
    assert_eq!(alice.who("tea"), "* in tea: alice");
    let dora = Client::join(&server, "dora", "tea");
    alice.hears("* dora has joined");
    dora.goes_to("coffee");
    alice.hears("* dora has left");
    assert_eq!(alice.who("tea"), "* in tea: alice");
    assert_eq!(dora.who("coffee"), "* in coffee: dora");
}

#[test]
fn who_comes_later_hears_what_was_said_last() {
    let server = Server::start();
    let alice = Client::join(&server, "alice", "tea");
    for number in 1..=12 {
        alice.says(&format!("line {number}."));
    }
    alice.hears("alice: line 12.");
    let bob = Client::join(&server, "bob", "tea");
    for number in 3..=12 {
        bob.hears(&format!("alice: line {number}."));
    }
    assert!(!bob.heard().contains("line 2."), "{}", bob.heard());
}

#[test]
fn a_new_name_is_told_and_one_that_is_taken_is_refused() {
    let server = Server::start();
    let (alice, bob) = (Client::join(&server, "alice", "tea"), Client::join(&server, "bob", "tea"));
    bob.says("/name alice");
    bob.hears("* somebody else is called alice");
    bob.says("/name robert");
    alice.hears("* bob is now robert");
    bob.says("hello");
    alice.hears("robert: hello");
    assert_eq!(alice.who("tea"), "* in tea: alice, robert");
    // Its own is no other's.
    bob.says("/name robert");
    bob.hears("* you are robert");
}

#[test]
fn who_is_in_no_room_is_told_so() {
    let server = Server::start();
    let alice = Client::connect(&server);
    for line in ["hello?", "/who", "/where", "/kill", "/crash"] {
        alice.says(line);
        alice.hears("* you are in no room: /join ROOM");
    }
    alice.says("/dance");
    alice.hears("* /join ROOM, /name NAME");
}
