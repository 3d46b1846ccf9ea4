//! Records appended and not read yet, in memory, so that readers need neither the disk nor to parse them again.
//!
//! Bounded in bytes. What every group has taken is dropped at once. What is too much is not taken in and is read from
//! disk when its turn comes: a reader that is behind wants the oldest next, and dropping those instead would leave it
//! nothing but the disk until it has caught up. Once full it stays shut until half of it is free, so that what is here
//! and what is on disk come in long stretches.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use metrics::Gauge;

use crate::LogRecord;

/// Beside the payload: the record itself, its place in the vectors, reference counts.
const RECORD_OVERHEAD: usize = 160;
/// A decoded record weighs about this many times its payload.
const DECODED_WEIGHT: usize = 2;

/// Records of one group commit and partition.
#[derive(Debug)]
struct Run {
    first: u64,
    bytes: usize,
    records: Arc<Vec<LogRecord>>,
}

impl Run {
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

/// Part of a run, taken out of the tail.
pub(super) type Taken = (Arc<Vec<LogRecord>>, Range<usize>);

#[derive(Debug)]
pub(super) struct Tail {
    runs: Vec<VecDeque<Run>>,
    bytes: usize,
    capacity: usize,
    /// Takes nothing in for now.
    shut: bool,
    /// By group: how far it is in each partition, if it has started there.
    cursors: HashMap<String, Vec<Option<u64>>>,
    held: Gauge,
}

impl Tail {
    pub(super) fn new(partitions: u32, capacity: usize) -> Self {
        Self {
            runs: (0..partitions).map(|_| VecDeque::new()).collect(),
            bytes: 0,
            capacity,
            shut: false,
            cursors: HashMap::new(),
            held: crate::metrics::read_ahead_bytes(),
        }
    }

    pub(super) fn push(&mut self, partition: u32, records: Vec<LogRecord>) {
        let Some(first) = records.first().map(|record| record.position.offset) else {
            return;
        };
        let bytes: usize = records.iter().map(weight).sum();
        self.shut = match self.shut {
            true => self.bytes > self.capacity / 2,
            false => self.bytes + bytes > self.capacity,
        };
        if self.shut {
            return;
        }
        self.bytes += bytes;
        self.held.increment(bytes as f64);
        self.runs[partition as usize].push_back(Run {
            first,
            bytes,
            records: Arc::new(records),
        });
    }

    /// Where what is on disk only ends, for a reader that is at `from`: the first offset after it that is here.
    pub(super) fn next_held(&self, partition: u32, from: u64) -> Option<u64> {
        let runs = &self.runs[partition as usize];
        let behind = runs.partition_point(|run| run.first <= from);
        runs.get(behind).map(|run| run.first)
    }

    /// Records of `partition` from `from` on, if they are here; notes that `group` has them. The first may be larger
    /// than `max_bytes` if `any_size`.
    pub(super) fn take(
        &mut self,
        group: &str,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
        any_size: bool,
    ) -> Vec<Taken> {
        let mut taken: Vec<Taken> = Vec::new();
        let runs = &self.runs[partition as usize];
        let begin = runs.partition_point(|run| run.end() <= from);
        let (mut next, mut records, mut bytes) = (from, 0, 0);
        'runs: for run in runs.range(begin..) {
            if run.first > next {
                break;
            }
            let start = (next - run.first) as usize;
            let mut stop = start;
            for record in &run.records[start..] {
                let first = any_size && records == 0;
                if records >= max_records || (!first && bytes + record.payload.len() > max_bytes) {
                    if stop > start {
                        taken.push((Arc::clone(&run.records), start..stop));
                    }
                    break 'runs;
                }
                records += 1;
                bytes += record.payload.len();
                stop += 1;
                next += 1;
            }
            taken.push((Arc::clone(&run.records), start..stop));
        }
        if next > from {
            self.advance(group, partition, Some(next));
        }
        taken
    }

    /// Notes how far a group is in a partition; `None` when it is nowhere.
    pub(super) fn advance(&mut self, group: &str, partition: u32, next: Option<u64>) {
        let index = partition as usize;
        let partitions = self.runs.len();
        if !self.cursors.contains_key(group) {
            self.cursors
                .insert(group.to_owned(), vec![None; partitions]);
        }
        if let Some(cursors) = self.cursors.get_mut(group) {
            cursors[index] = next;
        }
        // A group that has not started yet may want everything.
        let slowest = self
            .cursors
            .values()
            .map(|cursors| cursors[index].unwrap_or(0))
            .min()
            .unwrap_or(0);
        while self.runs[index]
            .front()
            .is_some_and(|run| run.end() <= slowest)
        {
            self.drop_front(index);
        }
    }

