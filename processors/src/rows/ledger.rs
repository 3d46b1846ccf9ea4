//! Rows of `loyalty_ledger`: every movement of points, by customer and position.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::error::ArrowError;
use schemas::{CustomerRef, Position, Timestamp};

use super::{Texts, batch, times};
use crate::fold::Movement;

/// Builds rows of `loyalty_ledger`.
#[derive(Debug, Default)]
pub struct LedgerRows {
    organizations: Texts,
    customers: Texts,
    generations: Vec<u32>,
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    at: Vec<i64>,
    kinds: Texts,
    points: Vec<i64>,
    balances: Vec<i64>,
    reasons: Texts,
    references: Texts,
    authors: Texts,
}

impl LedgerRows {
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Adds a movement, by a client or a user; by nobody where time has moved the points.
    pub fn push(
        &mut self,
        position: Position,
        customer: &CustomerRef,
        at: Timestamp,
        author: &str,
        movement: &Movement,
    ) {
        self.organizations.push(customer.organization.as_str());
        self.customers.push(&customer.customer_id);
        self.generations.push(position.generation);
        self.partitions.push(position.partition);
        self.offsets.push(position.offset);
        self.at.push(at.kept().micros());
        self.kinds.push(movement.kind);
        self.points.push(movement.points);
        self.balances.push(movement.balance);
        self.reasons.push(&movement.reason);
        self.references.push(&movement.reference);
        self.authors.push(author);
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let numbers = |values: Vec<u32>| Arc::new(UInt32Array::from(values));
        let points = |values: Vec<i64>| Arc::new(Int64Array::from(values));
        batch(vec![
            ("organization", self.organizations.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("generation", numbers(self.generations), false),
            ("partition", numbers(self.partitions), false),
            ("offset", Arc::new(UInt64Array::from(self.offsets)), false),
            ("at", times(self.at), false),
            ("kind", self.kinds.finish()?, false),
            ("points", points(self.points), false),
            ("balance", points(self.balances), false),
            ("reason", self.reasons.finish()?, false),
            ("reference", self.references.finish()?, false),
            ("author", self.authors.finish()?, false),
        ])
    }
}
