//! `Scale` beside a naive model of it, over random sequences of what can happen to a pool.

use proptest::prelude::*;

use super::*;
use crate::pool::placement::MostLoaded;
use crate::pool::queue::Ticket;

const IDLE: Duration = Duration::from_secs(30);
const MIN_IDLE: Duration = Duration::from_secs(90);
const AGE: Duration = Duration::from_secs(300);

fn limits(min: usize, max: usize, max_concurrency: usize) -> Limits {
    Limits {
        min,
        max,
        max_concurrency,
        single_use: false,
        buffer: 0,
        idle_shutdown_after: IDLE,
        min_idle_shutdown_after: Duration::MAX,
        max_runner_age: Duration::MAX,
    }
}

fn scale(limits: Limits) -> Scale<u32> {
    Scale::new(limits, Ranking::DEFAULT)
}

fn node(id: u64) -> Arc<str> {
    format!("web.pool-{id}").into()
}

fn boot_all(scale: &mut Scale<u32>, now: Instant) -> Vec<u64> {
    let ids: Vec<u64> = (0..scale.boots_wanted()).map(|_| scale.boot()).collect();
    ids.iter().for_each(|id| scale.booted(*id, node(*id), now));
    ids
}

fn wait(scale: &mut Scale<u32>, waiters: std::ops::Range<u32>) {
    for waiter in waiters {
        let ticket = scale.queue.ticket();
        scale.queue.wait(ticket, waiter);
    }
}

/// Sends away all that have been idle for long enough.
fn shrink(scale: &mut Scale<u32>, now: Instant) -> Vec<u64> {
    let found = scale.long_idle(now);
    found.into_iter().filter(|found| scale.leave(*found, true, now)).map(|found| found.id).collect()
}

#[test]
fn it_boots_as_many_as_those_who_wait_need_and_no_more_than_max() {
    let mut scale = scale(limits(0, 3, 2));
    assert_eq!(scale.boots_wanted(), 0);
    wait(&mut scale, 0..3);
    assert_eq!(scale.boots_wanted(), 2, "two slots each");
    scale.boot();
    assert_eq!(scale.boots_wanted(), 1, "one is on its way");
    wait(&mut scale, 3..100);
    assert_eq!(scale.boots_wanted(), 2, "three at the most");
}

#[test]
fn it_keeps_spare_slots_ahead_of_demand() {
    let mut scale = scale(Limits { buffer: 3, ..limits(0, 10, 2) });
    let now = Instant::now();
    assert_eq!(boot_all(&mut scale, now).len(), 2, "four slots, three of them asked for");
    scale.acquire().unwrap();
    assert_eq!(scale.boots_wanted(), 0, "three are free");
    scale.acquire().unwrap();
    assert_eq!(scale.boots_wanted(), 1);
    boot_all(&mut scale, now);
    assert_eq!(shrink(&mut scale, now + IDLE), [], "four slots are free, and three would not be after it");
}

#[test]
fn it_shrinks_to_min_when_idle_for_long_enough() {
    let start = Instant::now();
    let mut scale = scale(limits(1, 3, 1));
    wait(&mut scale, 0..3);
    let ids = boot_all(&mut scale, start);
    while scale.grant().is_some() {}
    let later = start + Duration::from_secs(1);
    ids.iter().for_each(|id| assert!(!scale.release(*id, true, later)));
    assert_eq!(shrink(&mut scale, start + Duration::from_secs(30)), [], "idle for 29 s");
    assert_eq!(scale.next_look(later), start + Duration::from_secs(31));
    assert_eq!(shrink(&mut scale, start + Duration::from_secs(31)).len(), 2);
    assert_eq!(scale.serving(), 1);
    assert_eq!(scale.boots_wanted(), 0);
}

#[test]
fn the_minimum_goes_when_it_may_and_comes_back_with_the_next_one_who_has_to_wait() {
    let start = Instant::now();
    let mut scale = scale(Limits { min_idle_shutdown_after: MIN_IDLE, ..limits(2, 3, 1) });
    let ids = boot_all(&mut scale, start);
    assert_eq!(shrink(&mut scale, start + IDLE), []);
    assert_eq!(scale.next_look(start + IDLE), start + IDLE * 2, "something may become idle from now on");
    assert_eq!(shrink(&mut scale, start + MIN_IDLE), ids);
    ids.iter().for_each(|id| scale.remove(*id));
    assert_eq!(scale.boots_wanted(), 0, "nobody needs them");
    wait(&mut scale, 0..1);
    scale.wake();
    assert_eq!(scale.boots_wanted(), 2, "one for the waiter, and the minimum with it");
}

