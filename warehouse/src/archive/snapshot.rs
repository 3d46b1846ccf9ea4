//! The archive as of one version.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use deltalake::kernel::LogicalFileView;
use deltalake::logstore::LogStoreRef;
use deltalake::table::state::DeltaTableState;
use futures::FutureExt as _;

use super::ArchiveFuture;
use super::columns::{Columns, KIND, MONTH};
use super::error::ArchiveError;
use super::log::{self, Transactions};
use super::provider::EventsTable;

/// The archive as of one version: how far each log partition is archived, and the rows. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) state: Arc<DeltaTableState>,
    pub(crate) transactions: Arc<Transactions>,
    pub(crate) log: LogStoreRef,
    pub(crate) columns: Arc<Columns>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version())
            .field("transactions", &self.transactions)
            .finish_non_exhaustive()
    }
}

/// What one directory of the table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directory {
    /// Data files.
    pub files: u64,
    /// Rows, by the log's statistics.
    pub rows: u64,
    /// Compressed bytes.
    pub bytes: u64,
}

impl Snapshot {
    /// The newest version there is.
    pub(crate) async fn load(
        log: LogStoreRef,
        columns: Arc<Columns>,
    ) -> Result<Self, ArchiveError> {
        let state = DeltaTableState::try_new(log.as_ref(), None).await?;
        let transactions = log::transactions(&log, state.version()).await?;
        Ok(Self {
            state: Arc::new(state),
            transactions: Arc::new(transactions),
            log,
            columns,
        })
    }

    /// The newest version there is, from this one: reads only what came since.
    pub(crate) async fn refresh(&self) -> Result<Self, ArchiveError> {
        match self.follow().await {
            Ok(snapshot) => Ok(snapshot),
            // The entries since were cleaned away, or storage failed; the latter fails again in a full load.
            Err(_) => Self::load(self.log.clone(), self.columns.clone()).await,
        }
    }

    async fn follow(&self) -> Result<Self, ArchiveError> {
        let base = self.state.version();
        let latest = log::latest(&self.log, base).await?;
        if latest == base {
            return Ok(self.clone());
        }
        let mut transactions = self.transactions.as_ref().clone();
        log::follow(&self.log, &mut transactions, base + 1, latest).await?;
        let mut state = self.state.as_ref().clone();
        state.update(self.log.as_ref(), Some(latest)).await?;
        Ok(Self {
            state: Arc::new(state),
            transactions: Arc::new(transactions),
            ..self.clone()
        })
    }

    /// The table's version; grows with every commit of anyone.
    pub fn version(&self) -> i64 {
        self.state.version() as i64
    }

    /// The first offset of a log partition that is not archived: 0 where nothing is.
    pub fn archived(&self, generation: u32, partition: u32) -> u64 {
        self.transaction(&progress_id(generation, partition))
    }

    /// [`Self::archived`] of all log partitions with progress, by (generation, partition).
    pub fn all_archived(&self) -> BTreeMap<(u32, u32), u64> {
        self.transactions
            .iter()
            .filter_map(|(id, &version)| {
                Some((parse_progress_id(id)?, u64::try_from(version).ok()?))
            })
            .collect()
    }

    /// Rows archived of a log partition, as counted by its commits. A claim, cheap to read: [`Self::count_rows`] is
    /// the truth.
    pub fn archived_rows(&self, generation: u32, partition: u32) -> u64 {
        self.transaction(&rows_id(generation, partition))
    }

    fn transaction(&self, id: &str) -> u64 {
        self.transactions
            .get(id)
            .and_then(|&version| u64::try_from(version).ok())
            .unwrap_or(0)
    }

    /// Rows in the table by the log's statistics. A claim, cheap to read: [`Self::count_rows`] is the truth.
    pub fn rows(&self) -> u64 {
        self.files()
            .map(|file| file.num_records().unwrap_or(0) as u64)
            .sum()
    }

    /// What each directory holds, by (kind, month), by the log's statistics.
    pub fn rows_by_partition(&self) -> BTreeMap<(String, String), Directory> {
        let mut directories: BTreeMap<(String, String), Directory> = BTreeMap::new();
        for file in self.files() {
            let mut values = file.partition_values_map();
            let mut value = |name| values.remove(name).flatten().unwrap_or_default();
            let directory = directories.entry((value(KIND), value(MONTH))).or_default();
            directory.files += 1;
            directory.rows += file.num_records().unwrap_or(0) as u64;
            directory.bytes += file.size() as u64;
        }
        directories
    }

    /// Names of all files that make up this version, within the table: first the data files, then those of the
    /// transaction log.
    ///
    /// # Errors
    ///
    /// Storage that does not answer; entries that were cleaned away meanwhile, then take a new snapshot.
    pub fn objects(&self) -> ArchiveFuture<'_, (Vec<String>, Vec<String>)> {
        async move {
            let data = self
                .files()
                .map(|file| file.object_store_path().to_string())
                .collect();
            let log = log::files(&self.log, self.state.version()).await?;
            Ok((data, log))
        }
        .boxed()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = LogicalFileView> + '_ {
        self.state.log_data().into_iter()
    }

    /// The rows of this version as a table for DataFusion, with the columns of [`schemas::arrow::events`] and the
    /// partition column `month`.
    ///
    /// Filters on `kind` and `month` skip directories; filters on organization, customer, times and position skip
    /// files and row groups.
    pub fn provider(&self) -> Result<Arc<dyn TableProvider>, ArchiveError> {
        Ok(Arc::new(EventsTable::new(self)?))
    }

    /// Counts the rows in the data files by (generation, partition): what is there, not what the log claims.
    /// Reads two columns of every file.
    pub fn count_rows(&self) -> ArchiveFuture<'_, BTreeMap<(u32, u32), u64>> {
        async move {
        let context = SessionContext::new();
        context.register_table("events", self.provider()?)?;
        let counts = context
            .sql(r#"SELECT generation, partition, count(*) FROM events GROUP BY generation, partition"#)
            .await?
            .collect()
            .await?;
        let mut rows = BTreeMap::new();
        for batch in counts {
            let [generation, partition, count] =
                [0, 1, 2].map(|at| batch.column(at).as_primitive::<Int64Type>());
            for row in 0..batch.num_rows() {
                let number = |value: i64| {
                    u32::try_from(value)
                        .map_err(|_| ArchiveError::Damaged(format!("position {value} in a row")))
                };
                let key = (
                    number(generation.value(row))?,
                    number(partition.value(row))?,
                );
                rows.insert(key, count.value(row) as u64);
            }
        }
        Ok(rows)
    }.boxed()
    }
}

/// Application id of a log partition's progress: its version is the next offset.
pub(crate) fn progress_id(generation: u32, partition: u32) -> String {
    format!("{generation}/{partition}")
}

/// Application id of a log partition's row count: its version is the rows in all.
pub(crate) fn rows_id(generation: u32, partition: u32) -> String {
    format!("{generation}/{partition}/rows")
}

fn parse_progress_id(id: &str) -> Option<(u32, u32)> {
    let (generation, partition) = id.split_once('/')?;
    Some((generation.parse().ok()?, partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_ids_are_told_apart() {
        assert_eq!(parse_progress_id(&progress_id(2, 7)), Some((2, 7)));
        assert_eq!(parse_progress_id(&rows_id(2, 7)), None);
        assert_eq!(parse_progress_id("streaming-job"), None);
    }
}
