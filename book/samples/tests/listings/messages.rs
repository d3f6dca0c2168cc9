//! placed-actors.md and references.md: what travels.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{ActorAddr, BoundedSender, Message, placeable, remote};
use flame_tests::{Runners, everywhere};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

use crate::answers;

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![references_travel, a_bounded_sender_waits]
}

// ANCHOR: messages
#[derive(Serialize, Deserialize)]
struct Subscriber {
    name: String,
    actor: ActorAddr<News>, // inside a serde type
}

#[derive(Message)]
enum News {
    Headline(String),
    Count(RpcReplyPort<usize>),
}

#[derive(Message)]
enum Press {
    Subscribe(ActorRef<News>), // as a field of its own
    SubscribeAs(Subscriber),
    Chunk(#[serde(with = "serde_bytes")] Vec<u8>), // bytes as bytes, and not as a list of numbers
    Print(String),
}
// ANCHOR_END: messages

struct Reader;

impl Actor for Reader {
    type Msg = News;
    type State = usize;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<News>, (): ()) -> Result<usize, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<News>, news: News, read: &mut usize) -> Result<(), ActorProcessingErr> {
        match news {
            News::Headline(headline) => *read += usize::from(!headline.is_empty()),
            News::Count(reply) => reply.send(*read)?,
        }
        Ok(())
    }
}

struct Printer;

#[placeable]
impl Actor for Printer {
    type Msg = Press;
    type State = Vec<ActorRef<News>>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Press>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<Press>,
        msg: Press,
        readers: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Press::Subscribe(reader) => readers.push(reader),
            Press::SubscribeAs(Subscriber { name, actor }) => {
                actor.cast(News::Headline(format!("welcome, {name}")))?;
                readers.push(actor.into_ref());
            }
            Press::Chunk(_) => {}
            Press::Print(headline) => {
                for reader in readers {
                    reader.cast(News::Headline(headline.clone()))?;
                }
            }
        }
        Ok(())
    }
}

// ANCHOR: argument
#[remote]
async fn announce(reader: ActorRef<News>, headline: String) -> bool {
    reader.cast(News::Headline(headline)).is_ok()
}
// ANCHOR_END: argument

async fn references_travel(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    let (reader, _) = Actor::spawn(None, Reader, ()).await?;
    assert!(pool.call(announce(reader.clone(), "one".to_owned())).await?);
    let press = pool.place_child(Printer, ()).await?;
    press.cast(Press::Subscribe(reader.clone()))?;
    press.cast(Press::Print("two".to_owned()))?;
    let actor = ActorAddr::from(&reader);
    press.cast(Press::SubscribeAs(Subscriber { name: "Ada".to_owned(), actor }))?; // three
    press.cast(Press::Print("four and five".to_owned()))?;
    answers(5, async || call!(reader, News::Count).unwrap_or_default()).await;
    reader.stop(None);
    pool.shutdown().await;
    Ok(())
}

async fn a_bounded_sender_waits(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    let press = pool.place_child(Printer, ()).await?;
    // ANCHOR: bounded
    let press = BoundedSender::new(press, 8);
    for _ in 0..100 {
        press.send(Press::Chunk(vec![0; 64 * 1024])).await?; // waits while eight are on their way
    }
    press.flush().await; // until the last one was taken from the mailbox
    // ANCHOR_END: bounded
    pool.shutdown().await;
    Ok(())
}
