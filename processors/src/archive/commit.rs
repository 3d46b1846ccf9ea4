//! One commit: snapshot, ranges, rows, check, and only then the commit against that same snapshot.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{UInt32Type, UInt64Type};
use warehouse::Params;
use warehouse::archive::{ArchiveError, Archived, Snapshot};

use super::Archiver;
use crate::rows::archive_rows;
use crate::store::{StoreError, columns};

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("reading events back: {0}")]
    Store(#[from] StoreError),
    #[error("rows for the archive: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    #[error(
        "partition {partition} has {found} events in {from}..{to} where the progress counted {counted}; nothing was archived: compare `/admin/reconciliation` with the log"
    )]
    Unbalanced {
        partition: u32,
        from: u64,
        to: u64,
        found: u64,
        counted: u64,
    },
    #[error("a worker ended early: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

impl From<warehouse::WarehouseError> for CommitError {
    fn from(error: warehouse::WarehouseError) -> Self {
        Self::Store(error.into())
    }
}

/// Offsets of one partition to be archived together.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: u64,
    to: u64,
    /// Events that must be in it.
    counted: u64,
}

/// Offsets read back from the warehouse for one commit.
const STEP: u64 = 250_000;
/// Times to begin anew when somebody else has committed.
const ATTEMPTS: usize = 5;

impl Archiver {
    /// Archives everything applied so far and returns how many rows that were.
    pub(super) async fn commit(&mut self) -> Result<u64, CommitError> {
        let mut rows = 0;
        for attempt in 1.. {
            let snapshot = self.archive.snapshot().await?;
            let done = match self.commit_on(snapshot).await {
                Ok(done) => Ok(done),
                Err(CommitError::Archive(
                    error @ (ArchiveError::Conflict { .. } | ArchiveError::Stale(_)),
                )) => Err(CommitError::Archive(error)),
                Err(error) => return Err(error),
            };
            match done {
                Ok((committed, true)) => return Ok(rows + committed),
                Ok((committed, false)) => rows += committed,
                Err(error) if attempt >= ATTEMPTS => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "somebody else has committed to the archive; beginning anew")
                }
            }
        }
        Ok(rows)
    }

    /// One commit. Also says whether everything is archived now.
    async fn commit_on(&mut self, snapshot: Snapshot) -> Result<(u64, bool), CommitError> {
        let generation = self.log.generation();
        let mut cached = BTreeMap::new();
        let mut stored = BTreeMap::new();
        for (&partition, owned) in &mut self.owned {
            let from = snapshot.archived(generation, partition);
            owned.archived = from.min(owned.next);
            if from >= owned.next {
                continue;
            }
            let counted = owned
                .events
                .saturating_sub(snapshot.archived_rows(generation, partition));
            let range = Range {
                from,
                to: owned.next,
                counted,
            };
            match self.cache.complete_from(partition) <= from {
                true => cached.insert(partition, range),
                false => stored.insert(partition, range),
            };
        }
        // What must be read back comes first and in steps, so that memory stays bounded.
        if let Some((&partition, &range)) = stored.first_key_value() {
            let committed = self.commit_stored(&snapshot, partition, range).await?;
            return Ok((committed, false));
        }
        if cached.is_empty() {
            self.publish(&snapshot);
            return Ok((0, true));
        }
        let batches = self.cache.rows();
        let wanted = cached.clone();
        let rows = tokio::task::spawn_blocking(move || {
            let chosen = batches
                .iter()
                .map(|batch| choose(batch, &wanted))
                .collect::<Result<Vec<_>, _>>()?;
            Ok::<_, CommitError>(chosen)
        })
        .await??;
        let mut found: BTreeMap<u32, u64> = BTreeMap::new();
        for (_, counts) in &rows {
            for (partition, count) in counts {
                *found.entry(*partition).or_default() += count;
            }
        }
        for (&partition, range) in &cached {
            let found = found.get(&partition).copied().unwrap_or(0);
            if found != range.counted {
                // Perhaps only the memory is wrong: read it back the next time.
                self.cache.begin(partition, range.to);
                return Err(unbalanced(partition, range, found));
            }
        }
        let rows: Vec<RecordBatch> = rows
            .into_iter()
            .map(|(batch, _)| batch)
            .filter(|batch| batch.num_rows() > 0)
            .collect();
        let count = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let progress: Vec<Archived> = cached
            .iter()
            .map(|(&partition, range)| Archived {
                generation,
                partition,
                next_offset: range.to,
            })
            .collect();
        let after = self.archive.commit(&snapshot, &rows, &progress).await?;
        self.publish(&after);
        Ok((count, true))
    }

    /// Archives the beginning of a range from the warehouse, once the whole range adds up.
    async fn commit_stored(
        &mut self,
        snapshot: &Snapshot,
        partition: u32,
        range: Range,
    ) -> Result<u64, CommitError> {
        let generation = self.log.generation();
        let params = |to: u64| {
            let params = Params::new()
                .with("generation", generation)
                .with("partition", partition);
            params.with("from", range.from).with("to", to)
        };
        const RANGE: &str = "FROM events FINAL WHERE generation = {generation:UInt32} AND partition = {partition:UInt32} \
            AND offset >= {from:UInt64} AND offset < {to:UInt64}";
        let counts = self
            .warehouse
            .query(
                &format!("SELECT count() AS events {RANGE}"),
                &params(range.to),
            )
            .await?;
        let mut found = 0;
        for batch in &counts {
            found += columns::numbers::<UInt64Type>(batch, "events")?
                .values()
                .iter()
                .sum::<u64>();
        }
        if found != range.counted {
            return Err(unbalanced(partition, &range, found));
        }
        let to = self.within_bytes(partition, range).await?;
        let batches = self
            .warehouse
            .query(&format!("SELECT * {RANGE} ORDER BY offset"), &params(to))
            .await?;
        let rows = tokio::task::spawn_blocking(move || {
            batches
                .iter()
                .map(archive_rows)
                .collect::<Result<Vec<_>, _>>()
        })
        .await??;
        let count = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let progress = [Archived {
            generation,
            partition,
            next_offset: to,
        }];
        let after = self.archive.commit(snapshot, &rows, &progress).await?;
        self.publish(&after);
        Ok(count)
    }

    /// The end of what is read back of a range at once: bounded in rows and in bytes.
    async fn within_bytes(&self, partition: u32, range: Range) -> Result<u64, CommitError> {
        const FIRST_BEYOND: &str = "SELECT count() AS beyond, min(offset) AS first FROM ( \
            SELECT offset, sum(byteSize(*)) OVER (ORDER BY offset ROWS UNBOUNDED PRECEDING) AS bytes \
            FROM events FINAL WHERE generation = {generation:UInt32} AND partition = {partition:UInt32} \
            AND offset >= {from:UInt64} AND offset < {to:UInt64}) \
            WHERE bytes > {most:UInt64} AND offset > {from:UInt64}";
        let to = range.to.min(range.from + STEP);
        let params = Params::new()
            .with("generation", self.log.generation())
            .with("partition", partition)
            .with("from", range.from)
            .with("to", to)
            .with("most", self.roll.min_bytes as u64);
        let found = self.warehouse.query(FIRST_BEYOND, &params).await?;
        for batch in &found {
            let beyond = columns::numbers::<UInt64Type>(batch, "beyond")?;
            let first = columns::numbers::<UInt64Type>(batch, "first")?;
            if beyond.values().first().is_some_and(|beyond| *beyond > 0) {
                return Ok(first.value(0));
            }
        }
        Ok(to)
    }

    /// Tells how far the archive is, and forgets rows that are in it.
    fn publish(&mut self, snapshot: &Snapshot) {
        let generation = self.log.generation();
        let mut archived = BTreeMap::new();
        for (&partition, owned) in &mut self.owned {
            owned.archived = snapshot.archived(generation, partition).min(owned.next);
            archived.insert(partition, owned.archived);
        }
        self.cache.drop_before(&archived);
        self.handle.update(|all| {
            for (partition, next) in &archived {
                if let Some(known) = all.get_mut(partition) {
                    known.archived = *next;
                }
            }
        });
    }
}

