//! Compaction: many small files of a directory into few, ordered by (organization, occurred_at).
//!
//! Runs beside appends, which it never conflicts with: it only replaces files by the same rows.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::RecordBatch;
use deltalake::kernel::{Action, LogicalFileView};
use deltalake::protocol::DeltaOperation;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use object_store::ObjectStoreExt as _;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::crash::{Point, point};

use super::columns::{Columns, KIND, MONTH};
use super::error::ArchiveError;
use super::file::encode;
use super::log::Entry;
use super::options::{CompactOptions, CompactReport};
use super::snapshot::Snapshot;
use super::{Archive, ArchiveFuture, split};

/// Files read at the same time.
const READ_AHEAD: usize = 4;

/// Files of one directory that become one.
struct Bin {
    kind: String,
    month: String,
    files: Vec<LogicalFileView>,
    rows: u64,
    bytes: u64,
}

impl Archive {
    /// Replaces small files by larger ones in the order (organization, occurred_at), one commit for each new file.
    ///
    /// The rows and what is archived stay exactly as they are; appends and readers go on meanwhile. Of two
    /// compactions at once, one gives way where they overlap. The replaced files stay until [`Archive::vacuum`].
    ///
    /// # Errors
    ///
    /// Storage that fails, a file that does not hold the rows the log says it does. What was committed stands.
    pub fn compact<'a>(&'a self, options: &'a CompactOptions) -> ArchiveFuture<'a, CompactReport> {
        async move {
            let mut report = CompactReport::default();
            let snapshot = self.snapshot().await?;
            for bin in plan(&snapshot, options) {
                let (files, rows, bytes) = (bin.files.len(), bin.rows, bin.bytes);
                match self.merge(&snapshot, bin).await {
                    Ok(added) => {
                        report.commits += 1;
                        report.files_removed += files;
                        report.files_added += 1;
                        report.rows += rows;
                        report.bytes_removed += bytes;
                        report.bytes_added += added;
                    }
                    Err(ArchiveError::Conflict { what, version }) => {
                        tracing::debug!(what, version, "compaction gave way to another writer");
                        report.conflicts += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(report)
        }
        .boxed()
    }

    /// Writes the rows of some files as one and commits the exchange. Returns the new file's size.
    async fn merge(&self, snapshot: &Snapshot, bin: Bin) -> Result<u64, ArchiveError> {
        let begun = Instant::now();
        let store = self.inner.log.object_store(None);
        let gets: Vec<_> = bin
            .files
            .iter()
            .map(|file| {
                let (store, path) = (store.clone(), file.object_store_path());
                async move { store.get(&path).await?.bytes().await }
            })
            .collect();
        let contents: Vec<bytes::Bytes> = futures::stream::iter(gets)
            .buffered(READ_AHEAD)
            .try_collect()
            .await?;
        let (columns, encoding) = (self.inner.columns.clone(), self.inner.encoding.clone());
        let (kind, month) = (bin.kind.clone(), bin.month.clone());
        let merged = tokio::task::spawn_blocking(move || {
            let mut batches = Vec::new();
            for file in contents {
                batches.extend(decode(file, &columns)?);
            }
            let order = split::order(&batches)?;
            encode(kind, month, &batches, &order, &columns.file, &encoding)
        })
        .await??;
        if merged.rows != bin.rows {
            return Err(ArchiveError::Damaged(format!(
                "files of kind {} and month {} hold {} rows, the log says {}",
                bin.kind, bin.month, merged.rows, bin.rows
            )));
        }
        let size = merged.bytes.len() as u64;
        let added = Action::Add(merged.add(false));
        self.send(&[merged]).await?;
        let removed = bin
            .files
            .iter()
            .map(|file| Action::Remove(file.remove_action(false)));
        let entry = Entry {
            actions: removed.chain([added]).collect(),
            transactions: Vec::new(),
            operation: DeltaOperation::Optimize {
                predicate: None,
                target_size: size as i64,
            },
            begun,
            deadline: self.inner.options.commit_deadline,
        };
        point(Point::CompactionBeforeCommit);
        self.land(snapshot, entry).await?;
        point(Point::CompactionAfterCommit);
        Ok(size)
    }
}

/// Which files become one, oldest first so that a new file covers a stretch of time.
fn plan(snapshot: &Snapshot, options: &CompactOptions) -> Vec<Bin> {
    type Partition = (String, String);
    let mut small = BTreeMap::<Partition, Vec<(i64, u64, LogicalFileView)>>::new();
    for file in snapshot.files() {
        let Some(rows) = file.num_records().map(|rows| rows as u64) else {
            continue;
        };
        // Files with deleted rows are other writers' work; merging them would bring the rows back.
        if file.deletion_vector_descriptor().is_some()
            || rows * 2 > options.target_rows
            || file.size() as u64 * 2 > options.target_bytes
        {
            continue;
        }
        let mut values = file.partition_values_map();
        let (Some(kind), Some(month)) = (
            values.remove(KIND).flatten(),
            values.remove(MONTH).flatten(),
        ) else {
            continue;
        };
        small
            .entry((kind, month))
            .or_default()
            .push((file.modification_time(), rows, file));
    }
    let mut bins = Vec::new();
    for ((kind, month), mut files) in small {
        files.sort_by_key(|(modified, _, _)| *modified);
        let empty = || Bin {
            kind: kind.clone(),
            month: month.clone(),
            files: Vec::new(),
            rows: 0,
            bytes: 0,
        };
        let mut bin = empty();
        for (_, rows, file) in files {
            let size = file.size() as u64;
            if bin.rows + rows > options.target_rows || bin.bytes + size > options.target_bytes {
                bins.push(std::mem::replace(&mut bin, empty()));
            }
            bin.rows += rows;
            bin.bytes += size;
            bin.files.push(file);
        }
        bins.push(bin);
    }
    bins.retain(|bin| {
        let half = bin.rows * 2 > options.target_rows || bin.bytes * 2 > options.target_bytes;
        bin.files.len() > 1 && (half || bin.files.len() >= options.min_files)
    });
    bins
}

fn decode(file: bytes::Bytes, columns: &Columns) -> Result<Vec<RecordBatch>, ArchiveError> {
    ParquetRecordBatchReaderBuilder::try_new(file)?
        .with_batch_size(8_192)
        .build()?
        .map(|batch| columns.conform_file(&batch?))
        .collect()
}
