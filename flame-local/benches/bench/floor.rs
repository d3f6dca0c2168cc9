//! What the operating system and TLS alone cost: a bare tokio TLS 1.3 ping-pong with another process, and a process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Makes this executable the other end of the ping-pong.
pub(crate) const PEER: &str = "--peer";
/// Makes this executable end at once.
pub(crate) const NOTHING: &str = "--nothing";

const NAME: &str = "peer";
const PING: usize = 16;
/// The first byte of a copy: the peer takes what follows, and says at its end that it has it.
const COPY: u8 = b'c';
/// What reads and writes of many bytes are made of.
pub(crate) const CHUNK: usize = 64 * 1024;
/// What a ping is made of that asks for more than itself: as much as can be written.
const SEND: u8 = 9;

/// The other end, a process of its own like a runner. It ends when this is dropped.
pub(crate) struct Peer {
    process: Child,
    address: SocketAddr,
    connector: TlsConnector,
}

/// What it says when it listens.
#[derive(Serialize, Deserialize)]
struct Listening {
    port: u16,
    certificate: Vec<u8>,
}

impl Peer {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(PEER).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("it was asked for")?).read_line(&mut line).await?;
        let Listening { port, certificate } = serde_json::from_str(&line)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certificate))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { process, address, connector: TlsConnector::from(Arc::new(config)) })
    }

    pub(crate) fn process(&self) -> anyhow::Result<u32> {
        self.process.id().context("the peer has ended")
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        Ok(Connection(self.connector.connect(ServerName::try_from(NAME)?, socket).await?))
    }
}

pub(crate) struct Connection(client::TlsStream<TcpStream>);

impl Connection {
    /// 16 bytes there and back.
    pub(crate) async fn ping(&mut self) -> anyhow::Result<()> {
        self.0.write_all(&[7; PING]).await?;
        self.0.flush().await?;
        self.0.read_exact(&mut [0; PING]).await?;
        Ok(())
    }

    /// How many pings a second come back when so many are under way; what has come back goes out again in one record.
    pub(crate) async fn pings(&mut self, in_flight: usize, total: usize) -> anyhow::Result<f64> {
        let mut bytes = vec![7; PING * in_flight];
        let (start, mut back) = (Instant::now(), 0);
        self.0.write_all(&bytes).await?;
        self.0.flush().await?;
        while back < PING * total {
            let read = self.0.read(&mut bytes).await?;
            ensure!(read > 0, "the peer has ended");
            back += read;
            self.0.write_all(&bytes[..read]).await?;
            self.0.flush().await?;
        }
        let rate = per_second(back / PING, start);
        self.0.read_exact(&mut bytes).await?;
        Ok(rate)
    }
}

impl Connection {
    /// Copies a file to the peer, up to its word that it has all; gives the bytes per second.
    pub(crate) async fn copy(mut self, file: &Path) -> anyhow::Result<f64> {
        let start = Instant::now();
        self.0.write_all(&[COPY]).await?;
        let mut file = tokio::fs::File::open(file).await?;
        let (mut bytes, mut buf) = (0, vec![0; CHUNK]);
        loop {
            let read = file.read(&mut buf).await?;
            if read == 0 {
                break;
            }
            self.0.write_all(&buf[..read]).await?;
            bytes += read;
        }
        self.0.shutdown().await?;
        ensure!(self.0.read_u64().await? == bytes as u64, "the peer has not got all of it");
        Ok(per_second(bytes, start))
    }

    /// How many items of this size a second come when the other end does nothing but write. It does so for ever.
    pub(crate) async fn items(mut self, size: usize, total: usize) -> anyhow::Result<f64> {
        let (mut bytes, mut left) = (vec![0; CHUNK], size * total);
        let start = Instant::now();
        self.0.write_all(&[SEND; PING]).await?;
        self.0.flush().await?;
        while left > 0 {
            let read = self.0.read(&mut bytes).await?;
            ensure!(read > 0, "the peer has ended");
            left = left.saturating_sub(read);
        }
        Ok(per_second(total, start))
    }
}

/// How many pings a second come back over all these connections together, one at a time on each.
pub(crate) async fn pings_over(connections: &mut Vec<Connection>, each: usize) -> anyhow::Result<f64> {
    let (start, count) = (Instant::now(), connections.len() * each);
    let mut pinging: JoinSet<anyhow::Result<Connection>> = JoinSet::new();
    for mut connection in connections.drain(..) {
        pinging.spawn(async move {
            for _ in 0..each {
                connection.ping().await?;
            }
            Ok(connection)
        });
    }
    while let Some(connection) = pinging.join_next().await {
        connections.push(connection??);
    }
    Ok(per_second(count, start))
}

pub(crate) fn per_second(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

/// Starts this executable, which does nothing, and waits for its end.
pub(crate) async fn process() -> anyhow::Result<()> {
    let status = Command::new(std::env::current_exe()?).arg(NOTHING).status().await?;
    ensure!(status.success(), "a process that does nothing failed: {status}");
    Ok(())
}

/// The role of the peer: sends back what it gets, until its parent is gone.
pub(crate) fn serve() -> anyhow::Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let listening = Listening { port: listener.local_addr()?.port(), certificate: certificate.der().to_vec() };
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&listening)?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move { reflect(acceptor.accept(socket).await?).await });
        }
    })
}

async fn reflect(mut stream: server::TlsStream<TcpStream>) -> std::io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            read if bytes[0] == COPY => return take(stream, read - 1).await,
            _ if bytes[0] == SEND => loop {
                stream.write_all(&[SEND; CHUNK]).await?;
            },
            read => {
                stream.write_all(&bytes[..read]).await?;
                stream.flush().await?;
            }
        }
    }
}

/// Takes the rest of a copy, of which some has come already.
async fn take(mut stream: server::TlsStream<TcpStream>, mut taken: usize) -> std::io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    loop {
        match stream.read(&mut bytes).await? {
            0 => break,
            read => taken += read,
        }
    }
    stream.write_u64(taken as u64).await?;
    stream.shutdown().await
}
