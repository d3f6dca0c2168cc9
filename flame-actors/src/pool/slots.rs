//! The way to a slot, and back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::actor::PoolMsg;
use super::events::{Event, Leave};
use super::metrics::Metrics;
use super::placement::{self, Candidate, Ranking};
use super::queue::Ticket;
use super::scale::Unranked;
use super::{Pool, State};
use crate::error::{Error, Stage};
use crate::node::runtime;
use crate::report::{self, report};
use crate::runner::{Overdue, Runner};
use crate::telemetry;

#[cfg(test)]
mod again;

/// Loads may change while they are ranked; after this many attempts somebody gets a slot by a rank of a moment ago.
const MOST_RANKINGS: usize = 8;

/// Gives its slot to one who waits, or says why there will be none; dropped, that the pool is closed.
pub(super) type Waiter = oneshot::Sender<Result<Slot, Error>>;

impl Pool {
    /// Asks for a slot. There is one at once, or a place in the queue.
    ///
    /// # Errors
    /// [`Error::PoolFull`], [`Error::PoolClosed`], and [`Error::Config`] on a runner that does not serve yet.
    pub(crate) fn ask(&self) -> Result<Asked, Error> {
        self.ask_within(self.0.config.max_waiting)
    }

    /// The same for a child that has had a slot before: `max_waiting` is for callers, who can do something else.
    pub(crate) fn ask_anew(&self) -> Result<Asked, Error> {
        self.ask_within(usize::MAX)
    }

    fn ask_within(&self, max_waiting: usize) -> Result<Asked, Error> {
        self.0.node.check_serves()?;
        let mut state = self.ranked();
        let ticket = state.scale.queue.ticket();
        let answer = self.answer(&mut state, ticket, max_waiting)?;
        Ok(Asked { pool: self.clone(), ticket, answer })
    }

    fn answer(&self, state: &mut State, ticket: Ticket, max_waiting: usize) -> Result<Answer, Error> {
        if self.is_closed() {
            return Err(self.closed_error());
        }
        let answer = match state.scale.acquire() {
            Some(id) => Answer::Slot(self.slot(state, id)),
            None => {
                let waiting = state.scale.queue.len();
                if waiting >= max_waiting {
                    return Err(Error::PoolFull { pool: self.name().to_owned(), waiting });
                }
                let (waiter, granted) = oneshot::channel();
                state.scale.queue.wait(ticket, waiter);
                state.scale.wake();
                Answer::Wait(granted, Instant::now())
            }
        };
        self.changed(state);
        Ok(answer)
    }

    fn slot(&self, state: &State, id: u64) -> Slot {
        let runner = Arc::clone(&state.runners.get(&id).expect("runners with slots are known").runner);
        Slot { pool: self.clone(), runner, worked: false, cut_off: false, held: true }
    }

