//! Two ends over TLS, and an end that hears anything.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::*;
use crate::error::{Cause, ChildError};
use crate::node::frame::Exit;
use crate::node::join::Secret;
use crate::node::tls;

type Loss = watch::Sender<Option<Exit>>;

/// A connection whose other end is here, too; what tells of the loss of the node at its other end.
async fn wire() -> (Wire, TlsStream<TcpStream>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    let near = socket.accept().await.unwrap().0;
    let authority = tls::Authority::mint().unwrap();
    let connector = authority.identity("web.a").unwrap().connector(&Secret(tls::token())).unwrap();
    let acceptor = TlsAcceptor::from(authority.server());
    let (near, far) = tokio::join!(acceptor.accept(near), connector.connect(tls::parent_name(), far));
    let wire = Wire::accepted(TlsStream::Server(near.unwrap()), Weak::new(), "web.a".into());
    (wire, TlsStream::Client(far.unwrap()))
}

fn lost() -> (Loss, Lost) {
    let (loss, end) = watch::channel(None);
    (loss, Lost::new(Arc::from("web.a"), end))
}

async fn reads(inbound: &mut Inbound) -> (Vec<u8>, Result<(), StreamError>) {
    let mut all = Vec::new();
    loop {
        let mut bytes = [0; 700];
        let mut buf = ReadBuf::new(&mut bytes);
        match poll_fn(|cx| inbound.poll_read(cx, &mut buf)).await {
            Ok(()) if buf.filled().is_empty() => return (all, Ok(())),
            Ok(()) => all.extend_from_slice(buf.filled()),
            Err(err) => return (all, Err(err)),
        }
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

fn broken() -> StreamError {
    StreamError::NodeLost { node: "web.a".to_owned(), cause: Cause::ConnectionClosed }
}

/// What a reader makes of these bytes, after which the connection ends.
async fn makes_of(said: &[u8]) -> (Vec<u8>, Result<(), StreamError>) {
    let (wire, mut far) = wire().await;
    let (_loss, lost) = lost();
    let mut inbound = Inbound::new(wire, lost);
    let say = async {
        // It may hang up before.
        let _ = far.write_all(said).await;
        let _ = far.shutdown().await;
    };
    tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(reads(&mut inbound), say).0 })
        .await
        .expect("it ends")
}

#[tokio::test]
async fn the_count_is_checked() {
    let said = [chunk(b"all "), chunk(b"is well"), encode(&Word::Finished { bytes: 11 })].concat();
    assert_eq!(makes_of(&said).await, (b"all is well".to_vec(), Ok(())));
    let said = [chunk(b"all "), encode(&Word::Finished { bytes: 11 })].concat();
    let short = StreamError::TooShort { expected: 11, got: 4 };
    assert_eq!(makes_of(&said).await, (b"all ".to_vec(), Err(short)));
}

#[tokio::test]
async fn what_nobody_says_breaks_the_connection() {
    let too_long = (WORD | (MAX_WORD_BYTES as u32)).to_be_bytes().to_vec();
    let unknown = [(WORD | 3).to_be_bytes().to_vec(), vec![0xff; 3]].concat();
    let mine = encode(&Word::Received { bytes: 0 });
    let nothing = vec![0; 4];
    let half = 100_u32.to_be_bytes().to_vec();
    for said in [too_long, unknown, mine, nothing, half, Vec::new()] {
        assert_eq!(makes_of(&[chunk(b"all "), said].concat()).await, (b"all ".to_vec(), Err(broken())));
    }
}

#[tokio::test]
async fn the_loss_of_the_node_is_told_while_nothing_comes() {
    let (wire, far) = wire().await;
    let (loss, lost) = lost();
    let mut inbound = Inbound::new(wire, lost);
    let exit = Exit::Failed(ChildError::RunnerLost { node: "web.a".to_owned(), cause: Cause::LeaseExpired });
    let (read, ()) = tokio::join!(reads(&mut inbound), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        loss.send_replace(Some(exit));
    });
    assert_eq!(read.1, Err(StreamError::NodeLost { node: "web.a".to_owned(), cause: Cause::LeaseExpired }));
    drop(far);
}

#[tokio::test]
async fn the_loss_of_the_node_is_told_while_nothing_can_be_written() {
    let (wire, far) = wire().await;
    let (loss, lost) = lost();
    let mut out = Outbound::new(wire, lost);
    let exit = Exit::Failed(ChildError::RunnerLost { node: "web.a".to_owned(), cause: Cause::LeaseExpired });
    let write = async {
        loop {
            match poll_fn(|cx| out.poll_room(cx).map_ok(|room| room.len())).await {
                Ok(room) => out.fill(room),
                Err(err) => return err,
            }
        }
    };
    let (err, ()) = tokio::join!(write, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        loss.send_replace(Some(exit));
    });
    assert_eq!(err, StreamError::NodeLost { node: "web.a".to_owned(), cause: Cause::LeaseExpired });
    drop(far);
}

