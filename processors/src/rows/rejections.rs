//! Rows of `rejections`: the dead letters.

use std::sync::Arc;

use arrow::array::{BinaryBuilder, RecordBatch, UInt32Array, UInt64Array};
use arrow::error::ArrowError;
use schemas::{Position, Timestamp};

use super::{Texts, batch, times};

/// A record that does not count, and why.
#[derive(Debug, Clone, Copy)]
pub struct Rejection<'a> {
    /// Where it is.
    pub position: Position,
    /// The tenant; empty where the record does not say.
    pub organization: &'a str,
    /// The customer; empty where the record does not say.
    pub customer_id: &'a str,
    /// The event; empty where the record does not say.
    pub event_id: &'a str,
    /// Its kind; empty where the record does not say.
    pub kind: &'a str,
    /// The operator's attempt.
    pub attempt: u32,
    /// When it was received; for what is no record, when the log took it.
    pub received_at: Timestamp,
    /// Stable name of the reason.
    pub reason: &'a str,
    /// The field at fault.
    pub field: &'a str,
    /// What is wrong, for a person.
    pub detail: &'a str,
    /// For duplicates, the position that counts.
    pub first: Option<Position>,
    /// The record as it is in the log.
    pub payload: &'a [u8],
}

/// Builds rows of `rejections`.
#[derive(Debug, Default)]
pub struct RejectionRows {
    generations: Vec<u32>,
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    organizations: Texts,
    customers: Texts,
    event_ids: Texts,
    kinds: Texts,
    attempts: Vec<u32>,
    received: Vec<i64>,
    reasons: Texts,
    fields: Texts,
    details: Texts,
    first_generations: Vec<u32>,
    first_partitions: Vec<u32>,
    first_offsets: Vec<u64>,
    /// Bytes: what is no record need not be text either.
    payloads: BinaryBuilder,
}

impl RejectionRows {
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Adds a rejection.
    pub fn push(&mut self, rejection: &Rejection<'_>) {
        self.generations.push(rejection.position.generation);
        self.partitions.push(rejection.position.partition);
        self.offsets.push(rejection.position.offset);
        self.organizations.push(rejection.organization);
        self.customers.push(rejection.customer_id);
        self.event_ids.push(rejection.event_id);
        self.kinds.push(rejection.kind);
        self.attempts.push(rejection.attempt);
        self.received.push(rejection.received_at.micros());
        self.reasons.push(rejection.reason);
        self.fields.push(rejection.field);
        self.details.push(rejection.detail);
        let first = rejection.first.unwrap_or(Position {
            generation: 0,
            partition: 0,
            offset: 0,
        });
        self.first_generations.push(first.generation);
        self.first_partitions.push(first.partition);
        self.first_offsets.push(first.offset);
        self.payloads.append_value(rejection.payload);
    }

    pub(super) fn finish(mut self) -> Result<RecordBatch, ArrowError> {
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
            ("organization", self.organizations.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("event_id", self.event_ids.finish()?, false),
            ("kind", self.kinds.finish()?, false),
            ("attempt", Arc::new(UInt32Array::from(self.attempts)), false),
            ("received_at", times(self.received), false),
            ("reason", self.reasons.finish()?, false),
            ("field", self.fields.finish()?, false),
            ("detail", self.details.finish()?, false),
            (
                "first_generation",
                Arc::new(UInt32Array::from(self.first_generations)),
                false,
            ),
            (
                "first_partition",
                Arc::new(UInt32Array::from(self.first_partitions)),
                false,
            ),
            (
                "first_offset",
                Arc::new(UInt64Array::from(self.first_offsets)),
                false,
            ),
            ("payload", Arc::new(self.payloads.finish()), false),
        ])
    }
}
