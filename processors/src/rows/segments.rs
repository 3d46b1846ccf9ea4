//! Rows of `segment_events` and `segment_members`: who entered and left, and who is in.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt16Array, UInt32Array, UInt64Array};
use arrow::error::ArrowError;
use schemas::{CustomerRef, Position};

use super::{Texts, batch, times};
use crate::fold::{Cause, SegmentChange};

/// Builds rows of `segment_events`.
#[derive(Debug, Default)]
pub struct SegmentEventRows {
    generations: Vec<u32>,
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    ordinals: Vec<u32>,
    organizations: Texts,
    segments: Texts,
    customers: Texts,
    changes: Texts,
    causes: Texts,
    events: Texts,
    rule_versions: Vec<u64>,
    at: Vec<i64>,
}

impl SegmentEventRows {
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Adds what a record has changed of a customer.
    pub fn push(
        &mut self,
        position: Position,
        customer: &CustomerRef,
        cause: Cause<'_>,
        changes: &[SegmentChange],
    ) {
        for (ordinal, change) in (0..).zip(changes) {
            self.generations.push(position.generation);
            self.partitions.push(position.partition);
            self.offsets.push(position.offset);
            self.ordinals.push(ordinal);
            self.organizations.push(customer.organization.as_str());
            self.segments.push(&change.segment);
            self.customers.push(&customer.customer_id);
            self.changes
                .push(if change.entered { "entered" } else { "left" });
            self.causes.push(cause.as_str());
            self.events.push(cause.event_id());
            self.rule_versions.push(change.rule_version);
            self.at.push(change.at.kept().micros());
        }
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let numbers = |values: Vec<u32>| Arc::new(UInt32Array::from(values));
        let versions = Arc::new(UInt64Array::from(self.rule_versions));
        batch(vec![
            ("generation", numbers(self.generations), false),
            ("partition", numbers(self.partitions), false),
            ("offset", Arc::new(UInt64Array::from(self.offsets)), false),
            ("ordinal", numbers(self.ordinals), false),
            ("organization", self.organizations.finish()?, false),
            ("segment", self.segments.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("change", self.changes.finish()?, false),
            ("cause", self.causes.finish()?, false),
            ("event_id", self.events.finish()?, false),
            ("rule_version", versions, false),
            ("at", times(self.at), false),
        ])
    }
}

/// Builds rows of `segment_members`.
#[derive(Debug, Default)]
pub struct SegmentMemberRows {
    organizations: Texts,
    segments: Texts,
    customers: Texts,
    versions: Vec<u64>,
    buckets: Vec<u16>,
    members: Vec<bool>,
    since: Vec<i64>,
    rule_versions: Vec<u64>,
}

impl SegmentMemberRows {
    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    /// Adds what a record of this version has changed of a customer.
    pub fn push(
        &mut self,
        version: u64,
        customer: &CustomerRef,
        bucket: u16,
        changes: &[SegmentChange],
    ) {
        for change in changes {
            self.organizations.push(customer.organization.as_str());
            self.segments.push(&change.segment);
            self.customers.push(&customer.customer_id);
            self.versions.push(version);
            self.buckets.push(bucket);
            self.members.push(change.entered);
            self.since.push(change.at.kept().micros());
            self.rule_versions.push(change.rule_version);
        }
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let numbers = |values: Vec<u64>| Arc::new(UInt64Array::from(values));
        let members = Arc::new(BooleanArray::from(self.members));
        batch(vec![
            ("organization", self.organizations.finish()?, false),
            ("segment", self.segments.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("version", numbers(self.versions), false),
            ("bucket", Arc::new(UInt16Array::from(self.buckets)), false),
            ("is_member", members, false),
            ("since", times(self.since), false),
            ("rule_version", numbers(self.rule_versions), false),
        ])
    }
}