/// All of it, and then that it was all.
async fn writes(wire: Wire) -> Result<u64, StreamError> {
    let (_loss, lost) = lost();
    let mut out = Outbound::new(wire, lost);
    let room = poll_fn(|cx| out.poll_room(cx).map_ok(|room| room[..4].copy_from_slice(b"all "))).await;
    room.map(|()| out.fill(4))?;
    poll_fn(|cx| out.poll_finish(cx)).await
}

#[tokio::test]
async fn a_writer_is_content_with_the_right_count_only() {
    for (word, outcome) in [
        (Word::Received { bytes: 4 }, Ok(4)),
        (Word::Received { bytes: 3 }, Err(broken())),
        (Word::Failed(StreamError::ReaderGone), Err(StreamError::ReaderGone)),
        (Word::Finished { bytes: 4 }, Err(broken())),
    ] {
        let (wire, mut far) = wire().await;
        let written = tokio::spawn(writes(wire));
        let expected = [chunk(b"all "), encode(&Word::Finished { bytes: 4 })].concat();
        let mut heard = vec![0; expected.len()];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, expected);
        assert!(!written.is_finished(), "it waits for the reader");
        far.write_all(&encode(&word)).await.unwrap();
        far.flush().await.unwrap();
        assert_eq!(written.await.unwrap(), outcome);
    }
}

/// Also where no runtime has timers.
#[test]
fn a_broken_connection_is_told_outside_a_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (wire, far) = runtime.block_on(wire());
    let (_loss, lost) = lost();
    let mut inbound = Inbound::new(wire, lost);
    drop(far);
    let mut bytes = [0; 10];
    let read = std::thread::scope(|scope| {
        let read = || {
            let mut buf = ReadBuf::new(&mut bytes);
            futures_executor(poll_fn(|cx| inbound.poll_read(cx, &mut buf)))
        };
        scope.spawn(read).join().expect("no panic")
    });
    assert_eq!(read, Err(broken()));
}

/// The simplest there is.
fn futures_executor<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        any::<u64>().prop_map(|bytes| Word::Finished { bytes }),
        (0_u64..40).prop_map(|bytes| Word::Finished { bytes }),
        ".{0,40}".prop_map(|text| Word::Failed(StreamError::Source(text))),
        Just(Word::Failed(StreamError::Cancelled)),
        any::<u64>().prop_map(|bytes| Word::Received { bytes }),
    ]
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(|bytes| chunk(&bytes)),
        word().prop_map(|word| encode(&word)),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

/// What `Hearing` makes of these bytes, given in parts.
fn hears(said: &[u8], part: usize) -> Vec<String> {
    let mut parts = tokio_test_reader(said, part);
    let (mut hearing, mut all) = (Hearing::default(), Vec::new());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        match hearing.poll(&mut cx, &mut parts) {
            Poll::Ready(Ok(Heard::Bytes(len))) => all.push(format!("{len} bytes")),
            Poll::Ready(Ok(Heard::Word(word))) => all.push(format!("{word:?}")),
            Poll::Ready(Err(err)) => {
                all.push(err.to_string());
                return all;
            }
            Poll::Pending => unreachable!("it never waits"),
        }
    }
}

/// At most so many bytes at a time.
fn tokio_test_reader(said: &[u8], part: usize) -> impl AsyncRead + Unpin + '_ {
    struct Parts<'a>(&'a [u8], usize);
    impl AsyncRead for Parts<'_> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let (now, later) = self.0.split_at(self.1.min(self.0.len()).min(buf.remaining()));
            buf.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }
    Parts(said, part)
}

proptest! {
    /// Heard byte by byte it is the same, and it always ends.
    #[test]
    fn anything_is_heard_to_its_end(said in said(), part in 1_usize..9) {
        prop_assert_eq!(hears(&said, part), hears(&said, usize::MAX));
    }
}

proptest! {
    // Many at a time, since each that breaks is given a second in which to hear of a loss.
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 10, ..ProptestConfig::default() })]

    #[test]
    fn both_ends_come_to_an_end_whatever_is_said(all in prop::collection::vec(said(), 16)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(futures_util::future::join_all(all.iter().map(|said| async {
            let (bytes, _) = makes_of(said).await;
            assert!(bytes.len() <= said.len());
            let (wire, mut far) = wire().await;
            let say = async {
                let _ = far.write_all(said).await;
                let _ = far.shutdown().await;
            };
            let written = async { tokio::join!(writes(wire), say).0 };
            tokio::time::timeout(Duration::from_secs(20), written).await.expect("it ends").unwrap_err();
        })));
    }
}
