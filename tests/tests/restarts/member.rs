//! The child of these trials: it notes its incarnations and all that they take, and looks out for a second one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{Message, placeable};
use flame_tests::{process, until};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[derive(Message)]
pub(crate) enum MemberMsg {
    /// From this sender its message of this number.
    Take(u32, u64),
    /// The same, answered with the number of the incarnation.
    Ask(u32, u64, RpcReplyPort<usize>),
    Pid(RpcReplyPort<u32>),
    /// Keeps the port for as long as it lives.
    Keep(RpcReplyPort<u32>),
    /// Remembers another one.
    Meet(ActorRef<MemberMsg>, RpcReplyPort<bool>),
    /// Has the one that it remembers take this.
    PassOn(u32, u64, RpcReplyPort<bool>),
    Sleep(Duration),
    Stop,
    Fail(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Args {
    diary: PathBuf,
    starts: Vec<Start>,
}

/// How an incarnation starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    Well,
    /// `pre_start` never ends.
    Hang,
    /// `pre_start` takes a while and does not yield.
    Block(Duration),
    /// `post_start` fails.
    FailAfter,
}

/// What one child has written, through all its incarnations.
#[derive(Clone, Debug)]
pub(crate) struct Diary {
    _dir: Arc<TempDir>,
    path: PathBuf,
}

impl Diary {
    pub(crate) fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory for temporary files can be made"));
        Self::several(&dir, 1).remove(0)
    }

    pub(crate) fn several(dir: &Arc<TempDir>, count: usize) -> Vec<Self> {
        (0..count).map(|n| Self { _dir: Arc::clone(dir), path: dir.path().join(n.to_string()) }).collect()
    }

    /// For a child that starts well each time.
    pub(crate) fn args(&self) -> Args {
        self.starting(&[Start::Well])
    }

    /// The last of the starts is repeated.
    pub(crate) fn starting(&self, starts: &[Start]) -> Args {
        Args { diary: self.path.clone(), starts: starts.to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_default()
    }

    pub(crate) fn starts(&self) -> usize {
        count(&self.text(), "start ")
    }

    pub(crate) fn ends(&self) -> usize {
        count(&self.text(), "end ")
    }

    pub(crate) async fn started(&self, times: usize) {
        until(&format!("start {times} of a child"), || self.starts() >= times).await;
    }

    /// The process of the last incarnation.
    pub(crate) fn pid(&self) -> u32 {
        let text = self.text();
        let last = text.lines().rfind(|line| line.starts_with("start ")).expect("it has started");
        last.split(' ').nth(2).and_then(|pid| pid.parse().ok()).expect("the process id comes third")
    }

    /// Fails when two incarnations lived at one moment, or when a message arrived twice or out of order.
    ///
    /// Given is how many messages arrived.
    pub(crate) fn check(&self) -> usize {
        let text = self.text();
        let (mut last, mut taken) = (HashMap::new(), 0);
        for line in text.lines() {
            assert!(!line.starts_with("two "), "{line}, in\n{text}");
            if let Some(message) = line.strip_prefix("took ") {
                let message = message.split_once(' ').and_then(|(from, n)| Some((from, n.parse::<u64>().ok()?)));
                let (from, number) = message.expect("a sender and a number");
                let before = last.insert(from.to_owned(), number);
                assert!(before < Some(number), "{number} of sender {from} came after {before:?}");
                taken += 1;
            }
        }
        taken
    }
}

fn count(text: &str, what: &str) -> usize {
    text.lines().filter(|line| line.starts_with(what)).count()
}

pub(crate) struct Member;

pub(crate) struct State {
    incarnation: Incarnation,
    start: Start,
    kept: Vec<RpcReplyPort<u32>>,
    met: Option<ActorRef<MemberMsg>>,
}

/// Notes its end when dropped, which is what an end in its process comes to; the end of its process can be seen.
struct Incarnation {
    diary: File,
    number: usize,
}

impl Incarnation {
    fn begin(path: &PathBuf) -> std::io::Result<Self> {
        let mut diary = OpenOptions::new().create(true).append(true).open(path)?;
        let me = std::process::id();
        let since = process::start_time(me).unwrap_or_default();
        // Noted before it is looked for others: of two that start at once, one at least sees the other.
        let number = count(&std::fs::read_to_string(path)?, "start ") + 1;
        writeln!(diary, "start {number} {me} {since}")?;
        let text = std::fs::read_to_string(path)?;
        let ended: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("end ")).collect();
        for other in text.lines().filter_map(|line| line.strip_prefix("start ")) {
            let words: Vec<_> = other.split(' ').collect();
            let [other, pid, since] = words[..] else { continue };
            let is_me = other == number.to_string() && pid == me.to_string();
            let lives = pid.parse().ok().and_then(process::start_time).is_some_and(|time| time.to_string() == since);
            if !is_me && lives && !ended.contains(&other) {
                writeln!(diary, "two {other} in {pid}, {number} in {me}")?;
            }
        }
        Ok(Self { diary, number })
    }

    fn took(&mut self, from: u32, number: u64) -> std::io::Result<()> {
        // In one write, and at once: what is killed next has taken it all the same.
        self.diary.write_all(format!("took {from} {number}\n").as_bytes())
    }
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        let _ = self.diary.write_all(format!("end {}\n", self.number).as_bytes());
    }
}

#[placeable]
impl Actor for Member {
    type Msg = MemberMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(
        &self,
        _: ActorRef<MemberMsg>,
        Args { diary, starts }: Args,
    ) -> Result<State, ActorProcessingErr> {
        let incarnation = Incarnation::begin(&diary)?;
        let start = starts.get(incarnation.number - 1).or(starts.last()).cloned().unwrap_or(Start::Well);
        match &start {
            Start::Hang => std::future::pending().await,
            Start::Block(time) => std::thread::sleep(*time),
            Start::Well | Start::FailAfter => {}
        }
        Ok(State { incarnation, start, kept: Vec::new(), met: None })
    }

    async fn post_start(&self, _: ActorRef<MemberMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        match state.start {
            Start::FailAfter => Err("it fails after its start".into()),
            _ => Ok(()),
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<MemberMsg>,
        message: MemberMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Callers may have gone, which is their choice.
        match message {
            MemberMsg::Take(from, number) => state.incarnation.took(from, number)?,
            MemberMsg::Ask(from, number, reply) => {
                state.incarnation.took(from, number)?;
                let _ = reply.send(state.incarnation.number);
            }
            MemberMsg::Pid(reply) => {
                let _ = reply.send(std::process::id());
            }
            MemberMsg::Keep(reply) => state.kept.push(reply),
            MemberMsg::Meet(other, reply) => {
                state.met = Some(other);
                let _ = reply.send(true);
            }
            MemberMsg::PassOn(from, number, reply) => {
                let met = state.met.as_ref().ok_or("it has met nobody")?;
                let _ = reply.send(met.cast(MemberMsg::Take(from, number)).is_ok());
            }
            MemberMsg::Sleep(time) => tokio::time::sleep(time).await,
            MemberMsg::Stop => myself.stop(None),
            MemberMsg::Fail(text) => return Err(text.into()),
        }
        Ok(())
    }
}
