//! Rows of cycles on their way to the archive, as long as there is room in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;

/// Bytes of rows that may wait.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    limit: usize,
    held: Arc<AtomicUsize>,
}

/// Rows that count against a budget until they are dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) rows: RecordBatch,
    bytes: usize,
    budget: Budget,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Arc::default(),
        }
    }

    /// Keeps rows if there is room.
    pub(crate) fn hold(&self, rows: &RecordBatch) -> Option<Held> {
        let bytes = rows.get_array_memory_size();
        let before = self.held.fetch_add(bytes, Ordering::AcqRel);
        let held = Held {
            rows: rows.clone(),
            bytes,
            budget: self.clone(),
        };
        // Dropping it gives the bytes back.
        (before + bytes <= self.limit).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Rows of one cycle and the ranges they cover.
#[derive(Debug)]
struct Piece {
    held: Held,
    /// (partition, from, next)
    ranges: Vec<(u32, u64, u64)>,
}

/// Rows by cycle, and from where on each partition is complete in them.
#[derive(Debug)]
pub(super) struct Cache {
    budget: Budget,
    pieces: VecDeque<Piece>,
    complete_from: BTreeMap<u32, u64>,
}

impl Cache {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            pieces: VecDeque::new(),
            complete_from: BTreeMap::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.budget.held.load(Ordering::Acquire)
    }

    /// A partition begins here.
    pub(super) fn begin(&mut self, partition: u32, next: u64) {
        self.complete_from.insert(partition, next);
    }

    pub(super) fn forget(&mut self, partitions: &[u32]) {
        self.complete_from
            .retain(|partition, _| !partitions.contains(partition));
        self.drop_before(&BTreeMap::new());
    }

    /// Adds a cycle; without its rows, what was there is of no use either.
    pub(super) fn add(&mut self, parts: &[(u32, u64, u64, u64)], rows: Option<Held>) {
        let ranges = parts
            .iter()
            .map(|(partition, from, next, _)| (*partition, *from, *next))
            .collect();
        match rows {
            Some(held) => self.pieces.push_back(Piece { held, ranges }),
            None => {
                for (partition, _, next, _) in parts {
                    self.complete_from.insert(*partition, *next);
                }
                self.drop_before(&BTreeMap::new());
            }
        }
    }

    /// From where on the rows of a partition are complete.
    pub(super) fn complete_from(&self, partition: u32) -> u64 {
        self.complete_from
            .get(&partition)
            .copied()
            .unwrap_or(u64::MAX)
    }

    /// All rows, cycle by cycle. Sharing, not copying.
    pub(super) fn rows(&self) -> Vec<RecordBatch> {
        self.pieces
            .iter()
            .map(|piece| piece.held.rows.clone())
            .collect()
    }

    /// Drops the cycles that are archived, or incomplete, in all their partitions.
    pub(super) fn drop_before(&mut self, archived: &BTreeMap<u32, u64>) {
        let complete = &self.complete_from;
        let needed = |(partition, _, next): &(u32, u64, u64)| {
            let complete = complete.get(partition).copied().unwrap_or(u64::MAX);
            *next > archived.get(partition).copied().unwrap_or(0).max(complete)
        };
        self.pieces.retain(|piece| piece.ranges.iter().any(needed));
    }
}
