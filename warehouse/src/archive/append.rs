//! Appending rows: encode, send, commit together with the progress.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStoreExt as _, path::Path};
use schemas::crash::{Point, point};

use super::columns::PARTITION_BY;
use super::error::ArchiveError;
use super::file::{DataFile, encode};
use super::log::{self, Entry};
use super::options::Archived;
use super::snapshot::{Snapshot, progress_id, rows_id};
use super::{Archive, ArchiveFuture, split};

impl Archive {
    /// Appends rows and moves the log partitions they come from forward, in one commit against exactly `snapshot`.
    ///
    /// `rows` have the schema [`schemas::arrow::events`]. Every row's position must lie between what `snapshot` says
    /// is archived of its partition and the `next_offset` given here. Progress without rows is fine (offsets that
    /// hold no event). Make commits large: each makes a file per kind and month of its rows.
    ///
    /// Returns the version it made. Commits for other log partitions made since the snapshot do not matter.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Conflict`] if another commit moved one of these log partitions since `snapshot`. Then, and
    /// after every other error, none of the rows is visible, except after [`ArchiveError::Unknown`]: take a new
    /// snapshot and begin again from it. Files already written are left for [`Archive::vacuum`].
    pub fn commit<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        rows: &'a [RecordBatch],
        progress: &'a [Archived],
    ) -> ArchiveFuture<'a, Snapshot> {
        async move {
            let transactions = advance(snapshot, rows, progress)?;
            if transactions.is_empty() {
                return Ok(snapshot.clone());
            }
            let begun = Instant::now();
            let files = self.encode_rows(rows.to_vec()).await?;
            point(Point::ArchiveBeforeFiles);
            self.send(&files).await?;
            point(Point::ArchiveBeforeCommit);
            let entry = Entry {
                actions: files
                    .iter()
                    .map(|file| Action::Add(file.add(true)))
                    .collect(),
                transactions,
                operation: DeltaOperation::Write {
                    mode: SaveMode::Append,
                    partition_by: Some(PARTITION_BY.map(str::to_owned).to_vec()),
                    predicate: None,
                },
                begun,
                deadline: self.inner.options.commit_deadline,
            };
            self.land(snapshot, entry).await
        }
        .boxed()
    }

    /// Puts an entry into the log and returns the version that shows it.
    pub(super) async fn land(
        &self,
        snapshot: &Snapshot,
        entry: Entry,
    ) -> Result<Snapshot, ArchiveError> {
        let base = snapshot.state.version();
        let version =
            log::commit(&self.inner.log, base, entry, self.inner.options.attempts).await?;
        // From here on the commit stands, whatever fails.
        let unknown = |error: ArchiveError| ArchiveError::Unknown(Box::new(error));
        point(Point::ArchiveAfterCommit);
        let after = snapshot.refresh().await.map_err(unknown)?;
        self.keep(&after);
        self.sum_up_if_due(version);
        Ok(after)
    }

    /// Encodes rows as data files, one for each kind and month, some at the same time.
    async fn encode_rows(&self, rows: Vec<RecordBatch>) -> Result<Vec<DataFile>, ArchiveError> {
        let columns = self.inner.columns.clone();
        let (parts, slices) = tokio::task::spawn_blocking(move || {
            let slices = split::split(&rows, &columns)?;
            let parts = rows
                .iter()
                .map(|batch| columns.project(batch))
                .collect::<Result<Vec<_>, _>>()?;
            Ok::<_, ArchiveError>((Arc::new(parts), slices))
        })
        .await??;
        futures::stream::iter(slices)
            .map(|slice| {
                let (parts, schema) = (parts.clone(), self.inner.columns.file.clone());
                let encoding = self.inner.encoding.clone();
                let work = move || {
                    encode(
                        slice.kind,
                        slice.month,
                        &parts,
                        &slice.rows,
                        &schema,
                        &encoding,
                    )
                };
                async move { tokio::task::spawn_blocking(work).await? }
            })
            .buffer_unordered(self.inner.options.writers.max(1))
            .try_collect()
            .await
    }

    /// Sends data files to the storage and waits until they are durable.
    pub(super) async fn send(&self, files: &[DataFile]) -> Result<(), ArchiveError> {
        let store = self.inner.log.object_store(None);
        // Owned by the stream: a future that borrows its items is not `Send` for every lifetime.
        let puts: Vec<_> = files
            .iter()
            .map(|file| {
                let (store, path, bytes) = (
                    store.clone(),
                    Path::from(file.path.as_str()),
                    file.bytes.clone(),
                );
                async move {
                    store.put(&path, bytes.into()).await?;
                    point(Point::ArchiveBetweenFiles);
                    Ok::<_, object_store::Error>(())
                }
            })
            .collect();
        futures::stream::iter(puts)
            .buffer_unordered(self.inner.options.uploads.max(1))
            .try_collect::<()>()
            .await?;
        Ok(())
    }
}

