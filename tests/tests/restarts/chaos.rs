//! Runners are killed at random under load: every child comes back, alone, and takes nothing twice.
//!
//! `FLAME_CHAOS_SEED` repeats a run as far as the machine does, and `FLAME_CHAOS_SECONDS` sets how long it kills.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flame_actors::ractor::rpc::CallResult;
use flame_actors::ractor::{ActorRef, call};
use flame_actors::{Pool, Restart, remote};
use flame_tests::{Runners, eventually, long_trial, node, process};
use futures_util::future::join_all;
use libtest_mimic::Trial;

use crate::member::{Diary, Member, MemberMsg};

const CHILDREN: usize = 200;
const RUNNERS: usize = 4;
const SENDERS: u32 = 4;
/// Between two messages of a sender.
const PAUSE: Duration = Duration::from_millis(2);
/// One message in so many is a call, and one in so many makes the child fail.
const CALLS: u64 = 10;
const FAILURES: u64 = 200;
/// A child whose runners were lost one soon after the other waits for up to 10 s; the rest is for the machine.
const BACK_WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    let seconds = variable("FLAME_CHAOS_SECONDS").unwrap_or(30);
    let seed = variable("FLAME_CHAOS_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("it is later than 1970").as_nanos() as u64 % 1_000_000
    });
    let longest = Duration::from_secs(seconds + 120);
    vec![long_trial(module_path!(), "every_child_comes_back_alone_and_takes_nothing_twice", longest, move || {
        every_child_comes_back_alone_and_takes_nothing_twice(seed, Duration::from_secs(seconds))
    })]
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Random numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

type Members = Vec<ActorRef<MemberMsg>>;

async fn every_child_comes_back_alone_and_takes_nothing_twice(seed: u64, time: Duration) {
    eprintln!("FLAME_CHAOS_SEED={seed}");
    let pool = Runners::Processes.pool().min(RUNNERS).max(RUNNERS).max_concurrency(60).start(&node()).await.unwrap();
    let elsewhere = Runners::Processes.start().await;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let diaries = Diary::several(&dir, CHILDREN);
    let placing = diaries.iter().map(|diary| {
        let place = pool.place_child(Member, diary.args()).restart(Restart::Permanent);
        place.max_restarts(1000, Duration::from_secs(2))
    });
    let members: Members = join_all(placing).await.into_iter().map(|placed| placed.expect("it starts")).collect();

    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|me| {
            let (members, stop) = (members.clone(), Arc::clone(&stop));
            tokio::spawn(async move { send(me, &members, seed, || !stop.load(Ordering::Relaxed)).await })
        })
        .collect();
    // One more, to which all are proxies.
    let stranger = elsewhere.call(send_for(SENDERS, members.clone(), seed, time)).timeout(2 * time + BACK_WITHIN);
    let stranger = tokio::spawn(stranger);
    let (kills, last_kill) = kill_at_random(&pool, &mut Random(seed), time).await;
    stop.store(true, Ordering::Relaxed);

    let asked = join_all(members.iter().map(answers));
    let asked = tokio::time::timeout(BACK_WITHIN, asked).await;
    let back = last_kill.elapsed();
    // First what would be the reason.
    for diary in &diaries {
        diary.check();
    }
    asked.expect("all are back some seconds after the last kill");
    let mut sent = eventually("the sender elsewhere", stranger).await.unwrap().expect("its runner lives");
    for sender in senders {
        sent += eventually("a sender", sender).await.unwrap();
    }
    let took: usize = diaries.iter().map(Diary::check).sum();
    let starts: usize = diaries.iter().map(Diary::starts).sum();
    eprintln!("{kills} kills, {starts} starts of {CHILDREN} children, {took} of {sent} messages, back after {back:?}");
    assert!(took as u64 > sent / 2, "most messages arrive");
    assert!(starts > CHILDREN + kills, "children were placed again");
    pool.shutdown().await;
    elsewhere.shutdown().await;
}

/// Kills until the time is over; a kill may hit one runner or several at once.
async fn kill_at_random(pool: &Pool, random: &mut Random, time: Duration) -> (usize, Instant) {
    let (start, mut kills) = (Instant::now(), 0);
    let mut last = start;
    while start.elapsed() < time {
        let victims = 1 + random.below(8).saturating_sub(4) as usize;
        let mut runners = pool.status().runners;
        for _ in 0..victims.min(runners.len()) {
            let runner = runners.swap_remove(random.below(runners.len() as u64) as usize);
            process::kill(runner.instance.parse().expect("a process is known by its id"));
            kills += 1;
        }
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(200 + random.below(1300))).await;
    }
    (kills, last)
}

/// Returns once the child answers: a call that was on its way when its runner was killed ends without.
async fn answers(member: &ActorRef<MemberMsg>) {
    while call!(member, MemberMsg::Pid).is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends numbered messages to one child after the other, and counts them. Each arrives, or not; the ref always works.
async fn send(me: u32, members: &Members, seed: u64, more: impl Fn() -> bool) -> u64 {
    let mut random = Random(seed + u64::from(me) + 1);
    let mut number = 0;
    while more() {
        number += 1;
        let member = &members[random.below(members.len() as u64) as usize];
        if random.below(CALLS) == 0 {
            let asked = member.call(|reply| MemberMsg::Ask(me, number, reply), Some(BACK_WITHIN)).await;
            let asked = asked.unwrap_or_else(|err| panic!("a call of sender {me} was refused: {err}"));
            assert!(!matches!(asked, CallResult::Timeout), "a call of sender {me} was neither answered nor ended");
        } else if random.below(FAILURES) == 0 {
            member.cast(MemberMsg::Fail(format!("sender {me} said so"))).expect("the ref works");
        } else {
            member
                .cast(MemberMsg::Take(me, number))
                .unwrap_or_else(|err| panic!("a cast of sender {me} was refused: {err}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    number
}

#[remote]
async fn send_for(me: u32, members: Vec<ActorRef<MemberMsg>>, seed: u64, time: Duration) -> u64 {
    let start = Instant::now();
    send(me, &members, seed, || start.elapsed() < time).await
}
