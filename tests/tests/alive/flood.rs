//! As many messages as there can be, on a machine that computes besides.

use std::time::{Duration, Instant};

use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use flame_actors::{BoundedSender, ByteStream, Message, Pool, placeable, remote, task};
use flame_tests::{Journal, LEASE, Role, Runners, long_trial};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt as _, stream};
use libtest_mimic::Trial;
use tokio::io::AsyncReadExt as _;

use crate::harm::{JOURNAL, Tree, UNHARMED, end_of, journal, noting, pid};
use crate::spinners::Spinners;

/// What one floods with, and from where.
#[derive(Clone, Copy, Debug)]
struct Flood {
    what: &'static str,
    lease: Duration,
}

/// From each runner something else.
const ALL: &str = "all";
const KINDS: [&str; 7] = ["casts up", "casts down", "calls up", "calls down", "items", "bytes up", "bytes down"];

const SHORT: Duration = Duration::from_secs(2);
/// The default.
const LONG: Duration = Duration::from_secs(15);
const LONGEST_TRIAL: Duration = Duration::from_secs(400);
/// By then the last of what was sent has arrived.
const DRAINED: Duration = Duration::from_secs(300);

pub(crate) fn trials() -> Vec<Trial> {
    let flood = |name: &str, what: &'static str, lease: Duration| {
        long_trial(module_path!(), name, LONGEST_TRIAL, move || loses_nobody(Flood { what, lease }))
    };
    vec![
        flood("casts_from_runners_lose_nobody_at_a_short_lease", "casts up", SHORT),
        flood("casts_from_runners_lose_nobody_at_the_default_lease", "casts up", LONG),
        flood("casts_to_runners_lose_nobody_at_a_short_lease", "casts down", SHORT),
        flood("calls_from_runners_lose_nobody_at_a_short_lease", "calls up", SHORT),
        flood("calls_to_runners_lose_nobody_at_a_short_lease", "calls down", SHORT),
        flood("items_lose_nobody_at_a_short_lease", "items", SHORT),
        flood("bytes_from_runners_lose_nobody_at_a_short_lease", "bytes up", SHORT),
        flood("bytes_to_runners_lose_nobody_at_a_short_lease", "bytes down", SHORT),
        flood("all_of_it_together_loses_nobody_at_the_default_lease", ALL, LONG),
    ]
}

const RUNNERS: usize = 8;
const IN_FLIGHT: usize = 4000;
const WORDS: usize = 1000;
/// That long more is sent.
const FLOODING: Duration = Duration::from_secs(6);
/// The same for what has a window, so that no more piles up after a while.
const STREAMING: Duration = Duration::from_secs(4);
const WHAT: &str = "FLAME_TEST_FLOOD";

async fn loses_nobody(Flood { what, lease }: Flood) {
    let (journal, lease) = (Journal::new(), lease.as_millis().to_string());
    let path = journal.entry().path().to_str().expect("plain letters").to_owned();
    let _role = Tree(Role::start("flooded", &[(LEASE, &lease), (WHAT, what), (JOURNAL, &path)]));
    journal.wait_for("up").await;
    let spinners = Spinners::on_all_cores();
    assert_eq!(end_of(&journal, DRAINED).await, UNHARMED);
    assert!(spinners.are_alive());
}

/// Each runner is flooded, or floods, at the same time.
pub(crate) async fn play() {
    noting(async {
        let what = std::env::var(WHAT).expect("the trial gives one");
        let (home, _) = Actor::spawn(None, Sink, ()).await.expect("it starts");
        let mut all = Vec::new();
        for _ in 0..RUNNERS {
            let pool = Runners::Processes.start().await;
            let runner = pid(&pool).await;
            let child = pool.place_child(Sink, ()).await.expect("it starts");
            all.push((pool, runner, child));
        }
        journal().note("up");
        let floods = all.iter().enumerate().map(|(number, (pool, _, child))| {
            let what = if what == ALL { KINDS[number % KINDS.len()] } else { &what };
            tokio::spawn(flood(what.to_owned(), pool.clone(), child.clone(), home.clone()))
        });
        let ends = join_all(floods.collect::<Vec<_>>()).await;
        let mut wrong = Vec::new();
        for ((pool, runner, child), end) in all.iter().zip(ends) {
            let now = pool.call(task!([] -> u32 { std::process::id() })).timeout(DRAINED).await;
            match (end.map_err(|panic| panic.to_string()), now) {
                (Ok(Ok(())), Ok(now)) if now == *runner => {}
                (end, now) => wrong.push(format!("{end:?}, and its runner {runner} is {now:?} now")),
            }
            child.stop(None);
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("{} of {RUNNERS}: {}", wrong.len(), wrong.join("; "))) }
    })
    .await;
}

