//! A chat server: each room is an actor on a runner, and comes back when that is killed.
//!
//! Run with
//!
//! ```not_rust
//! cargo run -p rooms
//! ```
//!
//! and connect with `nc 127.0.0.1 7000`, from several terminals. `--help` lists the options. This is one of two clients
//! in a room, as its terminal showed it:
//!
//! ```not_rust
//! * you are guest-1; /join ROOM, /name NAME, /who, /where, /kill the runner of your room, /crash your room, /quit; all else is said
//! /name alice
//! * you are alice
//! /join tea
//! * you are in tea
//! * bob has joined
//! hello
//! alice: hello
//! bob: good morning
//! /where
//! * tea is in process 30998 on runner rooms-01m7yejfc682xbdvhh2jbcanqr.rooms-01m7yejgesdrvk53k1kby0t847
//! /kill
//! * tea is down: runner rooms-01m7yejfc682xbdvhh2jbcanqr.rooms-01m7yejgesdrvk53k1kby0t847 was lost: its process was ended by signal 9
//! * tea is back
//! bob: are you still there?
//! yes, on the same connection
//! alice: yes, on the same connection
//! /where
//! * tea is in process 31617 on runner rooms-01m7yejfc682xbdvhh2jbcanqr.rooms-01m7yejmfamzdps0kwhvjxvx84
//! /who
//! * in tea: alice, bob
//! /quit
//! * bye
//! ```
//!
//! # Who is who
//!
//! ```not_rust
//! server                                           runner
//! ──────                                           ──────
//! Lobby      who is here, and in which room
//!  └ Client  one per connection  ◄── ClientMsg ──  Room   who is in it, and what was said last
//!            Talk, its commands  ─── RoomMsg ───►
//! ```
//!
//! | file | what it shows |
//! | --- | --- |
//! | `room.rs` | the placed actor; it sends each line to the clients' actors itself, whose refs it got in a message |
//! | `lobby.rs` | `place_child` with `Restart::Permanent`, the pool's events, and the end of a room as a monitor is told it |
//! | `connection.rs` | a client's commands; its ref to the room is good for all incarnations of that |
//! | `client.rs`, `lines.rs` | bounds for a client that does not read, and for one that sends anything |
//! | `history.rs` | the state that outlives an incarnation: `Snapshot` in `room.rs` hands it over after each line |
//!
//! # What is lost with a runner, and what is not
//!
//! Lost are the messages that were on their way to its rooms or from them, and of what was said the line or so whose
//! snapshot was on its way. Not lost are the connections, the rooms' refs, what is said to a room while it is down, the
//! last lines before that, and who is in it, since the lobby knows that and each incarnation of a room asks it before its
//! first message.
//!
//! A line that comes back to its speaker was said in the room. One that does not was lost, or the room was before it
//! had told everybody: nothing is sent twice.
//!
//! # Bounds
//!
//! | of | is | beyond it |
//! | --- | --- | --- |
//! | clients | `--clients` | are told so, and disconnected |
//! | rooms | `--runners` times `--rooms` | are refused; an empty room ends |
//! | a line | 4,096 bytes of UTF-8 | it is dropped as it comes, and its sender is told |
//! | lines for a client that does not read | 256, and what the system buffers | it is disconnected |
//! | lines of a client that the room has not taken | 2 | nothing more is read from it |
//! | lines from a room to a client's actor | 16 | the room waits for the server, and never for a client |
//! | failures of a room | 10 within 60 s | it ends for good, and is opened by the next `/join`; lost runners do not count |
//!
//! Whoever can connect can talk, and kill runners: it listens on the loopback interface unless told otherwise.

mod cli;
mod client;
mod connection;
mod history;
mod lines;
mod lobby;
mod room;

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser as _;
use flame_actors::ractor::{Actor, ActorRef};
use flame_actors::{Node, Pool};
use flame_local::ProcessBackend;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::cli::Cli;
use crate::lobby::{Limits, Lobby, LobbyMsg};

/// After a failed `accept`, as when there are no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,ractor_cluster=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Cli { listen, runners, rooms, clients } = Cli::parse();
    let node = Node::start().await?;
    let pool = Pool::builder("rooms")
        .max(runners.into())
        .max_concurrency(rooms.into())
        .backend(ProcessBackend::new())
        .start(&node)
        .await?;
    if node.is_runner() {
        // It takes rooms; all that follows is the parent's.
        return Ok(node.serve().await?);
    }

    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let limits = Limits { clients: clients.into(), rooms: usize::from(runners) * usize::from(rooms) };
    let (lobby, lobby_ended) = Actor::spawn(None, Lobby, (pool, limits)).await?;
    println!("talk to it with: nc {} {}", address.ip(), address.port());
    tokio::select! {
        never = accept(listener, lobby) => match never {},
        _ = lobby_ended => {
            node.shutdown().await;
            bail!("the lobby has ended");
        }
        // The rooms end with their pool, and the connections with `main`.
        ended = node.shutdown_on_signal() => Ok(ended?),
    }
}

async fn accept(listener: TcpListener, lobby: ActorRef<LobbyMsg>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection::talk(stream, lobby.clone()))),
            Err(err) => {
                tracing::warn!(%err, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
