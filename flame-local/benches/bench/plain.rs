//! What ractor_cluster alone needs for a call: over a session of its own with another process, without TLS.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call, pg};
use ractor_cluster::node::NodeConnectionMode;
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage, client_connect};
use tokio::process::{Child, Command};

/// Makes this executable the other node; it is followed by the port to connect to.
pub(crate) const PLAIN: &str = "--plain";

const GROUP: &str = "plain-echo";
const COOKIE: &str = "cookie";
const BOUND: Duration = Duration::from_secs(10);

#[derive(RactorClusterMessage)]
pub(crate) enum PlainMsg {
    #[rpc]
    Echo(u64, RpcReplyPort<u64>),
}

struct PlainEcho;

impl Actor for PlainEcho {
    type Msg = PlainMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<PlainMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<PlainMsg>,
        PlainMsg::Echo(n, reply): PlainMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(n)?)
    }
}

/// An actor on the other node, which ends when this is dropped.
pub(crate) struct Plain {
    _process: Child,
    echo: ActorRef<PlainMsg>,
}

impl Plain {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        // Free a moment ago: the server takes a number and does not tell one.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        server(port).await?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([PLAIN, &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        let process = command.spawn()?;
        let found = async {
            loop {
                match pg::get_members(&GROUP.to_owned()).pop() {
                    Some(echo) => break ActorRef::from(echo),
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let echo = tokio::time::timeout(BOUND, found).await.context("the other node's actor is not to be seen")?;
        Ok(Self { _process: process, echo })
    }

    pub(crate) async fn echo(&self) -> anyhow::Result<u64> {
        call!(self.echo, PlainMsg::Echo, 1).map_err(|err| anyhow!("{err}"))
    }
}

async fn server(port: u16) -> anyhow::Result<ActorRef<NodeServerMessage>> {
    let name = format!("plain-{}", std::process::id());
    let isolated = Some(NodeConnectionMode::Isolated);
    let server = NodeServer::new(port, COOKIE.to_owned(), name, "localhost".to_owned(), None, isolated);
    Ok(Actor::spawn(None, server.with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST)), ()).await?.0)
}

/// The role of the other node, until its parent is gone.
pub(crate) fn serve(port: &str) -> anyhow::Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let port: u16 = port.parse()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (echo, _) = Actor::spawn(None, PlainEcho, ()).await?;
        pg::join(GROUP.to_owned(), vec![echo.get_cell()]);
        client_connect(&server(0).await?, (Ipv4Addr::LOCALHOST, port)).await?;
        std::future::pending().await
    })
}
