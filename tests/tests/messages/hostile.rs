//! Messages that nobody would send.

use std::collections::HashMap;
use std::time::Duration;

use flame_actors::__private::{Encoded, ReplyTo, box_message, from_boxed};
use flame_actors::ractor::message::{BoxedDowncastErr, BoxedMessage};
use flame_actors::ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{Error, MAX_MESSAGE_BYTES, Message, placeable};
use flame_tests::{Runners, Spy, node, trials};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

use crate::measure::{MIB, memory};

pub(crate) fn trials() -> Vec<Trial> {
    trials![an_actor_takes_a_hundred_thousand_hostile_messages_and_answers_the_next]
}

#[derive(Serialize, Deserialize)]
enum Tree {
    Leaf(u64),
    Node(Vec<Tree>),
}

/// Something of each kind that can go wrong.
#[derive(Message)]
enum Target {
    Unit,
    Numbers(u8, i64, f32, Option<u64>),
    Texts { one: String, many: Vec<String>, map: HashMap<String, Vec<u8>> },
    Tree(Tree),
    Time(Duration, char, bool),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Ref(Vec<ActorRef<Raw>>),
    Ask(u64, RpcReplyPort<u64>),
}

/// What is sent: a good message, or any bytes in place of one, with a reply port or without.
enum Raw {
    Good(Target),
    Bytes(Vec<u8>, Option<RpcReplyPort<u64>>),
}

impl flame_actors::ractor::Message for Raw {
    fn box_message(self, pid: &ActorId) -> Result<BoxedMessage, BoxedDowncastErr> {
        box_message(self, pid)
    }

    fn from_boxed(boxed: BoxedMessage) -> Result<Self, BoxedDowncastErr> {
        from_boxed(boxed)
    }
}

impl Message for Raw {
    fn encode(self) -> Result<Encoded, Error> {
        match self {
            Self::Good(target) => target.encode(),
            Self::Bytes(bytes, None) => Ok(Encoded::cast(bytes)),
            Self::Bytes(bytes, Some(port)) => Ok(Encoded::call(bytes, port, flame_actors::__private::from_bytes)),
        }
    }

    fn decode(body: &[u8], reply: Option<ReplyTo>) -> Result<Self, Error> {
        Target::decode(body, reply).map(Self::Good)
    }
}

struct Victim;

#[placeable]
impl Actor for Victim {
    type Msg = Raw;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Raw>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Raw>, message: Raw, (): &mut ()) -> Result<(), ActorProcessingErr> {
        if let Raw::Good(Target::Ask(number, reply)) = message {
            let _ = reply.send(number);
        }
        Ok(())
    }
}

/// The same hostility each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below.max(1)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.roll(most)).map(|_| self.roll(256) as u8).collect()
    }
}

/// Well-formed messages in the shape of the wire, to be broken.
fn seeds(address: &[u8]) -> Vec<Vec<u8>> {
    let tagged = |name: &str, rest: &[u8]| {
        let mut bytes = vec![0x81];
        bytes.extend(rmp_serde::to_vec(name).expect("a name"));
        bytes.extend(rest);
        bytes
    };
    let texts = rmp_serde::to_vec_named(&HashMap::from([("one", "x"), ("many", "y"), ("map", "z")])).expect("texts");
    let refs: Vec<u8> = std::iter::once(0x91).chain(address.iter().copied()).collect();
    vec![
        rmp_serde::to_vec("Unit").expect("a name"),
        tagged("Numbers", &rmp_serde::to_vec(&(1_u8, -1_i64, 0.5_f32, Some(7_u64))).expect("numbers")),
        tagged("Texts", &texts),
        tagged("Tree", &rmp_serde::to_vec_named(&Tree::Node(vec![Tree::Leaf(1), Tree::Node(Vec::new())])).expect("it")),
        tagged("Time", &rmp_serde::to_vec(&(Duration::MAX, 'x', true)).expect("a time")),
        tagged("Bytes", &[0xc6, 0xff, 0xff, 0xff, 0xff]),
        tagged("Ref", &refs),
        tagged("Ask", &[7]),
    ]
}

/// One hostile message.
fn hostile(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut seed = seeds[dice.roll(seeds.len())].clone();
    match dice.roll(6) {
        0 => dice.bytes(200),
        1 => {
            seed.truncate(dice.roll(seed.len()));
            seed
        }
        2 => {
            for _ in 0..=dice.roll(4) {
                let at = dice.roll(seed.len());
                seed[at] = dice.roll(256) as u8;
            }
            seed
        }
        3 => {
            // Lengths that are not there: of arrays, maps, texts and bytes.
            let at = dice.roll(seed.len());
            seed.truncate(at);
            seed.extend([[0xdd, 0xdf, 0xdb, 0xc6][dice.roll(4)], 0xff, 0xff, 0xff, 0xff]);
            seed.extend(dice.bytes(40));
            seed
        }
        4 => {
            let mut deep = vec![0x81];
            deep.extend(rmp_serde::to_vec("Tree").expect("a name"));
            let level: &[u8] = if dice.roll(2) == 0 { &[0x91] } else { b"\x81\xa4Node\x91" };
            (0..dice.roll(2000)).for_each(|_| deep.extend(level));
            deep
        }
        _ => {
            seed.extend(dice.bytes(100));
            seed
        }
    }
}

const MESSAGES: u64 = 100_000;
const ROOM: u64 = 32 * MIB;

async fn an_actor_takes_a_hundred_thousand_hostile_messages_and_answers_the_next() {
    let spy = Spy::default();
    let pool = Runners::Processes.pool().backend(spy.clone()).start(&node()).await.unwrap();
    let child = pool.place_child(Victim, ()).await.unwrap();
    let there = spy.pids()[0];
    let answers = async |number: u64| {
        assert_eq!(call!(child, |reply| Raw::Good(Target::Ask(number, reply))).expect("it answers"), number);
    };
    // As the wire has it.
    let address = rmp_serde::to_vec_named(&flame_actors::ActorAddr::from(&child)).unwrap();
    let seeds = seeds(&address);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut before = None;
    for number in 0..MESSAGES {
        let bytes = hostile(&mut dice, &seeds);
        if dice.roll(50) == 0 {
            // It may be answered, when it is no message but one by chance, and it ends.
            let call = child.call(|reply| Raw::Bytes(bytes, Some(reply)), None);
            let _ = flame_tests::eventually("a hostile call", call).await;
        } else {
            child.cast(Raw::Bytes(bytes, None)).unwrap();
        }
        if number % 1000 == 999 {
            answers(number).await;
        }
        if number == MESSAGES / 10 {
            before = Some((memory(std::process::id()), memory(there)));
        }
    }
    let before = before.expect("it was measured");
    assert!(memory(std::process::id()) < before.0 + ROOM, "this process grew from {} bytes", before.0);
    assert!(memory(there) < before.1 + ROOM, "the runner grew from {} bytes", before.1);
    // As much as may be sent, and more.
    for fill in [0x91, 0xc1, 0xff] {
        child.cast(Raw::Bytes(vec![fill; MAX_MESSAGE_BYTES], None)).unwrap();
        child.cast(Raw::Bytes(vec![fill; MAX_MESSAGE_BYTES + 1], None)).unwrap_err();
        answers(1).await;
    }
    assert_eq!(spy.pids(), [there], "another runner was booted");
    child.stop_and_wait(None, None).await.unwrap();
    pool.shutdown().await;
    let stderr = spy.stderr();
    assert!(!stderr.contains("panicked"), "{stderr:.2000}");
}