#[test]
fn a_runner_that_must_stay_is_asked_again_after_as_long_once_more() {
    let start = Instant::now();
    let mut scale = scale(limits(0, 1, 1));
    wait(&mut scale, 0..1);
    boot_all(&mut scale, start);
    let found = scale.long_idle(start + IDLE);
    assert_eq!(found.len(), 1);
    assert_eq!(scale.long_idle(start + IDLE), [], "it is being asked");
    assert!(!scale.leave(found[0], false, start + IDLE));
    assert_eq!(scale.long_idle(start + IDLE * 2 - Duration::from_secs(1)), []);
    assert_eq!(scale.long_idle(start + IDLE * 2).len(), 1);
}

#[test]
fn a_runner_that_got_work_while_it_was_asked_stays() {
    let start = Instant::now();
    let mut scale = scale(limits(0, 1, 1));
    wait(&mut scale, 0..1);
    boot_all(&mut scale, start);
    let found = scale.long_idle(start + IDLE);
    let (_, id) = scale.grant().unwrap();
    assert!(!scale.leave(found[0], true, start + IDLE));
    assert!(!scale.release(id, true, start + IDLE));
    assert!(!scale.leave(found[0], true, start + IDLE * 2), "that was another time of idleness");
    assert_eq!(scale.long_idle(start + IDLE * 2).len(), 1);
}

#[test]
fn a_runner_that_is_needed_by_the_time_it_agrees_stays() {
    let start = Instant::now();
    let mut scale = scale(limits(2, 2, 1));
    boot_all(&mut scale, start);
    assert!(scale.resize(0, 2).is_empty());
    let found = scale.long_idle(start + IDLE);
    assert_eq!(found.len(), 2);
    assert!(scale.resize(1, 2).is_empty());
    assert!(scale.leave(found[0], true, start + IDLE));
    assert!(!scale.leave(found[1], true, start + IDLE));
    assert_eq!(scale.serving(), 1);
}

#[test]
fn no_more_are_asked_than_may_go() {
    let start = Instant::now();
    let mut scale = scale(limits(3, 3, 1));
    let ids = boot_all(&mut scale, start);
    assert!(scale.resize(1, 3).is_empty());
    let found = scale.long_idle(start + IDLE);
    assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(scale.long_idle(start + IDLE * 2), [], "two are being asked, and one stays");
    assert!(!scale.leave(found[0], false, start + IDLE));
    assert!(scale.leave(found[1], true, start + IDLE));
    assert_eq!(scale.long_idle(start + IDLE * 2).len(), 1, "two are left");
}

#[test]
fn nobody_is_served_before_those_who_wait() {
    let mut scale = scale(limits(1, 1, 1));
    wait(&mut scale, 0..1);
    boot_all(&mut scale, Instant::now());
    assert_eq!(scale.acquire(), None);
    assert_eq!(scale.grant().map(|(waiter, _)| waiter), Some(0));
}

#[test]
fn a_lost_runner_is_replaced_when_min_asks_for_it() {
    let now = Instant::now();
    let mut scale = scale(limits(2, 2, 1));
    let ids = boot_all(&mut scale, now);
    scale.retire(ids[0]);
    assert_eq!(scale.boots_wanted(), 0, "it is not gone yet, and there may be two");
    scale.remove(ids[0]);
    assert!(!scale.release(ids[0], true, now));
    assert_eq!(scale.boots_wanted(), 1);
}

