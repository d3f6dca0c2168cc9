//! What was said last in a room.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// So many lines are kept.
const KEPT: usize = 10;

/// The last lines of a room: all that a snapshot of the room has to hold.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct History(VecDeque<String>);

impl History {
    pub(crate) fn add(&mut self, line: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// The oldest first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_lines_are_kept() {
        let mut history = History::default();
        (1..=13).for_each(|number| history.add(number.to_string()));
        let kept: Vec<_> = (4..=13).map(|number| number.to_string()).collect();
        assert_eq!(history.lines().collect::<Vec<_>>(), kept);
    }
}