    /// The state, after a user's placement has ranked the runners whose load has changed. It is not called under the
    /// lock: it may take long, or use this pool.
    fn ranked(&self) -> MutexGuard<'_, State> {
        let Ranking::Theirs(placement) = &self.0.config.placement else { return self.0.state.lock() };
        let mut state = self.0.state.lock();
        for _ in 0..MOST_RANKINGS {
            if !state.scale.chooses_by_old_ranks() {
                break;
            }
            let (unranked, slots) = (state.scale.unranked(), state.scale.limits().max_concurrency);
            drop(state);
            let rank = |Unranked { node, used, .. }: &Unranked| {
                placement::rank(&**placement, &Candidate { node, used: *used, slots })
            };
            let ranks: Vec<u64> = runtime::foreign_now(|| unranked.iter().map(rank).collect());
            state = self.0.state.lock();
            unranked.iter().zip(ranks).for_each(|(runner, rank)| state.scale.rank(runner, rank));
        }
        state
    }

    /// Serves those who wait; where a user's placement has to choose first, a moment later.
    pub(super) fn grant(&self, state: &mut State) {
        if !state.scale.queue.is_empty() && state.scale.chooses_by_old_ranks() {
            let pool = self.clone();
            runtime::spawn(async move {
                let mut state = pool.ranked();
                pool.grant_now(&mut state);
                pool.changed(&state);
            });
        } else {
            self.grant_now(state);
        }
    }

    fn grant_now(&self, state: &mut State) {
        while let Some((waiter, id)) = state.scale.grant() {
            if let Err(Ok(mut unwanted)) = waiter.send(Ok(self.slot(state, id))) {
                // Its caller has just gone. The slot is put back here, since its own drop would lock again.
                unwanted.held = false;
                let leaves = state.scale.release(id, false, Instant::now());
                debug_assert!(!leaves, "a runner that takes work does not leave unused");
            }
        }
    }

    fn release(&self, runner: &Arc<Runner>, worked: bool, cut_off: bool) {
        let mut state = self.0.state.lock();
        if worked && !cut_off {
            // What is given back because its runner was lost comes after that was noted.
            state.failures.proved(runner.id);
        }
        let leaves = state.scale.release(runner.id, worked, Instant::now());
        let in_vain = if leaves { self.asked_in_vain(&mut state, runner) } else { None };
        self.grant(&mut state);
        self.changed(&state);
        drop(state);
        if leaves {
            let why = match (runner.wants_to_leave(), self.0.config.limits.single_use) {
                (true, _) => Leave::Asked,
                (false, true) => Leave::Used,
                (false, false) => Leave::Drained,
            };
            self.send_away(runner, why);
        }
        self.tell_asked_in_vain(runner, in_vain);
    }

    /// The runner is wanted away: it gets no more work, and goes when it has none.
    pub(super) fn let_leave(&self, runner: &Arc<Runner>) {
        let (pool, node) = (self.name().to_owned(), Arc::clone(runner.node()));
        report!(INFO, pool, runner = %node, "a runner is wanted away");
        let mut state = self.0.state.lock();
        let leaves = state.scale.drain(runner.id);
        let in_vain = if leaves { self.asked_in_vain(&mut state, runner) } else { None };
        self.changed(&state);
        drop(state);
        if leaves {
            self.send_away(runner, Leave::Asked);
            self.tell_asked_in_vain(runner, in_vain);
        } else {
            runner.move_children();
        }
    }

    /// Tells what has changed: the numbers to whoever counts, the need of a runner to the actor.
    pub(super) fn changed(&self, state: &State) {
        self.numbers_changed();
        if state.scale.boots_wanted() > 0 && !self.0.grow_told.swap(true, Ordering::AcqRel) {
            self.tell(PoolMsg::Grow);
        }
    }

    /// Has the gauges set soon: often, and under the pool's lock, is no place to call a recorder.
    pub(super) fn numbers_changed(&self) {
        if !self.0.numbers_changed.swap(true, Ordering::AcqRel) {
            let pool = self.clone();
            report::numbers(move || {
                // First: what changes from now on is told again.
                pool.0.numbers_changed.store(false, Ordering::Release);
                let counts = pool.0.state.lock().scale.counts();
                pool.0.metrics.counts(counts);
            });
        }
    }

    /// Counts something, on this thread if it may wait for a recorder.
    pub(super) fn count(&self, count: impl FnOnce(&Metrics) + Send + 'static) {
        if runtime::is_ours() {
            let pool = self.clone();
            report::line(move || count(&pool.0.metrics));
        } else {
            count(&self.0.metrics);
        }
    }

    /// Work that was told to end, or is about to be, ends at its next await; some that does not yield keeps its slot,
    /// and its runner has to go.
    pub(crate) fn watch_over(&self, mut overdue: Overdue, until_deadline: Duration) {
        let pool = self.clone();
        runtime::spawn(async move {
            if overdue.persists(until_deadline.saturating_add(pool.shutdown_timeout())).await {
                let runner = overdue.runner();
                let (name, node) = (pool.name().to_owned(), Arc::clone(runner.node()));
                report!(WARN, pool = name, runner = %node, "work does not stop: its runner goes");
                pool.dismiss(runner);
            }
        });
    }

    /// Sends away a runner that keeps work which was told to end.
    fn dismiss(&self, runner: &Arc<Runner>) {
        let mut state = self.0.state.lock();
        let retired = state.scale.retire(runner.id);
        self.changed(&state);
        drop(state);
        if retired {
            // Children that come back need not end with it.
            runner.move_children();
            self.send_away(runner, Leave::Stuck);
        }
    }

    /// Ends a runner that takes no more work; what it runs has the grace of a shutdown.
    pub(super) fn send_away(&self, runner: &Arc<Runner>, why: Leave) {
        let (pool, node) = (self.name().to_owned(), Arc::clone(runner.node()));
        report!(DEBUG, pool, runner = %node, ?why, "sent away");
        self.0.events.tell(|| Event::Shrunk { runner: runner.node().to_string(), why });
        let (runner, grace) = (Arc::clone(runner), self.shutdown_timeout());
        runtime::spawn(async move { runner.stop(grace).await });
    }

    /// Tells those who listen to the pool.
    pub(crate) fn tell_event(&self, event: impl FnOnce() -> Event) {
        self.0.events.tell(event);
    }

    /// A call, a cast or a stream has ended.
    pub(crate) fn ran(&self, runner: &Arc<Runner>, task: &str, ran: Duration, error: Option<Error>) {
        let ok = error.is_none();
        self.count(move |metrics| metrics.ran(ok, ran));
        let (runner, task) = (|| runner.node().to_string(), || task.to_owned());
        self.0.events.tell(|| Event::Finished { runner: runner(), task: task(), ran, error });
    }

    /// A call, a cast or a stream has ended before it was sent.
    pub(crate) fn not_run(&self, task: &str, error: &Error) {
        self.0.events.tell(|| Event::NotRun { task: task.to_owned(), error: error.clone() });
    }

    fn waited_in_vain(&self, bound: Duration) -> Error {
        let state = self.0.state.lock();
        let (pool, scale, failures) = (self.name().to_owned(), &state.scale, &state.failures);
        let (serving, booting, waiting) = (scale.serving(), scale.booting(), scale.queue.len());
        let failed = match failures.last() {
            None => String::new(),
            Some(last) if serving == 0 => {
                return Error::Boot { pool, attempts: failures.count(), reason: last.to_string() };
            }
            // The others are busy, and a slot may come free.
            Some(last) => format!("; boot failed {} times, last: {last}", failures.count()),
        };
        let max = scale.limits().max;
        let paused = if scale.is_paused() { ", growth is paused" } else { "" };
        let what = format!(
            "pool \"{pool}\" ({serving} of {max} runners up, {booting} booting, {waiting} waiting{paused}{failed})"
        );
        Error::Timeout { stage: Stage::Waiting, after: bound, what }
    }
}

