//! Per sender and receiver, messages arrive in the order in which they were sent.

use std::collections::HashMap;
use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{BoundedSender, Message, Pool, placeable, remote};
use flame_tests::{Runners, node, trials};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_million_mixed_messages_of_many_senders_keep_their_order]
}

#[derive(Message)]
enum SeqMsg {
    Plain(u32, u64),
    WithRef(u32, u64, ActorRef<SeqMsg>),
    Ask(u32, u64, RpcReplyPort<u64>),
    /// How many there were, and the first that was out of order.
    Report(RpcReplyPort<(u64, Option<String>)>),
}

struct Receiver;

#[derive(Default)]
struct Seen {
    next: HashMap<u32, u64>,
    count: u64,
    fault: Option<String>,
}

#[placeable]
impl Actor for Receiver {
    type Msg = SeqMsg;
    type State = Seen;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<SeqMsg>, (): ()) -> Result<Seen, ActorProcessingErr> {
        Ok(Seen::default())
    }

    async fn handle(&self, _: ActorRef<SeqMsg>, message: SeqMsg, seen: &mut Seen) -> Result<(), ActorProcessingErr> {
        let (sender, number) = match &message {
            SeqMsg::Plain(sender, number) | SeqMsg::WithRef(sender, number, _) | SeqMsg::Ask(sender, number, _) => {
                (*sender, *number)
            }
            SeqMsg::Report(_) => {
                let SeqMsg::Report(reply) = message else { unreachable!("it is one") };
                reply.send((seen.count, seen.fault.clone()))?;
                return Ok(());
            }
        };
        let next = seen.next.entry(sender).or_default();
        if *next != number && seen.fault.is_none() {
            seen.fault = Some(format!("sender {sender}: {number} came for {next}"));
        }
        *next = number + 1;
        seen.count += 1;
        match message {
            SeqMsg::Ask(_, number, reply) => reply.send(number)?,
            // Through the ref it goes back as another sender's message.
            SeqMsg::WithRef(_, number, other) => other.cast(SeqMsg::Plain(u32::MAX, number / EVERY))?,
            _ => {}
        }
        Ok(())
    }
}

const SENDERS: u32 = 8;
const EACH: u64 = 125_000;
/// Every so many a ref goes along, and a call.
const EVERY: u64 = 500;
/// Otherwise with so many under way.
const IN_FLIGHT: usize = 256;

/// Sends so many, the odd senders with back-pressure, the even ones with no more than their calls.
#[remote]
async fn send(to: ActorRef<SeqMsg>, back: Option<ActorRef<SeqMsg>>, sender: u32) -> Result<u64, String> {
    let bounded = BoundedSender::new(to.clone(), IN_FLIGHT);
    for number in 0..EACH {
        let message = match &back {
            Some(back) if number.is_multiple_of(EVERY) => SeqMsg::WithRef(sender, number, back.clone()),
            _ => SeqMsg::Plain(sender, number),
        };
        if number % EVERY == EVERY - 1 {
            let answer = call!(to, |reply| SeqMsg::Ask(sender, number, reply)).map_err(|err| err.to_string())?;
            if answer != number {
                return Err(format!("{answer} answers {number}"));
            }
        } else if sender.is_multiple_of(2) {
            to.cast(message).map_err(|err| err.to_string())?;
        } else {
            bounded.send(message).await.map_err(|err| err.to_string())?;
        }
    }
    Ok(EACH)
}

async fn report(receiver: &ActorRef<SeqMsg>) -> (u64, Option<String>) {
    call!(receiver, SeqMsg::Report).expect("it answers")
}

/// With tasks that take their time on a loaded machine.
async fn patient() -> Pool {
    Runners::Processes.pool().timeout(Duration::from_secs(600)).start(&node()).await.unwrap()
}

async fn a_million_mixed_messages_of_many_senders_keep_their_order() {
    let (one, two) = (patient().await, patient().await);
    let child = one.place_child(Receiver, ()).await.unwrap();
    let (home, _) = Actor::spawn(None, Receiver, ()).await.unwrap();
    let (back, _) = Actor::spawn(None, Receiver, ()).await.unwrap();
    let (to_child, to_home, to_back) = (|| child.clone(), || home.clone(), || Some(back.clone()));
    // From here, from another runner, from the child's own; and home from both, as fast as they can.
    let (a, b, c, d, e, f, g, h) = tokio::join!(
        tokio::spawn(send(to_child(), to_back(), 0)),
        tokio::spawn(send(to_child(), None, 1)),
        two.call(send(to_child(), None, 2)),
        two.call(send(to_child(), None, 3)),
        one.call(send(to_child(), None, 4)),
        one.call(send(to_home(), None, 5)),
        one.call(send(to_home(), None, 6)),
        two.call(send(to_home(), None, 7)),
    );
    let here = [a, b].map(|sent| sent.unwrap());
    let there = [c, d, e, f, g, h].map(|sent| sent.unwrap());
    for sent in here.into_iter().chain(there) {
        assert_eq!(sent, Ok(EACH));
    }
    // A result does not overtake what was sent before it, so all of it has arrived.
    assert_eq!(report(&home).await, (3 * EACH, None));
    assert_eq!(report(&child).await, (u64::from(SENDERS - 3) * EACH, None));
    assert_eq!(report(&back).await, (EACH / EVERY, None));
    for actor in [child, home, back] {
        actor.stop_and_wait(None, None).await.unwrap();
    }
    one.shutdown().await;
    two.shutdown().await;
}
