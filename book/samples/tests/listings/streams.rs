//! streams.md.

use std::path::PathBuf;
use std::time::Duration;

use flame_actors::{ByteSink, ByteStream, Error, Pool, StreamError, remote};
use flame_tests::{Runners, everywhere, node, trials, until};
use futures_util::{Stream, StreamExt, stream};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = everywhere![
        items_come_as_they_are_made,
        an_item_can_be_an_error_of_its_own,
        many_inputs_go_to_one_function,
        a_file_is_read_on_the_runner,
        a_runner_writes_into_a_file_here,
        a_stream_comes_back_in_a_result,
        a_source_that_breaks_off_is_told_on_both_sides,
        files_come_along_with_the_boot,
    ];
    // In process it is read directly.
    trials.extend(trials![a_runner_stays_for_a_stream_in_a_result]);
    trials
}

// ANCHOR: frames
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Frame(u32);

#[remote]
fn frames(seconds: u32, every: u32) -> impl Stream<Item = Frame> {
    stream::iter((0..seconds).step_by(every as usize)).then(async |second| {
        tokio::time::sleep(Duration::from_millis(1)).await; // decodes it
        Frame(second)
    })
}
// ANCHOR_END: frames

async fn items_come_as_they_are_made(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    let mut shown = Vec::new();
    let mut show = |frame: Frame| shown.push(frame.0);
    // ANCHOR: frames_use
    let mut here = frames(60, 20); // as it was without #[remote]: a stream of frames
    while let Some(frame) = here.next().await {
        show(frame);
    }

    let mut there = pool.stream(frames(60, 20)); // on a runner: each frame in a Result of ours
    while let Some(frame) = there.next().await {
        show(frame?);
    }
    // ANCHOR_END: frames_use
    assert_eq!(shown, [0, 20, 40, 0, 20, 40]);
    pool.shutdown().await;
    Ok(())
}

// ANCHOR: errors
#[remote]
fn numbers(text: String) -> impl Stream<Item = Result<u32, String>> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    stream::iter(words).map(|word| word.parse().map_err(|_| format!("{word:?} is no number")))
}
// ANCHOR_END: errors

async fn an_item_can_be_an_error_of_its_own(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    // ANCHOR: errors_use
    let mut numbers = pool.stream(numbers("1 one 2".to_owned())).window(1); // never more than one ahead of us
    assert_eq!(numbers.next().await, Some(Ok(Ok(1))));
    assert_eq!(numbers.next().await, Some(Ok(Err("\"one\" is no number".to_owned()))));
    assert_eq!(numbers.next().await, Some(Ok(Ok(2)))); // it went on
    assert_eq!(numbers.next().await, None); // the body has ended by itself
    // ANCHOR_END: errors_use
    pool.shutdown().await;
    Ok(())
}

// ANCHOR: map
#[remote]
async fn length(video: String) -> usize {
    video.len()
}

async fn lengths(pool: &Pool, videos: Vec<String>) -> Vec<usize> {
    let mut lengths = pool.map(videos, length);
    let mut progress = lengths.progress();
    tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let now = *progress.borrow_and_update();
            println!("{} of {:?} done, {} failed", now.done, now.total, now.failed);
        }
    });
    let mut found = Vec::new();
    while let Some(length) = lengths.next().await {
        match length {
            Ok(length) => found.push(length),
            Err(err) => eprintln!("one of them failed: {err}"), // the others go on
        }
    }
    found
}
// ANCHOR_END: map

async fn many_inputs_go_to_one_function(runners: Runners) {
    let pool = runners.start().await;
    let videos = ["cat", "holiday", "x"].map(str::to_owned).to_vec();
    assert_eq!(lengths(&pool, videos.clone()).await, [3, 7, 1]);
    // ANCHOR: map_collect
    let all: Vec<Result<usize, Error>> = pool.map(videos, length).unordered().in_flight(2).collect().await;
    // ANCHOR_END: map_collect
    assert_eq!(all.len(), 3);
    pool.shutdown().await;
}

// ANCHOR: up
#[remote]
async fn count_lines(file: ByteStream) -> anyhow::Result<usize> {
    let mut lines = tokio::io::BufReader::new(file).lines(); // it is an AsyncRead, here and there
    let mut count = 0;
    while lines.next_line().await?.is_some() {
        count += 1;
    }
    Ok(count)
}
// ANCHOR_END: up

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("there is room")
}

