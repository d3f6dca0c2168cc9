//! A pool's numbers, by the `metrics` facade. The names are part of the interface: book/src/observing.md lists them.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::scale::Counts;
use crate::error::Cause;

const RUNNERS: &str = "flame_runners";
const SLOTS_USED: &str = "flame_slots_used";
const WAITING: &str = "flame_waiting";
const QUEUE_WAIT: &str = "flame_queue_wait_seconds";
const BOOT_TIME: &str = "flame_boot_seconds";
const RUN_TIME: &str = "flame_run_seconds";
const BOOTS: &str = "flame_boots_total";
const LOST: &str = "flame_runners_lost_total";

/// The [`Cause::kind`]s of losses: all but `stopped`.
const CAUSES: [&str; 8] =
    ["exited", "signalled", "out_of_memory", "lease_expired", "connection_closed", "destroyed", "refused", "protocol"];

/// Handles to the numbers of one pool, from the recorder that there is when it starts; without one each of them does
/// nothing.
pub(super) struct Metrics {
    booting: Gauge,
    idle: Gauge,
    busy: Gauge,
    leaving: Gauge,
    slots_used: Gauge,
    waiting: Gauge,
    pub(super) queue_wait: Histogram,
    boot_time: Histogram,
    run_ok: Histogram,
    run_failed: Histogram,
    boots_up: Counter,
    boots_failed: Counter,
    /// One for each cause, so that all are there, at 0, before the first loss.
    lost: [(&'static str, Counter); CAUSES.len()],
}

impl Metrics {
    pub(super) fn new(pool: &str) -> Self {
        describe_gauge!(RUNNERS, "runners of a pool, by state");
        describe_gauge!(SLOTS_USED, "slots in use");
        describe_gauge!(WAITING, "callers that wait for a slot");
        describe_histogram!(QUEUE_WAIT, Unit::Seconds, "how long a caller waited for its slot");
        describe_histogram!(BOOT_TIME, Unit::Seconds, "from the start of a boot to a runner that serves");
        describe_histogram!(RUN_TIME, Unit::Seconds, "from sending a task to its result, by outcome");
        describe_counter!(BOOTS, "boots that have ended, by outcome");
        describe_counter!(LOST, "runners that are gone and were not sent away, by cause");
        let name = || pool.to_owned();
        let runners = |state: &'static str| gauge!(RUNNERS, "pool" => name(), "state" => state);
        let lost = |cause: &'static str| (cause, counter!(LOST, "pool" => name(), "cause" => cause));
        Self {
            booting: runners("booting"),
            idle: runners("idle"),
            busy: runners("busy"),
            leaving: runners("leaving"),
            slots_used: gauge!(SLOTS_USED, "pool" => name()),
            waiting: gauge!(WAITING, "pool" => name()),
            queue_wait: histogram!(QUEUE_WAIT, "pool" => name()),
            boot_time: histogram!(BOOT_TIME, "pool" => name()),
            run_ok: histogram!(RUN_TIME, "pool" => name(), "outcome" => "ok"),
            run_failed: histogram!(RUN_TIME, "pool" => name(), "outcome" => "failed"),
            boots_up: counter!(BOOTS, "pool" => name(), "outcome" => "up"),
            boots_failed: counter!(BOOTS, "pool" => name(), "outcome" => "failed"),
            lost: CAUSES.map(lost),
        }
    }

    pub(super) fn counts(&self, counts: Counts) {
        let Counts { booting, idle, busy, leaving, slots_used, waiting } = counts;
        self.booting.set(booting as f64);
        self.idle.set(idle as f64);
        self.busy.set(busy as f64);
        self.leaving.set(leaving as f64);
        self.slots_used.set(slots_used as f64);
        self.waiting.set(waiting as f64);
    }

    /// A boot ended; given is the time that a successful one took.
    pub(super) fn booted(&self, after: Option<Duration>) {
        match after {
            Some(after) => {
                self.boots_up.increment(1);
                self.boot_time.record(after);
            }
            None => self.boots_failed.increment(1),
        }
    }

    pub(super) fn ran(&self, ok: bool, time: Duration) {
        if ok { &self.run_ok } else { &self.run_failed }.record(time);
    }

    pub(super) fn lost(&self, cause: &Cause) {
        let counters = self.lost.iter().filter(|(kind, _)| *kind == cause.kind());
        counters.for_each(|(_, lost)| lost.increment(1));
    }
}
