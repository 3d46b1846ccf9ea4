//! Rows of `event_ids`: claims, found again by (id, who).

use std::sync::Arc;

use arrow::array::{FixedSizeBinaryArray, RecordBatch, UInt16Array, UInt32Array, UInt64Array};
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use schemas::{Position, Timestamp};

use super::{batch, times};
use crate::claims::Claim;

/// Builds rows of `event_ids`.
#[derive(Debug, Default)]
pub struct IdRows {
    ids: Vec<u8>,
    whos: Vec<u64>,
    buckets: Vec<u16>,
    generations: Vec<u32>,
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    received: Vec<i64>,
}

impl IdRows {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            ids: Vec::with_capacity(rows * 16),
            whos: Vec::with_capacity(rows),
            buckets: Vec::with_capacity(rows),
            generations: Vec::with_capacity(rows),
            partitions: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
            received: Vec::with_capacity(rows),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.whos.len()
    }

    /// Adds a claim.
    pub fn push(&mut self, claim: Claim, bucket: u16, position: Position, received_at: Timestamp) {
        self.ids.extend_from_slice(&claim.id.to_be_bytes());
        self.whos.push(claim.who);
        self.buckets.push(bucket);
        self.generations.push(position.generation);
        self.partitions.push(position.partition);
        self.offsets.push(position.offset);
        self.received.push(received_at.micros());
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        batch(vec![
            (
                "id",
                Arc::new(FixedSizeBinaryArray::try_new(
                    16,
                    Buffer::from_vec(self.ids),
                    None,
                )?),
                false,
            ),
            ("who", Arc::new(UInt64Array::from(self.whos)), false),
            ("bucket", Arc::new(UInt16Array::from(self.buckets)), false),
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
            ("received_at", times(self.received), false),
        ])
    }
}