#[test]
fn a_rank_from_outside_counts_while_the_load_is_what_it_was() {
    let now = Instant::now();
    let ranking = Ranking::of(|_: &Candidate<'_>| unreachable!("it is called by the pool"));
    let mut scale = Scale::<u32>::new(limits(2, 2, 2), ranking);
    let ids = boot_all(&mut scale, now);
    assert!(scale.chooses_by_old_ranks());
    let [first, second] = scale.unranked().try_into().expect("both are new");
    scale.rank(&first, 2);
    scale.rank(&second, 1);
    assert_eq!(scale.acquire(), Some(ids[1]));
    let unranked = scale.unranked();
    assert_eq!(unranked.iter().map(|runner| runner.used).collect::<Vec<_>>(), [1]);
    scale.rank(&second, 9);
    assert_eq!(scale.acquire(), Some(ids[1]), "that rank is of a load that it has no more");
    assert_eq!(scale.acquire(), Some(ids[0]), "the other one is full");
}

// ---- beside the model ----

#[derive(Clone, Debug)]
enum Step {
    Ask,
    /// A slot comes back; `true`: after work.
    GiveBack(usize, bool),
    /// A slot comes back unused, and its owner waits again in its old place.
    GoBack(usize),
    GiveUp(usize),
    BootEnds(bool),
    Lose(usize),
    /// What is leaving is gone.
    Gone(usize),
    /// Time passes and is looked at: those that have been idle for long enough are asked whether they may go.
    Wait(u64),
    /// One that was asked answers.
    Answer(usize, bool),
    Drain(usize),
    Resize(usize, usize),
    Pause(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Ask),
        6 => any::<(usize, bool)>().prop_map(|(which, worked)| Step::GiveBack(which, worked)),
        1 => any::<usize>().prop_map(Step::GoBack),
        2 => any::<usize>().prop_map(Step::GiveUp),
        4 => any::<bool>().prop_map(Step::BootEnds),
        1 => any::<usize>().prop_map(Step::Lose),
        3 => any::<usize>().prop_map(Step::Gone),
        3 => (0..120_u64).prop_map(Step::Wait),
        3 => (any::<usize>(), prop_oneof![1 => Just(false), 2 => Just(true)])
            .prop_map(|(which, agreed)| Step::Answer(which, agreed)),
        1 => any::<usize>().prop_map(Step::Drain),
        1 => (0..4_usize, 1..4_usize).prop_map(|(min, more)| Step::Resize(min, min + more)),
        1 => prop_oneof![1 => Just(true), 3 => Just(false)].prop_map(Step::Pause),
    ]
}

/// One runner, as anybody would write it down.
#[derive(Clone, Debug)]
struct Naive {
    id: u64,
    used: usize,
    stage: Stage,
    up: Instant,
    idle: Instant,
    /// It is being asked whether it may go, for having been idle since then.
    asked: Option<Instant>,
}

struct Model {
    limits: Limits,
    most_loaded: bool,
    scale: Scale<u32>,
    now: Instant,
    runners: Vec<Naive>,
    booting: Vec<u64>,
    /// Who has a slot, with its ticket and where.
    held: Vec<(Ticket, u32, u64)>,
    waiting: Vec<(Ticket, u32)>,
    asked: Vec<LongIdle>,
    callers: u32,
    paused: bool,
    /// So many of `min` have been let go since somebody had to wait.
    let_go: usize,
}

type Check = Result<(), TestCaseError>;

impl Model {
    fn new(limits: Limits, most_loaded: bool) -> Self {
        let ranking = if most_loaded { Ranking::of(MostLoaded) } else { Ranking::DEFAULT };
        Self {
            scale: Scale::new(limits.clone(), ranking),
            limits,
            most_loaded,
            now: Instant::now(),
            runners: Vec::new(),
            booting: Vec::new(),
            held: Vec::new(),
            waiting: Vec::new(),
            asked: Vec::new(),
            callers: 0,
            paused: false,
            let_go: 0,
        }
    }

    fn runner(&mut self, id: u64) -> Option<&mut Naive> {
        self.runners.iter_mut().find(|runner| runner.id == id)
    }

    fn serving(&self) -> Vec<&Naive> {
        self.runners.iter().filter(|runner| runner.stage == Stage::Serving).collect()
    }

    fn min(&self) -> usize {
        self.limits.min.saturating_sub(self.let_go)
    }

    fn free_slots(&self) -> usize {
        self.serving().iter().map(|runner| self.limits.max_concurrency - runner.used).sum()
    }

    /// Whether a runner that is idle since then may go at this time, after so many others.
    fn may_go(&self, idle: Instant, others: usize, now: Instant) -> bool {
        let left = self.serving().len() - others - 1;
        let kept = self.free_slots() >= (others + 1) * self.limits.max_concurrency + self.limits.buffer;
        kept && now >= idle + if left >= self.min() { IDLE } else { MIN_IDLE }
    }

