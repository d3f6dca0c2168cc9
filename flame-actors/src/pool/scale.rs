//! When a pool grows and shrinks, and which runner gets the next piece of work: decisions over plain data.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::placement::{Candidate, Ranking};
use super::queue::Queue;

#[cfg(test)]
mod model;

/// Instead of never.
const A_LONG_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// The bounds of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// The slots of one runner; 1 with `single_use`.
    pub(crate) max_concurrency: usize,
    pub(crate) single_use: bool,
    /// So many free slots are kept.
    pub(crate) buffer: usize,
    pub(crate) idle_shutdown_after: Duration,
    pub(crate) min_idle_shutdown_after: Duration,
    pub(crate) max_runner_age: Duration,
}

/// The runners of a pool, those that are booting, and those who wait.
///
/// Finding a slot costs logarithmic time in the number of runners; all that is counted is counted as it changes.
pub(crate) struct Scale<W> {
    limits: Limits,
    ranking: Ranking,
    /// Runners whose rank is that of an earlier load, where a user's placement ranks them.
    unranked: BTreeSet<u64>,
    runners: HashMap<u64, Load>,
    /// Runners with a free slot, by rank.
    free: BTreeSet<(u64, u64)>,
    /// Runners without work that may be found idle, the longest idle first.
    idle: BTreeSet<(Instant, u64)>,
    /// Runners that take work, the oldest first.
    ages: BTreeSet<(Instant, u64)>,
    free_slots: usize,
    used_slots: usize,
    without_work: usize,
    booting: usize,
    /// So many of `min` have left for having been idle, and are not booted again before somebody has to wait.
    let_go: usize,
    paused: bool,
    next_runner: u64,
    pub(crate) queue: Queue<W>,
}

/// One runner.
#[derive(Debug)]
struct Load {
    node: Arc<str>,
    used: usize,
    rank: u64,
    up_since: Instant,
    idle_since: Option<Instant>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// It takes no new work, and is to be sent away when it has none.
    Draining,
    /// It takes no new work; somebody sees to its end.
    Leaving,
}

/// What a runner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunnerState {
    /// It takes work and has none.
    Idle,
    /// It takes work and has some.
    Busy,
    /// It takes no new work, and leaves when what it has is done.
    Draining,
    /// It is being stopped, or its loss is being seen to.
    Leaving,
}

/// How many there are of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) booting: usize,
    pub(crate) idle: usize,
    pub(crate) busy: usize,
    /// Draining and leaving.
    pub(crate) leaving: usize,
    pub(crate) slots_used: usize,
    pub(crate) waiting: usize,
}

/// A runner that a user's placement is to rank.
#[derive(Clone, Debug)]
pub(crate) struct Unranked {
    id: u64,
    pub(crate) node: Arc<str>,
    pub(crate) used: usize,
}

/// A runner that has been idle for long enough, at this time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LongIdle {
    pub(crate) id: u64,
    since: Instant,
}

impl<W> Scale<W> {
    pub(crate) fn new(limits: Limits, ranking: Ranking) -> Self {
        Self {
            limits,
            ranking,
            unranked: BTreeSet::new(),
            runners: HashMap::new(),
            free: BTreeSet::new(),
            idle: BTreeSet::new(),
            ages: BTreeSet::new(),
            free_slots: 0,
            used_slots: 0,
            without_work: 0,
            booting: 0,
            let_go: 0,
            paused: false,
            next_runner: 0,
            queue: Queue::new(),
        }
    }

    // ---- slots ----

    /// A slot, unless somebody waits already.
    pub(crate) fn acquire(&mut self) -> Option<u64> {
        if self.queue.is_empty() { self.take_slot() } else { None }
    }

    fn take_slot(&mut self) -> Option<u64> {
        let (_, id) = self.free.pop_first()?;
        let load = self.runners.get_mut(&id).expect("free runners are known");
        load.used += 1;
        self.free_slots -= 1;
        self.used_slots += 1;
        if let Some(since) = load.idle_since.take() {
            self.idle.remove(&(since, id));
            self.without_work -= 1;
        }
        self.offer(id);
        Some(id)
    }

