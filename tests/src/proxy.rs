//! A network between parent and runners that can fail.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{ADVERTISE, LISTEN};

/// A TCP proxy in front of a [`Role`](crate::Role) that is a parent: its runners are told to dial the proxy.
///
/// While it holds a direction nothing passes there, the ends of connections neither; what was held passes when it goes
/// on, if anyone is left to take it.
#[derive(Debug)]
pub struct Proxy {
    front: SocketAddr,
    back: SocketAddr,
    flow: Arc<watch::Sender<Flow>>,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    holds_up: bool,
    holds_down: bool,
    /// The first connection passes all the same.
    spares_first: bool,
    resets: u32,
    /// The one that is reset, in the order in which they were made; otherwise all.
    only: Option<usize>,
}

/// Which way: up is from the runners to their parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the runners.
    Up,
    /// To the runners.
    Down,
    /// Both.
    Both,
}

impl Proxy {
    /// Starts one, for one parent.
    pub async fn start() -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let front = socket.local_addr().expect("it is bound");
        // The same port, which nobody else is given as long as it is taken here.
        let back = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), front.port());
        let flow = Arc::new(watch::Sender::new(Flow::default()));
        let accepted = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn(accept(socket, back, Arc::clone(&flow), Arc::clone(&accepted)));
        Self { front, back, flow, accepted, accepting }
    }

    /// What the role needs in its environment.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [(LISTEN, self.back.to_string()), (ADVERTISE, self.front.to_string())]
    }

    /// How many connections were made through it.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Lets nothing more pass this way, and nobody notice.
    pub fn hold(&self, way: Way) {
        self.flow.send_modify(|flow| {
            flow.holds_up |= way != Way::Down;
            flow.holds_down |= way != Way::Up;
        });
    }

    /// Holds all connections but the first one, which is the link of the first runner.
    pub fn hold_all_but_the_first(&self) {
        self.flow.send_modify(|flow| flow.spares_first = true);
        self.hold(Way::Both);
    }

    /// Lets everything pass again.
    pub fn resume(&self) {
        self.flow.send_modify(|flow| *flow = Flow { resets: flow.resets, ..Flow::default() });
    }

    /// Resets all connections that there are.
    pub fn reset(&self) {
        self.flow.send_modify(|flow| flow.resets += 1);
    }

    /// Resets one connection: the link is the first, its session the second, and the third whatever came then.
    pub fn reset_only(&self, nth: usize) {
        self.flow.send_modify(|flow| (flow.resets, flow.only) = (flow.resets + 1, Some(nth)));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(socket: TcpListener, to: SocketAddr, flow: Arc<watch::Sender<Flow>>, accepted: Arc<AtomicUsize>) {
    while let Ok((runner, _)) = socket.accept().await {
        let this = accepted.fetch_add(1, Ordering::Relaxed) + 1;
        let first = this == 1;
        let mut ended = flow.subscribe();
        ended.mark_unchanged();
        let (flow, resets) = (flow.subscribe(), ended.borrow().resets);
        tokio::spawn(async move {
            let Ok(parent) = TcpStream::connect(to).await else { return };
            // It waits for nothing that a network does not wait for.
            let _ = runner.set_nodelay(true).and_then(|()| parent.set_nodelay(true));
            let (mut runner, mut parent) = (runner, parent);
            let is_reset = {
                let (mut runner_reads, mut runner_writes) = runner.split();
                let (mut parent_reads, mut parent_writes) = parent.split();
                tokio::select! {
                    _ = async {
                        tokio::join!(
                            pump(&mut runner_reads, &mut parent_writes, flow.clone(), move |flow| flow.holds_up && !(first && flow.spares_first)),
                            pump(&mut parent_reads, &mut runner_writes, flow.clone(), move |flow| flow.holds_down && !(first && flow.spares_first)),
                        )
                    } => false,
                    // An error says that the proxy is gone.
                    reset = ended.wait_for(|flow| flow.resets > resets && flow.only.is_none_or(|only| only == this)) => reset.is_ok(),
                }
            };
            if is_reset {
                let _ = runner.set_zero_linger().and_then(|()| parent.set_zero_linger());
            }
        });
    }
}

/// Passes on what comes, its end too, except while that is held.
async fn pump<R, W>(from: &mut R, to: &mut W, mut flow: watch::Receiver<Flow>, holds: impl Fn(&Flow) -> bool)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await;
        if flow.wait_for(|flow| !holds(flow)).await.is_err() {
            return;
        }
        match read {
            Ok(some @ 1..) if to.write_all(&bytes[..some]).await.is_ok() => {}
            _ => break,
        }
    }
    let _ = to.shutdown().await;
}
