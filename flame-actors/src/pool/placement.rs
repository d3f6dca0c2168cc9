//! Which runner gets the next piece of work.

use std::any::TypeId;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Ranks one runner: of those with a free slot, the one of the lowest rank gets the next piece of work.
///
/// A rank may depend on what [`Candidate`] tells and on nothing that changes by itself: it is asked for again only when
/// that has changed, and only where there is a choice. Of two runners with the same rank the older one is taken. It is
/// called by whoever wants a slot, and no lock is held: one that takes long delays those who want a slot of this pool,
/// and nothing else. One that panics ranks the runner last.
///
/// [`LeastLoaded`] is the default; a closure is a placement too:
///
/// ```
/// use flame_actors::{Candidate, Pool};
///
/// // Fill each runner to a half before the next one is used.
/// let half = |runner: &Candidate<'_>| if 2 * runner.used() < runner.slots() { 0 } else { 1 };
/// let pool = Pool::builder("ffmpeg").placement(half);
/// ```
pub trait Placement: Send + Sync + 'static {
    /// The runner's rank; the lowest is taken.
    fn rank(&self, runner: &Candidate<'_>) -> u64;
}

/// How a pool ranks its runners.
#[derive(Clone)]
pub(super) enum Ranking {
    /// By a rule of this crate, as soon as a load changes.
    Ours(fn(&Candidate<'_>) -> u64),
    /// By what a user wrote, which may take long or panic.
    Theirs(Arc<dyn Placement>),
}

impl Ranking {
    pub(super) const DEFAULT: Self = Self::Ours(|runner| LeastLoaded.rank(runner));

    pub(super) fn of<P: Placement>(placement: P) -> Self {
        let kind = TypeId::of::<P>();
        if kind == TypeId::of::<LeastLoaded>() {
            Self::DEFAULT
        } else if kind == TypeId::of::<MostLoaded>() {
            Self::Ours(|runner| MostLoaded.rank(runner))
        } else {
            Self::Theirs(Arc::new(placement))
        }
    }
}

impl fmt::Debug for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Placement")
    }
}

/// The rank that a user's placement gives; the last one where it panics.
pub(super) fn rank(placement: &dyn Placement, runner: &Candidate<'_>) -> u64 {
    catch_unwind(AssertUnwindSafe(|| placement.rank(runner))).unwrap_or_else(|panic| {
        // Its destructor may panic as well.
        std::mem::forget(panic);
        u64::MAX
    })
}

impl<F: Fn(&Candidate<'_>) -> u64 + Send + Sync + 'static> Placement for F {
    fn rank(&self, runner: &Candidate<'_>) -> u64 {
        self(runner)
    }
}

/// The runner with the fewest used slots first: work is spread out. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastLoaded;

impl Placement for LeastLoaded {
    fn rank(&self, runner: &Candidate<'_>) -> u64 {
        runner.used() as u64
    }
}

/// The runner with the most used slots first: the others become idle, and go.
#[derive(Clone, Copy, Debug, Default)]
pub struct MostLoaded;

impl Placement for MostLoaded {
    fn rank(&self, runner: &Candidate<'_>) -> u64 {
        (runner.slots() - runner.used()) as u64
    }
}

/// What a [`Placement`] knows of a runner.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    pub(super) node: &'a Arc<str>,
    pub(super) used: usize,
    pub(super) slots: usize,
}

impl Candidate<'_> {
    /// Its node name.
    pub fn node(&self) -> &str {
        self.node
    }

    /// How many of its slots are in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// How many slots it has: the pool's `max_concurrency`.
    pub fn slots(&self) -> usize {
        self.slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_that_panics_ranks_last() {
        let panics = |runner: &Candidate<'_>| if runner.node() == "web.pool-1" { panic!("no rank") } else { 7 };
        let rank_of = |node: &str| rank(&panics, &Candidate { node: &node.into(), used: 0, slots: 2 });
        assert_eq!((rank_of("web.pool-1"), rank_of("web.pool-2")), (u64::MAX, 7));
    }
}