fn unbalanced(partition: u32, range: &Range, found: u64) -> CommitError {
    CommitError::Unbalanced {
        partition,
        from: range.from,
        to: range.to,
        found,
        counted: range.counted,
    }
}

/// The rows of a cycle that lie in the ranges, in the archive's form, and how many there are of each partition.
fn choose(
    batch: &RecordBatch,
    ranges: &BTreeMap<u32, Range>,
) -> Result<(RecordBatch, BTreeMap<u32, u64>), CommitError> {
    let partitions = columns::numbers::<UInt32Type>(batch, "partition")?;
    let offsets = columns::numbers::<UInt64Type>(batch, "offset")?;
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    let mut wanted = Vec::with_capacity(batch.num_rows());
    for (partition, offset) in partitions.values().iter().zip(offsets.values()) {
        let inside = ranges
            .get(partition)
            .is_some_and(|range| (range.from..range.to).contains(offset));
        if inside {
            *counts.entry(*partition).or_default() += 1;
        }
        wanted.push(inside);
    }
    let chosen = match wanted.iter().all(|inside| *inside) {
        true => archive_rows(batch)?,
        false => archive_rows(&arrow::compute::filter_record_batch(
            batch,
            &BooleanArray::from(wanted),
        )?)?,
    };
    Ok((chosen, counts))
}
