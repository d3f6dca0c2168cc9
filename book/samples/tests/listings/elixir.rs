//! from-elixir.md.

use std::time::Duration;

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use flame_actors::{Message, Node, Pool, placeable, remote};
use flame_local::ProcessBackend;
use flame_tests::{node, trials};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    trials![everything_in_one_minute]
}

type Video = String;
type Open = ();

#[remote]
async fn generate_thumbnails(video: Video, every: usize) -> usize {
    video.len() / every
}

#[derive(Message)]
struct Chunk(u8);

struct Generator;

#[placeable]
impl Actor for Generator {
    type Msg = Chunk;
    type State = ();
    type Arguments = Open;

    async fn pre_start(&self, _: ActorRef<Chunk>, (): Open) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

async fn minute(node: Node, video: Video, open: Open) -> anyhow::Result<usize> {
    let again = video.clone();
    // ANCHOR: minute
    let pool = Pool::builder("ffmpeg-runner").min(0).max(10).max_concurrency(5);
    let pool = pool.idle_shutdown_after(Duration::from_secs(30)).backend(ProcessBackend::new()).start(&node).await?;

    let count = pool.call(generate_thumbnails(video, 5)).await?;
    pool.cast(generate_thumbnails(again, 5)).await?;
    let generator = pool.place_child(Generator, open).await?;
    // ANCHOR_END: minute
    generator.stop(None);
    pool.shutdown().await;
    Ok(count)
}

async fn everything_in_one_minute() {
    assert_eq!(minute(node(), "ten letter".to_owned(), ()).await.unwrap(), 2);
}
