//! Daily buckets: what windows ("in the last 30 days") are summed from.

use schemas::{Currency, Decimal};

/// A bucket of one customer: UTC day of `occurred_at`, and currency; none for what has no money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DayKey {
    /// Days since 1970, UTC.
    pub day: i32,
    /// The currency of purchases; `None` for activities and interactions.
    pub currency: Option<Currency>,
}

/// What one event adds to its bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct DayDelta {
    /// The bucket.
    pub key: DayKey,
    /// What is added; its version is not set.
    pub add: DayTotals,
}

/// What is in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DayTotals {
    /// Version of the last record counted in: one at or before it is in already.
    pub version: u64,
    /// Completed purchases.
    pub orders: u64,
    /// Net revenue.
    pub revenue: Decimal,
    /// Money given back, positive.
    pub refunds: Decimal,
    /// Activity events.
    pub activities: u64,
    /// Interaction events.
    pub interactions: u64,
}

impl DayTotals {
    /// Counts in what a record adds, unless this bucket has seen the record.
    ///
    /// A bucket may be ahead of its customer's state: buckets are written first.
    pub fn count(&mut self, version: u64, add: &DayTotals) {
        if self.version >= version {
            return;
        }
        self.version = version;
        self.orders += add.orders;
        self.revenue += add.revenue;
        self.refunds += add.refunds;
        self.activities += add.activities;
        self.interactions += add.interactions;
    }
}
