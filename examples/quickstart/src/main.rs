//! Run with `cargo run -p quickstart`.

use std::process::id;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{Message, Node, Pool, placeable, remote, runner, task};
use flame_local::ProcessBackend;

#[remote]
async fn add(a: u64, b: u64) -> u64 {
    println!("{a} + {b} is added by process {} on node {}", id(), runner().as_deref().unwrap_or("(none: right here)"));
    a + b
}

#[derive(Message)]
enum CounterMsg {
    Add(u64),
    Total(RpcReplyPort<(u64, u32)>),
}

struct Counter;

#[placeable]
impl Actor for Counter {
    type Msg = CounterMsg;
    type State = u64;
    type Arguments = u64;

    async fn pre_start(&self, _: ActorRef<CounterMsg>, start: u64) -> Result<u64, ActorProcessingErr> {
        Ok(start)
    }

    async fn handle(
        &self,
        _: ActorRef<CounterMsg>,
        msg: CounterMsg,
        total: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            CounterMsg::Add(n) => *total += n,
            CounterMsg::Total(reply) => reply.send((*total, id()))?,
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::start().await?;
    let pool = Pool::builder("quick").max(2).backend(ProcessBackend::new()).start(&node).await?;
    if node.is_runner() {
        return Ok(node.serve().await?);
    }
    add(1, 2).await; // here
    pool.call(add(1, 2)).await?; // on a runner
    let there = pool.call(task!([] -> u32 { id() })).await?;
    println!("an inline block ran in process {there}, called from process {}", id());
    let counter = pool.place_child(Counter, 40).await?;
    counter.cast(CounterMsg::Add(2))?;
    let (total, there) = call!(counter, CounterMsg::Total)?;
    println!("a placed actor counts to {total} in process {there}");
    node.shutdown().await;
    Ok(())
}
