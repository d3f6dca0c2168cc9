//! The child of most trials: it does what it is told.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{ActorAddr, ChildError, Message, Pool, placeable};
use flame_tests::{Entry, Journal, OnDrop};
use serde::{Deserialize, Serialize};

use crate::home::HomeMsg;

#[derive(Message)]
pub(crate) enum ProbeMsg {
    Pid(RpcReplyPort<u32>),
    Add(u64),
    /// Everything that was added, in order.
    Added(RpcReplyPort<Vec<u64>>),
    Stop(Option<String>),
    /// Kills itself.
    Kill,
    Fail(String),
    /// Fails as what supervises children that ended too often.
    FailLike(ChildError),
    Panic(String),
    Ignore(RpcReplyPort<u64>),
    /// Keeps the reply port and never uses it.
    Keep(RpcReplyPort<u64>),
    /// Notes numbers at home.
    Tell(ActorRef<HomeMsg>, u64),
    /// Has home double a number.
    Ask(ActorRef<HomeMsg>, u64, RpcReplyPort<Option<u64>>),
    /// The same with the home of its arguments.
    AskHome(u64, RpcReplyPort<Option<u64>>),
    Echo(ActorRef<HomeMsg>, RpcReplyPort<ActorRef<HomeMsg>>),
    Myself(RpcReplyPort<ActorRef<ProbeMsg>>),
    Sleep(Duration),
    Block(Duration),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Swell(usize, RpcReplyPort<Vec<u8>>),
    Exit(i32),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Args {
    pub(crate) journal: Entry,
    pub(crate) start: Start,
    pub(crate) home: Option<ActorAddr<HomeMsg>>,
    /// It notes `up=name` and `down=name`.
    pub(crate) name: Option<String>,
}

/// How it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Start {
    Well,
    Refuse(String),
    /// The first time well.
    RefuseAgain(String),
    Panic(String),
    /// `pre_start` never ends.
    Hang,
    /// `pre_start` takes a while and does not yield.
    Block(Duration),
    /// `post_start` fails.
    FailAfter(String),
    /// `post_stop` fails.
    FailAtTheEnd(String),
}

pub(crate) struct State {
    arguments: Args,
    added: Vec<u64>,
    kept: Vec<RpcReplyPort<u64>>,
    _dropped: OnDrop,
    _down: Option<OnDrop>,
}

pub(crate) struct Probe;

impl Args {
    pub(crate) fn new(journal: &Journal, start: Start) -> Self {
        Self { journal: journal.entry(), start, home: None, name: None }
    }

    pub(crate) fn well(journal: &Journal) -> Self {
        Self::new(journal, Start::Well)
    }
}

/// Places a probe under this actor.
pub(crate) async fn place(pool: &Pool, journal: &Journal, home: &ActorRef<HomeMsg>) -> ActorRef<ProbeMsg> {
    pool.place_child(Probe, Args::well(journal)).linked_to(home).await.expect("it starts")
}

/// Sends what ends the probe. It may have done so, and with it its stand-in here, before the sending has returned: that
/// the mailbox was closed says nothing then.
pub(crate) fn last_word(probe: &ActorRef<ProbeMsg>, message: ProbeMsg) {
    let _ = probe.cast(message);
}

/// Where a probe runs.
pub(crate) async fn pid(probe: &ActorRef<ProbeMsg>) -> u32 {
    call!(probe, ProbeMsg::Pid).expect("it answers")
}

#[placeable]
impl Actor for Probe {
    type Msg = ProbeMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, _: ActorRef<ProbeMsg>, arguments: Args) -> Result<State, ActorProcessingErr> {
        let journal = arguments.journal.clone();
        let dropped = journal.on_drop("dropped");
        journal.note(format_args!("pre_start={}", std::process::id()));
        match &arguments.start {
            Start::Refuse(text) => return Err(text.clone().into()),
            Start::RefuseAgain(text) => {
                if std::fs::read_to_string(journal.path())?.matches("pre_start").count() > 1 {
                    return Err(text.clone().into());
                }
            }
            Start::Panic(text) => panic!("{text}"),
            Start::Hang => std::future::pending().await,
            Start::Block(time) => std::thread::sleep(*time),
            Start::Well | Start::FailAfter(_) | Start::FailAtTheEnd(_) => {}
        }
        let down = arguments.name.as_ref().map(|name| {
            journal.note(format_args!("up={name}"));
            journal.on_drop(format!("down={name}"))
        });
        Ok(State { arguments, added: Vec::new(), kept: Vec::new(), _dropped: dropped, _down: down })
    }

    async fn post_start(&self, _: ActorRef<ProbeMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        match &state.arguments.start {
            Start::FailAfter(text) => Err(text.clone().into()),
            _ => Ok(()),
        }
    }

    async fn post_stop(&self, _: ActorRef<ProbeMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.arguments.journal.note("post_stop");
        match &state.arguments.start {
            Start::FailAtTheEnd(text) => Err(text.clone().into()),
            _ => Ok(()),
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<ProbeMsg>,
        message: ProbeMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProbeMsg::Pid(reply) => reply.send(std::process::id())?,
            ProbeMsg::Add(number) => state.added.push(number),
            ProbeMsg::Added(reply) => reply.send(state.added.clone())?,
            ProbeMsg::Stop(reason) => myself.stop(reason),
            ProbeMsg::Kill => myself.kill(),
            ProbeMsg::Fail(text) => return Err(text.into()),
            ProbeMsg::FailLike(err) => return Err(err.into()),
            ProbeMsg::Panic(text) => panic!("{text}"),
            ProbeMsg::Ignore(reply) => drop(reply),
            ProbeMsg::Keep(reply) => state.kept.push(reply),
            ProbeMsg::Tell(home, number) => home.cast(HomeMsg::Note(number))?,
            ProbeMsg::Ask(home, number, reply) => {
                reply.send(call!(home, HomeMsg::Double, number).ok())?;
            }
            ProbeMsg::AskHome(number, reply) => {
                let home = state.arguments.home.as_ref().ok_or("it was placed without a home")?;
                reply.send(call!(home, HomeMsg::Double, number).ok())?;
            }
            ProbeMsg::Echo(home, reply) => reply.send(home)?,
            ProbeMsg::Myself(reply) => reply.send(myself)?,
            ProbeMsg::Sleep(time) => tokio::time::sleep(time).await,
            ProbeMsg::Block(time) => std::thread::sleep(time),
            ProbeMsg::Bytes(bytes) => state.added.push(bytes.len() as u64),
            ProbeMsg::Swell(size, reply) => reply.send(vec![0; size])?,
            ProbeMsg::Exit(code) => std::process::exit(code),
        }
        Ok(())
    }
}
