//! The embedded log: a folder, one process, nothing to install.
//!
//! One writer thread takes all appends that wait, writes them as one batch with one fsync, and answers them;
//! what arrives meanwhile is the next batch. Blocks of records go to segments; retention deletes whole segments.

mod block;
mod consumer;
mod group;
mod identity;
mod import;
mod journal;
mod segment;
mod shared;
mod store;
mod tail;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use parking_lot::Mutex;
use schemas::Position;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use self::consumer::EmbeddedConsumer;
pub use self::import::Import;
use self::shared::{Request, Shared};
use self::store::Store;
use crate::{AppendError, Bounds, Consumer, Log, LogError, LogRecord, NewRecord, Options};

/// The embedded log.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    /// Answers when the writer has left.
    left: Mutex<Option<oneshot::Receiver<()>>>,
}

impl EmbeddedLog {
    /// Opens the log in `folder`, or creates it there.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has it, [`LogError::Mismatch`] when it has another partition count
    /// or generation, [`LogError::Damaged`] when its newest part does not check out.
    pub async fn open(folder: PathBuf, options: Options) -> Result<Self, LogError> {
        let opened = spawn_blocking(move || {
            let (store, next) = Store::open(&folder, &options)?;
            Ok::<_, LogError>(Arc::new(Shared::new(folder, options, store, &next)))
        });
        let shared = opened
            .await
            .map_err(|error| LogError::Unavailable(error.to_string()))??;
        let (leave, left) = oneshot::channel();
        let writing = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || {
                writer::run(&writing);
                let _ = leave.send(());
            })
            .map_err(|error| {
                LogError::Unavailable(format!("no thread for the log's writer: {error}"))
            })?;
        Ok(Self {
            shared,
            left: Mutex::new(Some(left)),
        })
    }

    /// Sends the valid records to the writer and waits for its answer.
    async fn append_valid(
        &self,
        records: Vec<NewRecord>,
        bytes: usize,
    ) -> Vec<Result<Position, AppendError>> {
        let count = records.len();
        if count == 0 {
            return Vec::new();
        }
        let all = |error: AppendError| vec![Err(error); count];
        let shared = &self.shared;
        let until = tokio::time::Instant::now() + shared.options.append_timeout;
        let room = match tokio::time::timeout(shared.options.room_wait(), shared.room(bytes, count))
            .await
        {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return all(AppendError::Closed),
            Err(_) => return all(AppendError::unavailable("the append queue is full")),
        };
        let (answer, answered) = oneshot::channel();
        if !shared.enqueue(Request {
            records,
            answer,
            _room: room,
        }) {
            return all(AppendError::Closed);
        }
        match tokio::time::timeout_at(until, answered).await {
            Ok(Ok(results)) => results,
            Ok(Err(_)) => all(AppendError::unknown("the log's writer stopped")),
            Err(_) => all(AppendError::unknown("the disk did not confirm in time")),
        }
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    fn generation(&self) -> u32 {
        self.shared.options.generation
    }

    fn partitions(&self) -> u32 {
        self.shared.options.partitions
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        let mut bytes = 0;
        let mut refused = Vec::new();
        for (index, record) in records.iter().enumerate() {
            match self.shared.refuse(record) {
                Some(error) => refused.push((index, error)),
                None => bytes += record.payload.len(),
            }
        }
        let mut valid = records;
        for (index, _) in refused.iter().rev() {
            valid.remove(*index);
        }
        let mut results = self.append_valid(valid, bytes).await;
        for (index, error) in refused {
            results.insert(index, Err(error));
        }
        self.shared.meters.appended(bytes, &results);
        results
    }

    async fn subscribe(&self, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        self.shared.check_open()?;
        Ok(Box::new(EmbeddedConsumer::join(
            Arc::clone(&self.shared),
            group,
        )))
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        let starts = self.shared.store()?.starts();
        let bounds = (0..)
            .zip(starts)
            .zip(&self.shared.ends)
            .map(|((partition, start), end)| Bounds {
                partition,
                start,
                end: end.load(Ordering::Acquire),
            });
        Ok(bounds.collect())
    }

    async fn read(
        &self,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.shared.check_partition(partition)?;
        self.shared
            .read_disk(partition, from, max_records, max_bytes)
            .await
    }

    async fn release(&self, below: &[(u32, u64)]) -> Result<(), LogError> {
        self.shared.check_open()?;
        for (partition, _) in below {
            self.shared.check_partition(*partition)?;
        }
        for (partition, offset) in below {
            self.shared.released[*partition as usize].fetch_max(*offset, Ordering::AcqRel);
        }
        Ok(())
    }

    async fn healthy(&self) -> Result<(), LogError> {
        let store = self.shared.store()?;
        // It waits for an fsync that is under way.
        let asked = spawn_blocking(move || store.healthy()).await;
        asked.map_err(|error| LogError::Unavailable(error.to_string()))?
    }

    async fn close(&self) -> Result<(), LogError> {
        self.shared.close();
        let left = self.left.lock().take();
        match left {
            Some(left) => left
                .await
                .map_err(|_| LogError::Damaged("the log's writer failed".to_owned())),
            None => Ok(()),
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        // The writer finishes what is queued and lets the folder go.
        self.shared.close();
    }
}
