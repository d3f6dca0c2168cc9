//! Paints the Mandelbrot set with letters.

// ANCHOR: use
use std::process::id;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{Message, Node, Pool, placeable};
use flame_local::ProcessBackend;
// ANCHOR_END: use

const WIDTH: u32 = 64;
const HEIGHT: u32 = 17;

/// One row of the picture: the work.
fn paint(y: u32) -> String {
    let shade = |x: u32| {
        let (re, im) = (f64::from(x) / 22.0 - 2.1, f64::from(y) / 7.0 - 8.0 / 7.0);
        let (mut a, mut b, mut rounds) = (0.0, 0.0, 0);
        while a * a + b * b < 4.0 && rounds < 20_000 {
            (a, b, rounds) = (a * a - b * b + re, 2.0 * a * b + im, rounds + 1);
        }
        match rounds {
            0..4 => ' ',
            4..8 => '.',
            8..20 => ':',
            20..20_000 => '+',
            _ => '#',
        }
    };
    (0..WIDTH).map(shade).collect::<String>().trim_end().to_owned()
}

// ANCHOR: actor
#[derive(Message)]
enum PainterMsg {
    Row(u32, RpcReplyPort<String>),
    Painted(RpcReplyPort<(u32, u32)>),
}

struct Painter;

#[placeable]
impl Actor for Painter {
    type Msg = PainterMsg;
    type State = u32; // how many rows it has painted
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<PainterMsg>, (): ()) -> Result<u32, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<PainterMsg>,
        msg: PainterMsg,
        painted: &mut u32,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            PainterMsg::Row(y, reply) => {
                *painted += 1;
                reply.send(paint(y))?;
            }
            PainterMsg::Painted(reply) => reply.send((*painted, id()))?,
        }
        Ok(())
    }
}
// ANCHOR_END: actor

// ANCHOR: main
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::start().await?;
    let pool = Pool::builder("painters").max(3).max_concurrency(1).backend(ProcessBackend::new());
    let pool = pool.start(&node).await?;
    if node.is_runner() {
        return Ok(node.serve().await?);
    }

    // ANCHOR: place
    let painter = pool.place_child(Painter, ()).await?;
    for y in 0..HEIGHT {
        println!("{}", call!(painter, PainterMsg::Row, y)?);
    }
    let (painted, there) = call!(painter, PainterMsg::Painted)?;
    println!("{painted} rows by an actor in process {there}, called from process {}", id());
    // ANCHOR_END: place
    node.shutdown().await;
    Ok(())
}
// ANCHOR_END: main
