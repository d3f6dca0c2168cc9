//! When a pool grows and shrinks, and which runner gets the next piece of work: decisions over plain data.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::queue::Queue;

/// Instead of never.
const A_LONG_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// The bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) max_concurrency: usize,
    pub(crate) idle_shutdown_after: Duration,
}

/// The runners of a pool, those that are booting, and those who wait.
///
/// Finding a slot costs logarithmic time in the number of runners.
#[derive(Debug)]
pub(crate) struct Scale<W> {
    limits: Limits,
    runners: HashMap<u64, Load>,
    /// Runners with a free slot, the least loaded first.
    free: BTreeSet<(usize, u64)>,
    /// Runners without work, the longest idle first.
    idle: BTreeSet<(Instant, u64)>,
    booting: usize,
    next_runner: u64,
    pub(crate) queue: Queue<W>,
}

#[derive(Clone, Copy, Debug)]
struct Load {
    used: usize,
    idle_since: Option<Instant>,
    /// It takes no new work and counts as gone.
    retired: bool,
}

impl<W> Scale<W> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            runners: HashMap::new(),
            free: BTreeSet::new(),
            idle: BTreeSet::new(),
            booting: 0,
            next_runner: 0,
            queue: Queue::new(),
        }
    }

    /// A slot, unless somebody waits already.
    pub(crate) fn acquire(&mut self) -> Option<u64> {
        if self.queue.is_empty() { self.take_slot() } else { None }
    }

    fn take_slot(&mut self) -> Option<u64> {
        let (used, id) = self.free.pop_first()?;
        let load = self.runners.get_mut(&id).expect("free runners are known");
        load.used = used + 1;
        if let Some(since) = load.idle_since.take() {
            self.idle.remove(&(since, id));
        }
        if load.used < self.limits.max_concurrency {
            self.free.insert((load.used, id));
        }
        Some(id)
    }

    /// Gives a slot back.
    pub(crate) fn release(&mut self, id: u64, now: Instant) {
        let Some(load) = self.runners.get_mut(&id) else { return };
        let before = load.used;
        load.used = before.checked_sub(1).expect("a slot is given back once");
        if load.retired {
            return;
        }
        self.free.remove(&(before, id));
        self.free.insert((load.used, id));
        if load.used == 0 {
            load.idle_since = Some(now);
            self.idle.insert((now, id));
        }
    }

    /// The next waiter and the runner that it gets.
    pub(crate) fn grant(&mut self) -> Option<(W, u64)> {
        if self.queue.is_empty() || self.free.is_empty() {
            return None;
        }
        let waiter = self.queue.pop()?;
        self.take_slot().map(|id| (waiter, id))
    }

    /// How many runners to boot now: what those who wait need and `min` asks for, up to `max`.
    pub(crate) fn boots_wanted(&self) -> usize {
        let serving = self.serving();
        let coming = self.booting * self.limits.max_concurrency;
        let for_waiting = self.queue.len().saturating_sub(coming).div_ceil(self.limits.max_concurrency);
        let for_min = self.limits.min.saturating_sub(serving + self.booting);
        for_waiting.max(for_min).min(self.limits.max.saturating_sub(self.alive() + self.booting))
    }

    /// A boot begins.
    pub(crate) fn boot(&mut self) -> u64 {
        self.booting += 1;
        self.next_runner += 1;
        self.next_runner
    }

    /// A boot ended; with success its runner is there now.
    pub(crate) fn booted(&mut self, id: u64, success: bool, now: Instant) {
        self.booting -= 1;
        if success {
            self.runners.insert(id, Load { used: 0, idle_since: Some(now), retired: false });
            self.free.insert((0, id));
            self.idle.insert((now, id));
        }
    }

    /// The runner gets no new work. `false` when that was so already.
    pub(crate) fn retire(&mut self, id: u64) -> bool {
        let Some(load) = self.runners.get_mut(&id) else { return false };
        if load.retired {
            return false;
        }
        load.retired = true;
        self.free.remove(&(load.used, id));
        if let Some(since) = load.idle_since.take() {
            self.idle.remove(&(since, id));
        }
        true
    }

    /// The runner is gone.
    pub(crate) fn remove(&mut self, id: u64) {
        self.retire(id);
        self.runners.remove(&id);
    }

    /// Retires the runners that have been idle for long enough, down to `min`.
    pub(crate) fn shrink(&mut self, now: Instant) -> Vec<u64> {
        let mut leaving = Vec::new();
        while self.serving() > self.limits.min
            && let Some(&(since, id)) = self.idle.first()
            && now.saturating_duration_since(since) >= self.limits.idle_shutdown_after
        {
            self.retire(id);
            leaving.push(id);
        }
        leaving
    }

    /// When to look at [`shrink`](Self::shrink) again.
    pub(crate) fn next_look(&self, now: Instant) -> Instant {
        let longest_idle = self.idle.first().filter(|_| self.serving() > self.limits.min);
        let from = longest_idle.map_or(now, |(since, _)| *since);
        // "Never" is too far away for a clock.
        from.checked_add(self.limits.idle_shutdown_after).unwrap_or_else(|| now + A_LONG_TIME)
    }

    /// Runners that take work.
    pub(crate) fn serving(&self) -> usize {
        self.runners.values().filter(|load| !load.retired).count()
    }

    /// Runners that exist, retired ones included.
    fn alive(&self) -> usize {
        self.runners.len()
    }

    pub(crate) fn booting(&self) -> usize {
        self.booting
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(min: usize, max: usize, max_concurrency: usize) -> Limits {
        Limits { min, max, max_concurrency, idle_shutdown_after: Duration::from_secs(30) }
    }

    fn boot_all(scale: &mut Scale<u32>, now: Instant) -> Vec<u64> {
        let ids: Vec<u64> = (0..scale.boots_wanted()).map(|_| scale.boot()).collect();
        ids.iter().for_each(|id| scale.booted(*id, true, now));
        ids
    }

    #[test]
    fn it_boots_as_many_as_those_who_wait_need_and_no_more_than_max() {
        let mut scale = Scale::new(limits(0, 3, 2));
        assert_eq!(scale.boots_wanted(), 0);
        for waiter in 0..3 {
            scale.queue.push(waiter);
        }
        assert_eq!(scale.boots_wanted(), 2, "two slots each");
        scale.boot();
        assert_eq!(scale.boots_wanted(), 1, "one is on its way");
        for waiter in 3..100 {
            scale.queue.push(waiter);
        }
        assert_eq!(scale.boots_wanted(), 2, "three at the most");
    }

    #[test]
    fn it_shrinks_to_min_when_idle_for_long_enough() {
        let start = Instant::now();
        let mut scale = Scale::new(limits(1, 3, 1));
        for waiter in 0..3 {
            scale.queue.push(waiter);
        }
        let ids = boot_all(&mut scale, start);
        while scale.grant().is_some() {}
        let later = start + Duration::from_secs(1);
        ids.iter().for_each(|id| scale.release(*id, later));
        assert_eq!(scale.shrink(start + Duration::from_secs(30)), [], "idle for 29 s");
        assert_eq!(scale.next_look(later), start + Duration::from_secs(31));
        assert_eq!(scale.shrink(start + Duration::from_secs(31)).len(), 2);
        assert_eq!(scale.serving(), 1);
        assert_eq!(scale.boots_wanted(), 0);
    }

    #[test]
    fn a_lost_runner_is_replaced_when_min_asks_for_it() {
        let now = Instant::now();
        let mut scale = Scale::new(limits(2, 2, 1));
        let ids = boot_all(&mut scale, now);
        scale.remove(ids[0]);
        scale.release(ids[0], now);
        assert_eq!(scale.boots_wanted(), 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask,
        GiveBack(usize),
        GiveUp(usize),
        BootEnds(bool),
        Lose(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Ask),
            3 => any::<usize>().prop_map(Step::GiveBack),
            1 => any::<usize>().prop_map(Step::GiveUp),
            2 => any::<bool>().prop_map(Step::BootEnds),
            1 => any::<usize>().prop_map(Step::Lose),
            1 => (0..40_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn slots_are_never_lost_or_given_twice_and_nobody_waits_beside_a_free_one(
            steps in proptest::collection::vec(step(), 1..200),
            min in 0..3_usize,
            more in 1..4_usize,
            max_concurrency in 1..4_usize,
        ) {
            let max = min + more;
            let mut now = Instant::now();
            let mut scale = Scale::new(limits(min, max, max_concurrency));
            let mut alive: Vec<u64> = Vec::new();
            let mut booting: Vec<u64> = Vec::new();
            let mut held: Vec<u64> = Vec::new();
            let mut waiting: Vec<(crate::pool::queue::Ticket, u32)> = Vec::new();
            let mut asked = 0;
            for step in steps {
                match step {
                    Step::Ask => match scale.acquire() {
                        Some(id) => held.push(id),
                        None => {
                            asked += 1;
                            waiting.push((scale.queue.push(asked), asked));
                        }
                    },
                    Step::GiveBack(which) if !held.is_empty() => {
                        let id = held.swap_remove(which % held.len());
                        scale.release(id, now);
                    }
                    Step::GiveUp(which) if !waiting.is_empty() => {
                        let (ticket, asked) = waiting.remove(which % waiting.len());
                        prop_assert_eq!(scale.queue.remove(ticket), Some(asked));
                    }
                    Step::BootEnds(success) if !booting.is_empty() => {
                        let id = booting.remove(0);
                        scale.booted(id, success, now);
                        if success {
                            alive.push(id);
                        }
                    }
                    Step::Lose(which) if !alive.is_empty() => {
                        let id = alive.swap_remove(which % alive.len());
                        scale.remove(id);
                        held.retain(|held| *held != id);
                    }
                    Step::Wait(seconds) => {
                        now += Duration::from_secs(seconds);
                        for id in scale.shrink(now) {
                            prop_assert!(!held.contains(&id), "only idle runners go");
                            scale.remove(id);
                            alive.retain(|alive| *alive != id);
                        }
                    }
                    _ => {}
                }
                while let Some((waiter, id)) = scale.grant() {
                    prop_assert_eq!(waiter, waiting.remove(0).1, "first come first served");
                    held.push(id);
                }
                for _ in 0..scale.boots_wanted() {
                    booting.push(scale.boot());
                }
                prop_assert!(alive.len() + booting.len() <= max);
                prop_assert!(alive.len() + booting.len() >= min);
                for id in &alive {
                    let used = held.iter().filter(|held| *held == id).count();
                    prop_assert!(used <= max_concurrency);
                    prop_assert!(waiting.is_empty() || used == max_concurrency, "nobody waits beside a free slot");
                }
                prop_assert!(held.iter().all(|held| alive.contains(held)));
                prop_assert!(waiting.is_empty() || !(alive.is_empty() && booting.is_empty()), "somebody waits for nothing");
            }
        }
    }
}