    /// Forgets a group that has no members any more.
    pub(super) fn leave(&mut self, group: &str) {
        self.cursors.remove(group);
    }

    /// Drops everything, for instance because the disk holds something else now.
    pub(super) fn clear(&mut self) {
        self.runs.iter_mut().for_each(VecDeque::clear);
        self.held.decrement(self.bytes as f64);
        self.bytes = 0;
    }

    fn drop_front(&mut self, index: usize) {
        if let Some(run) = self.runs[index].pop_front() {
            self.bytes -= run.bytes;
            self.held.decrement(run.bytes as f64);
        }
    }
}

/// Moves the records out where nobody else holds them, and copies the handles otherwise.
pub(super) fn unpack(taken: Vec<Taken>) -> Vec<LogRecord> {
    let mut records = Vec::with_capacity(taken.iter().map(|(_, range)| range.len()).sum());
    for (run, range) in taken {
        if range.len() == run.len() {
            match Arc::try_unwrap(run) {
                Ok(run) => records.extend(run),
                Err(run) => records.extend_from_slice(&run),
            }
        } else {
            records.extend_from_slice(&run[range]);
        }
    }
    records
}

fn weight(record: &LogRecord) -> usize {
    let decoded = if record.decoded.is_some() {
        DECODED_WEIGHT
    } else {
        0
    };
    record.payload.len() * (1 + decoded) + RECORD_OVERHEAD
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use schemas::Position;

    use super::*;

    fn run(partition: u32, first: u64, count: u64) -> Vec<LogRecord> {
        (first..first + count)
            .map(|offset| LogRecord {
                position: Position {
                    generation: 1,
                    partition,
                    offset,
                },
                payload: Bytes::from_static(&[0; 40]),
                decoded: None,
                appended_at: 0,
                trace: None,
            })
            .collect()
    }

    fn offsets(taken: Vec<Taken>) -> Vec<u64> {
        unpack(taken)
            .iter()
            .map(|record| record.position.offset)
            .collect()
    }

    #[test]
    fn runs_join_and_limits_hold() {
        let mut tail = Tail::new(1, 1 << 20);
        tail.advance("b", 0, None);
        tail.push(0, run(0, 10, 3));
        tail.push(0, run(0, 13, 3));
        assert_eq!(offsets(tail.take("a", 0, 11, 3, 1_000, true)), [11, 12, 13]);
        assert_eq!(offsets(tail.take("b", 0, 11, 100, 80, true)), [11, 12]);
        assert_eq!(
            offsets(tail.take("b", 0, 13, 100, 1, true)),
            [13],
            "one record, however large"
        );
        assert_eq!(
            offsets(tail.take("b", 0, 9, 100, 1_000, true)),
            [0; 0],
            "before the tail"
        );
        assert_eq!(
            offsets(tail.take("b", 0, 16, 100, 1_000, true)),
            [0; 0],
            "after the tail"
        );
    }

    #[test]
    fn what_all_groups_have_is_dropped() {
        let mut tail = Tail::new(1, 1 << 20);
        tail.advance("a", 0, None);
        tail.advance("b", 0, Some(0));
        tail.push(0, run(0, 0, 4));
        tail.take("b", 0, 0, 100, 1_000, true);
        assert!(tail.bytes > 0, "group a has not started");
        tail.take("a", 0, 0, 100, 1_000, true);
        assert_eq!(tail.bytes, 0);
        assert!(tail.runs[0].is_empty());
    }

    #[test]
    fn what_is_too_much_stays_on_disk_until_half_is_free() {
        let of_four = 4 * (40 + RECORD_OVERHEAD);
        let mut tail = Tail::new(2, 4 * of_four);
        tail.advance("a", 0, Some(0));
        tail.advance("a", 1, Some(0));
        for round in 0..10 {
            tail.push(0, run(0, round * 4, 4));
            tail.push(1, run(1, round * 4, 4));
        }
        assert_eq!(tail.bytes, tail.capacity);
        assert_eq!(
            offsets(tail.take("a", 0, 0, 100, 1_000, true)),
            [0, 1, 2, 3, 4, 5, 6, 7],
            "the oldest, up to the gap"
        );
        assert_eq!(tail.bytes, tail.capacity / 2);
        tail.push(0, run(0, 40, 4));
        assert_eq!(offsets(tail.take("a", 0, 8, 100, 1_000, true)), [0; 0]);
        assert_eq!(tail.next_held(0, 8), Some(40), "the gap's end");
        assert_eq!(
            offsets(tail.take("a", 0, 40, 100, 1_000, true)),
            [40, 41, 42, 43]
        );
        assert_eq!(tail.next_held(0, 44), None);
    }
}
