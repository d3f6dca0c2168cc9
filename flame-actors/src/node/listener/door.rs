//! The door of the listener: who waits behind it, for how long, and what a flood may cost.
//!
//! A connection counts as a stranger's until it has shown a token. Strangers are served by a thread of their own, since
//! their handshakes cost time and the runtime of links must have its own. A runner that is awaited says so in its first
//! words, by its knock, and is no stranger from then on: a flood from its own address cannot displace it.

use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::StartHandshake;

use super::Listener;
use super::quota::{Quota, Verdict};
use super::refusal::Refusal;
use super::room::Room;
use crate::node::join::HANDSHAKE_DEADLINE;
use crate::node::{runtime, tls};
use crate::report::report;

/// The target of the lines that tell who was refused, and why.
const REFUSED: &str = "flame_actors::refused";
/// So many strangers may wait, or as many as a quarter of this process' descriptors.
const PLACES: usize = 256;
/// After an error that will be there again, most likely for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Those who wait, and what was logged of them.
#[derive(Debug)]
struct Door {
    room: Mutex<Room<oneshot::Sender<()>>>,
    quota: Mutex<Quota>,
}

/// A place in the waiting room, which is free again when this is dropped.
struct Place {
    door: Arc<Door>,
    number: u64,
    displaced: oneshot::Receiver<()>,
    _socket: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.room.lock().leave(self.number);
    }
}

impl Place {
    /// Ends with the future, or when somebody else needs the place.
    async fn hold<T>(&mut self, future: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        tokio::select! {
            // First, so that nothing is computed for a connection that has to go.
            biased;
            _ = &mut self.displaced => Err(Refusal::Crowded),
            outcome = future => outcome,
        }
    }
}

impl Door {
    fn place(self: &Arc<Self>, from: SocketAddr, socket: OwnedSemaphorePermit) -> Place {
        let (displace, displaced) = oneshot::channel();
        let (number, goes) = self.room.lock().enter(from.ip(), displace);
        if let Some(goes) = goes {
            // It may just have ended by itself.
            let _ = goes.send(());
        }
        Place { door: Arc::clone(self), number, displaced, _socket: socket }
    }

    fn refused(self: &Arc<Self>, from: SocketAddr, refusal: &Refusal) {
        self.log(refusal.reason(), || {
            let (reason, why) = (refusal.reason(), refusal.to_string());
            report!(target: REFUSED, WARN, %from, reason, %why, "a connection was refused");
        });
    }

    /// Writes one line, or counts it.
    fn log(self: &Arc<Self>, reason: &'static str, line: impl FnOnce()) {
        let verdict = self.quota.lock().line(reason, std::time::Instant::now());
        match verdict {
            Verdict::Tell => line(),
            Verdict::Count => {}
            Verdict::CountUntil(due) => {
                let door = Arc::clone(self);
                runtime::spawn(async move {
                    tokio::time::sleep_until(due.into()).await;
                    let more = door.quota.lock().hidden(reason);
                    report!(target: REFUSED, WARN, reason, more, "more connections were refused");
                });
            }
        }
    }
}

/// Takes connections as long as the listener is there.
pub(super) async fn accept_loop(listener: Weak<Listener>, socket: TcpListener) {
    let places = getrlimit(Resource::Nofile).current.map_or(PLACES, |most| PLACES.min((most / 4) as usize)).max(1);
    let door = Arc::new(Door { room: Mutex::new(Room::new(places)), quota: Mutex::default() });
    // Those included that are displaced and not closed yet. Further connections wait in the kernel's queue meanwhile.
    let sockets = Arc::new(Semaphore::new(2 * places));
    loop {
        let permit = Arc::clone(&sockets).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = socket.accept().await;
        let Some(listener) = listener.upgrade() else { return };
        match accepted {
            Ok((stream, from)) => {
                let place = door.place(from, permit);
                strangers().spawn(receive(listener, stream, from, place));
            }
            Err(err) => {
                let reason = "cannot-accept";
                let kind = err.kind();
                listener.fail_all(&err);
                door.log(
                    reason,
                    || report!(target: REFUSED, WARN, reason, why = %err, "a connection was not accepted"),
                );
                if !matches!(kind, ConnectionAborted | ConnectionReset | Interrupted) {
                    // Descriptors may be short because of strangers.
                    let goes = door.room.lock().displace();
                    goes.map(|goes| goes.send(()));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// One connection, from its first byte to its last word here.
async fn receive(listener: Arc<Listener>, stream: TcpStream, from: SocketAddr, mut place: Place) {
    let deadline = Instant::now() + HANDSHAKE_DEADLINE;
    let door = Arc::clone(&place.door);
    let outcome = match place.hold(within(deadline, first_words(stream))).await {
        Err(refusal) => Err(refusal),
        Ok(start) => {
            let knock = start.client_hello().alpn().and_then(tls::knock_in).map(str::to_owned);
            let rest = Arc::clone(&listener).shake_hands(start);
            if knock.is_some_and(|knock| listener.is_knock(&knock)) {
                drop(place);
                // Its time begins when it is served: until then it is this node that is slow.
                let served = async move { within(Instant::now() + HANDSHAKE_DEADLINE, rest).await };
                runtime::spawn(served).await.unwrap_or(Err(Refusal::Left))
            } else {
                place.hold(within(deadline, rest)).await
            }
        }
    };
    if let Err(refusal) = outcome {
        door.refused(from, &refusal);
    }
}

async fn first_words(stream: TcpStream) -> Result<StartHandshake<TcpStream>, Refusal> {
    stream.set_nodelay(true).map_err(|_| Refusal::Left)?;
    LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(Refusal::of_tls)
}

async fn within<T>(deadline: Instant, future: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    timeout_at(deadline, future).await.unwrap_or(Err(Refusal::Silent))
}

/// Where the handshakes of strangers are computed. Their sockets are driven by the runtime of links, as they are
/// later.
pub(super) fn strangers() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            runtime::quiet("flame-door")
                .worker_threads(1)
                .enable_time()
                .build()
                .expect("the operating system grants one thread")
        })
        .handle()
}
