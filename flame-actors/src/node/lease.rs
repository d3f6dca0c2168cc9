//! How long one side of a link believes in the other without hearing from it.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A heartbeat is sent this often within a lease, and at least each [`LONGEST_BEAT`].
const BEATS_PER_LEASE: u32 = 16;
const LONGEST_BEAT: Duration = Duration::from_secs(1);

/// What an answer may take on its way while all is well.
const SLACK: Duration = Duration::from_millis(100);

/// A runner that finds its lease over reads for this long what lies unread: it may have stood still itself, and an answer
/// of its parent proves that the parent has not given up.
const LAST_LOOK: Duration = Duration::from_millis(100);

/// So much longer does a parent wait: its runner has ended its work by then, and not only decided to.
const HEAD_START: Duration = Duration::from_millis(300).saturating_add(LAST_LOOK);

/// A point in time, by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Goes on while the machine is suspended, and cannot be set.
    boot: Duration,
    /// Of the world outside: it goes on while a virtual machine is, whose own clocks stand still. It can be set.
    wall: Duration,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { boot: read(ClockId::Boottime), wall: read(ClockId::Realtime) }
    }

    fn after(self, by: Duration) -> Self {
        Self { boot: self.boot.saturating_add(by), wall: self.wall.saturating_add(by) }
    }
}

fn read(clock: ClockId) -> Duration {
    // A clock that says a time before its beginning says nothing.
    clock_gettime(clock).try_into().unwrap_or_default()
}

/// Whether the other side can still believe in us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// Nothing is taken or said before a heartbeat is acknowledged. The world's clock has left ours behind: it was set,
    /// or this machine stood still; then the heartbeat has to be from after that. Or a runner has its [`LAST_LOOK`].
    Unproven,
    Expired,
}

/// Which end of a link it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Parent,
    Runner,
}

/// A runner counts from the *sending* of its last acknowledged heartbeat, its parent from the *arrival* of whatever it
/// heard last: so the runner gives up no later than the parent.
///
/// A heartbeat may have been due right before a stall, and one of a stall shorter than the lease is to lose nothing;
/// so both wait for one heartbeat more than the lease, and a parent for what ending its work takes a runner.
#[derive(Debug)]
pub(crate) struct Lease {
    side: Side,
    period: Duration,
    alive: Moment,
    looked: Moment,
    next: u64,
    /// The heartbeat from which on an acknowledgement proves that we are believed in.
    proof: Option<u64>,
    /// When a runner has first seen that its lease is over.
    over_since: Option<Moment>,
    under_way: VecDeque<(u64, Moment)>,
}

impl Lease {
    pub(crate) fn new(side: Side, period: Duration, now: Moment) -> Self {
        Self {
            side,
            period,
            alive: now,
            looked: now,
            next: 0,
            proof: None,
            over_since: None,
            under_way: VecDeque::new(),
        }
    }

    /// How often a heartbeat is sent.
    pub(crate) fn every(&self) -> Duration {
        (self.period / BEATS_PER_LEASE).min(LONGEST_BEAT)
    }

    /// How long a side that gives up keeps quiet about it: the end of a connection tells a parent at once.
    pub(crate) fn keeps_quiet(&self) -> Duration {
        match self.side {
            Side::Parent => Duration::ZERO,
            Side::Runner => HEAD_START,
        }
    }

    fn limit(&self) -> Duration {
        let limit = self.period.saturating_add(self.every()).saturating_add(SLACK);
        match self.side {
            Side::Parent => limit.saturating_add(HEAD_START),
            Side::Runner => limit,
        }
    }

    /// The number of the heartbeat that is sent now, if one is due.
    ///
    /// A parent sends none as long as its lease is in good standing: it counts from what arrives, and the heartbeats of its
    /// runner do. With a thousand runners that is most of what an idle parent would have to do.
    pub(crate) fn beat(&mut self, now: Moment) -> Option<u64> {
        if self.side == Side::Parent && self.proof.is_none() {
            return None;
        }
        self.next += 1;
        self.under_way.push_back((self.next, now));
        Some(self.next)
    }

    /// The other side answered this heartbeat, and with it all before.
    pub(crate) fn acknowledged(&mut self, number: u64) {
        while let Some(&(sent, at)) = self.under_way.front().filter(|(sent, _)| *sent <= number) {
            self.alive = latest(self.alive, at);
            self.under_way.pop_front();
            if self.proof.is_some_and(|proof| sent >= proof) {
                self.proof = None;
            }
        }
    }

    /// Something of the other side has arrived; if it was a heartbeat, it is acknowledged.
    pub(crate) fn heard(&mut self, now: Moment) {
        if self.side == Side::Parent {
            self.alive = latest(self.alive, now);
        }
    }

