//! ClickHouse as a library in this process: libchdb.
//!
//! Its C interface is used directly rather than through its ADBC driver, which is a layer above it: only the C
//! interface leaves the host's signal handlers alone, scopes parameters to one statement, and writes every format.

mod engine;
mod lane;
mod library;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use self::engine::Engine;
use self::lane::Lane;
pub(crate) use self::library::{Counts, Session};
use crate::error::WarehouseError;
use crate::params::Params;
use crate::port::{Options, Rows, Warehouse};
use crate::table::Tables;

/// How many batches a stream holds before its query waits for the reader.
const STREAM_AHEAD: usize = 2;

/// The embedded ClickHouse of one directory.
pub struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    readers: Lane,
    writers: Lane,
    /// Everything that is neither SELECT nor insert: it may take long, and must not hold up either.
    others: Lane,
    tables: Tables,
    closing: CancellationToken,
    closed: AtomicBool,
    /// Gone once closed.
    engine: Mutex<Option<Arc<Engine>>>,
    path: PathBuf,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

impl Embedded {
    /// Starts the engine on a directory, or joins the one this process already runs on it. Does not run the migrations.
    pub async fn open(
        path: impl AsRef<Path>,
        options: &Options,
    ) -> Result<Arc<Self>, WarehouseError> {
        let (path, options) = (path.as_ref().to_owned(), options.clone());
        tokio::task::spawn_blocking(move || Self::start(&path, &options))
            .await
            .map_err(|error| WarehouseError::Answer(error.to_string()))?
    }

    fn start(path: &Path, options: &Options) -> Result<Arc<Self>, WarehouseError> {
        let engine = Engine::start(path, options)?;
        let lane =
            |name: &str, count: usize, settings: &[(&str, &str)]| -> Result<Lane, WarehouseError> {
                let sessions = (0..count.max(1))
                    .map(|_| engine.session_with(settings))
                    .collect::<Result<Vec<_>, _>>()?;
                Lane::start(name, sessions)
                    .map_err(|error| WarehouseError::Answer(error.to_string()))
            };
        let inner = Arc::new(Inner {
            readers: lane("warehouse-read", options.readers, &[])?,
            writers: lane("warehouse-write", options.writers, &WRITE_SETTINGS)?,
            others: lane("warehouse-run", 1, &WRITE_SETTINGS)?,
            tables: Tables::default(),
            closing: CancellationToken::new(),
            closed: AtomicBool::new(false),
            path: engine.path().to_owned(),
            engine: Mutex::new(Some(engine)),
        });
        let mut open = OPEN.lock();
        open.retain(|inner| inner.strong_count() > 0);
        open.push(Arc::downgrade(&inner));
        Ok(Arc::new(Self { inner }))
    }

    /// The engine, for sessions beside the lanes.
    pub(crate) fn engine(&self) -> Result<Arc<Engine>, WarehouseError> {
        self.inner
            .engine
            .lock()
            .clone()
            .ok_or(WarehouseError::Closed)
    }
}

/// What this process has open.
static OPEN: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

/// Closes what is still open, for the end of `main`: left running, the engine's own threads run on into what the end of
/// the process tears down. Not for `atexit`: what the library has set up since then is gone first. Blocks.
pub fn close_embedded() {
    let open = std::mem::take(&mut *OPEN.lock());
    for inner in open.iter().filter_map(Weak::upgrade) {
        inner.stop();
    }
}

impl Inner {
    /// Finishes what is running and lets go of the engine. Blocks.
    fn stop(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.closing.cancel();
        for lane in [&self.readers, &self.writers, &self.others] {
            lane.stop();
        }
        // The last session of the process stops the engine: leaving with it running aborts.
        self.engine.lock().take();
    }
}

/// Of every connection that writes: one insert is one block, written at once, over however many days or months its rows
/// lie.
pub(crate) const WRITE_SETTINGS: [(&str, &str); 6] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "0"),
    ("max_insert_threads", "1"),
    ("max_partitions_per_insert_block", "0"),
    ("min_insert_block_size_rows", "100000000"),
    ("min_insert_block_size_bytes", "10000000000"),
];

impl Drop for Embedded {
    fn drop(&mut self) {
        self.inner.stop();
    }
}

#[async_trait]
impl Warehouse for Embedded {
    async fn query(&self, sql: &str, params: &Params) -> Result<Vec<RecordBatch>, WarehouseError> {
        let (sql, params) = (sql.to_owned(), params.clone());
        self.inner
            .readers
            .run(move |session| {
                let mut batches = Vec::new();
                session.run_arrow(&sql, &params, |batch| {
                    batches.push(batch);
                    true
                })?;
                Ok(batches)
            })
            .await
    }

    async fn stream(&self, sql: &str, params: &Params) -> Result<Rows, WarehouseError> {
        let (sql, params, closing) = (sql.to_owned(), params.clone(), self.inner.closing.clone());
        let (sender, mut receiver) = mpsc::channel(STREAM_AHEAD);
        self.inner
            .readers
            .send(move |session| {
                let outcome = session.run_arrow(&sql, &params, |batch| {
                    // Ends with the stream's reader, and with the warehouse: a reader that stopped reading must not
                    // keep the engine open.
                    futures::executor::block_on(async {
                        tokio::select! {
                            sent = sender.send(Ok(batch)) => sent.is_ok(),
                            () = closing.cancelled() => false,
                        }
                    })
                });
                let last = match outcome {
                    Err(error) => error,
                    Ok(_) if closing.is_cancelled() => WarehouseError::Closed,
                    Ok(_) => return,
                };
                futures::executor::block_on(async {
                    tokio::select! {
                        _ = sender.send(Err(last)) => {}
                        () = closing.cancelled() => {}
                    }
                });
            })
            .await?;
        Ok(futures::stream::poll_fn(move |context| receiver.poll_recv(context)).boxed())
    }

    async fn execute(&self, sql: &str, params: &Params) -> Result<(), WarehouseError> {
        let (sql, params) = (sql.to_owned(), params.clone());
        let outcome = self
            .inner
            .others
            .run(move |session| session.run(&sql, "Null", &params, |_, _| ()))
            .await;
        // It may have changed a table, even where it failed half-way.
        self.inner.tables.forget();
        outcome
    }

    async fn insert(&self, table: &str, rows: RecordBatch) -> Result<(), WarehouseError> {
        let head = self.inner.tables.check(self, table, &rows).await?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.inner
            .writers
            .run(move |session| session.insert_arrow(&head, rows))
            .await
    }

    async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        // Fails only where the runtime is going away; dropping closes then.
        let _ = tokio::task::spawn_blocking(move || inner.stop()).await;
    }
}
