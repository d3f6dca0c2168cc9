//! Paints the Mandelbrot set with letters.

// ANCHOR: use
use std::collections::{BTreeMap, BTreeSet};
use std::process::id;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use flame_actors::{ActorAddr, Message, Node, Pool, Restart, Snapshot, placeable};
use flame_local::ProcessBackend;
use serde::{Deserialize, Serialize};
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

// ANCHOR: screen
/// Shows the picture once it has all rows, and ends then.
struct Screen;

#[derive(Message)]
enum ScreenMsg {
    Row(u32, String, u32, RpcReplyPort<()>),
}

#[derive(Default)]
struct Picture {
    rows: BTreeMap<u32, String>,
    painters: BTreeSet<u32>,
}

impl Actor for Screen {
    type Msg = ScreenMsg;
    type State = Picture;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ScreenMsg>, (): ()) -> Result<Picture, ActorProcessingErr> {
        Ok(Picture::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<ScreenMsg>,
        ScreenMsg::Row(y, row, painter, taken): ScreenMsg,
        picture: &mut Picture,
    ) -> Result<(), ActorProcessingErr> {
        picture.rows.insert(y, row);
        picture.painters.insert(painter);
        taken.send(())?;
        if picture.rows.len() as u32 == HEIGHT {
            picture.rows.values().for_each(|row| println!("{row}"));
            println!("shown by process {}, painted by {} processes", id(), picture.painters.len());
            myself.stop(None);
        }
        Ok(())
    }
}
// ANCHOR_END: screen

// ANCHOR: painter
/// Paints its part of the picture, row by row.
struct Painter;

#[derive(Serialize, Deserialize)]
struct Part {
    from: u32,
    to: u32,
    screen: ActorAddr<ScreenMsg>,
}

struct Painting {
    next: u32,
    part: Part,
    is_first_life: bool,
}

#[derive(Message)]
enum PainterMsg {
    Paint,
}

#[placeable]
impl Actor for Painter {
    type Msg = PainterMsg;
    type State = Painting;
    type Arguments = Part;

    async fn pre_start(&self, _: ActorRef<PainterMsg>, part: Part) -> Result<Painting, ActorProcessingErr> {
        Ok(Painting { next: part.from, part, is_first_life: true })
    }

    async fn handle(
        &self,
        myself: ActorRef<PainterMsg>,
        PainterMsg::Paint: PainterMsg,
        painting: &mut Painting,
    ) -> Result<(), ActorProcessingErr> {
        let y = painting.next;
        // ANCHOR: crash
        if y == 5 && painting.is_first_life {
            std::process::exit(3); // the whole process, with all that is on it
        }
        // ANCHOR_END: crash
        call!(painting.part.screen, ScreenMsg::Row, y, paint(y), id())?; // until the screen has it
        painting.next += 1;
        if painting.next < painting.part.to {
            myself.cast(PainterMsg::Paint)?;
        }
        Ok(())
    }
}
// ANCHOR_END: painter

// ANCHOR: snapshot
impl Snapshot for Painter {
    type Snapshot = u32;

    fn snapshot(&self, painting: &mut Painting) -> Option<u32> {
        Some(painting.next)
    }

    async fn restore(
        &self,
        myself: ActorRef<PainterMsg>,
        part: Part,
        next: u32,
    ) -> Result<Painting, ActorProcessingErr> {
        println!("process {} goes on at row {next}", id());
        myself.cast(PainterMsg::Paint)?;
        Ok(Painting { next, part, is_first_life: false })
    }
}
// ANCHOR_END: snapshot

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
    let (screen, shown) = Actor::spawn(None, Screen, ()).await?;
    let middle = HEIGHT / 2;
    let mut painters = Vec::new();
    for (from, to) in [(middle, HEIGHT), (0, middle)] {
        let part = Part { from, to, screen: ActorAddr::from(&screen) };
        let painter = pool.place_child(Painter, part).linked_to(&screen.get_cell());
        painters.push(painter.restart(Restart::Transient).await?);
    }
    for painter in painters {
        painter.cast(PainterMsg::Paint)?;
    }
    shown.await?;
    // ANCHOR_END: place
    node.shutdown().await;
    Ok(())
}
// ANCHOR_END: main
