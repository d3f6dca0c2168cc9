//! What runs on runners.

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{Message, placeable, remote};

#[remote]
pub async fn count_words(text: String) -> u64 {
    text.split_whitespace().count() as u64
}

#[derive(Message)]
pub enum TallyMsg {
    Add(u64, RpcReplyPort<u64>),
}

pub struct Tally;

#[placeable]
impl Actor for Tally {
    type Msg = TallyMsg;
    type State = u64;
    type Arguments = u64;

    async fn pre_start(&self, _: ActorRef<TallyMsg>, start: u64) -> Result<u64, ActorProcessingErr> {
        Ok(start)
    }

    async fn handle(&self, _: ActorRef<TallyMsg>, msg: TallyMsg, total: &mut u64) -> Result<(), ActorProcessingErr> {
        let TallyMsg::Add(words, reply) = msg;
        *total += words;
        Ok(reply.send(*total)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flame_actors::{Pool, ractor::call};
    use flame_local::{ProcessBackend, test_node};

    #[tokio::test]
    async fn words_are_counted_on_a_runner() -> anyhow::Result<()> {
        let node = test_node().await?; // on the runner it does not return
        let pool = Pool::builder("test").backend(ProcessBackend::for_this_test()).start(&node).await?;
        let words = pool.call(count_words("one two three".to_owned())).await?;
        let tally = pool.place_child(Tally, 40).await?;
        assert_eq!(call!(tally, TallyMsg::Add, words)?, 43);
        pool.shutdown().await;
        Ok(())
    }
}
