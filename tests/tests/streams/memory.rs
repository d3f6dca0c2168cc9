//! A long stream in little memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flame_actors::{ByteSink, ByteStream, remote};
use flame_tests::{Entry, Role, Runners, told, trials, until};
use libtest_mimic::Trial;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::work::says;

/// Much more than may be in memory.
const BYTES: u64 = 384 << 20;
const MOST_RESIDENT_KIB: u64 = 64 * 1024;
/// Which way.
const WAY: &str = "FLAME_TEST_WAY";

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        much_to_a_slow_runner_takes_little_memory,
        much_from_a_runner_takes_little_memory,
        much_written_by_a_runner_takes_little_memory,
    ]
}

/// How much of this process was in memory at the most.
fn most_resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("every process has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux 2.6.15");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[remote]
async fn most_of_runner() -> u64 {
    most_resident_kib()
}

/// A file that takes no room.
fn sparse() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    file.as_file().set_len(BYTES).expect("it takes no room");
    file
}

/// Reads a bit, rests until it is told to go on, then reads the rest.
async fn read_slowly(mut stream: impl AsyncRead + Unpin, journal: &Entry) -> u64 {
    let mut buf = vec![0; 256 * 1024];
    stream.read_exact(&mut buf).await.expect("so much comes");
    journal.note("resting");
    until("the word to go on", || says(journal, "go on")).await;
    let mut bytes = buf.len() as u64;
    loop {
        match stream.read(&mut buf).await.expect("the rest comes") {
            0 => return bytes,
            read => bytes += read as u64,
        }
    }
}

#[remote]
async fn read_on_runner(stream: ByteStream, journal: Entry) -> u64 {
    read_slowly(stream, &journal).await
}

#[remote]
async fn open_on_runner() -> ByteStream {
    let file = sparse();
    ByteStream::open(file.path()).await.expect("it is there")
}

#[remote]
async fn write_on_runner(sink: ByteSink, written: Entry) -> u64 {
    let (mut sink, buf, mut bytes) = (sink, vec![0; 256 * 1024], 0);
    while bytes < BYTES {
        sink.write_all(&buf).await.expect("it is taken");
        bytes += buf.len() as u64;
        if bytes == 256 * 1024 {
            written.note("begun");
        }
    }
    sink.shutdown().await.expect("all is taken");
    bytes
}

/// Waits until it does not change any more.
async fn settled(given: &AtomicU64) -> u64 {
    loop {
        let before = given.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        if given.load(Ordering::Relaxed) == before {
            return before;
        }
    }
}

/// Moves that much one way or another, and tells how much memory that took here and there.
pub(crate) async fn mover() {
    let (pool, journal) = (Runners::Processes.start().await, flame_tests::Journal::new());
    let entry = journal.entry();
    let go_on = async {
        journal.wait_for("resting").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        entry.note("go on");
    };
    let bytes = match std::env::var(WAY).as_deref() {
        Ok("to the runner") => {
            let given = Arc::new(AtomicU64::new(0));
            let file = sparse();
            let reader = Counted(tokio::fs::File::open(file.path()).await.expect("it is there"), Arc::clone(&given));
            let stream = ByteStream::new(reader).with_size(BYTES);
            let stopped = async {
                journal.wait_for("resting").await;
                // What the system keeps on both sides, and no more.
                let given = settled(&given).await;
                assert!(given < 32 << 20, "{given}");
                entry.note("go on");
            };
            tokio::join!(pool.call(read_on_runner(stream, entry.clone())), stopped).0.expect("it runs")
        }
        Ok("from the runner") => {
            let stream = pool.call(open_on_runner()).await.expect("it runs");
            assert_eq!(stream.size(), Some(BYTES));
            tokio::join!(read_slowly(stream, &entry), go_on).0
        }
        _ => {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let sink = ByteSink::new(near);
            let call = pool.call(write_on_runner(sink, entry.clone()));
            let (written, read, ()) = tokio::join!(call, read_slowly(far, &entry), go_on);
            assert_eq!(written.expect("it runs"), read);
            read
        }
    };
    let runner = pool.call(most_of_runner()).await.expect("it runs");
    told(format_args!("{bytes} {} {runner}", most_resident_kib()));
    pool.shutdown().await;
}

/// Counts what is read.
struct Counted(tokio::fs::File, Arc<AtomicU64>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = std::pin::Pin::new(&mut self.0).poll_read(cx, buf);
        self.1.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

async fn moves(way: &str) {
    let mut mover = Role::start("mover", &[(WAY, way)]);
    let told = mover.next().await;
    let numbers: Vec<u64> = told.split(' ').map(|number| number.parse().unwrap()).collect();
    let &[bytes, parent, runner] = numbers.as_slice() else { panic!("{told}") };
    eprintln!("{way}: {parent} KiB and {runner} KiB");
    assert_eq!(bytes, BYTES);
    assert!(parent < MOST_RESIDENT_KIB && runner < MOST_RESIDENT_KIB, "{parent} KiB and {runner} KiB");
}

async fn much_to_a_slow_runner_takes_little_memory() {
    moves("to the runner").await;
}

async fn much_from_a_runner_takes_little_memory() {
    moves("from the runner").await;
}

async fn much_written_by_a_runner_takes_little_memory() {
    moves("written by the runner").await;
}
