//! Records on their way into a cycle.

use std::collections::{BTreeMap, VecDeque};

use schemas::record::is_evaluate;
use schemas::{Control, Record};
use stream::LogRecord;

/// Records by partition, in order.
pub(super) type Batch = BTreeMap<u32, Vec<LogRecord>>;

/// Looks at a whole bucket in one cycle, at most: all of its customers are in memory then. Fewer would hold up what comes
/// behind them, for a cycle takes its time however little is in it.
const LOOKS: usize = 16;

/// Cuts a batch so that no part of it looks at more than a few whole buckets.
pub(super) fn cut(batch: Batch) -> Vec<Batch> {
    let all: usize = batch
        .values()
        .flatten()
        .filter(|record| looks(record))
        .count();
    if all <= LOOKS {
        return Some(batch)
            .filter(|batch| !batch.is_empty())
            .into_iter()
            .collect();
    }
    let mut left: BTreeMap<u32, VecDeque<LogRecord>> = batch
        .into_iter()
        .map(|(partition, records)| (partition, records.into()))
        .collect();
    let mut parts = Vec::new();
    while !left.is_empty() {
        let (mut part, mut taken) = (Batch::new(), 0);
        for (partition, records) in &mut left {
            let mut cut = Vec::new();
            while let Some(record) = records.pop_front_if(|record| taken < LOOKS || !looks(record))
            {
                taken += usize::from(looks(&record));
                cut.push(record);
            }
            if !cut.is_empty() {
                part.insert(*partition, cut);
            }
        }
        left.retain(|_, records| !records.is_empty());
        parts.push(part);
    }
    parts
}

fn looks(record: &LogRecord) -> bool {
    match record.decoded.as_deref() {
        Some(decoded) => matches!(decoded, Record::Control(Control::Evaluate { .. })),
        None => is_evaluate(&record.payload),
    }
}

#[cfg(test)]
mod tests {
    use schemas::{OrganizationId, Position, Timestamp};

    use super::*;

    fn record(partition: u32, offset: u64, looks: bool) -> LogRecord {
        let control = match looks {
            true => Control::Evaluate {
                organization: OrganizationId::from_text("org"),
                bucket: 0,
                at: Timestamp::from_micros(0),
            },
            false => Control::Probe,
        };
        LogRecord {
            position: Position {
                generation: 1,
                partition,
                offset,
            },
            payload: control.encode(),
            decoded: None,
            appended_at: 0,
            trace: None,
        }
    }

    #[test]
    fn looks_are_spread_over_cycles_in_order() {
        let records = |partition| -> Vec<LogRecord> {
            (0..40)
                .map(|offset| record(partition, offset, offset % 2 == 1))
                .collect()
        };
        let batch = Batch::from([(0, records(0)), (1, records(1))]);
        let parts = cut(batch);
        let mut seen: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for part in &parts {
            let records = part.values().flatten();
            assert!(records.clone().filter(|record| looks(record)).count() <= LOOKS);
            for record in records {
                let offsets = seen.entry(record.position.partition).or_default();
                offsets.push(record.position.offset);
            }
        }
        let all: Vec<u64> = (0..40).collect();
        assert_eq!(seen, BTreeMap::from([(0, all.clone()), (1, all)]));
        assert!(parts.len() >= 3);
        assert_eq!(cut(Batch::from([(0, vec![record(0, 0, false)])])).len(), 1);
        assert!(cut(Batch::new()).is_empty());
    }
}
