//! Reconciliation: counts what is in the tables and in the archive's files, and compares it with the progress.

use std::collections::BTreeMap;

use arrow::datatypes::{UInt32Type, UInt64Type};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use stream::{Log, LogError};
use warehouse::archive::{Archive, ArchiveError};
use warehouse::{Params, Warehouse, WarehouseError};

use crate::store::{StoreError, columns};

/// Everything there is of every partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// By generation and partition.
    pub partitions: Vec<PartitionCounts>,
    /// Their sums.
    pub totals: Totals,
    /// Whether everything adds up in every partition.
    pub balanced: bool,
}

/// What there is of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PartitionCounts {
    /// The log's generation.
    pub generation: u32,
    /// The partition.
    pub partition: u32,
    /// Records in the log: its next offset.
    pub end: u64,
    /// Records applied: the next offset to apply.
    pub applied: u64,
    /// Records archived: the first offset not archived.
    pub archived: u64,
    /// Events that count, up to `applied`, in the table.
    pub events: u64,
    /// Rejections up to `applied`, in the table; duplicates too.
    pub rejections: u64,
    /// Control records up to `applied`.
    pub internal: u64,
    /// Events erased since.
    pub erased: u64,
    /// Rows of this partition in the archive's files.
    pub archive_rows: u64,
}

/// Sums over all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// See [`PartitionCounts::end`].
    pub end: u64,
    /// See [`PartitionCounts::applied`].
    pub applied: u64,
    /// See [`PartitionCounts::archived`].
    pub archived: u64,
    /// See [`PartitionCounts::events`].
    pub events: u64,
    /// See [`PartitionCounts::rejections`].
    pub rejections: u64,
    /// See [`PartitionCounts::internal`].
    pub internal: u64,
    /// See [`PartitionCounts::erased`].
    pub erased: u64,
    /// See [`PartitionCounts::archive_rows`].
    pub archive_rows: u64,
    /// Rejections because the event id counts already.
    pub duplicates: u64,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The warehouse does not answer.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// The warehouse answers something else than asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive does not answer.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl ReconcileError {
    /// Whether asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Log(error) => error.is_retryable(),
            Self::Warehouse(error) => error.is_retryable(),
            Self::Store(error) => error.retryable,
            Self::Archive(error) => error.is_retryable(),
        }
    }
}

type Key = (u32, u32);

/// Counts and compares.
///
/// The truth is counted: rows of `events` and `rejections` at positions before the progress, and rows in the archive's
/// files. Only `internal` and `erased` have no rows and are what the progress says.
///
/// # Errors
/// When the log, the warehouse or the archive does not answer.
pub fn reconcile<'a>(
    log: &'a dyn Log,
    warehouse: &'a dyn Warehouse,
    archive: &'a Archive,
) -> BoxFuture<'a, Result<Reconciliation, ReconcileError>> {
    async move {
        // The archive first: it never is ahead of the progress read after it.
        let snapshot = archive.snapshot().await?;
        let archive_rows = snapshot.count_rows().await?;
        let progress = read_progress(warehouse).await?;
        let applied = progress
            .iter()
            .map(|(key, counted)| (*key, counted.applied))
            .collect();
        let archived = snapshot.all_archived();
        let events = count(warehouse, "events", "1", &applied).await?;
        let events_archived = count(warehouse, "events", "1", &archived).await?;
        let rejections = count(warehouse, "rejections", "1", &applied).await?;
        let duplicates = count(warehouse, "rejections", "reason = 'duplicate'", &applied).await?;
        let ends = log.bounds().await?;
        let generation = log.generation();

        let mut keys: Vec<Key> = progress
            .keys()
            .chain(archived.keys())
            .chain(archive_rows.keys())
            .copied()
            .collect();
        keys.extend(ends.iter().map(|bounds| (generation, bounds.partition)));
        keys.sort_unstable();
        keys.dedup();
        let of = |counts: &BTreeMap<Key, u64>, key: Key| counts.get(&key).copied().unwrap_or(0);
        let mut found = Reconciliation {
            partitions: Vec::new(),
            totals: Totals::default(),
            balanced: true,
        };
        for key in keys {
            let counted = progress.get(&key).copied().unwrap_or_default();
            let end = ends
                .iter()
                .find(|bounds| (generation, bounds.partition) == key)
                .map(|bounds| bounds.end);
            let partition = PartitionCounts {
                generation: key.0,
                partition: key.1,
                // A log of the past has ended where it was applied to.
                end: end.unwrap_or(counted.applied),
                applied: counted.applied,
                archived: of(&archived, key),
                events: of(&events, key),
                rejections: of(&rejections, key),
                internal: counted.internal,
                erased: counted.erased,
                archive_rows: of(&archive_rows, key),
            };
            let sum =
                partition.events + partition.rejections + partition.internal + partition.erased;
            let balanced =
                partition.applied == sum && partition.archive_rows == of(&events_archived, key);
            if !balanced
                || counted.events != partition.events
                || counted.rejections != partition.rejections
            {
                tracing::error!(
                    ?partition,
                    ?counted,
                    archived_events = of(&events_archived, key),
                    "a partition does not add up"
                );
            }
            found.balanced &= balanced;
            found.totals.add(&partition, of(&duplicates, key));
            found.partitions.push(partition);
        }
        metrics::gauge!(crate::metrics::BALANCED).set(f64::from(u8::from(found.balanced)));
        Ok(found)
    }
    .boxed()
}