/// A slot that was asked for. Dropped, it leaves the queue.
pub(crate) struct Asked {
    pool: Pool,
    ticket: Ticket,
    answer: Answer,
}

enum Answer {
    Slot(Slot),
    /// Since then.
    Wait(oneshot::Receiver<Result<Slot, Error>>, Instant),
    Taken,
}

impl Asked {
    /// The slot, once it is there; `bound` is the longest wait from now on.
    ///
    /// After it was given, [`again`](Self::again) asks for another one in the same place of the queue.
    pub(crate) async fn slot(&mut self, bound: Option<Duration>) -> Result<Slot, Error> {
        if let Answer::Wait(granted, since) = &mut self.answer {
            let since = *since;
            let granted = granted.instrument(telemetry::wait(self.pool.name()));
            let granted = match bound {
                None => granted.await,
                Some(bound) => match tokio::time::timeout(bound, granted).await {
                    Ok(granted) => granted,
                    Err(_) => return Err(self.pool.waited_in_vain(bound)),
                },
            };
            self.answer = Answer::Taken;
            let slot = granted.unwrap_or_else(|_| Err(self.pool.closed_error()))?;
            let waited = since.elapsed();
            self.pool.0.events.tell(|| Event::Waited { runner: slot.runner.node().to_string(), waited });
            self.pool.count(move |metrics| metrics.queue_wait.record(waited));
            return Ok(slot);
        }
        match std::mem::replace(&mut self.answer, Answer::Taken) {
            Answer::Slot(slot) => {
                self.pool.count(|metrics| metrics.queue_wait.record(Duration::ZERO));
                Ok(slot)
            }
            Answer::Wait(..) | Answer::Taken => Err(Error::Cancelled("a slot that was given already".to_owned())),
        }
    }

    /// Goes back to its old place, in front of all who came later: nothing was sent to this runner, whose link is closed.
    pub(crate) fn again(&mut self, runner: &Arc<Runner>) -> Result<(), Error> {
        let mut state = self.pool.0.state.lock();
        self.pool.closed(&mut state, runner);
        self.answer = self.pool.answer(&mut state, self.ticket, usize::MAX)?;
        Ok(())
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Answer::Wait(..) = self.answer {
            let mut state = self.pool.0.state.lock();
            let waiter = state.scale.queue.remove(self.ticket);
            self.pool.changed(&state);
            drop(state);
            // `None`: it was served in this moment, and the slot goes back when the answer is dropped.
            drop(waiter);
        }
    }
}

/// The right to run one thing on one runner. Dropped, it goes to whoever waits longest.
pub(crate) struct Slot {
    pool: Pool,
    runner: Arc<Runner>,
    /// Whether something was sent to the runner for it.
    worked: bool,
    /// Whether that was ended from here, and has done nothing.
    cut_off: bool,
    held: bool,
}

impl Slot {
    pub(crate) fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Notes whether the runner has got work in it.
    pub(crate) fn worked(&mut self, worked: bool) {
        self.worked = worked;
    }

    /// Notes that the work in it was ended before it had finished.
    pub(crate) fn cut_off(&mut self) {
        self.cut_off = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.held {
            self.pool.release(&self.runner, self.worked, self.cut_off);
        }
    }
}
