//! What can go wrong with the archive, and what to do about it.

use deltalake::DeltaTableError;

/// Why an operation on the archive failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The address of the archive, or an option of it, cannot be used.
    #[error("archive address {url}: {reason}")]
    Location {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The table was made with other columns than this program writes.
    #[error(
        "the archive at {url} has other columns than this version writes ({detail}); point `archive` at an empty place or run the version that made it"
    )]
    Columns {
        /// Of the table.
        url: String,
        /// The first difference.
        detail: String,
    },
    /// The rows do not belong to the progress they are committed with. A defect of the caller.
    #[error("rows do not fit the progress they are committed with: {0}")]
    Rows(String),
    /// Another commit touched the same thing since the snapshot, so nothing of this one is visible.
    ///
    /// It may also be this writer's own commit, landed under a request whose answer was lost: take a new
    /// snapshot and begin again from what it says is archived.
    #[error(
        "{what} was changed by version {version} of the archive; take a new snapshot and begin again from it"
    )]
    Conflict {
        /// The application id or file both touched.
        what: String,
        /// Where the other commit is.
        version: u64,
    },
    /// The snapshot or the files are too old to be committed against.
    #[error("{0}; take a new snapshot and begin again from it")]
    Stale(&'static str),
    /// Other writers were quicker every time.
    #[error(
        "gave way to other writers of the archive {attempts} times; take a new snapshot and try again"
    )]
    Contended {
        /// How often the log entry was refused.
        attempts: usize,
    },
    /// The log entry may or may not have been written.
    #[error(
        "it is unknown whether the commit landed; take a new snapshot, which shows it, before anything else"
    )]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The transaction log lacks an entry or holds something unreadable.
    #[error("the transaction log of the archive is damaged: {0}")]
    Damaged(String),
    /// Reading or writing the storage failed.
    #[error("archive storage: {0}")]
    Storage(#[from] object_store::Error),
    /// The Delta implementation failed.
    #[error("archive table: {0}")]
    Delta(#[source] Box<DeltaTableError>),
    /// Encoding or decoding a data file failed.
    #[error("archive file: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Rows could not be put into the table's form.
    #[error("archive rows: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A query over the archive failed.
    #[error("query over the archive: {0}")]
    Query(#[source] Box<datafusion::error::DataFusionError>),
    /// A worker panicked or the runtime is going down.
    #[error("archive worker: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

impl ArchiveError {
    /// Whether beginning again from a new snapshot can succeed without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Conflict { .. }
            | Self::Stale(_)
            | Self::Contended { .. }
            | Self::Unknown(_)
            | Self::Storage(_)
            | Self::Delta(_) => true,
            Self::Location { .. }
            | Self::Columns { .. }
            | Self::Rows(_)
            | Self::Damaged(_)
            | Self::Parquet(_)
            | Self::Arrow(_)
            | Self::Query(_)
            | Self::Worker(_) => false,
        }
    }
}

impl From<DeltaTableError> for ArchiveError {
    fn from(error: DeltaTableError) -> Self {
        Self::Delta(Box::new(error))
    }
}

impl From<datafusion::error::DataFusionError> for ArchiveError {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::Query(Box::new(error))
    }
}