    /// Enters a runner with a free slot under its rank.
    fn offer(&mut self, id: u64) {
        let load = self.runners.get_mut(&id).expect("only known runners are offered");
        let slots = self.limits.max_concurrency;
        self.unranked.remove(&id);
        if load.used < slots {
            match self.ranking {
                Ranking::Ours(rank) => load.rank = rank(&Candidate { node: &load.node, used: load.used, slots }),
                Ranking::Theirs(_) => drop(self.unranked.insert(id)),
            }
            self.free.insert((load.rank, id));
        }
    }

    /// Whether a choice now would be one by old ranks.
    pub(crate) fn chooses_by_old_ranks(&self) -> bool {
        self.free.len() > 1 && !self.unranked.is_empty()
    }

    /// The runners that are to be ranked anew, as they are now.
    pub(crate) fn unranked(&self) -> Vec<Unranked> {
        let loads = self.unranked.iter().filter_map(|id| Some((*id, self.runners.get(id)?)));
        loads.map(|(id, load)| Unranked { id, node: Arc::clone(&load.node), used: load.used }).collect()
    }

    /// Enters a rank, unless the load has changed again.
    pub(crate) fn rank(&mut self, runner: &Unranked, rank: u64) {
        let Some(load) = self.runners.get_mut(&runner.id).filter(|load| load.used == runner.used) else { return };
        self.unranked.remove(&runner.id);
        if self.free.remove(&(load.rank, runner.id)) {
            self.free.insert((rank, runner.id));
        }
        load.rank = rank;
    }

