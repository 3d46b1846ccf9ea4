//! What the driver needs of the warehouse, and of the world: the seam where the model test puts its own.

mod clickhouse;
pub(crate) mod columns;
mod find;
mod windows;

use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use schemas::Define;

pub use clickhouse::WarehouseStore;

use crate::engine::{Found, Needs, Progress, Recount, StoredBucket, StoredState};
use crate::rows::Table;

/// Why the warehouse did not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What happened, and what to do.
    pub message: String,
    /// Whether the same again may succeed.
    pub retryable: bool,
}

/// Which customers: those of some partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The log's generation.
    pub generation: u32,
    /// How many partitions the log has: a bucket belongs to partition bucket mod this.
    pub partitions: u32,
    /// The partitions meant.
    pub wanted: Vec<u32>,
}

impl Scope {
    /// The partition a bucket belongs to.
    pub fn partition(&self, bucket: u16) -> u32 {
        u32::from(bucket) % self.partitions
    }
}

/// A definition that has been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDefinition {
    /// Where.
    pub partition: u32,
    /// Where; `None` for those of earlier generations.
    pub offset: Option<u64>,
    /// What.
    pub define: Define,
}

/// A stored claim, as far as memory needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredClaim {
    /// Bucket of its customer.
    pub bucket: u16,
    /// See [`crate::claims::Claim::fingerprint`].
    pub fingerprint: u64,
    /// See [`crate::claims::week`].
    pub week: i32,
}

/// The durable copy of what the processor computes.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes a replica see everything that was acknowledged before now. Nothing to do on one node.
    async fn synchronise(&self) -> Result<(), StoreError>;

    /// The last progress of each partition wanted that has any.
    async fn progress(&self, scope: &Scope) -> Result<Vec<(u32, Progress)>, StoreError>;

    /// Definitions of these partitions, in the order of the log. Those of earlier generations come first, as of before
    /// the first record: every partition had them all.
    async fn definitions(&self, scope: &Scope) -> Result<Vec<StoredDefinition>, StoreError>;

    /// The latest state of every customer of these partitions, in pieces.
    async fn states(
        &self,
        scope: &Scope,
        take: &mut (dyn FnMut(Vec<(u16, StoredState)>) + Send),
    ) -> Result<(), StoreError>;

    /// All claims of these partitions, in pieces, one week after another.
    async fn claims(
        &self,
        scope: &Scope,
        take: &mut (dyn FnMut(Vec<StoredClaim>) + Send),
    ) -> Result<(), StoreError>;

    /// Offsets of rejections at or after an offset, as (partition, offset).
    async fn rejections_from(
        &self,
        generation: u32,
        from: &[(u32, u64)],
    ) -> Result<Vec<(u32, u64)>, StoreError>;

    /// Looks up claims, states and buckets, each kind in one go.
    async fn find(&self, needs: &Needs) -> Result<Found, StoreError>;

    /// The daily buckets of customers as the events up to a version fill them.
    async fn recount(&self, recounts: &[Recount]) -> Result<Vec<StoredBucket>, StoreError>;

    /// Adds rows. When it returns `Ok` they survive the loss of power.
    async fn insert(&self, table: Table, rows: RecordBatch) -> Result<(), StoreError>;

    /// Waits before the same is tried again.
    async fn pause(&self, time: Duration);

    /// Now, in microseconds since 1970: only for columns that nobody reads back.
    fn now(&self) -> i64;

    /// Runs work that keeps a processor busy, where it does not hold up others.
    async fn run(&self, work: Box<dyn FnOnce() + Send>);
}
