//! The pool's actor: boots, shrinks and ends runners as `scale` decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::config::IdleCheck;
use super::events::{Event, Leave};
use super::failures::Gone;
use super::hooks::{Change, PoolChange};
use super::losses;
use super::scale::LongIdle;
use super::{Pool, State, Up};
use crate::backend::{Boot, Timeouts};
use crate::error::{Cause, Error};
use crate::node::{self, runtime};
use crate::report::{self, report};
use crate::runner::Runner;
use crate::telemetry::BootSpan;

/// With `idle_shutdown_after` 0 it is looked for idle runners this often.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// The end of a pool waits this long for a recorder to take its last numbers.
const NUMBERS_BOUND: Duration = Duration::from_millis(100);

pub(super) struct PoolActor;

pub(super) enum PoolMsg {
    /// Somebody waits, or a runner is missing.
    Grow,
    /// The runner's link is closed and its work has been told so.
    Lost(Arc<Runner>),
    /// Look for runners that have been idle for long enough, or are too old.
    Look,
    Shutdown,
}

impl ractor::Message for PoolMsg {}

/// What the actor has. Dropped, however the actor ends, it takes the runners with it.
pub(super) struct Running {
    pool: Pool,
    next_grow: Timer,
    next_look: Timer,
}

/// The one message that is to come later; a new one takes the place of the old one.
#[derive(Default)]
struct Timer(Option<JoinHandle<()>>);

impl Timer {
    fn set(&mut self, myself: &ActorRef<PoolMsg>, after: Duration, message: fn() -> PoolMsg) {
        self.stop();
        let myself = myself.clone();
        self.0 = Some(runtime::spawn(async move {
            tokio::time::sleep(after).await;
            let _ = myself.cast(message());
        }));
    }

