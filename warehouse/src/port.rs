//! The port: what Millrace asks of ClickHouse, whichever way it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use crate::error::WarehouseError;
pub use crate::params::{Params, Value};

/// Record batches as they are read.
pub type Rows = BoxStream<'static, Result<RecordBatch, WarehouseError>>;

/// ClickHouse: embedded, or a server. Cheap to share; every call may run beside any other.
#[async_trait]
pub trait Warehouse: Send + Sync + std::fmt::Debug {
    /// Rows of a SELECT, as Arrow. `params` are ClickHouse query parameters (`{name:Type}` in the SQL).
    ///
    /// No batch is empty, so no rows are no batches. Write SELECT without FORMAT.
    async fn query(&self, sql: &str, params: &Params) -> Result<Vec<RecordBatch>, WarehouseError>;

    /// The same, streamed with bounded memory. Dropping the stream ends the query.
    async fn stream(&self, sql: &str, params: &Params) -> Result<Rows, WarehouseError>;

    /// Runs a statement that returns no rows.
    async fn execute(&self, sql: &str, params: &Params) -> Result<(), WarehouseError>;

    /// Inserts rows as one block; durable (fsynced by the table settings) when it returns Ok. An Err may have landed in
    /// part or whole: repeat the same rows.
    ///
    /// The columns must be the table's, in its order, with its types; at most [`MAX_BLOCK_ROWS`] rows. Otherwise
    /// nothing is written and the error is [`WarehouseError::Rows`].
    async fn insert(&self, table: &str, rows: RecordBatch) -> Result<(), WarehouseError>;

    /// Finishes what is running, then lets go of the engine or the connections. Later calls fail with
    /// [`WarehouseError::Closed`].
    async fn close(&self);
}

/// The most rows that stay one block, and so land whole or not at all (in a table that is not partitioned).
pub const MAX_BLOCK_ROWS: usize = 1_048_449;

/// How to run the warehouse.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file of libchdb; by default `libchdb.so` beside the executable.
    pub library: Option<PathBuf>,
    /// The most memory the embedded engine may take, in bytes.
    pub memory: u64,
    /// The most memory one query may take, in bytes.
    pub query_memory: u64,
    /// How many SELECTs the embedded engine runs at once; streams hold their place until they are read.
    pub readers: usize,
    /// How many inserts it runs at once.
    pub writers: usize,
    /// How many merges it runs at once.
    pub merges: usize,
    /// How long a server may take to answer one call.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            library: None,
            memory: 1 << 30,
            query_memory: 768 << 20,
            readers: 4,
            writers: 2,
            merges: 4,
            timeout: Duration::from_secs(120),
        }
    }
}

/// Opens the warehouse of a URL and runs the migrations.
///
/// `chdb:PATH` is the embedded engine on a directory (one directory per process);
/// `clickhouse://[user:password@]host[:8123]/database` is a server, and its database is created if it is not there.
pub fn open<'a>(
    url: &'a str,
    options: &'a Options,
) -> BoxFuture<'a, Result<Arc<dyn Warehouse>, WarehouseError>> {
    async move {
        let warehouse: Arc<dyn Warehouse> = if let Some(path) = url.strip_prefix("chdb:") {
            crate::embedded::Embedded::open(path, options).await?
        } else if url.starts_with("clickhouse://") {
            crate::server::Server::open(url, options).await?
        } else {
            return Err(WarehouseError::Url(format!(
                "`{url}` is no warehouse; write chdb:PATH or clickhouse://host:8123/database"
            )));
        };
        if let Err(error) = crate::migrate::run(&*warehouse).await {
            warehouse.close().await;
            return Err(error);
        }
        Ok(warehouse)
    }
    .boxed()
}
