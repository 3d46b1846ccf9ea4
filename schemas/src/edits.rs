//! Edits: what was edited of a customer, and when in the order of its edits, so that two authors do not overwrite each
//! other unseen.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Guards remembered of a customer; of those edited longest ago only the latest count is.
const REMEMBERED: usize = 64;

/// The edits of a customer so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Edits {
    /// How many there were.
    pub count: u64,
    /// What is not in `last` was edited at this count or before.
    #[serde(default, skip_serializing_if = "is_zero")]
    forgotten: u64,
    /// The count at which each guard was last edited, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    last: Vec<(CompactString, u64)>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Edits {
    /// Whether nothing was edited so far.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    /// Begins an edit and returns its number.
    pub fn begin(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Notes that the edit under way edits this.
    pub fn note(&mut self, guard: &str) {
        self.last.retain(|(other, _)| other != guard);
        self.last.push((CompactString::new(guard), self.count));
        if self.last.len() > REMEMBERED {
            self.forgotten = self.last.remove(0).1;
        }
    }

    /// The number of the last edit of this, or one that is no smaller: 0 where there was none.
    pub fn of(&self, guard: &str) -> u64 {
        let last = self.last.iter().find(|(other, _)| other == guard);
        last.map_or(self.forgotten, |(_, count)| *count)
    }

    /// Whether this may have been edited after the first `seen` edits.
    pub fn since(&self, seen: u64, guard: &str) -> bool {
        self.of(guard) > seen
    }

    /// Bytes held beside itself, roughly.
    pub fn weight(&self) -> usize {
        self.last.len() * 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_counts_as_edited_late() {
        let mut edits = Edits::default();
        for guard in 0..100 {
            edits.begin();
            edits.note(&format!("contact/{guard}"));
        }
        assert_eq!((edits.of("contact/99"), edits.of("contact/40")), (100, 41));
        assert_eq!(edits.of("contact/3"), 36, "the latest of those forgotten");
        assert!(edits.since(35, "contact/3") && !edits.since(36, "contact/3"));
        assert!(edits.since(99, "contact/99") && !edits.since(100, "contact/99"));
    }
}