    /// Those that are to be asked at this time, the longest idle first.
    fn to_be_asked(&self, now: Instant) -> Vec<u64> {
        let idle = self.serving().into_iter().filter(|runner| runner.used == 0 && runner.asked.is_none());
        let mut idle: Vec<_> = idle.map(|runner| (runner.idle, runner.id)).collect();
        idle.sort();
        // Those that are being asked may go first.
        let asked = self.serving().iter().filter(|runner| runner.asked.is_some()).count();
        let may_go = |(others, (idle, _)): &(usize, (Instant, u64))| self.may_go(*idle, asked + others, now);
        idle.into_iter().enumerate().take_while(may_go).map(|(_, (_, id))| id).collect()
    }

    /// The runner that the next piece of work belongs on.
    fn best(&self) -> Option<u64> {
        let slots = self.limits.max_concurrency;
        let free = self.serving().into_iter().filter(|runner| runner.used < slots);
        let rank = |runner: &&Naive| if self.most_loaded { slots - runner.used } else { runner.used };
        free.min_by_key(|runner| (rank(runner), runner.id)).map(|runner| runner.id)
    }

    fn take(&mut self, ticket: Ticket, who: u32, id: u64) -> Check {
        prop_assert_eq!(Some(id), self.best(), "not the runner of the lowest rank");
        let runner = self.runner(id).unwrap();
        runner.used += 1;
        runner.asked = None;
        self.held.push((ticket, who, id));
        Ok(())
    }

    fn ask(&mut self, ticket: Ticket, who: u32) -> Check {
        match self.scale.acquire() {
            Some(id) => self.take(ticket, who, id),
            None => {
                prop_assert_eq!(self.best(), None, "somebody waits beside a free slot");
                self.scale.queue.wait(ticket, who);
                self.scale.wake();
                self.let_go = 0;
                self.waiting.push((ticket, who));
                self.waiting.sort();
                Ok(())
            }
        }
    }

    fn give_back(&mut self, id: u64, worked: bool) -> Check {
        let leaves = self.scale.release(id, worked, self.now);
        let (now, single_use) = (self.now, self.limits.single_use);
        let Some(runner) = self.runner(id) else {
            prop_assert!(!leaves, "it is gone");
            return Ok(());
        };
        runner.used -= 1;
        if runner.used == 0 {
            runner.idle = now;
        }
        let expected = match runner.stage {
            Stage::Serving => single_use && worked,
            Stage::Draining => runner.used == 0,
            Stage::Leaving => false,
        };
        prop_assert_eq!(leaves, expected);
        if leaves {
            runner.stage = Stage::Leaving;
        }
        Ok(())
    }

    /// Notes that the runner takes no more work.
    fn drained(&mut self, id: u64, leaves: bool) -> Check {
        let runner = self.runner(id).unwrap();
        let was = runner.stage;
        prop_assert_eq!(leaves, runner.used == 0 && was != Stage::Leaving);
        if was != Stage::Leaving {
            runner.stage = if leaves { Stage::Leaving } else { Stage::Draining };
        }
        Ok(())
    }