impl Totals {
    fn add(&mut self, partition: &PartitionCounts, duplicates: u64) {
        self.end += partition.end;
        self.applied += partition.applied;
        self.archived += partition.archived;
        self.events += partition.events;
        self.rejections += partition.rejections;
        self.internal += partition.internal;
        self.erased += partition.erased;
        self.archive_rows += partition.archive_rows;
        self.duplicates += duplicates;
    }
}

/// What the progress counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    applied: u64,
    events: u64,
    rejections: u64,
    internal: u64,
    erased: u64,
}

async fn read_progress(
    warehouse: &dyn Warehouse,
) -> Result<BTreeMap<Key, Counted>, ReconcileError> {
    let sql = "SELECT generation, partition, offset, events, rejections, internal, erased FROM progress \
        ORDER BY offset DESC LIMIT 1 BY generation, partition";
    let mut found = BTreeMap::new();
    for batch in warehouse.query(sql, &Params::new()).await? {
        let (generations, partitions) = (
            columns::numbers::<UInt32Type>(&batch, "generation")?,
            columns::numbers::<UInt32Type>(&batch, "partition")?,
        );
        let column = |name| columns::numbers::<UInt64Type>(&batch, name);
        let (applied, events, rejections) =
            (column("offset")?, column("events")?, column("rejections")?);
        let (internal, erased) = (column("internal")?, column("erased")?);
        for row in 0..batch.num_rows() {
            let counted = Counted {
                applied: applied.value(row),
                events: events.value(row),
                rejections: rejections.value(row),
                internal: internal.value(row),
                erased: erased.value(row),
            };
            found.insert((generations.value(row), partitions.value(row)), counted);
        }
    }
    Ok(found)
}

/// Rows of a table before the given offsets, by partition.
async fn count(
    warehouse: &dyn Warehouse,
    table: &str,
    condition: &str,
    before: &BTreeMap<Key, u64>,
) -> Result<BTreeMap<Key, u64>, ReconcileError> {
    let mut found = BTreeMap::new();
    if before.is_empty() {
        return Ok(found);
    }
    let keys: Vec<u64> = before
        .keys()
        .map(|(generation, partition)| u64::from(*generation) << 32 | u64::from(*partition))
        .collect();
    let ends: Vec<u64> = before.values().copied().collect();
    let sql = format!(
        "SELECT generation, partition, count() AS found FROM {table} FINAL WHERE {condition} AND \
         offset < transform(bitShiftLeft(toUInt64(generation), 32) + partition, {{keys:Array(UInt64)}}, {{ends:Array(UInt64)}}, toUInt64(0)) \
         GROUP BY generation, partition"
    );
    for batch in warehouse
        .query(&sql, &Params::new().with("keys", keys).with("ends", ends))
        .await?
    {
        let generations = columns::numbers::<UInt32Type>(&batch, "generation")?;
        let partitions = columns::numbers::<UInt32Type>(&batch, "partition")?;
        let counts = columns::numbers::<UInt64Type>(&batch, "found")?;
        for row in 0..batch.num_rows() {
            found.insert(
                (generations.value(row), partitions.value(row)),
                counts.value(row),
            );
        }
    }
    Ok(found)
}
