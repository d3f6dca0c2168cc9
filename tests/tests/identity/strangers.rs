//! Clients that know the address and nothing else.

use std::time::{Duration, Instant};

use flame_actors::{Pool, task};
use flame_tests::{Runners, Spy, eventually, node, trials};
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::tls::{Client, client_hello, framed};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        plain_bytes_get_nowhere,
        a_client_without_certificate_gets_nowhere,
        a_client_of_another_authority_gets_nowhere,
        a_client_that_never_ends_its_first_message_is_ended_at_the_deadline,
        silent_clients_keep_nobody_from_joining,
        clients_that_come_and_go_keep_nobody_from_joining,
    ]
}

/// A pool with a runner, and the address of this node.
async fn listening() -> (Pool, String) {
    let spy = Spy::default();
    let pool = Runners::Processes.pool().max(2).max_concurrency(1).backend(spy.clone()).start(&node()).await.unwrap();
    pool.call(task!([] {})).await.unwrap();
    let address = spy.address().expect("something was booted");
    (pool, address)
}

/// The runner that there is works, and another one can join.
async fn assert_works(pool: &Pool) {
    let pause = || task!([] { tokio::time::sleep(std::time::Duration::from_millis(300)).await });
    let both = async { tokio::join!(pool.call(pause()), pool.call(pause())) };
    let (one, two) = eventually("two calls", both).await;
    one.unwrap();
    two.unwrap();
}

async fn plain_bytes_get_nowhere() {
    let (pool, address) = listening().await;
    let big = vec![0xff; 1 << 20];
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], b"\x16\x03\x01\x02\x00\x01", &big] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        // The other side may close before all is written.
        let _ = socket.write_all(bytes).await;
        let _ = socket.shutdown().await;
        let mut answer = Vec::new();
        let _ = eventually("the end of the connection", socket.read_to_end(&mut answer)).await;
        // A TLS alert is all that may come.
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
        assert!(answer.len() < 20);
    }
    assert_works(&pool).await;
    pool.shutdown().await;
}

async fn a_client_without_certificate_gets_nowhere() {
    let (pool, address) = listening().await;
    let said = Client::anonymous().say(&address, &framed(&"hello")).await;
    assert!(said.is_err(), "it heard {said:?}");
    assert_works(&pool).await;
    pool.shutdown().await;
}

async fn a_client_of_another_authority_gets_nowhere() {
    let (pool, address) = listening().await;
    let said = Client::stranger().say(&address, &framed(&"hello")).await;
    assert!(said.is_err(), "it heard {said:?}");
    assert_works(&pool).await;
    pool.shutdown().await;
}

/// The deadline is one for all, and not one for each byte.
async fn a_client_that_never_ends_its_first_message_is_ended_at_the_deadline() {
    let (pool, address) = listening().await;
    // From an address of its own: the floods of other trials displace the oldest of theirs.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.9.9:0".parse().unwrap()).unwrap();
    let mut socket = socket.connect(address.parse().unwrap()).await.unwrap();
    let start = Instant::now();
    let trickle = async {
        for byte in client_hello() {
            if socket.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("the whole message was taken");
    };
    eventually("the end of the connection", trickle).await;
    assert!(start.elapsed() > Duration::from_secs(9), "it took {:?}", start.elapsed());
    pool.shutdown().await;
}

async fn silent_clients_keep_nobody_from_joining() {
    let (pool, address) = listening().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    let start = Instant::now();
    assert_works(&pool).await;
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
    drop(silent);
    pool.shutdown().await;
}

async fn clients_that_come_and_go_keep_nobody_from_joining() {
    let (pool, address) = listening().await;
    let noise = tokio::spawn(async move {
        loop {
            let _ = TcpStream::connect(&address).await;
            tokio::task::yield_now().await;
        }
    });
    assert_works(&pool).await;
    noise.abort();
    pool.shutdown().await;
}
