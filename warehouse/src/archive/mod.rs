//! The archive: every event for ever, as one Delta table of Parquet files that any tool reads.
//!
//! The table is at the archive's address + `/events`, in directories `kind=…/month=…` (UTC month of `occurred_at`).
//! Rows of a log partition and how far the partition is archived land in one commit of the table's log, so an event
//! is in the archive exactly once whatever crashes: an archiver that does not know the outcome of its commit takes a
//! new [`Snapshot`] and goes on from [`Snapshot::archived`].
//!
//! # Example
//!
//! ```no_run
//! # async fn example(rows: Vec<arrow::array::RecordBatch>) -> Result<(), warehouse::archive::ArchiveError> {
//! use warehouse::archive::{Archive, ArchiveOptions, Archived};
//!
//! let archive = Archive::open("file:./data/archive", &ArchiveOptions::default()).await?;
//! let snapshot = archive.snapshot().await?;
//! let begin = snapshot.archived(1, 0);
//! // … rows of the offsets from `begin` to 5,000 …
//! let progress = [Archived { generation: 1, partition: 0, next_offset: 5_000 }];
//! let snapshot = archive.commit(&snapshot, &rows, &progress).await?;
//! assert_eq!(snapshot.archived(1, 0), 5_000);
//! # Ok(())
//! # }
//! ```

mod append;
mod checkpoint;
mod columns;
mod compact;
mod durable;
mod error;
mod file;
mod location;
mod log;
mod maintain;
mod options;
mod ordered;
mod place;
mod provider;
mod snapshot;
mod split;
mod stats;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use deltalake::logstore::LogStoreRef;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use parquet::file::properties::WriterPropertiesPtr;

use columns::Columns;
use location::Location;

pub use error::ArchiveError;
pub use options::{
    ArchiveOptions, Archived, CompactOptions, CompactReport, S3Access, VacuumReport,
};
pub use place::Place;
pub use snapshot::{Directory, Snapshot};

/// What the archive is asked. Boxed, so that what is awaited of Delta and DataFusion is compiled in this crate, once, and
/// not again in every program that asks.
pub type ArchiveFuture<'a, T> = BoxFuture<'a, Result<T, ArchiveError>>;

/// The archive, open for reading and writing. Cheap to clone; all clones share what they know of the table.
#[derive(Clone)]
pub struct Archive {
    inner: Arc<Inner>,
}

struct Inner {
    location: Location,
    options: ArchiveOptions,
    log: LogStoreRef,
    columns: Arc<Columns>,
    encoding: WriterPropertiesPtr,
    /// The newest version seen, to read only what came since.
    latest: Mutex<Snapshot>,
    /// Held while the log is being summed up, which once at a time is enough.
    summing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("url", &self.inner.location.url.as_str())
            .field("version", &self.inner.latest.lock().version())
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens the archive at `file:DIRECTORY` or `s3://BUCKET/PREFIX` and makes its table if there is none. Any
    /// number of processes may do so at once.
    ///
    /// # Errors
    ///
    /// An address or option that cannot be used, storage that does not answer, a table with other columns.
    pub fn open<'a>(url: &'a str, options: &'a ArchiveOptions) -> ArchiveFuture<'a, Self> {
        async move { Self::open_with(url, options, schemas::arrow::events()).await }.boxed()
    }

    async fn open_with(
        url: &str,
        options: &ArchiveOptions,
        rows: SchemaRef,
    ) -> Result<Self, ArchiveError> {
        let columns = Arc::new(Columns::new(rows)?);
        let encoding = file::properties(options)?;
        let location = Location::parse(url)?;
        let log = location.log_store(options)?;
        location::create(&log, &columns, options).await?;
        let snapshot = Snapshot::load(log.clone(), columns.clone()).await?;
        check_columns(&snapshot, &location)?;
        let inner = Inner {
            location,
            options: options.clone(),
            log,
            columns,
            encoding,
            latest: Mutex::new(snapshot),
            summing: tokio::sync::Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Where the table's files are.
    pub fn place(&self) -> Place {
        Place::new(
            self.inner.location.clone(),
            self.inner.log.object_store(None),
        )
    }

    /// Where the files of a table are to be, without making one.
    ///
    /// # Errors
    ///
    /// An address or option that cannot be used.
    pub fn place_of(url: &str, options: &ArchiveOptions) -> Result<Place, ArchiveError> {
        let location = Location::parse(url)?;
        let store = location.log_store(options)?.object_store(None);
        Ok(Place::new(location, store))
    }

    /// The table's address.
    pub fn url(&self) -> &str {
        self.inner.location.url.as_str()
    }

    /// The newest version. Reads only what came since the last look: one listing when nothing did.
    ///
    /// # Errors
    ///
    /// Storage that does not answer, a damaged log.
    pub fn snapshot(&self) -> ArchiveFuture<'_, Snapshot> {
        async move {
            let known = self.inner.latest.lock().clone();
            let snapshot = known.refresh().await?;
            self.keep(&snapshot);
            Ok(snapshot)
        }
        .boxed()
    }

    /// Remembers a snapshot, unless a newer one is known.
    fn keep(&self, snapshot: &Snapshot) {
        let mut latest = self.inner.latest.lock();
        if latest.version() < snapshot.version() {
            *latest = snapshot.clone();
        }
    }
}

/// Refuses a table that was made with other columns: its rows and ours would not mix.
fn check_columns(snapshot: &Snapshot, location: &Location) -> Result<(), ArchiveError> {
    let found = snapshot.state.schema();
    let ours = snapshot.columns.delta()?;
    let differs = |detail: String| ArchiveError::Columns {
        url: location.url.to_string(),
        detail,
    };
    for field in ours.fields() {
        match found.field(field.name()) {
            None => return Err(differs(format!("column {} is missing", field.name()))),
            Some(other) if other.data_type() != field.data_type() => {
                return Err(differs(format!(
                    "column {} is {}",
                    field.name(),
                    other.data_type()
                )));
            }
            Some(_) => {}
        }
    }
    if let Some(extra) = found
        .fields()
        .find(|field| ours.field(field.name()).is_none())
    {
        return Err(differs(format!(
            "column {} is not known here",
            extra.name()
        )));
    }
    if snapshot.state.metadata().partition_columns() != columns::PARTITION_BY.as_slice() {
        return Err(differs("it is partitioned otherwise".to_owned()));
    }
    Ok(())
}
