//! Connections by the thousands that never say who they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flame_tests::{Role, told, trials, until, within};
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::tls;
use crate::watched::Watched;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        ten_thousand_strangers_harm_neither_work_nor_runners_that_join,
        a_parent_without_descriptors_takes_connections_again_once_it_has_some,
        nothing_else_of_a_parent_can_be_reached,
    ]
}

const ADDRESS: &str = "FLAME_TEST_ADDRESS";
const CONNECTIONS: usize = 10_000;
/// So many of them at a time.
const OPEN: usize = 800;
/// Longer than the parent bears it. Linux has connections that one side only knows of: nobody ends those.
const HOLD: Duration = Duration::from_secs(12);
/// A test's processes hold no less than this many descriptors for reasons of their own.
const WOBBLE: usize = 40;
const MEBIBYTES: usize = 64;

/// Connects and holds each connection until the other side ends it: silent ones, halves of a first message, the whole
/// of one and nothing after it, and what is no TLS.
pub(crate) async fn flood() {
    let address: Arc<str> = std::env::var(ADDRESS).expect("the trial gives one").into();
    let (open, failed) = (Arc::new(Semaphore::new(OPEN)), Arc::new(AtomicUsize::new(0)));
    let hello = tls::client_hello();
    let messages =
        [Vec::new(), hello[..hello.len() / 2].to_vec(), hello, b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![7; 9000]];
    let messages = Arc::new(messages);
    for n in 0..CONNECTIONS {
        let permit = Arc::clone(&open).acquire_owned().await.expect("it is not closed");
        let (address, messages, failed) = (Arc::clone(&address), Arc::clone(&messages), Arc::clone(&failed));
        tokio::spawn(async move {
            let _permit = permit;
            let Ok(mut socket) = TcpStream::connect(&*address).await else {
                failed.fetch_add(1, Ordering::Relaxed);
                return;
            };
            // The other side may have ended it.
            let _ = socket.write_all(&messages[n % messages.len()]).await;
            let _ = tokio::time::timeout(HOLD, socket.read_to_end(&mut Vec::new())).await;
        });
    }
    told("connected");
    // All places are taken by now, and nobody wants one: they are held until the deadline.
    let _ = open.acquire_many(OPEN as u32).await;
    told(failed.load(Ordering::Relaxed));
}

async fn ten_thousand_strangers_harm_neither_work_nor_runners_that_join() {
    let mut parent = Watched::start().await;
    let (descriptors, memory) = (parent.descriptors(), parent.memory());
    let mut flood = Role::start("flood", &[(ADDRESS, parent.address())]);
    let mut most = 0;
    let connected = async {
        loop {
            tokio::select! {
                line = flood.next() => return line,
                () = tokio::time::sleep(Duration::from_millis(50)) => most = most.max(parent.descriptors()),
            }
        }
    };
    assert_eq!(connected.await, "connected");
    assert!(most > descriptors + 100, "there was no flood: {most}");
    assert!(most < descriptors + 512 + WOBBLE, "{most} descriptors, {descriptors} before");
    assert_eq!(flood.next().await, "0", "every connection was taken");
    until("the descriptors are back", || parent.descriptors() < descriptors + WOBBLE).await;
    until("the memory is back", || parent.memory() < memory + MEBIBYTES).await;
    let refusals = parent.refusals();
    let done = parent.stop().await;
    // Had any failed, the parent had ended with it.
    assert!(done.calls > 50 && done.joins > 1, "{done:?}");
    assert!(done.slowest < Duration::from_secs(10), "{done:?}");
    for reason in ["crowded", "silent", "no-tls"] {
        let lines = refusals.iter().filter(|line| line.contains(&format!("reason=\"{reason}\""))).count();
        assert!((1..=11).contains(&lines), "{lines} lines of {reason}");
    }
    assert!(refusals.len() < 60, "{} lines for {CONNECTIONS} connections", refusals.len());
}

async fn a_parent_without_descriptors_takes_connections_again_once_it_has_some() {
    let mut parent = Watched::with_descriptors(100).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(parent.address()).await.unwrap());
    }
    let tells = |reason: &str| parent.refusals().iter().any(|line| line.contains(reason));
    until("there are none left", || tells("cannot-accept")).await;
    drop(silent);
    // Those are gone only if they were taken, and seen to have left.
    until("the descriptors are back", || parent.descriptors() < 60).await;
    let stranger = TcpStream::connect(parent.address()).await.unwrap();
    let mut stranger = tokio::io::BufStream::new(stranger);
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    stranger.flush().await.unwrap();
    let mut answer = Vec::new();
    let _ = stranger.read_to_end(&mut answer).await;
    assert_eq!(answer.first(), Some(&0x15), "it is answered by an alert: {answer:?}");
    assert!(parent.stop().await.calls > 0);
}

/// `ractor_cluster` insists on a listener of its own, which takes connections without bound.
async fn nothing_else_of_a_parent_can_be_reached() {
    let mut parent = Watched::start().await;
    let listening = listening(parent.pid());
    assert_eq!(listening.len(), 2, "{listening:?}");
    let mut reached = Vec::new();
    for (_, port) in &listening {
        for host in ["127.0.0.1", "224.0.0.1"] {
            if TcpStream::connect(format!("{host}:{port}")).await.is_ok() {
                reached.push(format!("{host}:{port}"));
            }
        }
    }
    assert_eq!(reached, [parent.address()], "{listening:?}");
    within(Duration::from_secs(20), "its line", || !parent.refusals().is_empty()).await;
    parent.stop().await;
}

/// Addresses and ports of the process' listeners.
fn listening(pid: u32) -> Vec<(String, u16)> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = files.filter_map(|file| Some(std::fs::read_link(file.path()).ok()?.to_string_lossy().into_owned()));
    let sockets: Vec<_> = links.collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (address, port) = fields[1].split_once(':').unwrap();
            // State 0A is LISTEN.
            if fields[3] == "0A" && sockets.contains(&format!("socket:[{}]", fields[9])) {
                found.push((address.to_owned(), u16::from_str_radix(port, 16).unwrap()));
            }
        }
    }
    found
}