    /// To be asked before anything is taken from the connection or written to it.
    pub(crate) fn standing(&mut self, now: Moment) -> Standing {
        let apart = |from: Moment| (now.boot.saturating_sub(from.boot), now.wall.saturating_sub(from.wall));
        let (ours, worlds) = apart(self.looked);
        if worlds.saturating_sub(ours) > self.period / 2 {
            self.proof = Some(self.next + 1);
        }
        self.looked = now;
        let (silent, _) = apart(self.alive);
        if silent > self.limit() {
            let (since_seen, _) = apart(*self.over_since.get_or_insert(now));
            let looks = self.side == Side::Runner && since_seen < LAST_LOOK;
            return if looks { Standing::Unproven } else { Standing::Expired };
        }
        self.over_since = None;
        if self.proof.is_some() { Standing::Unproven } else { Standing::Good }
    }

    /// How long it takes until it expires, without another word.
    pub(crate) fn left(&self, now: Moment) -> Duration {
        let end = match self.over_since {
            Some(since) if self.side == Side::Runner => since.after(LAST_LOOK),
            _ => self.alive.after(self.limit()),
        };
        end.boot.saturating_sub(now.boot)
    }
}

fn latest(one: Moment, other: Moment) -> Moment {
    if other.boot > one.boot { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_secs(8);

    fn at(millis: u64) -> Moment {
        Moment { boot: Duration::from_secs(1000), wall: Duration::from_secs(50_000) }
            .after(Duration::from_millis(millis))
    }

    fn lease(side: Side) -> Lease {
        Lease::new(side, PERIOD, at(0))
    }

    /// The limit of these leases, on a runner: 8 s, a beat of half a second, and the slack.
    const LIMIT: u64 = 8_600;
    /// How long a runner looks at what lies unread, in milliseconds.
    const LOOK: u64 = 100;
    /// How much longer than that the parent waits, in milliseconds.
    const LEAD: u64 = 300;

    /// What becomes of a runner's lease that is seen to be over at this moment.
    fn end(lease: &mut Lease, seen: Moment) -> Standing {
        assert_eq!(lease.standing(seen), Standing::Unproven, "it looks at what lies unread");
        assert_eq!(lease.left(seen), LAST_LOOK);
        lease.standing(seen.after(LAST_LOOK))
    }

    #[test]
    fn it_counts_from_the_sending_of_the_last_acknowledged_heartbeat() {
        let mut lease = lease(Side::Runner);
        let first = lease.beat(at(1_000)).expect("a runner sends heartbeats");
        lease.beat(at(2_000));
        lease.acknowledged(first);
        assert_eq!(lease.standing(at(1_000 + LIMIT)), Standing::Good);
        assert_eq!(lease.left(at(1_000 + LIMIT)), Duration::ZERO);
        assert_eq!(end(&mut lease, at(1_001 + LIMIT)), Standing::Expired, "the second one was not acknowledged");
    }

    #[test]
    fn an_acknowledgement_of_something_never_sent_changes_nothing() {
        let mut lease = lease(Side::Runner);
        lease.acknowledged(99);
        assert_eq!(end(&mut lease, at(LIMIT + 1)), Standing::Expired);
    }

    #[test]
    fn a_parent_counts_from_the_arrival_of_a_heartbeat_too() {
        let (mut parent, mut runner) = (lease(Side::Parent), lease(Side::Runner));
        parent.heard(at(3_000));
        runner.heard(at(3_000));
        assert_eq!(parent.standing(at(3_000 + LIMIT + LOOK + LEAD)), Standing::Good);
        assert_eq!(parent.standing(at(3_001 + LIMIT + LOOK + LEAD)), Standing::Expired);
        assert_eq!(end(&mut runner, at(3_000 + LIMIT)), Standing::Expired, "hearing does not prove being heard");
    }

    #[test]
    fn a_parent_sends_heartbeats_only_to_prove_itself() {
        let mut parent = lease(Side::Parent);
        assert_eq!(parent.beat(at(100)), None);
        let woken = Moment { boot: at(200).boot, wall: at(200).wall + PERIOD * 10 };
        assert_eq!(parent.standing(woken), Standing::Unproven);
        let number = parent.beat(woken).expect("it has to prove itself");
        parent.acknowledged(number);
        assert_eq!((parent.standing(woken), parent.beat(woken)), (Standing::Good, None));
    }

    #[test]
    fn a_suspended_machine_has_no_lease_when_it_wakes() {
        let mut lease = lease(Side::Runner);
        let number = lease.beat(at(100)).expect("a runner sends heartbeats");
        lease.acknowledged(number);
        let woken = Moment { boot: at(100).boot + PERIOD * 2, wall: at(100).wall + PERIOD * 2 };
        assert_eq!(end(&mut lease, woken), Standing::Expired);
    }

    /// It stood still, and its parent did not.
    #[test]
    fn an_answer_that_lies_unread_counts_however_late_it_is_read() {
        let mut lease = lease(Side::Runner);
        let first = lease.beat(at(100)).expect("a runner sends heartbeats");
        lease.acknowledged(first);
        let second = lease.beat(at(LIMIT - 100)).expect("a runner sends heartbeats");
        let woken = at(2 * LIMIT - 200);
        assert_eq!(lease.standing(woken), Standing::Unproven);
        lease.acknowledged(second);
        assert_eq!(lease.standing(woken), Standing::Good);
        assert_eq!(lease.left(woken), Duration::from_millis(100));
        assert_eq!(end(&mut lease, at(2 * LIMIT - 99)), Standing::Expired, "each time it looks once");
    }

    /// A virtual machine that was frozen with all its clocks, or whose clock was set: only the parent can tell.
    #[test]
    fn when_the_worlds_clock_jumps_a_new_acknowledgement_is_needed() {
        let mut lease = lease(Side::Runner);
        let old = lease.beat(at(100)).expect("a runner sends heartbeats");
        let woken = Moment { boot: at(200).boot, wall: at(200).wall + PERIOD * 10 };
        assert_eq!(lease.standing(woken), Standing::Unproven);
        lease.acknowledged(old);
        assert_eq!(lease.standing(woken), Standing::Unproven, "that was on its way before");
        let new = lease.beat(woken).expect("a runner sends heartbeats");
        assert_eq!(lease.standing(woken), Standing::Unproven);
        lease.acknowledged(new);
        assert_eq!(lease.standing(woken), Standing::Good);
        let late = Moment { boot: at(201 + LIMIT).boot, wall: woken.wall + PERIOD };
        assert_eq!(end(&mut lease, late), Standing::Expired);
    }

    #[test]
    fn a_clock_that_is_set_back_changes_nothing() {
        let mut lease = lease(Side::Runner);
        let set_back = Moment { boot: at(200).boot, wall: Duration::from_secs(1) };
        assert_eq!(lease.standing(set_back), Standing::Good);
    }

    /// When parent and runner give up, over a connection that is cut at some moment, in one direction or in both.
    fn ends(offset: u64, latency: u64, cut: u64, up: bool, down: bool) -> (u64, u64) {
        let (mut parent, mut runner) = (lease(Side::Parent), lease(Side::Runner));
        let every = runner.every().as_millis() as u64;
        // What is on its way: when it arrives, whether up to the parent, the heartbeat, whether it acknowledges that.
        let mut on_its_way: Vec<(u64, bool, u64, bool)> = Vec::new();
        let (mut parent_end, mut runner_end) = (None, None);
        for now in 0..60_000 {
            let (arrived, rest) = on_its_way.into_iter().partition(|(arrival, ..)| *arrival <= now);
            on_its_way = rest;
            let arrived: Vec<_> = arrived;
            let mut send = |upwards: bool, number: u64, is_answer: bool| {
                let is_cut = if upwards { up } else { down };
                if !(is_cut && now + latency >= cut) {
                    on_its_way.push((now + latency, upwards, number, is_answer));
                }
            };
            for (_, upwards, number, is_answer) in arrived {
                let (lease, gone) =
                    if upwards { (&mut parent, parent_end.is_some()) } else { (&mut runner, runner_end.is_some()) };
                match (gone, is_answer) {
                    (true, _) => {}
                    (false, true) => lease.acknowledged(number),
                    (false, false) => {
                        lease.heard(at(now));
                        send(!upwards, number, true);
                    }
                }
            }
            if runner_end.is_none() && now % every == 0 {
                send(true, runner.beat(at(now)).expect("a runner sends heartbeats"), false);
            }
            if parent_end.is_none()
                && now % every == offset
                && let Some(number) = parent.beat(at(now))
            {
                send(false, number, false);
            }
            if runner_end.is_none() && runner.standing(at(now)) == Standing::Expired {
                runner_end = Some(now);
            }
            // A runner that gives up closes the connection.
            let hears_the_end = runner_end.is_some_and(|end| !up && now >= end + latency);
            if parent_end.is_none() && (hears_the_end || parent.standing(at(now)) == Standing::Expired) {
                parent_end = Some(now);
            }
        }
        (parent_end.expect("the parent gives up"), runner_end.expect("the runner gives up"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_runner_gives_up_before_the_parent(
            offset in 0..500_u64,
            latency in 0..300_u64,
            cut in 1_000..20_000_u64,
            (up, down) in prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))],
        ) {
            let (parent, runner) = ends(offset, latency, cut, up, down);
            // A parent that hears its runner leave has no reason to wait.
            let lead = if up { LEAD } else { 0 };
            prop_assert!(runner + lead <= parent, "the runner at {runner}, the parent at {parent}, cut at {cut}");
            prop_assert!(parent <= cut + PERIOD.as_millis() as u64 + 1_000, "the parent at {parent}, cut at {cut}");
        }
    }
}
