//! Rows of `customer_days`: daily buckets, a later version replacing an earlier one.

use std::sync::Arc;

use arrow::array::{Date32Array, RecordBatch, UInt16Array, UInt64Array};
use arrow::error::ArrowError;
use schemas::CustomerRef;

use super::{Texts, batch, decimals};
use crate::fold::{DayKey, DayTotals};

/// Builds rows of `customer_days`.
#[derive(Debug, Default)]
pub struct DayRows {
    organizations: Texts,
    customers: Texts,
    days: Vec<i32>,
    currencies: Texts,
    versions: Vec<u64>,
    buckets: Vec<u16>,
    orders: Vec<u64>,
    revenue: Vec<i128>,
    refunds: Vec<i128>,
    activities: Vec<u64>,
    interactions: Vec<u64>,
}

impl DayRows {
    pub(super) fn len(&self) -> usize {
        self.days.len()
    }

    /// Adds a bucket. One without a currency has the empty text there.
    pub fn push(&mut self, customer: &CustomerRef, bucket: u16, key: DayKey, totals: &DayTotals) {
        self.organizations.push(customer.organization.as_str());
        self.customers.push(&customer.customer_id);
        self.days.push(key.day);
        self.currencies.push(
            key.currency
                .as_ref()
                .map_or("", |currency| currency.as_str()),
        );
        self.versions.push(totals.version);
        self.buckets.push(bucket);
        self.orders.push(totals.orders);
        self.revenue.push(totals.revenue.micros());
        self.refunds.push(totals.refunds.micros());
        self.activities.push(totals.activities);
        self.interactions.push(totals.interactions);
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        batch(vec![
            ("organization", self.organizations.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("day", Arc::new(Date32Array::from(self.days)), false),
            ("currency", self.currencies.finish()?, false),
            ("version", Arc::new(UInt64Array::from(self.versions)), false),
            ("bucket", Arc::new(UInt16Array::from(self.buckets)), false),
            ("orders", Arc::new(UInt64Array::from(self.orders)), false),
            ("revenue", decimals(self.revenue)?, false),
            ("refunds", decimals(self.refunds)?, false),
            (
                "activities",
                Arc::new(UInt64Array::from(self.activities)),
                false,
            ),
            (
                "interactions",
                Arc::new(UInt64Array::from(self.interactions)),
                false,
            ),
        ])
    }
}