async fn a_file_is_read_on_the_runner(runners: Runners) -> anyhow::Result<()> {
    let (pool, folder) = (runners.start().await, folder());
    let path = folder.path().join("log");
    std::fs::write(&path, "one\n".repeat(10_000))?;
    // ANCHOR: up_use
    let file = ByteStream::open(&path).await?; // opened here, read on the runner
    assert_eq!(file.size(), Some(40_000));
    assert_eq!(pool.call(count_lines(file)).await??, 10_000);
    // ANCHOR_END: up_use
    pool.shutdown().await;
    Ok(())
}

// ANCHOR: back
#[remote]
async fn write_report(rows: u32, report: ByteSink) -> anyhow::Result<()> {
    let mut report = tokio::io::BufWriter::new(report); // it is an AsyncWrite
    for row in 0..rows {
        report.write_all(format!("row {row}\n").as_bytes()).await?;
    }
    Ok(report.shutdown().await?) // returns when the file here has every byte
}
// ANCHOR_END: back

async fn a_runner_writes_into_a_file_here(runners: Runners) -> anyhow::Result<()> {
    let (pool, folder) = (runners.start().await, folder());
    let path = folder.path().join("report");
    // ANCHOR: back_use
    let file = tokio::fs::File::create(&path).await?;
    let (report, receipt) = ByteSink::new(file).with_receipt();
    pool.call(write_report(1000, report)).await??;
    assert_eq!(receipt.await?, std::fs::metadata(&path)?.len());
    // ANCHOR_END: back_use
    pool.shutdown().await;
    Ok(())
}

// ANCHOR: result
#[remote]
async fn noise(bytes: u64) -> ByteStream {
    ByteStream::new(tokio::io::repeat(7).take(bytes)).with_size(bytes)
}
// ANCHOR_END: result

async fn a_stream_comes_back_in_a_result(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    // ANCHOR: result_use
    let mut noise = pool.call(noise(20 * 1024 * 1024)).await?; // the call has ended, the stream goes on
    let copied = tokio::io::copy(&mut noise, &mut tokio::io::sink()).await?;
    assert_eq!(Some(copied), noise.size());
    // ANCHOR_END: result_use
    pool.shutdown().await;
    Ok(())
}

// ANCHOR: ends
#[remote]
async fn read_all(file: ByteStream) -> Result<usize, StreamError> {
    let (mut file, mut bytes) = (file, Vec::new());
    match file.read_to_end(&mut bytes).await {
        Ok(count) => Ok(count),
        Err(err) => Err(StreamError::of(&err).cloned().expect("the stream says why it ended")),
    }
}
// ANCHOR_END: ends

async fn a_source_that_breaks_off_is_told_on_both_sides(runners: Runners) -> anyhow::Result<()> {
    let pool = runners.start().await;
    // ANCHOR: ends_use
    let too_short = ByteStream::new(&b"only this"[..]).with_size(100);
    let (too_short, receipt) = too_short.with_receipt();
    let there = pool.call(read_all(too_short)).await?;
    assert_eq!(there, Err(StreamError::TooShort { expected: 100, got: 9 })); // what the reader finds
    assert_eq!(receipt.await, Err(StreamError::TooShort { expected: 100, got: 9 })); // what the receipt says
    // ANCHOR_END: ends_use
    pool.shutdown().await;
    Ok(())
}

async fn a_runner_stays_for_a_stream_in_a_result() -> anyhow::Result<()> {
    let pool = Runners::Processes.pool().idle_shutdown_after(Duration::from_millis(100)).start(&node()).await?;
    let mut noise = pool.call(noise(32 * 1024 * 1024)).await?;
    // Five times as long as a runner stays that has nothing to do.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(tokio::io::copy(&mut noise, &mut tokio::io::sink()).await?, 32 * 1024 * 1024);
    until("the runner has left", || pool.status().runners.is_empty()).await;
    pool.shutdown().await;
    Ok(())
}

// ANCHOR: files
#[remote]
async fn weights(model: PathBuf) -> Option<u64> {
    std::fs::metadata(model).map(|file| file.len()).ok()
}
// ANCHOR_END: files

async fn files_come_along_with_the_boot(runners: Runners) -> anyhow::Result<()> {
    let (here, there) = (folder(), folder());
    let (voices, model) = (here.path().join("voices"), there.path().join("models/face"));
    std::fs::create_dir(&voices)?;
    std::fs::write(voices.join("alto"), "alto")?;
    std::fs::write(here.path().join("face"), "weights")?;
    let face = here.path().join("face");
    // ANCHOR: files_use
    let pool = runners.pool().copy_paths([&voices]).copy_path_to(&face, &model);
    let pool = pool.start(&node()).await?;
    assert_eq!(pool.call(weights(model.clone())).await?, Some(7)); // it was there before the work
    // ANCHOR_END: files_use
    pool.shutdown().await;
    until("the model is gone with its runner", || !model.exists()).await;
    Ok(())
}
