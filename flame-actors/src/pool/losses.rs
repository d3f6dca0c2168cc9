//! Runners that are gone by themselves: carries out what `failures` decides.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use super::events::Event;
use super::failures::{Gone, InVain, proved_after};
use super::scale::RunnerState;
use super::{Pool, State};
use crate::error::{Cause, Error};
use crate::node;
use crate::report::report;
use crate::runner::Runner;

impl Pool {
    /// The runner's link is closed: it gets no more work, and unless it was sent away, it is lost.
    ///
    /// A loss that counts as a failed boot has to be noted in the same moment, before another one boots.
    pub(super) fn closed(&self, state: &mut State, runner: &Runner) {
        let is_draining = matches!(state.scale.state(runner.id), Some((RunnerState::Draining, _)));
        let is_drained = is_draining && !runner.wants_to_leave();
        if state.scale.retire(runner.id) && !is_drained && !self.is_closed() {
            self.gone(state, runner.id, &Gone::Lost(runner.link().cause().unwrap_or(Cause::ConnectionClosed)));
        }
    }

    /// Notes that a runner leaves which asked for it; returns whether it has served in vain.
    pub(super) fn asked_in_vain(&self, state: &mut State, runner: &Runner) -> Option<InVain> {
        if runner.wants_to_leave() {
            self.gone(state, runner.id, &Gone::Asked);
        }
        state.failures.take_in_vain(runner.id)
    }

    pub(super) fn tell_asked_in_vain(&self, runner: &Runner, in_vain: Option<InVain>) {
        if let Some(in_vain) = in_vain {
            let error = Gone::Asked.error(self.0.config.backend.name(), in_vain.served);
            self.tell_in_vain(runner, in_vain, error);
        }
    }

    /// Notes a runner that is gone by itself.
    fn gone(&self, state: &mut State, runner: u64, gone: &Gone) {
        let config = &self.0.config;
        let error = |served| gone.error(config.backend.name(), served);
        let proved_after = proved_after(config.boot_timeout);
        state.failures.gone(runner, error, proved_after, Instant::now(), node::jitter());
    }

    /// The runner has served for long enough.
    fn proved(&self, runner: u64) {
        let mut state = self.0.state.lock();
        state.failures.proved(runner);
        self.changed(&state);
    }

    /// Tells that a runner served in vain, which is a failed boot.
    pub(super) fn tell_in_vain(&self, runner: &Runner, in_vain: InVain, error: Error) {
        let attempts = in_vain.attempts;
        let (pool, node, why) = (self.name().to_owned(), Arc::clone(runner.node()), error.clone());
        report!(WARN, pool, runner = %node, error = %why, attempts, "a boot failed");
        self.0.state.lock().failures.explain(in_vain, &error);
        self.count(|metrics| metrics.booted(None));
        self.0.events.tell(|| Event::BootFailed { runner: runner.node().to_string(), error, attempts });
    }
}

/// Notes that the runner has served for long enough.
pub(super) async fn prove(pool: &Pool, runner: &Runner) -> Infallible {
    tokio::time::sleep(proved_after(pool.boot_timeout())).await;
    pool.proved(runner.id);
    std::future::pending().await
}