/// The application ids a commit moves: progress and row count of each log partition in it.
fn advance(
    snapshot: &Snapshot,
    rows: &[RecordBatch],
    progress: &[Archived],
) -> Result<Vec<Transaction>, ArchiveError> {
    let mut ranges: BTreeMap<(i64, i64), Range> = BTreeMap::new();
    for step in progress {
        let from = snapshot.archived(step.generation, step.partition);
        if step.next_offset < from {
            return Err(ArchiveError::Rows(format!(
                "partition {}/{} is archived up to {from}, not to go back to {}",
                step.generation, step.partition, step.next_offset
            )));
        }
        let range = Range {
            from: from as i64,
            to: step.next_offset as i64,
            rows: 0,
        };
        if ranges
            .insert(
                (i64::from(step.generation), i64::from(step.partition)),
                range,
            )
            .is_some()
        {
            return Err(ArchiveError::Rows(format!(
                "partition {}/{} twice",
                step.generation, step.partition
            )));
        }
    }
    for batch in rows {
        count(batch, &snapshot.columns, &mut ranges)?;
    }
    let now = Some(chrono::Utc::now().timestamp_millis());
    let mut transactions = Vec::new();
    for (step, range) in progress.iter().map(|step| {
        (
            step,
            &ranges[&(step.generation.into(), step.partition.into())],
        )
    }) {
        if range.from == range.to {
            continue;
        }
        let (generation, partition) = (step.generation, step.partition);
        let rows = snapshot.archived_rows(generation, partition) + range.rows;
        let progress = progress_id(generation, partition);
        transactions.push(Transaction::new_with_last_update(progress, range.to, now));
        transactions.push(Transaction::new_with_last_update(
            rows_id(generation, partition),
            rows as i64,
            now,
        ));
    }
    Ok(transactions)
}

/// What a commit archives of one log partition.
struct Range {
    from: i64,
    to: i64,
    rows: u64,
}

/// Counts the rows of a batch into the ranges they must lie in.
fn count(
    batch: &RecordBatch,
    columns: &super::columns::Columns,
    ranges: &mut BTreeMap<(i64, i64), Range>,
) -> Result<(), ArchiveError> {
    if batch.schema_ref().fields().len() != columns.rows.fields().len() {
        return Err(ArchiveError::Rows(
            "columns differ from those of the archive".to_owned(),
        ));
    }
    let column = |name: &str| {
        let array = batch
            .column(columns.index(name)?)
            .as_primitive_opt::<Int64Type>();
        array
            .filter(|array| array.null_count() == 0)
            .map(|array| array.values().clone())
            .ok_or_else(|| {
                ArchiveError::Rows(format!("{name} must be a whole number in every row"))
            })
    };
    let (generations, partitions, offsets) = (
        column("generation")?,
        column("partition")?,
        column("offset")?,
    );
    let mut row = 0;
    while row < batch.num_rows() {
        let key = (generations[row], partitions[row]);
        let range = ranges.get_mut(&key).ok_or_else(|| {
            ArchiveError::Rows(format!(
                "a row of partition {}/{}, which has no progress here",
                key.0, key.1
            ))
        })?;
        // Rows of one partition mostly come together.
        while row < batch.num_rows() && (generations[row], partitions[row]) == key {
            if !(range.from..range.to).contains(&offsets[row]) {
                return Err(ArchiveError::Rows(format!(
                    "offset {} of partition {}/{} is outside {}..{}",
                    offsets[row], key.0, key.1, range.from, range.to
                )));
            }
            range.rows += 1;
            row += 1;
        }
    }
    Ok(())
}
