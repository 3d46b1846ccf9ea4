//! Rows of `customer_records`: what customers have, a later version replacing an earlier one.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt16Array, UInt64Array};
use arrow::error::ArrowError;
use schemas::{CustomerRef, Timestamp};

use super::{Texts, batch, times};
use crate::fold::RecordRow;

/// Builds rows of `customer_records`.
#[derive(Debug, Default)]
pub struct RecordRows {
    organizations: Texts,
    records: Texts,
    customers: Texts,
    ids: Texts,
    versions: Vec<u64>,
    buckets: Vec<u16>,
    edits: Vec<u64>,
    deleted: Vec<bool>,
    at: Vec<i64>,
    updated_at: Vec<i64>,
    updated_by: Texts,
    fields: Texts,
}

/// Who wrote a row, and when.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// Version of the record that did.
    pub version: u64,
    /// When it was received.
    pub at: Timestamp,
    /// What sent it.
    pub by: &'a str,
}

impl RecordRows {
    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    /// Adds a record.
    pub fn push(&mut self, customer: &CustomerRef, bucket: u16, stamp: Stamp<'_>, row: &RecordRow) {
        self.organizations.push(customer.organization.as_str());
        self.records.push(&row.record);
        self.customers.push(&customer.customer_id);
        self.ids.push(&row.id);
        self.versions.push(stamp.version);
        self.buckets.push(bucket);
        self.edits.push(row.edit);
        self.deleted.push(row.fields.is_none());
        self.at.push(row.at.kept().micros());
        self.updated_at.push(stamp.at.micros());
        self.updated_by.push(stamp.by);
        self.fields.push(row.fields.as_deref().unwrap_or_default());
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        batch(vec![
            ("organization", self.organizations.finish()?, false),
            ("record", self.records.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("id", self.ids.finish()?, false),
            ("version", Arc::new(UInt64Array::from(self.versions)), false),
            ("bucket", Arc::new(UInt16Array::from(self.buckets)), false),
            ("edit", Arc::new(UInt64Array::from(self.edits)), false),
            (
                "is_deleted",
                Arc::new(BooleanArray::from(self.deleted)),
                false,
            ),
            ("at", times(self.at), false),
            ("updated_at", times(self.updated_at), false),
            ("updated_by", self.updated_by.finish()?, false),
            ("fields", self.fields.finish()?, false),
        ])
    }
}