fn words() -> Vec<String> {
    (0..WORDS).map(|n| n.to_string()).collect()
}

#[derive(Message)]
enum SinkMsg {
    Words(Vec<String>),
    Count(Vec<String>, RpcReplyPort<u64>),
}

/// Takes words.
struct Sink;

#[placeable]
impl Actor for Sink {
    type Msg = SinkMsg;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<SinkMsg>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<SinkMsg>, message: SinkMsg, taken: &mut u64) -> Result<(), ActorProcessingErr> {
        match message {
            SinkMsg::Words(words) => *taken += words.len() as u64,
            SinkMsg::Count(words, reply) => {
                *taken += words.len() as u64;
                let _ = reply.send(*taken);
            }
        }
        Ok(())
    }
}

#[remote]
async fn cast_words(sink: ActorRef<SinkMsg>) -> Result<(), String> {
    let (sender, start) = (BoundedSender::new(sink, IN_FLIGHT), Instant::now());
    while start.elapsed() < FLOODING {
        sender.send(SinkMsg::Words(words())).await.map_err(|err| err.to_string())?;
    }
    sender.flush().await;
    Ok(())
}

#[remote]
async fn call_with_words(sink: ActorRef<SinkMsg>) -> Result<(), String> {
    let start = Instant::now();
    let calls = stream::iter(0_u64..).take_while(|_| std::future::ready(start.elapsed() < FLOODING)).map(|_| {
        let sink = sink.clone();
        async move { flame_actors::ractor::call!(sink, |reply| SinkMsg::Count(words(), reply)) }
    });
    let mut calls = std::pin::pin!(calls.buffer_unordered(IN_FLIGHT));
    while let Some(call) = calls.next().await {
        call.map_err(|err| err.to_string())?;
    }
    Ok(())
}

#[remote]
fn yield_words() -> impl Stream<Item = Vec<String>> {
    let start = Instant::now();
    stream::iter(0_u64..).take_while(move |_| std::future::ready(start.elapsed() < STREAMING)).map(|_| words())
}

/// Bytes for as long as it takes.
fn bytes() -> ByteStream {
    let (reader, mut writer) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move {
        let (start, some) = (Instant::now(), vec![7; 1 << 20]);
        while start.elapsed() < STREAMING && tokio::io::AsyncWriteExt::write_all(&mut writer, &some).await.is_ok() {}
    });
    ByteStream::new(reader)
}

#[remote]
async fn give_bytes() -> ByteStream {
    bytes()
}

#[remote]
async fn take_bytes(bytes: ByteStream) -> Result<(), String> {
    read(bytes).await
}

async fn read(mut bytes: ByteStream) -> Result<(), String> {
    let mut buffer = vec![0; 1 << 16];
    while bytes.read(&mut buffer).await.map_err(|err| err.to_string())? > 0 {}
    Ok(())
}

/// One runner's part; an error is what it was lost by.
async fn flood(what: String, pool: Pool, child: ActorRef<SinkMsg>, home: ActorRef<SinkMsg>) -> Result<(), String> {
    let failed = |err: flame_actors::Error| err.to_string();
    match &*what {
        "casts up" => pool.call(cast_words(home)).timeout(DRAINED).await.map_err(failed)?,
        "calls up" => pool.call(call_with_words(home)).timeout(DRAINED).await.map_err(failed)?,
        "casts down" => cast_words(child).await,
        "calls down" => call_with_words(child).await,
        "items" => {
            let mut items = pool.stream(yield_words()).timeout(DRAINED).window(IN_FLIGHT as u32);
            while let Some(item) = items.next().await {
                item.map_err(failed)?;
            }
            Ok(())
        }
        "bytes up" => read(pool.call(give_bytes()).timeout(DRAINED).await.map_err(failed)?).await,
        "bytes down" => pool.call(take_bytes(bytes())).timeout(DRAINED).await.map_err(failed)?,
        other => panic!("no such flood: {other}"),
    }
}