    fn look(&mut self) -> Check {
        let (now, mut aged) = (self.now, Vec::new());
        for runner in self.runners.iter_mut().filter(|runner| runner.stage == Stage::Serving) {
            if now >= runner.up + AGE {
                runner.stage = if runner.used == 0 { Stage::Leaving } else { Stage::Draining };
                aged.extend((runner.used == 0).then_some(runner.id));
            }
        }
        let mut drained = self.scale.drain_aged(now);
        drained.sort_unstable();
        aged.sort_unstable();
        prop_assert_eq!(drained, aged);
        let expected = self.to_be_asked(now);
        let found = self.scale.long_idle(now);
        prop_assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), expected);
        for found in &found {
            let runner = self.runner(found.id).unwrap();
            runner.asked = Some(runner.idle);
        }
        self.asked.extend(found);
        let next = self.scale.next_look(now);
        prop_assert!(next > now);
        let before = next - Duration::from_nanos(1);
        prop_assert_eq!(self.to_be_asked(before), [0; 0], "it is looked too late");
        prop_assert!(self.serving().iter().all(|runner| before < runner.up + AGE), "it is looked too late");
        Ok(())
    }

    fn answer(&mut self, found: LongIdle, agreed: bool) -> Check {
        let (id, now) = (found.id, self.now);
        let leaves = self.scale.leave(found, agreed, now);
        let known = self.runners.iter().find(|runner| runner.id == id && runner.stage == Stage::Serving);
        let Some(idle) = known.and_then(|runner| runner.asked).filter(|idle| *idle == found.since) else {
            prop_assert!(!leaves, "that was another time of idleness");
            return Ok(());
        };
        prop_assert_eq!(leaves, agreed && self.may_go(idle, 0, now));
        if leaves && self.serving().len() <= self.min() {
            self.let_go += 1;
        }
        let runner = self.runner(id).unwrap();
        runner.asked = None;
        if leaves {
            runner.stage = Stage::Leaving;
        } else {
            runner.idle = now;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Check {
        match step {
            Step::Ask => {
                self.callers += 1;
                let ticket = self.scale.queue.ticket();
                self.ask(ticket, self.callers)?;
            }
            Step::GiveBack(which, worked) if !self.held.is_empty() => {
                let (.., id) = self.held.swap_remove(which % self.held.len());
                self.give_back(id, worked)?;
            }
            Step::GoBack(which) if !self.held.is_empty() => {
                let (ticket, who, id) = self.held.swap_remove(which % self.held.len());
                // As when its runner's link was found closed.
                self.scale.retire(id);
                if let Some(runner) = self.runner(id) {
                    runner.stage = Stage::Leaving;
                }
                self.give_back(id, false)?;
                self.grant()?;
                self.ask(ticket, who)?;
            }
            Step::GiveUp(which) if !self.waiting.is_empty() => {
                let (ticket, who) = self.waiting.remove(which % self.waiting.len());
                prop_assert_eq!(self.scale.queue.remove(ticket), Some(who));
            }
            Step::BootEnds(true) if !self.booting.is_empty() => {
                let id = self.booting.remove(0);
                self.scale.booted(id, node(id), self.now);
                let (up, idle) = (self.now, self.now);
                self.runners.push(Naive { id, used: 0, stage: Stage::Serving, up, idle, asked: None });
                self.grant()?;
                self.surplus()?;
            }
            Step::BootEnds(false) if !self.booting.is_empty() => {
                self.booting.remove(0);
                self.scale.boot_failed();
            }
            Step::Lose(which) if !self.runners.is_empty() => {
                let runner = self.runners.swap_remove(which % self.runners.len());
                self.scale.remove(runner.id);
            }
            Step::Gone(which) => {
                let leaving = self.runners.iter().filter(|runner| runner.stage == Stage::Leaving);
                let leaving: Vec<u64> = leaving.map(|runner| runner.id).collect();
                if !leaving.is_empty() {
                    let id = leaving[which % leaving.len()];
                    self.scale.remove(id);
                    self.runners.retain(|runner| runner.id != id);
                }
            }
            Step::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.look()?;
            }
            Step::Answer(which, agreed) if !self.asked.is_empty() => {
                let found = self.asked.swap_remove(which % self.asked.len());
                self.answer(found, agreed)?;
            }
            Step::Drain(which) if !self.runners.is_empty() => {
                let id = self.runners[which % self.runners.len()].id;
                let leaves = self.scale.drain(id);
                self.drained(id, leaves)?;
            }
            Step::Resize(min, max) => {
                (self.limits.min, self.limits.max) = (min, max);
                self.let_go = 0;
                let leaving = self.scale.resize(min, max);
                self.gone_surplus(leaving)?;
            }
            Step::Pause(paused) => {
                self.paused = paused;
                self.scale.pause(paused);
            }
            _ => {}
        }
        self.grant()?;
        self.grow()?;
        self.check()
    }

    fn surplus(&mut self) -> Check {
        let leaving = self.scale.drain_surplus();
        self.gone_surplus(leaving)
    }

    /// The least busy of those over `max` take no more work, the newest first.
    fn gone_surplus(&mut self, leaving: Vec<u64>) -> Check {
        let mut serving = self.serving().into_iter().cloned().collect::<Vec<_>>();
        let surplus = (serving.len() + self.booting.len()).saturating_sub(self.limits.max);
        serving.sort_by_key(|runner| (runner.used, std::cmp::Reverse(runner.id)));
        for runner in serving.into_iter().take(surplus) {
            self.drained(runner.id, leaving.contains(&runner.id))?;
        }
        Ok(())
    }

    fn grant(&mut self) -> Check {
        while let Some((who, id)) = self.scale.grant() {
            let (ticket, first) = self.waiting.remove(0);
            prop_assert_eq!(who, first, "first come, first served");
            self.take(ticket, who, id)?;
        }
        Ok(())
    }

    fn grow(&mut self) -> Check {
        let wanted = self.scale.boots_wanted();
        let (serving, booting, slots) = (self.serving().len(), self.booting.len(), self.limits.max_concurrency);
        let missing = (self.waiting.len() + self.limits.buffer).saturating_sub(self.free_slots() + booting * slots);
        let needed = missing.div_ceil(slots).max(self.min().saturating_sub(serving + booting));
        let room = self.limits.max.saturating_sub(self.runners.len() + booting);
        prop_assert_eq!(wanted, if self.paused { 0 } else { needed.min(room) });
        for _ in 0..wanted {
            self.booting.push(self.scale.boot());
            prop_assert!(self.runners.len() + self.booting.len() <= self.limits.max, "more than max");
        }
        prop_assert_eq!(self.scale.boots_wanted(), 0, "all at once");
        Ok(())
    }

    fn check(&self) -> Check {
        let Limits { max, max_concurrency: slots, buffer, .. } = self.limits;
        let serving = self.serving();
        prop_assert!(serving.len() + self.booting.len() <= max.max(self.booting.len()), "more than max");
        for runner in &self.runners {
            let held = self.held.iter().filter(|(.., id)| *id == runner.id).count();
            prop_assert_eq!(runner.used, held, "a slot was lost or given twice");
            prop_assert!(held <= slots);
            let state = self.scale.state(runner.id).map(|(_, used)| used);
            prop_assert_eq!(state, Some(held));
        }
        let free = self.free_slots();
        prop_assert!(self.waiting.is_empty() || free == 0, "somebody waits beside a free slot");
        if !self.paused && self.runners.len() + self.booting.len() < max {
            prop_assert!(self.waiting.len() + buffer <= free + self.booting.len() * slots, "too few boots");
            prop_assert!(serving.len() + self.booting.len() >= self.min(), "min is not kept");
        }
        let idle = serving.iter().filter(|runner| runner.used == 0).count();
        let expected = Counts {
            booting: self.booting.len(),
            idle,
            busy: serving.len() - idle,
            leaving: self.runners.len() - serving.len(),
            slots_used: self.runners.iter().map(|runner| runner.used).sum(),
            waiting: self.waiting.len(),
        };
        prop_assert_eq!(self.scale.counts(), expected);
        prop_assert_eq!(self.scale.count(), self.runners.len() + self.booting.len());
        Ok(())
    }

    /// Everything ends, and nothing is left.
    fn wind_up(&mut self) -> Check {
        while !self.waiting.is_empty() {
            self.step(Step::GiveUp(0))?;
        }
        self.step(Step::Pause(true))?;
        while !self.booting.is_empty() {
            self.step(Step::BootEnds(true))?;
        }
        for which in 0..self.runners.len() {
            self.step(Step::Drain(which))?;
        }
        while !self.held.is_empty() {
            self.step(Step::GiveBack(0, true))?;
        }
        prop_assert!(self.runners.iter().all(|runner| runner.stage == Stage::Leaving), "it was drained and stays");
        while !self.runners.is_empty() {
            self.step(Step::Gone(0))?;
        }
        let nothing = Counts { booting: 0, idle: 0, busy: 0, leaving: 0, slots_used: 0, waiting: 0 };
        prop_assert_eq!(self.scale.counts(), nothing);
        prop_assert!(self.scale.free.is_empty() && self.scale.idle.is_empty() && self.scale.ages.is_empty());
        prop_assert_eq!(self.scale.free_slots, 0);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn it_does_what_the_model_does(
        steps in proptest::collection::vec(step(), 1..200),
        (min, more, slots, buffer) in (0..3_usize, 1..4_usize, 1..4_usize, 0..3_usize),
        (single_use, most_loaded) in any::<(bool, bool)>(),
    ) {
        let slots = if single_use { 1 } else { slots };
        let limits = Limits {
            single_use,
            buffer,
            min_idle_shutdown_after: MIN_IDLE,
            max_runner_age: AGE,
            ..limits(min, min + more, slots)
        };
        let mut model = Model::new(limits, most_loaded);
        model.grow()?;
        for step in steps {
            model.step(step)?;
        }
        model.wind_up()?;
    }
}
