//! Run with `cargo bench -p flame-local --bench calls`; pin it with `taskset -c 0` where latency is compared.
//!
//! What a call costs beside the floor of a bare tokio TLS 1.3 ping-pong, measured in the same run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{InProcess, Message, Node, Pool, placeable, remote, task};
use flame_local::ProcessBackend;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ROUNDS: usize = 10_000;

#[remote]
async fn nothing() {}

#[derive(Message)]
enum EchoMsg {
    Echo(u64, RpcReplyPort<u64>),
}

struct Echo;

#[placeable]
impl Actor for Echo {
    type Msg = EchoMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EchoMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<EchoMsg>,
        EchoMsg::Echo(n, reply): EchoMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(n)?)
    }
}

fn main() -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().worker_threads(2).build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let node = Node::start().await?;
    let pool = Pool::builder("bench").max_concurrency(1000).backend(ProcessBackend::new()).start(&node).await?;
    if node.is_runner() {
        return Ok(node.serve().await?);
    }
    let floor = tls_ping_pong().await?;
    println!("{:<44} {:>10.1} µs", "bare TLS 1.3 ping-pong, p50", micros(floor));

    let mut cold = Vec::new();
    for round in 0..10 {
        let pool = Pool::builder(format!("cold-{round}")).backend(ProcessBackend::new()).start(&node).await?;
        let start = Instant::now();
        pool.call(nothing()).await?;
        cold.push(start.elapsed());
        pool.shutdown().await;
    }
    println!("{:<44} {:>10.1} ms", "first call from zero, process, p50", micros(p50(&mut cold)) / 1e3);

    let runner = pool.call(task!([] -> u32 { std::process::id() })).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    println!("{:<44} {:>10.1} MiB", "idle runner, resident", resident(runner)? / 1024.0 / 1024.0);

    let mut warm = times(async || pool.call(nothing()).await).await?;
    row("warm call, process, p50", p50(&mut warm), floor);
    let echo = pool.place_child(Echo, ()).await?;
    let mut calls = times(async || call!(echo, EchoMsg::Echo, 1)).await?;
    row("call to a placed child, process, p50", p50(&mut calls), floor);
    let mut placed = Vec::new();
    for _ in 0..1000 {
        let start = Instant::now();
        let child = pool.place_child(Echo, ()).await?;
        placed.push(start.elapsed());
        child.stop(None);
    }
    row("place_child on a warm runner, process, p50", p50(&mut placed), floor);

    let start = Instant::now();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..ROUNDS / 16 {
                    pool.call(nothing()).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let per_second = (64 * (ROUNDS / 16)) as f64 / start.elapsed().as_secs_f64();
    println!("{:<44} {per_second:>10.0} /s", "calls, process, 64 in flight");

    let inside = Pool::builder("inside").backend(InProcess::new()).start(&node).await?;
    inside.call(nothing()).await?;
    let mut warm = times(async || inside.call(nothing()).await).await?;
    println!("{:<44} {:>10.1} µs", "warm call, in process, p50", micros(p50(&mut warm)));
    node.shutdown().await;
    Ok(())
}

async fn times<T, E: Into<anyhow::Error>>(
    mut work: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work().await.map_err(Into::into)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn row(name: &str, time: Duration, floor: Duration) {
    println!("{name:<44} {:>10.1} µs  {:.1} × floor", micros(time), micros(time) / micros(floor));
}

fn p50(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn resident(process: u32) -> anyhow::Result<f64> {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: f64 = statm.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * rustix::param::page_size() as f64)
}

/// 16 bytes there and back, over loopback TCP and TLS 1.3; the other end is a process of its own.
async fn tls_ping_pong() -> anyhow::Result<Duration> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["bench".to_owned()])?.self_signed(&key)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // A thread with a runtime of its own stands for the other process: as many switches, no fork.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            listener.set_nonblocking(true)?;
            let (socket, _) = tokio::net::TcpListener::from_std(listener)?.accept().await?;
            socket.set_nodelay(true)?;
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(socket).await?;
            let mut bytes = [0; 16];
            loop {
                stream.read_exact(&mut bytes).await?;
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            #[allow(unreachable_code)]
            std::io::Result::Ok(())
        })
    });
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = tokio::net::TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut stream = TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("bench")?, socket).await?;
    let mut bytes = [7; 16];
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        stream.read_exact(&mut bytes).await?;
        times.push(start.elapsed());
    }
    Ok(p50(&mut times))
}
