//! Bulk bytes: how fast, and what they cost the calls beside them.

use std::path::Path;
use std::time::{Duration, Instant};

use flame_actors::{ByteStream, Node, Pool, remote};
use flame_local::ProcessBackend;
use tokio::io::AsyncReadExt;

use crate::calls::nothing;
use crate::floor::{CHUNK, Peer, per_second};
use crate::report::Row;
use crate::sample::Sample;

const BYTES: u64 = 1024 * 1024 * 1024;
/// In turns.
const ROUNDS: usize = 5;
const CALLS: usize = 2000;
/// A call that comes back at once is followed by this, so that the calls take no core from the stream.
const PAUSE: Duration = Duration::from_micros(200);

#[remote]
async fn take(stream: ByteStream) -> anyhow::Result<usize> {
    let (mut stream, mut bytes, mut buf) = (stream, 0, vec![0; CHUNK]);
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(bytes),
            read => bytes += read,
        }
    }
}

pub(crate) async fn rows(node: Node) -> anyhow::Result<Vec<Row>> {
    let pool = Pool::builder("streams").max(1).backend(ProcessBackend::new()).start(&node).await?;
    pool.call(nothing()).await?;
    let file = tempfile::NamedTempFile::new()?;
    // A hole is read as fast as what the system has in its cache.
    file.as_file().set_len(BYTES)?;
    let mut rows = vec![throughput(&pool, file.path()).await?];
    rows.push(beside_a_stream(&pool, file.path()).await?);
    Ok(rows)
}

/// Both from a file and to the other side's word that it has all.
async fn throughput(pool: &Pool, file: &Path) -> anyhow::Result<Row> {
    let peer = Peer::start().await?;
    let [mut copies, mut streams] = <[Sample; 2]>::default();
    for _ in 0..ROUNDS {
        let connection = peer.connect().await?;
        copies.push(
            tokio::spawn({
                let file = file.to_owned();
                async move { connection.copy(&file).await }
            })
            .await??
                / 1e6,
        );
        let start = Instant::now();
        let stream = ByteStream::open(file).await?;
        let taken = pool.call(take(stream)).await??;
        streams.push(per_second(taken, start) / 1e6);
    }
    // 14 to 205 MB/s with FLAME, 504 MB/s with tonic.
    Ok(Row::new("1 GiB file, ByteStream", streams.p50(), "MB/s").floor(copies.p50()).target(0.7))
}

async fn beside_a_stream(pool: &Pool, file: &Path) -> anyhow::Result<Row> {
    let [mut alone, mut beside] = <[Sample; 2]>::default();
    for _ in 0..CALLS {
        alone.time(|| pool.call(nothing())).await?;
        tokio::time::sleep(PAUSE).await;
    }
    let streams = tokio::spawn({
        let (pool, file) = (pool.clone(), file.to_owned());
        async move {
            loop {
                pool.call(take(ByteStream::open(&file).await?)).await??;
            }
            #[expect(unreachable_code, reason = "it tells the type of the result")]
            anyhow::Ok(())
        }
    });
    for _ in 0..CALLS {
        beside.time(|| pool.call(nothing())).await?;
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::ensure!(!streams.is_finished(), "the stream ran all the while: {:?}", streams.await);
    streams.abort();
    // 4,000 to 60,000 µs with messages over one session.
    Ok(Row::new("no-op call while a stream runs, p50", beside.p50(), "µs").floor(alone.p50()).target(3.0))
}
