//! A room: an actor on a runner, which is placed again when it is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call_t};
use flame_actors::{ActorAddr, BoundedSender, Message, Snapshot, placeable, runner};
use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize};

use crate::client::ClientMsg;
use crate::history::History;
use crate::lobby::LobbyMsg;

/// How long the lobby may take to say who is in the room.
const ASKING: Duration = Duration::from_secs(10);
/// So many lines are on their way from a room to one client's actor, which takes them at once.
const UNDER_WAY: usize = 16;

/// One room.
pub(crate) struct Room;

/// What each incarnation of a room starts with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) name: String,
    pub(crate) lobby: ActorAddr<LobbyMsg>,
}

/// What a room is told.
#[derive(Message)]
pub(crate) enum RoomMsg {
    /// Who is in it now.
    Members(Members),
    /// This client says something.
    Say(u64, String),
    /// The names of those who are in it.
    Who(RpcReplyPort<String>),
    /// Where it is.
    Where(RpcReplyPort<String>),
    /// `kill -9` for its runner. No message arrives twice: the next incarnation is not killed by it.
    Kill,
    /// Fails as a bug in it would.
    Crash,
}

/// Who is in a room, as the lobby knows it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Members {
    /// Larger each time: what waited while the room was down is older than what it asks for when it starts again.
    pub(crate) version: u64,
    pub(crate) members: Vec<Member>,
}

/// A client in a room.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) client: ActorAddr<ClientMsg>,
}

/// What a room knows.
pub(crate) struct State {
    name: String,
    version: u64,
    present: BTreeMap<u64, Present>,
    history: History,
    /// Whether the history has changed since the last snapshot.
    is_new: bool,
}

struct Present {
    name: String,
    client: BoundedSender<ClientMsg>,
}

#[placeable]
impl Actor for Room {
    type Msg = RoomMsg;
    type State = State;
    type Arguments = Open;

    /// Asks the lobby who is in the room, so that each incarnation knows it before its first message.
    async fn pre_start(&self, _: ActorRef<RoomMsg>, open: Open) -> Result<State, ActorProcessingErr> {
        let Open { name, lobby } = open;
        let ask = call_t!(lobby, LobbyMsg::Members, ASKING.as_millis() as u64, name.clone());
        let Members { version, members } = ask.context("the lobby did not say who is in the room")?;
        let present = members.into_iter().map(|member| (member.id, Present::new(member))).collect();
        Ok(State { name, version, present, history: History::default(), is_new: false })
    }

    async fn handle(
        &self,
        _: ActorRef<RoomMsg>,
        message: RoomMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RoomMsg::Members(members) => state.update(members).await,
            RoomMsg::Say(id, text) => state.say(id, &text).await,
            // Nobody may wait for an answer any more.
            RoomMsg::Who(reply) => drop(reply.send(state.who())),
            RoomMsg::Where(reply) => {
                let (pid, node) = (std::process::id(), runner().unwrap_or_default());
                drop(reply.send(format!("{} is in process {pid} on runner {node}", state.name)));
            }
            RoomMsg::Kill => raise(Signal::SIGKILL)?,
            RoomMsg::Crash => return Err("somebody said /crash".into()),
        }
        Ok(())
    }
}

/// The next incarnation knows what was said.
impl Snapshot for Room {
    type Snapshot = History;

    fn snapshot(&self, state: &mut State) -> Option<History> {
        std::mem::take(&mut state.is_new).then(|| state.history.clone())
    }

    async fn restore(
        &self,
        myself: ActorRef<RoomMsg>,
        open: Open,
        history: History,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State { history, ..self.pre_start(myself, open).await? })
    }
}

impl Present {
    fn new(Member { name, client, .. }: Member) -> Self {
        Self { name, client: BoundedSender::new(client.into_ref(), UNDER_WAY) }
    }

    async fn tell(&self, line: String) {
        // Of a client that has gone the lobby tells.
        let _ = self.client.send(ClientMsg::Line(line)).await;
    }
}

impl State {
    async fn say(&mut self, id: u64, text: &str) {
        // Who has left has nothing to say.
        let Some(Present { name, .. }) = self.present.get(&id) else { return };
        let line = format!("{name}: {text}");
        self.tell_all(&line, None).await;
        self.history.add(line);
        self.is_new = true;
    }

    fn who(&self) -> String {
        let names: Vec<_> = self.present.values().map(|one| one.name.as_str()).collect();
        format!("in {}: {}", self.name, names.join(", "))
    }

    async fn tell_all(&self, line: &str, but: Option<u64>) {
        for (_, one) in self.present.iter().filter(|(id, _)| Some(**id) != but) {
            one.tell(line.to_owned()).await;
        }
    }

    /// Takes the lobby's word for who is here, and tells the others what has changed.
    async fn update(&mut self, Members { version, members }: Members) {
        if version <= self.version {
            return;
        }
        self.version = version;
        let mut before = std::mem::take(&mut self.present);
        let (mut news, mut new) = (Vec::new(), Vec::new());
        for member in members {
            let id = member.id;
            let one = match before.remove(&id) {
                Some(Present { name, client }) => {
                    if name != member.name {
                        news.push((Some(id), format!("* {name} is now {}", member.name)));
                    }
                    Present { name: member.name, client }
                }
                None => {
                    news.push((Some(id), format!("* {} has joined", member.name)));
                    new.push(id);
                    Present::new(member)
                }
            };
            self.present.insert(id, one);
        }
        news.extend(before.into_values().map(|one| (None, format!("* {} has left", one.name))));
        for (but, line) in news {
            self.tell_all(&line, but).await;
        }
        for one in new.iter().filter_map(|id| self.present.get(id)) {
            for line in self.history.lines() {
                one.tell(line.to_owned()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::client::Client;

    async fn member(id: u64, name: &str) -> (Member, Receiver<String>) {
        let (queue, lines) = channel(8);
        let (client, _) = Actor::spawn(None, Client, queue).await.unwrap();
        (Member { id, name: name.to_owned(), client: client.into() }, lines)
    }

    fn list(version: u64, members: &[&Member]) -> Members {
        Members { version, members: members.iter().copied().cloned().collect() }
    }

    #[tokio::test]
    async fn a_list_of_members_that_is_older_than_the_one_it_started_with_changes_nothing() {
        let (alice, mut heard) = member(1, "alice").await;
        let (bob, _) = member(2, "bob").await;
        let present = [(1, Present::new(alice.clone())), (2, Present::new(bob.clone()))].into();
        let mut room =
            State { name: "tea".to_owned(), version: 7, present, history: History::default(), is_new: false };
        for version in [6, 7] {
            room.update(list(version, &[&alice])).await;
            assert_eq!(room.who(), "in tea: alice, bob");
        }
        room.update(list(8, &[&alice])).await;
        assert_eq!(room.who(), "in tea: alice");
        assert_eq!(heard.recv().await.unwrap(), "* bob has left");
    }
}
