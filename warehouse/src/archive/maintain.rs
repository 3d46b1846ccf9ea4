//! Keeping the table small: checkpoints and clean-up of its log, and deletion of files nobody refers to.

use std::time::Duration;

use deltalake::operations::vacuum::VacuumMode;
use deltalake::{DeltaTable, checkpoints};
use futures::FutureExt as _;

use super::Archive;
use super::ArchiveFuture;
use super::error::ArchiveError;
use super::options::VacuumReport;

impl Archive {
    /// Deletes data files that no version within `grace` refers to: replaced by compaction, or written and never
    /// committed. `grace` must be longer than the longest query and than [`commit_deadline`].
    ///
    /// [`commit_deadline`]: super::ArchiveOptions::commit_deadline
    ///
    /// # Errors
    ///
    /// Storage that fails. What was deleted was not needed.
    pub fn vacuum(&self, grace: Duration) -> ArchiveFuture<'_, VacuumReport> {
        async move {
            let grace = chrono::Duration::from_std(grace)
                .map_err(|_| ArchiveError::Stale("a grace period this long deletes nothing"))?;
            let (_, metrics) = self
                .table()
                .await?
                .vacuum()
                .with_mode(VacuumMode::Full)
                .with_retention_period(grace)
                // The table's own retention is a week; the caller knows its queries.
                .with_enforce_retention_duration(false)
                .await?;
            Ok(VacuumReport {
                deleted: metrics.files_deleted,
            })
        }
        .boxed()
    }

    /// Sums the transaction log up in a checkpoint and deletes entries older than the log's retention. Happens by
    /// itself every so many commits. Returns the number of log files deleted.
    ///
    /// # Errors
    ///
    /// Storage that fails. The log is as good as before.
    pub fn sum_up(&self) -> ArchiveFuture<'_, usize> {
        async move {
            let _once = self.inner.summing.lock().await;
            let table = self.table().await?;
            // Writing a checkpoint blocks its thread.
            let runtime = tokio::runtime::Handle::current();
            let retention = self.inner.options.log_retention.as_millis() as i64;
            tokio::task::spawn_blocking(move || {
                runtime.block_on(async {
                    checkpoints::create_checkpoint(&table, None).await?;
                    let before = chrono::Utc::now().timestamp_millis() - retention;
                    let version = table.snapshot()?.version();
                    Ok(checkpoints::cleanup_expired_logs_for(
                        version,
                        table.log_store().as_ref(),
                        before,
                        None,
                    )
                    .await?)
                })
            })
            .await?
        }
        .boxed()
    }

    /// Sums up in the background after every so many versions. A failure costs only time at the next start.
    pub(super) fn sum_up_if_due(&self, version: u64) {
        if !version.is_multiple_of(self.inner.options.checkpoint_interval.max(1)) {
            return;
        }
        let archive = self.clone();
        tokio::spawn(async move {
            if let Err(error) = archive.sum_up().await {
                tracing::warn!(version, %error, "no checkpoint of the archive's log; the next one is due later");
            }
        });
    }

    /// The table for operations of the Delta implementation, at its newest version.
    async fn table(&self) -> Result<DeltaTable, ArchiveError> {
        let mut table = DeltaTable::new(self.inner.log.clone());
        table.load().await?;
        Ok(table)
    }
}