    fn stop(&mut self) {
        if let Some(waiting) = self.0.take() {
            waiting.abort();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Actor for PoolActor {
    type Msg = PoolMsg;
    type State = Running;
    type Arguments = Pool;

    async fn pre_start(&self, myself: ActorRef<PoolMsg>, pool: Pool) -> Result<Running, ActorProcessingErr> {
        let _ = pool.0.actor.set(myself.clone());
        let _ = myself.cast(PoolMsg::Grow);
        let _ = myself.cast(PoolMsg::Look);
        Ok(Running { pool, next_grow: Timer::default(), next_look: Timer::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMsg>,
        message: PoolMsg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let pool = &running.pool;
        match message {
            PoolMsg::Grow => {
                // First: what is wanted from now on asks again.
                pool.0.grow_told.store(false, Ordering::Release);
                match pool.grow() {
                    Some(after) => running.next_grow.set(&myself, after, || PoolMsg::Grow),
                    None => running.next_grow.stop(),
                }
            }
            PoolMsg::Lost(runner) => pool.removed(&runner),
            PoolMsg::Look => {
                let after = pool.look();
                running.next_look.set(&myself, after, || PoolMsg::Look);
            }
            PoolMsg::Shutdown => {
                let pool = pool.clone();
                // Not in here: a supervisor that ends kills this actor in the middle of it.
                let _ = runtime::spawn(async move { pool.close().await }).await;
                myself.stop(None);
            }
        }
        Ok(())
    }

    /// Children that are linked to nobody else end here; the pool goes on.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<PoolMsg>,
        event: SupervisionEvent,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(who, err) = event {
            let (pool, child) = (running.pool.name().to_owned(), who.get_id());
            report!(WARN, pool, %child, %err, "a placed child failed");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pool = self.pool.clone();
        runtime::spawn(async move { pool.close().await });
    }
}

// ---- growth ----

impl Pool {
    /// Boots what is wanted now. After a failed boot there is a pause first: its rest is returned.
    fn grow(&self) -> Option<Duration> {
        let mut state = self.0.state.lock();
        let wanted = state.scale.boots_wanted();
        if wanted == 0 || self.is_closed() {
            return None;
        }
        if let Some(pause) = state.failures.pause(Instant::now()) {
            return Some(pause);
        }
        for _ in 0..wanted {
            self.start_boot(&mut state);
        }
        self.numbers_changed();
        None
    }

    fn start_boot(&self, state: &mut State) {
        let Some(hold) = self.0.boots.lock().as_ref().map(|(hold, _)| hold.clone()) else { return };
        let (id, round) = (state.scale.boot(), state.failures.round());
        let runner: Arc<str> = format!("{}.{}-{}", self.0.node.name(), self.name(), node::unique()).into();
        self.0.events.tell(|| Event::BootStarted { runner: runner.to_string() });
        self.tell_hooks(&runner, state.scale.count(), Change::GrowStart);
        let (span, pool, start) = (BootSpan::new(), self.clone(), Instant::now());
        runtime::spawn(async move {
            let (config, telling) = (&pool.0.config, pool.clone());
            let boot = Boot::new(
                pool.0.node.clone(),
                pool.name(),
                Arc::clone(&runner),
                Timeouts { boot: config.boot_timeout, shutdown: config.shutdown_timeout },
                pool.0.app.clone(),
                Box::new(move |event| telling.0.events.tell(|| event)),
            )
            .with_files(&config.copy_paths);
            let (backend, bound) = (Arc::clone(&config.backend), config.boot_timeout);
            let booting = Runner::boot(id, backend, boot, bound, hold.clone(), span.clone());
            let mut closing = pool.0.closing.subscribe();
            let result = tokio::select! {
                result = booting => result,
                _ = closing.wait_for(|closing| *closing) => Err(pool.closed_error()),
            };
            // Not by a message: one that is in the mailbox when the actor stops is lost, and the runner with it.
            if let Some(unwanted) = pool.booted(id, &runner, round, start.elapsed(), result, &span) {
                unwanted.clear_away().await;
            }
            drop(hold);
        });
    }

    /// Gives back a runner that a pool which has ended has no use for.
    fn booted(
        &self,
        id: u64,
        name: &Arc<str>,
        round: u32,
        after: Duration,
        result: Result<Arc<Runner>, Error>,
        span: &BootSpan,
    ) -> Option<Arc<Runner>> {
        let mut state = self.0.state.lock();
        // `close` says so before it takes the lock, and then takes whatever was entered.
        if self.is_closed() {
            state.scale.boot_failed();
            self.tell_hooks(name, state.scale.count(), Change::GrowEnd(Err(self.closed_error())));
            self.changed(&state);
            return result.ok();
        }
        let (mut surplus, mut draining) = (Vec::new(), Vec::new());
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        match result {
            Ok(runner) => {
                if report::is_wanted(tracing::Level::DEBUG) {
                    span.line(move || report!(DEBUG, ?after, "up"));
                }
                let up = || Event::Up { runner: name.to_string(), instance: runner.instance().to_owned(), after };
                self.0.events.tell(up);
                self.count(move |metrics| metrics.booted(Some(after)));
                let (now, since, entered) = (Instant::now(), SystemTime::now(), watch::Sender::new(()));
                state.failures.up(id, round, now);
                state.runners.insert(id, Up { runner: Arc::clone(&runner), since, entered });
                state.scale.booted(id, Arc::clone(name), now);
                self.grant(&mut state);
                // The pool may have been made smaller in the meantime.
                let leaving = state.scale.drain_surplus();
                surplus = state.all(leaving);
                draining = state.draining();
                runtime::spawn(watch_over(self.clone(), runner));
            }
            Err(error) => {
                let why = error.clone();
                span.line(move || report!(WARN, error = %why, "a boot failed"));
                state.scale.boot_failed();
                let attempts = state.failures.failed(error.clone(), round, Instant::now(), node::jitter());
                self.count(|metrics| metrics.booted(None));
                let is_final = matches!(error, Error::BuildMismatch { .. } | Error::Config { .. });
                if is_final && state.runners.is_empty() && state.scale.booting() == 0 {
                    // Trying again would give the same, and no slot will be free: those who wait are told now.
                    for waiter in state.scale.queue.drain() {
                        let _ = waiter.send(Err(error.clone()));
                    }
                }
                self.0.events.tell(|| Event::BootFailed { runner: name.to_string(), error, attempts });
            }
        }
        self.tell_hooks(name, state.scale.count(), Change::GrowEnd(outcome));
        self.changed(&state);
        drop(state);
        surplus.iter().for_each(|runner| self.send_away(runner, Leave::Drained));
        draining.iter().for_each(Runner::move_children);
        None
    }

    fn tell_hooks(&self, runner: &str, count: usize, what: Change) {
        let change = || PoolChange { pool: self.name().to_owned(), runner: runner.to_owned(), count };
        self.0.hooks.call(change, what);
    }
}

// ---- the end of runners ----

impl Pool {
    /// Sends away who has been idle for too long, or is too old; returns when to look again.
    fn look(&self) -> Duration {
        let now = Instant::now();
        let mut state = self.0.state.lock();
        let aged = state.scale.drain_aged(now);
        let aged = state.all(aged);
        let draining = state.draining();
        let mut idle = Vec::new();
        for found in state.scale.long_idle(now) {
            match &self.0.config.idle_check {
                None => idle.extend(state.scale.leave(found, true, now).then_some(found.id)),
                Some(check) => {
                    let runner = state.all([found.id]).pop().expect("idle runners are known");
                    runtime::spawn(self.clone().ask_idle(check.clone(), runner, found));
                }
            }
        }
        let idle = state.all(idle);
        let next = state.scale.next_look(now);
        self.changed(&state);
        drop(state);
        aged.iter().for_each(|runner| self.send_away(runner, Leave::Drained));
        draining.iter().for_each(Runner::move_children);
        idle.iter().for_each(|runner| self.send_away(runner, Leave::Idle));
        next.saturating_duration_since(now).max(SHORTEST_LOOK)
    }

    /// Has the runner say whether it may go. One that cannot say goes: it costs money while it runs.
    async fn ask_idle(self, check: IdleCheck, runner: Arc<Runner>, found: LongIdle) {
        let (whom, bound) = (Arc::clone(&runner), self.timeout());
        let asked = runtime::foreign(async move { check.run(&whom, bound).await }).await;
        let agreed = asked.unwrap_or_else(|panic| Err(Error::Panicked(panic))).unwrap_or_else(|err| {
            let (pool, runner) = (self.name().to_owned(), Arc::clone(runner.node()));
            report!(WARN, pool, %runner, %err, "the idle check failed: the runner goes");
            true
        });
        let mut state = self.0.state.lock();
        let leaves = state.scale.leave(found, agreed, Instant::now());
        self.changed(&state);
        drop(state);
        if leaves {
            self.send_away(&runner, Leave::Idle);
        }
    }

    /// Nothing is left of the runner.
    fn removed(&self, runner: &Arc<Runner>) {
        let mut state = self.0.state.lock();
        // One that was sent away has failed in nothing.
        state.failures.proved(runner.id);
        state.scale.remove(runner.id);
        if state.runners.remove(&runner.id).is_some() {
            self.tell_hooks(runner.node(), state.scale.count(), Change::Shrink);
        }
        self.changed(&state);
    }

    /// Ends everything; returns when it has ended.
    async fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.closing.send_replace(true);
        if self.0.is_ending.swap(true, Ordering::AcqRel) {
            // Somebody else sees to it.
            return self.ended().await;
        }
        // Children that nobody else supervises end with the pool, in good order; all other work has the grace.
        if let Some(cell) = self.cell() {
            cell.stop_children(None);
        }
        let runners: Vec<_> = {
            let mut state = self.0.state.lock();
            let ids: Vec<u64> = state.runners.keys().copied().collect();
            let runners = state.all(ids);
            for runner in &runners {
                state.scale.retire(runner.id);
            }
            // Dropping its sender tells each waiter that the pool is closed.
            state.scale.queue.drain().for_each(drop);
            self.changed(&state);
            runners
        };
        let grace = self.shutdown_timeout();
        let stopped = runners.iter().map(|runner| async {
            runner.stop(grace).await;
            self.removed(runner);
        });
        futures_util::future::join_all(stopped).await;
        // Boots that were given up end with the destruction of what they have booted.
        let boots = self.0.boots.lock().take();
        if let Some((last, mut ended)) = boots {
            drop(last);
            ended.recv().await;
        }
        self.0.hooks.end(grace).await;
        report::passed_on(NUMBERS_BOUND).await;
        self.0.events.end();
        self.0.ended.send_replace(true);
    }
}

/// Waits for the end of a runner's link, and tidies up behind it.
async fn watch_over(pool: Pool, runner: Arc<Runner>) {
    tokio::select! {
        () = until_closed(&pool, &runner) => {}
        never = losses::prove(&pool, &runner) => match never {},
    }
    let in_vain = {
        let mut state = pool.0.state.lock();
        pool.closed(&mut state, &runner);
        pool.changed(&state);
        state.failures.take_in_vain(runner.id)
    };
    // One that was sent away closes its link itself: no loss, whatever is found of it.
    let sent_away = runner.is_sent_away();
    let cause = runner.lost().await;
    if cause != Cause::Stopped && !sent_away {
        let (name, node) = (pool.name().to_owned(), Arc::clone(runner.node()));
        let (counted, why) = (cause.clone(), cause.clone());
        pool.count(move |metrics| metrics.lost(&counted));
        report!(WARN, pool = name, runner = %node, cause = %why, "a runner was lost");
        pool.0.events.tell(|| Event::Lost { runner: runner.node().to_string(), cause: cause.clone() });
    }
    if let Some(in_vain) = in_vain {
        let error = Gone::Lost(cause).error(pool.0.config.backend.name(), in_vain.served);
        pool.tell_in_vain(&runner, in_vain, runner.explain(error).await);
    }
    runner.clear_away().await;
    pool.tell(PoolMsg::Lost(runner));
}

async fn until_closed(pool: &Pool, runner: &Arc<Runner>) {
    tokio::select! {
        _ = runner.link().wait_closed() => {}
        () = runner.leaving() => {
            pool.let_leave(runner);
            runner.link().wait_closed().await;
        }
    }
}