    /// Gives a slot back; `worked` says that something ran in it. `true`: the runner is to be sent away now.
    #[must_use]
    pub(crate) fn release(&mut self, id: u64, worked: bool, now: Instant) -> bool {
        let Some(load) = self.runners.get_mut(&id) else { return false };
        load.used = load.used.checked_sub(1).expect("a slot is given back once");
        self.used_slots -= 1;
        match load.stage {
            Stage::Serving => {
                self.free_slots += 1;
                self.free.remove(&(load.rank, id));
                if load.used == 0 {
                    load.idle_since = Some(now);
                    self.idle.insert((now, id));
                    self.without_work += 1;
                }
                if self.limits.single_use && worked {
                    return self.retire(id);
                }
                self.offer(id);
                false
            }
            Stage::Draining if load.used == 0 => {
                load.stage = Stage::Leaving;
                true
            }
            Stage::Draining | Stage::Leaving => false,
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

    /// Somebody has to wait: what was let go of the minimum comes back.
    pub(crate) fn wake(&mut self) {
        self.let_go = 0;
    }

    // ---- growth ----

    /// How many runners to boot now: what those who wait need, and `min` and `buffer` ask for, up to `max`.
    pub(crate) fn boots_wanted(&self) -> usize {
        if self.paused {
            return 0;
        }
        let slots = self.limits.max_concurrency;
        let wanted = self.queue.len() + self.limits.buffer;
        let coming = self.booting.saturating_mul(slots);
        let for_slots = wanted.saturating_sub(self.free_slots.saturating_add(coming)).div_ceil(slots);
        let for_min = self.min().saturating_sub(self.serving() + self.booting);
        for_slots.max(for_min).min(self.limits.max.saturating_sub(self.runners.len() + self.booting))
    }

    fn min(&self) -> usize {
        self.limits.min.saturating_sub(self.let_go)
    }

    /// A boot begins.
    pub(crate) fn boot(&mut self) -> u64 {
        self.booting += 1;
        self.next_runner += 1;
        self.next_runner
    }

    /// A boot ended without a runner.
    pub(crate) fn boot_failed(&mut self) {
        self.booting -= 1;
    }

    /// A boot ended: the runner takes work from now on.
    pub(crate) fn booted(&mut self, id: u64, node: Arc<str>, now: Instant) {
        self.booting -= 1;
        let load = Load { node, used: 0, rank: u64::MAX, up_since: now, idle_since: Some(now), stage: Stage::Serving };
        self.runners.insert(id, load);
        self.idle.insert((now, id));
        self.ages.insert((now, id));
        self.without_work += 1;
        self.free_slots += self.limits.max_concurrency;
        self.offer(id);
    }

    // ---- the end of runners ----

    /// The runner gets no new work, and somebody sees to its end. `false` when that was so already.
    pub(crate) fn retire(&mut self, id: u64) -> bool {
        let was = self.runners.get(&id).map(|load| load.stage);
        if was == Some(Stage::Serving) {
            self.withdraw(id);
        }
        if let Some(load) = self.runners.get_mut(&id) {
            load.stage = Stage::Leaving;
        }
        matches!(was, Some(Stage::Serving | Stage::Draining))
    }

    /// The runner gets no new work. `true`: it has none left and is to be sent away now.
    #[must_use]
    pub(crate) fn drain(&mut self, id: u64) -> bool {
        let Some(load) = self.runners.get(&id) else { return false };
        if load.used == 0 {
            return self.retire(id);
        }
        if load.stage == Stage::Serving {
            self.withdraw(id);
            self.runners.get_mut(&id).expect("it was there just now").stage = Stage::Draining;
        }
        false
    }

    /// Takes a serving runner from all lists.
    fn withdraw(&mut self, id: u64) {
        let load = self.runners.get_mut(&id).expect("only known runners are withdrawn");
        self.free.remove(&(load.rank, id));
        self.unranked.remove(&id);
        self.ages.remove(&(load.up_since, id));
        self.free_slots -= self.limits.max_concurrency - load.used;
        if let Some(since) = load.idle_since.take() {
            self.idle.remove(&(since, id));
            self.without_work -= 1;
        }
    }

    /// The runner is gone, and whatever slots it had.
    pub(crate) fn remove(&mut self, id: u64) {
        self.retire(id);
        if let Some(load) = self.runners.remove(&id) {
            self.used_slots -= load.used;
        }
    }

    /// Those that have been idle for long enough and may go; each is asked about again with [`leave`](Self::leave).
    pub(crate) fn long_idle(&mut self, now: Instant) -> Vec<LongIdle> {
        let mut found = Vec::new();
        while let Some(&(since, id)) = self.idle.first() {
            if now < self.idle_until(since, self.being_asked()) {
                break;
            }
            self.idle.remove(&(since, id));
            found.push(LongIdle { id, since });
        }
        found
    }

    /// Runners without work that were found by [`long_idle`](Self::long_idle) and have not been decided on.
    fn being_asked(&self) -> usize {
        self.without_work - self.idle.len()
    }

    /// When a runner that is idle since then may go, after so many others have.
    fn idle_until(&self, since: Instant, others: usize) -> Instant {
        let never = since + A_LONG_TIME;
        let slots = self.limits.max_concurrency;
        if self.free_slots < self.limits.buffer + (others + 1) * slots {
            return never;
        }
        let is_spare = self.serving() - others > self.min();
        let idle = if is_spare { self.limits.idle_shutdown_after } else { self.limits.min_idle_shutdown_after };
        // "Never" is too far away for a clock.
        since.checked_add(idle).unwrap_or(never)
    }

    /// Decides on one of [`long_idle`](Self::long_idle), which may have got work since, or may stay if `agreed` is
    /// false. `true`: it is to be sent away now.
    #[must_use]
    pub(crate) fn leave(&mut self, found: LongIdle, agreed: bool, now: Instant) -> bool {
        let LongIdle { id, since } = found;
        if self.runners.get(&id).is_none_or(|load| load.idle_since != Some(since)) {
            return false;
        }
        if agreed && self.idle_until(since, 0) <= now {
            if self.serving() <= self.min() {
                self.let_go += 1;
            }
            return self.retire(id);
        }
        // Looked at again after as long once more.
        self.idle.insert((now, id));
        self.runners.get_mut(&id).expect("it was there just now").idle_since = Some(now);
        false
    }

    /// Runners that are too old, from now on without new work. Given are those to be sent away now.
    pub(crate) fn drain_aged(&mut self, now: Instant) -> Vec<u64> {
        let mut leaving = Vec::new();
        while let Some(&(up_since, id)) = self.ages.first()
            && up_since.checked_add(self.limits.max_runner_age).is_some_and(|end| end <= now)
        {
            if self.drain(id) {
                leaving.push(id);
            }
        }
        leaving
    }

    /// When to look at [`long_idle`](Self::long_idle) and [`drain_aged`](Self::drain_aged) again.
    pub(crate) fn next_look(&self, now: Instant) -> Instant {
        // Whatever becomes idle after this is not idle for long enough before that.
        let from_now = self.limits.idle_shutdown_after.min(self.limits.min_idle_shutdown_after);
        let from_now = now + from_now.min(self.limits.max_runner_age).min(A_LONG_TIME);
        let idle = self.idle.first().map(|(since, _)| self.idle_until(*since, self.being_asked()));
        let aged = self.ages.first().and_then(|(since, _)| since.checked_add(self.limits.max_runner_age));
        [idle, aged].into_iter().flatten().fold(from_now, Instant::min)
    }

    // ---- changes from outside ----

    /// Sets new bounds; what is over `max` is drained. Given are the runners to be sent away now.
    pub(crate) fn resize(&mut self, min: usize, max: usize) -> Vec<u64> {
        (self.limits.min, self.limits.max) = (min, max);
        self.let_go = 0;
        self.drain_surplus()
    }

    /// Drains the least busy runners that are over `max`; those that are booting come first.
    pub(crate) fn drain_surplus(&mut self) -> Vec<u64> {
        let surplus = (self.serving() + self.booting).saturating_sub(self.limits.max);
        if surplus == 0 {
            return Vec::new();
        }
        let serving = self.runners.iter().filter(|(_, load)| load.stage == Stage::Serving);
        let mut serving: Vec<_> = serving.map(|(id, load)| (load.used, std::cmp::Reverse(*id))).collect();
        serving.sort_unstable();
        let ids: Vec<u64> = serving.into_iter().take(surplus).map(|(_, id)| id.0).collect();
        ids.into_iter().filter(|id| self.drain(*id)).collect()
    }

    /// Whether nothing is booted, whoever waits.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    // ---- what there is ----

    /// Runners that take work.
    pub(crate) fn serving(&self) -> usize {
        self.ages.len()
    }

    pub(crate) fn booting(&self) -> usize {
        self.booting
    }

    /// Runners that exist or are booting.
    pub(crate) fn count(&self) -> usize {
        self.runners.len() + self.booting
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            booting: self.booting,
            idle: self.without_work,
            busy: self.serving() - self.without_work,
            leaving: self.runners.len() - self.serving(),
            slots_used: self.used_slots,
            waiting: self.queue.len(),
        }
    }

    /// What a runner does, and how many of its slots are in use.
    pub(crate) fn state(&self, id: u64) -> Option<(RunnerState, usize)> {
        let load = self.runners.get(&id)?;
        let state = match load.stage {
            Stage::Serving if load.used == 0 => RunnerState::Idle,
            Stage::Serving => RunnerState::Busy,
            Stage::Draining => RunnerState::Draining,
            Stage::Leaving => RunnerState::Leaving,
        };
        Some((state, load.used))
    }

    /// How long after it came up it had nothing to do any more; `None` while it has.
    pub(crate) fn idle_after(&self, id: u64) -> Option<Duration> {
        let load = self.runners.get(&id)?;
        load.idle_since.map(|since| since.saturating_duration_since(load.up_since))
    }
}

impl<W> fmt::Debug for Scale<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scale").field("limits", &self.limits).field("counts", &self.counts()).finish_non_exhaustive()
    }
}
