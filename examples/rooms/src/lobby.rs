//! Who is here and in which room: what the server knows for sure, whatever becomes of runners.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use flame_actors::{Error, Event, Message, Pool, Restart};

use crate::client::ClientMsg;
use crate::room::{Member, Members, Open, Room, RoomMsg};

/// The longest name of a room or client, in characters.
const LONGEST_NAME: usize = 32;
/// A room that fails more often than this is given up, until somebody joins it again. Lost runners do not count.
const MOST_RESTARTS: (usize, Duration) = (10, Duration::from_secs(60));

/// Keeps the rooms by name, and who is in which.
///
/// It supervises the actors of the clients and monitors the rooms, which the pool supervises: they end with that.
pub(crate) struct Lobby;

/// What the lobby keeps to.
pub(crate) struct Limits {
    pub(crate) clients: usize,
    pub(crate) rooms: usize,
}

/// The room's ref, or words for the client about why not.
type JoinReply = RpcReplyPort<Result<ActorRef<RoomMsg>, String>>;

/// What the lobby is told. A client's id is the pid of its actor.
#[derive(Message)]
pub(crate) enum LobbyMsg {
    /// A client has connected; answered with its name.
    Enter(ActorRef<ClientMsg>, RpcReplyPort<Result<String, String>>),
    /// A client wants another name.
    Name(u64, String, RpcReplyPort<Result<(), String>>),
    /// A client goes to a room, which is placed when there is none of this name. Refused, it stays where it is.
    Join(u64, String, RpcReplyPort<Result<ActorRef<RoomMsg>, String>>),
    /// A room that starts, for the first time or again, asks who is in it.
    Members(String, RpcReplyPort<Members>),
    /// A room was placed, or could not be.
    Placed(String, Result<ActorRef<RoomMsg>, Error>),
    /// What became of the room with this pid.
    News(u64, String),
}

pub(crate) struct State {
    pool: Pool,
    limits: Limits,
    clients: BTreeMap<u64, Present>,
    rooms: HashMap<String, Entry>,
    guests: u64,
    version: u64,
}

struct Present {
    name: String,
    client: ActorRef<ClientMsg>,
    room: Option<String>,
}

enum Entry {
    /// With those who wait for it.
    Opening(Vec<(u64, JoinReply)>),
    /// The ref is good for all incarnations.
    Open(ActorRef<RoomMsg>),
}

impl Actor for Lobby {
    type Msg = LobbyMsg;
    type State = State;
    type Arguments = (Pool, Limits);

    async fn pre_start(
        &self,
        myself: ActorRef<LobbyMsg>,
        (pool, limits): (Pool, Limits),
    ) -> Result<State, ActorProcessingErr> {
        tokio::spawn(tell_news(pool.clone(), myself));
        Ok(State { pool, limits, clients: BTreeMap::new(), rooms: HashMap::new(), guests: 0, version: 0 })
    }

    async fn handle(
        &self,
        myself: ActorRef<LobbyMsg>,
        message: LobbyMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Where an answer is not sent, its client has gone.
        match message {
            LobbyMsg::Enter(client, answer) => drop(answer.send(state.enter(client))),
            LobbyMsg::Name(id, name, answer) => drop(answer.send(state.name(id, name))),
            LobbyMsg::Join(id, room, answer) => state.join(&myself, id, room, answer),
            LobbyMsg::Members(room, reply) => drop(reply.send(state.members(&room))),
            LobbyMsg::Placed(room, placed) => state.placed(&myself, room, placed),
            LobbyMsg::News(pid, news) => {
                if let Some(room) = state.room(pid) {
                    state.tell(&room, &format!("* {room} {news}"));
                }
            }
        }
        Ok(())
    }

    /// A client has gone, however it went; or a room has, for good.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<LobbyMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (who, why) = match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => (who, reason.unwrap_or("it has closed".to_owned())),
            SupervisionEvent::ActorFailed(who, err) => (who, err.to_string()),
            _ => return Ok(()),
        };
        let pid = who.get_id().pid();
        if let Some(gone) = state.clients.remove(&pid) {
            tracing::info!(client = gone.name, why, "has gone");
            gone.room.iter().for_each(|room| state.changed(room));
        } else if let Some(room) = state.room(pid) {
            state.tell(&room, &format!("* {room} has ended: {why}; /join it again"));
            state.forget(&room);
        }
        Ok(())
    }
}

impl State {
    fn enter(&mut self, client: ActorRef<ClientMsg>) -> Result<String, String> {
        if self.clients.len() >= self.limits.clients {
            return Err(format!("there are {} clients already, and no more are served", self.clients.len()));
        }
        let name = loop {
            self.guests += 1;
            let name = format!("guest-{}", self.guests);
            // Somebody may have chosen it.
            if self.clients.values().all(|one| one.name != name) {
                break name;
            }
        };
        let present = Present { name: name.clone(), client, room: None };
        self.clients.insert(present.client.get_id().pid(), present);
        Ok(name)
    }

    fn name(&mut self, id: u64, name: String) -> Result<(), String> {
        check("a client", &name)?;
        if self.clients.iter().any(|(other, one)| *other != id && one.name == name) {
            return Err(format!("somebody else is called {name}"));
        }
        let Some(one) = self.clients.get_mut(&id) else { return Err("you have gone".to_owned()) };
        one.name = name;
        if let Some(room) = one.room.clone() {
            self.changed(&room);
        }
        Ok(())
    }

