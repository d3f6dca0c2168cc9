//! Which runner gets the next piece of work.

use std::sync::Arc;

/// Ranks one runner: of those with a free slot, the one of the lowest rank gets the next piece of work.
///
/// A rank is asked for when a runner comes up and whenever its load has changed, so it may depend on what
/// [`Candidate`] tells and on nothing that changes by itself. Of two with the same rank the older one is taken. It is
/// called with the pool's state locked: it must be quick, and must not use the pool. One that panics ranks the runner
/// last.
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
