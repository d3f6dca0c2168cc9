//! Runners are killed, and the server is told to end.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::Client;
use crate::server::{Server, signal, wait};

/// Says numbered lines until the other one hears one: those on their way to a room that is lost are lost.
fn speaks_until_heard(speaker: &Client, name: &str, words: &str, listener: &Client) {
    let mut number = 0;
    wait("a line is heard", || {
        number += 1;
        speaker.says(&format!("{words} {number}"));
        listener.has_heard(&format!("{name}: {words} ")).is_some()
    });
}

#[test]
fn a_room_whose_runner_was_killed_is_back_in_another_process_and_talk_goes_on() {
    let server = Server::start();
    let (alice, bob) = (Client::join(&server, "alice", "tea"), Client::join(&server, "bob", "tea"));
    let mut before = alice.process("tea");
    for time in ["once", "twice", "thrice"] {
        bob.says("/kill");
        alice.hears("* tea is down: runner rooms-");
        alice.hears("* tea is back");
        // Before alice has said anything: nobody has to come again.
        speaks_until_heard(&bob, "bob", time, &alice);
        speaks_until_heard(&alice, "alice", time, &bob);
        let (after, same) = (alice.process("tea"), bob.process("tea"));
        assert_eq!(after, same);
        assert_ne!(after, before);
        assert!(!server.processes().contains(&before), "the old one is gone");
        assert_eq!(alice.who("tea"), "* in tea: alice, bob");
        before = after;
    }
    assert!(bob.heard().contains("was ended by signal 9"), "{}", bob.heard());
}

#[test]
fn what_is_said_once_a_room_is_known_to_be_down_arrives() {
    let server = Server::start();
    let (alice, bob) = (Client::join(&server, "alice", "tea"), Client::join(&server, "bob", "tea"));
    for number in 0..5 {
        alice.says("/kill");
        bob.hears("* tea is down");
        bob.says(&format!("while it is down, {number}"));
        alice.hears(&format!("bob: while it is down, {number}"));
    }
}

#[test]
fn all_rooms_of_a_killed_runner_come_back_and_those_of_others_notice_nothing() {
    let server = Server::with(&["--runners", "2", "--rooms", "2"]);
    let names = ["one", "two", "three", "four"];
    let clients: Vec<_> = names.iter().map(|room| Client::join(&server, &format!("in-{room}"), room)).collect();
    let before: Vec<_> = names.iter().zip(&clients).map(|(room, client)| client.process(room)).collect();
    assert!(before[0] == before[1] && before[2] == before[3] && before[1] != before[2], "{before:?}");
    clients[0].says("/kill");
    for (client, room) in clients.iter().zip(names).take(2) {
        client.hears(&format!("* {room} is back"));
    }
    let after: Vec<_> = names.iter().zip(&clients).map(|(room, client)| client.process(room)).collect();
    assert!(after[0] != before[0] && after[1] != before[1], "{before:?} {after:?}");
    assert_eq!(after[2..], before[2..]);
    assert!(!clients[2].heard().contains("is down") && !clients[3].heard().contains("is down"));
}

#[test]
fn a_room_that_came_back_knows_what_was_said_and_who_is_in_it() {
    let server = Server::start();
    let alice = Client::join(&server, "alice", "tea");
    alice.says("before");
    // Answered after the snapshot has left.
    alice.process("tea");
    alice.says("/kill");
    alice.hears("* tea is back");
    alice.says("after");
    alice.hears("alice: after");
    let bob = Client::join(&server, "bob", "tea");
    bob.hears("alice: before");
    bob.hears("alice: after");
    assert_eq!(bob.who("tea"), "* in tea: alice, bob");
}

#[test]
fn who_comes_and_goes_while_a_room_is_down_is_in_it_or_not() {
    let server = Server::start();
    let (alice, bob) = (Client::join(&server, "alice", "tea"), Client::join(&server, "bob", "tea"));
    let carol = Client::join(&server, "carol", "coffee");
    alice.says("/kill");
    drop(bob);
    carol.goes_to("tea");
    alice.asks_until("/who", "* in tea: alice, carol");
    alice.says("hello");
    carol.hears("alice: hello");
}

#[test]
fn a_room_that_fails_too_often_ends_and_can_be_opened_again() {
    let server = Server::start();
    let alice = Client::join(&server, "alice", "tea");
    let words = loop {
        alice.says("/crash");
        // The news that it is down may come late, or not at all when it has ended.
        let next = loop {
            let next = alice.hears("* tea ");
            if !next.starts_with("* tea is down") {
                break next;
            }
        };
        if !next.starts_with("* tea is back") {
            break next;
        }
    };
    assert!(words.starts_with("* tea has ended: "), "{words}");
    assert!(words.contains("10") && words.ends_with("; /join it again"), "{words}");
    alice.says("hello?");
    alice.hears("* you are in no room: /join ROOM");
    alice.goes_to("tea");
    alice.says("hello");
    alice.hears("alice: hello");
}

#[test]
fn sigterm_ends_the_server_and_leaves_no_process() {
    for clients in [0, 3] {
        let server = Server::with(&["--rooms", "2"]);
        let all: Vec<_> = (0..clients).map(|n| Client::join(&server, &format!("c{n}"), &format!("r{n}"))).collect();
        if clients == 0 {
            // Signals are heard once it serves.
            Client::connect(&server).hears("* you are guest-1");
        } else {
            assert_eq!(server.processes().len(), 3, "the server and two runners");
        }
        let start = Instant::now();
        signal(server.pid(), Signal::SIGTERM);
        let status = server.ended();
        assert_eq!(status.code(), Some(0), "{status}");
        // The rooms are told to end; nothing waits for them as for work.
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        wait("the connections close", || all.iter().all(Client::is_closed));
    }
}

#[test]
fn a_killed_server_leaves_no_process() {
    let server = Server::start();
    let alice = Client::join(&server, "alice", "tea");
    assert_eq!(server.processes().len(), 2);
    signal(server.pid(), Signal::SIGKILL);
    server.ended();
    wait("the connection closes", || alice.is_closed());
}
