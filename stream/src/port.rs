//! The port: what the rest of Millrace knows of the log.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use schemas::{Position, Record, TraceContext};

use crate::{AppendError, LogError};

/// A record to be appended.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Partition it belongs to, below [`Log::partitions`].
    pub partition: u32,
    /// What the log keeps.
    pub payload: Bytes,
    /// What the sender has already parsed. Handed on in memory where sender and reader share a process; never stored.
    pub decoded: Option<Arc<Record>>,
    /// The trace it belongs to, if somebody follows it. Stored beside the payload.
    pub trace: Option<Arc<TraceContext>>,
}

/// A record as the log holds it.
#[derive(Debug, Clone)]
pub struct LogRecord {
    /// Where it is.
    pub position: Position,
    /// What was appended.
    pub payload: Bytes,
    /// What the sender had parsed, when this reader shares its memory; otherwise parse `payload`.
    pub decoded: Option<Arc<Record>>,
    /// Microseconds since the epoch, as the log recorded it.
    pub appended_at: i64,
    /// The trace it was appended with.
    pub trace: Option<Arc<TraceContext>>,
}

/// What a partition keeps: offsets `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The partition.
    pub partition: u32,
    /// First kept offset.
    pub start: u64,
    /// Next offset to be given.
    pub end: u64,
}

/// How much one poll may return, and how long it may wait for something.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most records of all partitions together.
    pub max_records: usize,
    /// Most payload bytes of all partitions together. One record is returned even if it is larger.
    pub max_bytes: usize,
    /// Longest wait for the first event.
    pub wait: Duration,
}

impl Default for Limits {
    /// The cycle of the state processor: 100,000 records, 64 MB, 200 ms.
    fn default() -> Self {
        Self {
            max_records: 100_000,
            max_bytes: 64 << 20,
            wait: Duration::from_millis(200),
        }
    }
}

/// What a poll returns: either one change of what is assigned, or records.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// These partitions are this consumer's now. Nothing of them arrives until [`Consumer::start`].
    Assigned(Vec<u32>),
    /// These partitions go to somebody else. The next [`Consumer::poll`] says that this consumer is done with them.
    Revoked(Vec<u32>),
    /// These partitions are already somebody else's: drop what is unwritten.
    Lost(Vec<u32>),
    /// Records of one partition, in order, following on what was delivered before.
    Records {
        /// Their partition.
        partition: u32,
        /// The records, never empty.
        records: Vec<LogRecord>,
    },
}

/// A log of records in partitions.
#[async_trait]
pub trait Log: Send + Sync + Debug {
    /// Which log this is: a new one, a restored one or one with another partition count has another generation.
    fn generation(&self) -> u32;

    /// How many partitions there are.
    fn partitions(&self) -> u32;

    /// Appends records and answers each, in order. `Ok` only when it is durable.
    ///
    /// Records of one call to one partition keep their order. They need not all succeed. Dropping the future does
    /// not take them back.
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>>;

    /// Joins `group`, whose members share the partitions.
    ///
    /// # Errors
    /// When the log is closed or cannot be reached.
    async fn subscribe(&self, group: &str) -> Result<Box<dyn Consumer>, LogError>;

    /// What every partition keeps, by partition.
    ///
    /// # Errors
    /// When the log is closed or cannot be reached.
    async fn bounds(&self) -> Result<Vec<Bounds>, LogError>;

    /// Reads records from `from` on, for verification and look-ups: at most `max_records`, and about `max_bytes` of
    /// payload, but at least one record if there is one. Nothing at the end of the partition.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] when `from` is before what is kept or after the end.
    async fn read(
        &self,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError>;

    /// Says that nobody needs what is before these offsets, as (partition, offset). The log drops what is released
    /// *and* beyond its retention by age or size, and never anything else. A release lasts as long as this handle.
    ///
    /// # Errors
    /// When the log is closed or a partition does not exist.
    async fn release(&self, below: &[(u32, u64)]) -> Result<(), LogError>;

    /// Whether an append would succeed now, as far as can be told without making one.
    ///
    /// # Errors
    /// What stands in the way.
    async fn healthy(&self) -> Result<(), LogError>;

    /// Finishes the appends under way, then closes. Appends after that answer [`AppendError::Closed`].
    ///
    /// # Errors
    /// When something may have been left unfinished.
    async fn close(&self) -> Result<(), LogError>;
}

/// A member of a group of consumers. Dropping it leaves the group.
#[async_trait]
pub trait Consumer: Send {
    /// Waits at most `limits.wait` for something to do. An empty answer means that nothing happened.
    ///
    /// Polling again after [`Delivery::Revoked`] says that this consumer is done with those partitions; one that
    /// does not poll for longer than the revocation time-out loses them all the same, with [`Delivery::Lost`].
    ///
    /// # Errors
    /// When the log is closed, damaged, or cannot be read; see [`LogError::is_retryable`].
    async fn poll(&mut self, limits: &Limits) -> Result<Vec<Delivery>, LogError>;

    /// Delivers an assigned partition from `offset` on. Calling it again moves there.
    ///
    /// # Errors
    /// [`LogError::NotAssigned`], or [`LogError::OutOfRange`] when `offset` is neither kept nor the end.
    async fn start(&mut self, partition: u32, offset: u64) -> Result<(), LogError>;

    /// Tells lag tools how far this group is, as (partition, next offset). Positions of record live in the warehouse.
    fn note_progress(&mut self, progress: &[(u32, u64)]);
}
