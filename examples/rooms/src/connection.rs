//! One client's connection: its commands, and the way of lines to its terminal.

use std::time::Duration;

use anyhow::Result;
use flame_actors::BoundedSender;
use flame_actors::ractor::rpc::CallResult;
use flame_actors::ractor::{Actor, ActorRef, RpcReplyPort, call};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use crate::client::{Client, ClientMsg};
use crate::lines::{LONGEST, Line, Lines};
use crate::lobby::LobbyMsg;
use crate::room::RoomMsg;

/// So many lines wait for a client that does not read; with one more it is disconnected.
const UNREAD: usize = 256;
/// So many lines of one client are on their way to its room; then nothing more is read from it. With 256 clients, no
/// more than the 1,000 messages that a room that is down keeps.
const UNDER_WAY: usize = 2;
/// How long a client that is leaving may take to read its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

const NO_ROOM: &str = "you are in no room: /join ROOM";
const HELP: &str =
    "/join ROOM, /name NAME, /who, /where, /kill the runner of your room, /crash your room, /quit; all else is said";

/// Talks with a client until one side has enough.
pub(crate) async fn talk(stream: TcpStream, lobby: ActorRef<LobbyMsg>) {
    let (read, write) = stream.into_split();
    let (queue, lines) = channel(UNREAD);
    // Linked to the lobby, which so learns of its end, whatever ends it.
    let Ok((client, ended)) = Actor::spawn_linked(None, Client, queue.clone(), lobby.get_cell()).await else { return };
    let talk = Talk { lobby, id: client.get_id().pid(), queue, room: None };
    let mut writer = tokio::spawn(write_lines(write, lines));
    tokio::select! {
        taken = talk.take_commands(client.clone(), read) => {
            if let Err(err) = taken {
                tracing::debug!(%err, "a connection ended");
            }
        }
        _ = ended => {}
        _ = &mut writer => return client.stop(None),
    }
    client.stop(None);
    if timeout(LAST_LINES, &mut writer).await.is_err() {
        writer.abort();
    }
}

/// Ends when nobody has a line for the client any more, or the client has closed.
async fn write_lines(mut to: OwnedWriteHalf, mut lines: Receiver<String>) {
    while let Some(line) = lines.recv().await {
        if to.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What a client says, and where it is.
struct Talk {
    lobby: ActorRef<LobbyMsg>,
    id: u64,
    queue: Sender<String>,
    /// The ref that came with the answer to `/join`: it is good for all incarnations of the room.
    room: Option<BoundedSender<RoomMsg>>,
}

impl Talk {
    async fn take_commands(mut self, client: ActorRef<ClientMsg>, read: OwnedReadHalf) -> Result<()> {
        match call!(self.lobby, LobbyMsg::Enter, client)? {
            Ok(name) => self.tell(format!("* you are {name}; {HELP}")).await?,
            Err(words) => return self.tell(format!("* {words}")).await,
        }
        let mut lines = Lines::new(BufReader::new(read));
        while let Some(line) = lines.next().await? {
            let answer = match line {
                Line::Text(text) if text == "/quit" => return self.tell("* bye".to_owned()).await,
                Line::Text(text) => self.take(text).await?,
                Line::TooLong => Some(format!("a line over {LONGEST} bytes was dropped")),
                Line::NotUtf8 => Some("a line that is not UTF-8 was dropped".to_owned()),
            };
            if let Some(answer) = answer {
                self.tell(format!("* {answer}")).await?;
            }
        }
        Ok(())
    }

    /// A client that does not read its answers is not listened to.
    async fn tell(&self, line: String) -> Result<()> {
        Ok(self.queue.send(line).await?)
    }

    async fn take(&mut self, text: String) -> Result<Option<String>> {
        let (command, rest) = text.split_once(' ').unwrap_or((&text, ""));
        Ok(match (command, rest.trim()) {
            ("", _) => None,
            ("/join", room) => Some(self.join(room).await?),
            ("/name", name) => Some(match call!(self.lobby, LobbyMsg::Name, self.id, name.to_owned())? {
                Ok(()) => format!("you are {name}"),
                Err(words) => words,
            }),
            ("/who", "") => Some(self.ask(RoomMsg::Who).await),
            ("/where", "") => Some(self.ask(RoomMsg::Where).await),
            ("/kill", "") => self.send(RoomMsg::Kill).await,
            ("/crash", "") => self.send(RoomMsg::Crash).await,
            _ if command.starts_with('/') => Some(HELP.to_owned()),
            _ => self.send(RoomMsg::Say(self.id, text)).await,
        })
    }

    async fn join(&mut self, name: &str) -> Result<String> {
        Ok(match call!(self.lobby, LobbyMsg::Join, self.id, name.to_owned())? {
            Ok(room) => {
                self.room = Some(BoundedSender::new(room, UNDER_WAY));
                format!("you are in {name}")
            }
            Err(words) => words,
        })
    }

    /// While the room is down this waits for it.
    async fn ask(&mut self, question: fn(RpcReplyPort<String>) -> RoomMsg) -> String {
        let Some(room) = &self.room else { return NO_ROOM.to_owned() };
        match room.actor().call(question, None).await {
            Ok(CallResult::Success(answer)) => answer,
            Ok(_) => "your room was lost before it had answered: ask again".to_owned(),
            Err(_) => self.room_ended(),
        }
    }

    async fn send(&mut self, message: RoomMsg) -> Option<String> {
        let Some(room) = &self.room else { return Some(NO_ROOM.to_owned()) };
        room.send(message).await.err().map(|_| self.room_ended())
    }

    fn room_ended(&mut self) -> String {
        self.room = None;
        NO_ROOM.to_owned()
    }
}
