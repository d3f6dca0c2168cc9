//! How many lines a flood may log.
//!
//! Each reason has so many lines in a minute; the rest is counted, and one line tells the count when the minute is
//! over. By reason, so that a flood of one kind hides no refusal of another.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So many lines tell of one reason in a window.
pub(super) const LINES: u32 = 10;
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// What has been logged lately. Plain data: the caller writes the lines.
#[derive(Debug, Default)]
pub(super) struct Quota(HashMap<&'static str, Window>);

#[derive(Debug)]
struct Window {
    since: Instant,
    lines: u32,
    hidden: u64,
}

/// What to do with one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Tell,
    /// It is the first that is hidden: the count is due at this time.
    CountUntil(Instant),
    Count,
}

impl Quota {
    pub(super) fn line(&mut self, reason: &'static str, now: Instant) -> Verdict {
        let window = self.0.entry(reason).or_insert(Window { since: now, lines: 0, hidden: 0 });
        // One with a count lives until that is told.
        if window.hidden == 0 && now >= window.since + WINDOW {
            *window = Window { since: now, lines: 0, hidden: 0 };
        }
        if window.lines < LINES {
            window.lines += 1;
            return Verdict::Tell;
        }
        window.hidden += 1;
        if window.hidden == 1 { Verdict::CountUntil(window.since + WINDOW) } else { Verdict::Count }
    }

    /// The count that is due.
    pub(super) fn hidden(&mut self, reason: &'static str) -> u64 {
        self.0.remove(reason).map_or(0, |window| window.hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_its_lines_and_is_counted_then() {
        let (mut quota, start) = (Quota::default(), Instant::now());
        for _ in 0..LINES {
            assert_eq!(quota.line("silent", start), Verdict::Tell);
        }
        assert_eq!(quota.line("silent", start), Verdict::CountUntil(start + WINDOW));
        for _ in 0..99 {
            assert_eq!(quota.line("silent", start + WINDOW / 2), Verdict::Count);
        }
        assert_eq!(quota.line("expired", start), Verdict::Tell, "another reason has lines of its own");
        assert_eq!(quota.hidden("silent"), 100);
        assert_eq!(quota.line("silent", start + WINDOW), Verdict::Tell);
    }

    #[test]
    fn what_comes_once_in_a_while_is_always_told() {
        let (mut quota, start) = (Quota::default(), Instant::now());
        for n in 0..100 {
            assert_eq!(quota.line("left", start + n * WINDOW / LINES), Verdict::Tell);
        }
    }

    #[test]
    fn no_count_is_lost_when_it_is_told_late() {
        let (mut quota, start) = (Quota::default(), Instant::now());
        for _ in 0..=LINES {
            quota.line("left", start);
        }
        assert_eq!(quota.line("left", start + 2 * WINDOW), Verdict::Count);
        assert_eq!(quota.hidden("left"), 2);
    }
}
