//! What the rest of the process can ask a running processor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use schemas::{Position, Timestamp};
use tokio::sync::watch;

use crate::lag::Lag;

/// How far one partition is, as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The log's generation.
    pub generation: u32,
    /// The partition.
    pub partition: u32,
    /// The next offset to apply: everything before it is in the warehouse.
    pub applied: u64,
    /// When the log took the last record applied, in microseconds since 1970; 0 before this process has applied one.
    pub appended_at: i64,
    /// The first offset that is not archived, as of the last commit of this process.
    pub archived: u64,
    /// Events applied.
    pub events: u64,
    /// Rejections applied, duplicates among them.
    pub rejections: u64,
    /// Duplicates applied.
    pub duplicates: u64,
    /// Control records applied.
    pub internal: u64,
    /// When its earliest timer is due.
    pub due: Option<Timestamp>,
}

/// A handle on a running processor. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    generation: u32,
    progress: watch::Sender<BTreeMap<u32, PartitionProgress>>,
    /// How many gatherings are still to be cut short.
    hurry: AtomicU8,
    lag: watch::Sender<Lag>,
    /// How many want the processor to stand still.
    holds: watch::Sender<usize>,
    /// Whether it may own partitions and write.
    driving: watch::Sender<bool>,
}

/// While it lives, the processor owns no partition and writes no state. After that it reads everything anew.
#[derive(Debug)]
pub struct Hold(Handle);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.shared.holds.send_modify(|holds| *holds -= 1);
    }
}

impl Handle {
    pub(crate) fn new(generation: u32) -> Self {
        let (progress, _) = watch::channel(BTreeMap::new());
        Self {
            shared: Arc::new(Shared {
                generation,
                progress,
                hurry: AtomicU8::new(0),
                lag: watch::Sender::new(Lag::default()),
                holds: watch::Sender::new(0),
                driving: watch::Sender::new(false),
            }),
        }
    }

    /// Waits until a position is applied, at most `timeout`. False also where its partition is somebody else's.
    pub async fn applied(&self, position: Position, timeout: Duration) -> bool {
        if position.generation != self.shared.generation {
            return false;
        }
        let mut progress = self.shared.progress.subscribe();
        let reached = progress.wait_for(|progress| {
            progress
                .get(&position.partition)
                .is_some_and(|partition| partition.applied > position.offset)
        });
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }

    /// Waits until a position is in the archive, at most `timeout`.
    pub async fn archived(&self, position: Position, timeout: Duration) -> bool {
        if position.generation != self.shared.generation {
            return false;
        }
        let mut progress = self.shared.progress.subscribe();
        let reached = progress.wait_for(|progress| {
            progress
                .get(&position.partition)
                .is_some_and(|partition| partition.archived > position.offset)
        });
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }

    /// Every partition this process owns, by number.
    pub fn progress(&self) -> Vec<PartitionProgress> {
        self.shared.progress.borrow().values().copied().collect()
    }

    /// Follows the progress: changes with every commit.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<u32, PartitionProgress>> {
        self.shared.progress.subscribe()
    }

    /// How far this process was behind a moment ago.
    pub fn lag(&self) -> Lag {
        *self.shared.lag.borrow()
    }

    pub(crate) fn is_behind(&self, lag: Lag) {
        self.shared.lag.send_replace(lag);
    }

    /// Somebody waits for what is in the log now: the cycles that hold it are not held back to gather more.
    pub fn wake(&self) {
        // Two, because the record may just miss the cycle under way.
        self.shared.hurry.store(2, Ordering::Release);
    }

    /// Makes the processor finish what it is writing and give up its partitions; returns when it has. Records that
    /// arrive meanwhile wait in the log.
    pub async fn hold(&self) -> Hold {
        self.shared.holds.send_modify(|holds| *holds += 1);
        let hold = Hold(self.clone());
        let mut driving = self.shared.driving.subscribe();
        // The sender lives as long as this handle.
        let _ = driving.wait_for(|driving| !driving).await;
        hold
    }

    /// Waits until somebody holds the processor, or until nobody does.
    pub(crate) async fn until_held(&self, held: bool) {
        let mut holds = self.shared.holds.subscribe();
        let _ = holds.wait_for(|holds| (*holds > 0) == held).await;
    }

    pub(crate) fn is_held(&self) -> bool {
        *self.shared.holds.borrow() > 0
    }

    pub(crate) fn set_driving(&self, driving: bool) {
        self.shared.driving.send_replace(driving);
    }

    pub(crate) fn take_hurry(&self) -> bool {
        let taken = self
            .shared
            .hurry
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                left.checked_sub(1)
            });
        taken.is_ok()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut BTreeMap<u32, PartitionProgress>)) {
        self.shared.progress.send_modify(change);
    }

    pub(crate) fn update_partition(
        &self,
        partition: u32,
        change: impl FnOnce(&mut PartitionProgress),
    ) {
        self.update(|progress| {
            if let Some(partition) = progress.get_mut(&partition) {
                change(partition);
            }
        });
    }
}