    fn join(&mut self, myself: &ActorRef<LobbyMsg>, id: u64, room: String, answer: JoinReply) {
        let (rooms, most) = (self.rooms.len(), self.limits.rooms);
        let refusal = match check("a room", &room) {
            Ok(()) if self.rooms.contains_key(&room) || rooms < most => None,
            Ok(()) => Some(format!("there are {rooms} rooms already, and no more until one of them is empty")),
            Err(words) => Some(words),
        };
        if let Some(words) = refusal {
            return drop(answer.send(Err(words)));
        }
        match self.rooms.get_mut(&room) {
            Some(Entry::Opening(waiting)) => waiting.push((id, answer)),
            Some(Entry::Open(open)) => {
                let open = open.clone();
                // Before the answer: the room has to know the client when that speaks.
                self.move_to(&room, [id]);
                drop(answer.send(Ok(open)));
            }
            None => {
                self.rooms.insert(room.clone(), Entry::Opening(vec![(id, answer)]));
                tokio::spawn(place(self.pool.clone(), myself.clone(), room));
            }
        }
    }

    fn placed(&mut self, myself: &ActorRef<LobbyMsg>, room: String, placed: Result<ActorRef<RoomMsg>, Error>) {
        let Some(Entry::Opening(waiting)) = self.rooms.remove(&room) else { return };
        if let Ok(open) = &placed {
            myself.get_cell().monitor(open.get_cell());
            self.rooms.insert(room.clone(), Entry::Open(open.clone()));
            self.move_to(&room, waiting.iter().map(|(id, _)| *id));
        }
        for (_, answer) in waiting {
            let words = |err| format!("{room} cannot be opened: {err}");
            drop(answer.send(placed.clone().map_err(words)));
        }
    }

    /// Takes clients to a room that is open. Those who have gone meanwhile do not come.
    fn move_to(&mut self, room: &str, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            let Some(one) = self.clients.get_mut(&id) else { continue };
            if let Some(left) = one.room.replace(room.to_owned()).filter(|left| left != room) {
                self.changed(&left);
            }
        }
        self.changed(room);
    }

    /// Others are in this room than before. One that is empty ends.
    fn changed(&mut self, room: &str) {
        self.version += 1;
        let members = self.members(room);
        if let Some(Entry::Open(open)) = self.rooms.get(room) {
            if members.members.is_empty() {
                open.stop(None);
                self.rooms.remove(room);
            } else {
                // If it has just ended for good, we are about to be told.
                let _ = open.cast(RoomMsg::Members(members));
            }
        }
    }

    fn members(&self, room: &str) -> Members {
        let member =
            |(id, one): (&u64, &Present)| Member { id: *id, name: one.name.clone(), client: (&one.client).into() };
        let present = self.clients.iter().filter(|(_, one)| one.room.as_deref() == Some(room));
        Members { version: self.version, members: present.map(member).collect() }
    }

    /// The room is no more, and nobody is in it.
    fn forget(&mut self, room: &str) {
        self.rooms.remove(room);
        self.clients.values_mut().filter(|one| one.room.as_deref() == Some(room)).for_each(|one| one.room = None);
    }

    fn tell(&self, room: &str, line: &str) {
        for one in self.clients.values().filter(|one| one.room.as_deref() == Some(room)) {
            // One that has gone does not mind.
            let _ = one.client.cast(ClientMsg::Line(line.to_owned()));
        }
    }

    fn room(&self, pid: u64) -> Option<String> {
        let is = |entry: &Entry| matches!(entry, Entry::Open(open) if open.get_id().pid() == pid);
        self.rooms.iter().find(|(_, entry)| is(entry)).map(|(name, _)| name.clone())
    }
}

/// Names are told to everyone, so they are short and plain.
fn check(what: &str, name: &str) -> Result<(), String> {
    let plain = |char: char| char.is_alphanumeric() || char == '-' || char == '_';
    if name.chars().all(plain) && (1..=LONGEST_NAME).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(format!("the name of {what} has 1 to {LONGEST_NAME} letters, digits, - or _"))
}

/// Opens a room, which may take as long as a runner takes to boot.
async fn place(pool: Pool, lobby: ActorRef<LobbyMsg>, name: String) {
    let (most, period) = MOST_RESTARTS;
    let open = Open { name: name.clone(), lobby: lobby.clone().into() };
    let placed = pool.place_child(Room, open).restart(Restart::Permanent).max_restarts(most, period).await;
    // Without a lobby the server ends.
    let _ = lobby.cast(LobbyMsg::Placed(name, placed));
}

/// Passes on what the pool tells of rooms that are lost and come back.
async fn tell_news(pool: Pool, lobby: ActorRef<LobbyMsg>) {
    let mut events = pool.events();
    while let Some(event) = events.next().await {
        let (child, news) = match event {
            Event::ChildEnded { child, end, .. } => (child, format!("is down: {end}")),
            Event::ChildPlaced { child, .. } => (child, "is back".to_owned()),
            _ => continue,
        };
        // Without a lobby the server ends.
        let _ = lobby.cast(LobbyMsg::News(child, news));
    }
}
