//! Rows of `progress`: the commit point.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::error::ArrowError;
use schemas::Timestamp;

use super::{Cycle, batch, times, times_or_null};

/// The rows that commit a cycle: one for each of its partitions.
///
/// `owner` names this process, `committed_at` is in microseconds since 1970; both are for people, nothing reads them back.
///
/// # Errors
/// When columns do not fit together, which is a defect.
pub fn progress_rows(
    cycle: &Cycle,
    owner: &str,
    committed_at: i64,
) -> Result<RecordBatch, ArrowError> {
    let parts = &cycle.parts;
    let count = |of: fn(&crate::engine::Progress) -> u64| -> Arc<UInt64Array> {
        Arc::new(parts.iter().map(|part| of(&part.progress)).collect())
    };
    batch(vec![
        (
            "generation",
            Arc::new(UInt32Array::from(vec![cycle.generation; parts.len()])),
            false,
        ),
        (
            "partition",
            Arc::new(
                parts
                    .iter()
                    .map(|part| part.partition)
                    .collect::<UInt32Array>(),
            ),
            false,
        ),
        ("offset", count(|progress| progress.next), false),
        ("records", count(|progress| progress.records), false),
        ("events", count(|progress| progress.events), false),
        ("rejections", count(|progress| progress.rejections), false),
        ("duplicates", count(|progress| progress.duplicates), false),
        ("internal", count(|progress| progress.internal), false),
        ("erased", count(|progress| progress.erased), false),
        ("record_hash", count(|progress| progress.record_hash), false),
        (
            "tick",
            times_or_null(
                parts
                    .iter()
                    .map(|part| Some(part.progress.tick).filter(|tick| *tick != 0))
                    .map(|tick| tick.map(|tick| Timestamp::from_micros(tick).kept().micros()))
                    .collect(),
            ),
            true,
        ),
        (
            "owner",
            Arc::new(StringArray::from(vec![owner; parts.len()])),
            false,
        ),
        (
            "committed_at",
            times(vec![committed_at; parts.len()]),
            false,
        ),
    ])
}
