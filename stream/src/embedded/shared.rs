//! What the handle, the writer and the consumers of an embedded log share.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, RwLock};
use schemas::Position;
use tokio::sync::{AcquireError, Notify, oneshot};

use super::group::Group;
use super::store::Store;
use super::tail::Tail;
use crate::metrics::Meters;
use crate::room::{Room, Rooms};
use crate::{AppendError, LogError, LogRecord, NewRecord, Options};

/// What a queued record weighs beside its payload.
const RECORD_OVERHEAD: usize = 64;

/// One append under way.
pub(super) struct Request {
    pub(super) records: Vec<NewRecord>,
    pub(super) answer: oneshot::Sender<Vec<Result<Position, AppendError>>>,
    pub(super) _room: Room,
}

pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) options: Options,
    /// Absent while the log recovers from a failed write, and after closing.
    pub(super) store: RwLock<Option<Arc<Store>>>,
    pub(super) queue: Mutex<VecDeque<Request>>,
    /// Wakes the writer.
    pub(super) queued: Condvar,
    room: Rooms,
    pub(super) meters: Meters,
    /// By partition: the offset after the last acknowledged record.
    pub(super) ends: Vec<AtomicU64>,
    pub(super) released: Vec<AtomicU64>,
    pub(super) tail: Mutex<Tail>,
    pub(super) groups: Mutex<HashMap<String, Group>>,
    pub(super) members: AtomicU64,
    /// Wakes consumers: records, rebalances, closing.
    pub(super) changed: Notify,
    closed: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(folder: PathBuf, options: Options, store: Store, next: &[u64]) -> Self {
        let partitions = options.partitions;
        Self {
            folder,
            store: RwLock::new(Some(Arc::new(store))),
            queue: Mutex::default(),
            queued: Condvar::new(),
            room: Rooms::new(options.queue_bytes),
            meters: Meters::new(),
            ends: next.iter().map(|next| AtomicU64::new(*next)).collect(),
            released: (0..partitions).map(|_| AtomicU64::new(0)).collect(),
            tail: Mutex::new(Tail::new(partitions, options.embedded.tail_bytes)),
            groups: Mutex::default(),
            members: AtomicU64::new(0),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
            options,
        }
    }

    /// Waits for room in the queue.
    pub(super) async fn room(&self, bytes: usize, records: usize) -> Result<Room, AcquireError> {
        self.room.take(bytes + records * RECORD_OVERHEAD).await
    }

    /// Hands a request to the writer. False when the log is closed.
    pub(super) fn enqueue(&self, request: Request) -> bool {
        let mut queue = self.queue.lock();
        // Checked under the lock: the writer leaves only with the queue empty and the log closed.
        if self.is_closed() {
            return false;
        }
        queue.push_back(request);
        drop(queue);
        self.queued.notify_one();
        true
    }

    /// Why a record cannot be taken at all.
    pub(super) fn refuse(&self, record: &NewRecord) -> Option<AppendError> {
        let (bytes, limit) = (record.payload.len(), self.options.max_record_bytes);
        if bytes > limit {
            return Some(AppendError::TooLarge { bytes, limit });
        }
        let (partition, partitions) = (record.partition, self.options.partitions);
        (partition >= partitions).then_some(AppendError::NoSuchPartition {
            partition,
            partitions,
        })
    }

    pub(super) fn check_partition(&self, partition: u32) -> Result<(), LogError> {
        let partitions = self.options.partitions;
        if partition < partitions {
            return Ok(());
        }
        Err(LogError::Misconfigured(format!(
            "the log has no partition {partition}, it has {partitions}"
        )))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn check_open(&self) -> Result<(), LogError> {
        if self.is_closed() {
            Err(LogError::Closed)
        } else {
            Ok(())
        }
    }

    /// The store, unless the log is closed or recovering.
    pub(super) fn store(&self) -> Result<Arc<Store>, LogError> {
        self.check_open()?;
        let store = self.store.read().clone();
        store.ok_or_else(|| {
            LogError::Unavailable("a write failed and the log is being reopened".to_owned())
        })
    }

    pub(super) async fn read_disk(
        &self,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let store = self.store()?;
        let end = self.ends[partition as usize].load(Ordering::Acquire);
        let read = move || store.read(partition, from, end, max_records, max_bytes);
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| LogError::Unavailable(error.to_string()))?
    }

    pub(super) fn close(&self) {
        let queue = self.queue.lock();
        self.closed.store(true, Ordering::Release);
        drop(queue);
        self.room.close();
        self.queued.notify_all();
        self.changed.notify_waiters();
    }
}
