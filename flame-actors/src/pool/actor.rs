//! The pool's actor: boots, shrinks and ends runners as `scale` decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use super::{Failures, Pool};
use crate::backend::Boot;
use crate::error::{Cause, Error};
use crate::node::{self, runtime};
use crate::runner::Runner;

/// After a failed boot the next one waits this long, less a random part of up to a half; then twice as long, and so
/// on up to [`LONGEST_BACK_OFF`].
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// With `idle_shutdown_after` 0 it is looked for idle runners this often.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

pub(super) struct PoolActor;

pub(super) enum PoolMsg {
    /// Somebody waits, or a runner is missing.
    Grow,
    /// The runner's link is closed and its work has been told so.
    Lost(Arc<Runner>),
    /// Have it leave, with the grace of a shutdown.
    Dismiss(Arc<Runner>),
    /// Look for runners that have been idle for long enough.
    Shrink,
    Shutdown(RpcReplyPort<()>),
}

impl ractor::Message for PoolMsg {}

/// What the actor has. Dropped, however the actor ends, it takes the runners with it.
pub(super) struct Running(Pool);

impl Actor for PoolActor {
    type Msg = PoolMsg;
    type State = Running;
    type Arguments = Pool;

    async fn pre_start(&self, myself: ActorRef<PoolMsg>, pool: Pool) -> Result<Running, ActorProcessingErr> {
        let _ = pool.0.actor.set(myself.clone());
        let _ = myself.cast(PoolMsg::Grow);
        let _ = myself.cast(PoolMsg::Shrink);
        Ok(Running(pool))
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMsg>,
        message: PoolMsg,
        Running(pool): &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PoolMsg::Grow => pool.grow(&myself),
            PoolMsg::Lost(runner) => {
                let mut state = pool.0.state.lock();
                state.scale.remove(runner.id);
                state.runners.remove(&runner.id);
                drop(state);
                pool.grow(&myself);
            }
            PoolMsg::Dismiss(runner) => {
                pool.retire(runner.id);
                let grace = pool.shutdown_timeout();
                runtime::spawn(async move { runner.stop(grace).await });
            }
            PoolMsg::Shrink => {
                let now = Instant::now();
                let mut state = pool.0.state.lock();
                let leaving = state.scale.shrink(now);
                let leaving: Vec<_> = leaving.iter().filter_map(|id| state.runners.get(id).cloned()).collect();
                let next = state.scale.next_look(now);
                drop(state);
                for runner in leaving {
                    tracing::debug!(pool = pool.name(), runner = %runner.node(), "idle, and sent away");
                    let _ = myself.cast(PoolMsg::Dismiss(runner));
                }
                myself.send_after(next.saturating_duration_since(now).max(SHORTEST_LOOK), || PoolMsg::Shrink);
            }
            PoolMsg::Shutdown(done) => {
                pool.close().await;
                let _ = done.send(());
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
        Running(pool): &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(who, err) = event {
            tracing::warn!(pool = pool.name(), child = %who.get_id(), %err, "a placed child failed");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pool = self.0.clone();
        runtime::spawn(async move { pool.close().await });
    }
}

impl Pool {
    /// Boots what is wanted now, unless a boot has just failed.
    fn grow(&self, myself: &ActorRef<PoolMsg>) {
        let mut state = self.0.state.lock();
        let wanted = state.scale.boots_wanted();
        if wanted == 0 || self.is_closed() {
            return;
        }
        if let Some(not_before) = state.failures.not_before {
            let now = Instant::now();
            if now < not_before {
                myself.send_after(not_before - now, || PoolMsg::Grow);
                return;
            }
        }
        let Some(boots) = self.0.boots.lock().as_ref().map(|(boots, _)| boots.clone()) else { return };
        for _ in 0..wanted {
            let id = state.scale.boot();
            let name = format!("{}.{}-{}", self.0.node.name(), self.name(), node::unique());
            let config = &self.0.config;
            let boot =
                Boot::new(self.0.node.clone(), self.name(), name.into(), config.shutdown_timeout, self.0.app.clone());
            let booting = Runner::boot(id, Arc::clone(&config.backend), boot, config.boot_timeout, boots.clone());
            let mut closing = self.0.closing.subscribe();
            let (closed, myself, pool, boots) = (self.closed_error(), myself.clone(), self.clone(), boots.clone());
            runtime::spawn(async move {
                let result = tokio::select! {
                    result = booting => result,
                    _ = closing.wait_for(|closing| *closing) => Err(closed),
                };
                // Not by a message: one that is in the mailbox when the actor stops is lost, and the runner with it.
                if let Some(unwanted) = pool.booted(&myself, id, result) {
                    unwanted.clear_away().await;
                }
                drop(boots);
            });
        }
    }

    /// Gives back a runner that a pool which has ended has no use for.
    fn booted(&self, myself: &ActorRef<PoolMsg>, id: u64, result: Result<Arc<Runner>, Error>) -> Option<Arc<Runner>> {
        let mut state = self.0.state.lock();
        // `close` says so before it takes the lock, and then takes whatever was entered.
        if self.is_closed() {
            return result.ok();
        }
        let now = Instant::now();
        match result {
            Ok(runner) => {
                tracing::debug!(pool = self.name(), runner = %runner.node(), "up");
                state.failures = Failures::default();
                state.runners.insert(id, Arc::clone(&runner));
                state.scale.booted(id, true, now);
                self.grant(&mut state);
                runtime::spawn(watch_over(self.clone(), myself.clone(), runner));
            }
            Err(err) => {
                tracing::warn!(pool = self.name(), %err, "a boot failed");
                state.scale.booted(id, false, now);
                state.failures.count += 1;
                let doublings = (state.failures.count - 1).min(16);
                let back_off = (FIRST_BACK_OFF * 2_u32.pow(doublings)).min(LONGEST_BACK_OFF);
                let back_off = back_off.mul_f64(node::jitter());
                state.failures.not_before = Some(now + back_off);
                let is_final = matches!(err, Error::BuildMismatch { .. } | Error::Config { .. });
                if is_final {
                    // Trying again would give the same: those who wait are told now.
                    for waiter in state.scale.queue.drain() {
                        let _ = waiter.send(Err(err.clone()));
                    }
                }
                state.failures.last = Some(err);
            }
        }
        drop(state);
        self.grow(myself);
        None
    }

    /// Ends everything; returns when it has ended.
    async fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.closing.send_replace(true);
        // Children that nobody else supervises end with the pool, in good order; all other work has the grace.
        if let Some(cell) = self.cell() {
            cell.stop_children(None);
        }
        let runners: Vec<_> = {
            let mut state = self.0.state.lock();
            let ids: Vec<u64> = state.runners.keys().copied().collect();
            for id in ids {
                state.scale.retire(id);
            }
            // Dropping its sender tells each waiter that the pool is closed.
            state.scale.queue.drain().for_each(drop);
            std::mem::take(&mut state.runners).into_values().collect()
        };
        let grace = self.shutdown_timeout();
        futures_util::future::join_all(runners.iter().map(|runner| runner.stop(grace))).await;
        // Boots that were given up end with the destruction of what they have booted.
        let boots = self.0.boots.lock().take();
        if let Some((last, mut ended)) = boots {
            drop(last);
            ended.recv().await;
        }
    }
}

/// Waits for the end of a runner's link, and tidies up behind it.
async fn watch_over(pool: Pool, actor: ActorRef<PoolMsg>, runner: Arc<Runner>) {
    runner.link().wait_closed().await;
    pool.retire(runner.id);
    let cause = runner.lost().await;
    runner.clear_away().await;
    if cause != Cause::Stopped {
        tracing::warn!(pool = pool.name(), runner = %runner.node(), %cause, "a runner was lost");
    }
    let _ = actor.cast(PoolMsg::Lost(runner));
}
