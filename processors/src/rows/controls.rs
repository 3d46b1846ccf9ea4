//! Rows of `controls`: definitions and ticks, by position, so that neither a partition's new owner nor a replay has to
//! read the log from a start that it may not keep.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array, UInt64Array};
use arrow::error::ArrowError;
use schemas::{Control, Position};

use super::{Texts, batch};

/// Builds rows of `controls`.
#[derive(Debug, Default)]
pub struct ControlRows {
    generations: Vec<u32>,
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    kinds: Texts,
    controls: Texts,
}

impl ControlRows {
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Adds a control record.
    pub fn push(&mut self, position: Position, control: &Control) {
        self.generations.push(position.generation);
        self.partitions.push(position.partition);
        self.offsets.push(position.offset);
        self.kinds.push(control.kind());
        self.controls.push_with(|out| {
            // Plain data with string keys always serialises.
            let _ = serde_json::to_writer(out, control);
        });
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        batch(vec![
            (
                "generation",
                Arc::new(UInt32Array::from(self.generations)),
                false,
            ),
            (
                "partition",
                Arc::new(UInt32Array::from(self.partitions)),
                false,
            ),
            ("offset", Arc::new(UInt64Array::from(self.offsets)), false),
            ("kind", self.kinds.finish()?, false),
            ("control", self.controls.finish()?, false),
        ])
    }
}
