//! The one thread that writes: group commit, recovery after a failed write, rolling and retention.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lz4_flex::block::CompressTable;
use schemas::Position;

use super::block::{self, Builder};
use super::shared::{Request, Shared};
use super::store::{CommitError, Store};
use crate::{AppendError, LogRecord};

/// A group commit takes no more than this, so that its answer does not wait for everybody.
const GROUP_BYTES: usize = 8 << 20;
/// A block is closed at this size: what a reader has to unpack at once.
const BLOCK_BYTES: usize = 1 << 20;
/// An age-based retention is exact to this part of it.
const SEGMENTS_PER_AGE: u32 = 8;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// Runs until the log is closed and everything queued is answered.
pub(super) fn run(shared: &Shared) {
    let _leaving = Leaving(shared);
    let mut writer = Writer::new(shared);
    while let Some(group) = writer.next_group() {
        if group.is_empty() {
            writer.maintain();
            continue;
        }
        match writer.commit(&group) {
            Ok(committed) => writer.publish(group, committed),
            Err(error) => writer.fail(group, &error),
        }
        if writer.maintenance_at <= Instant::now() || writer.segment_is_full() {
            writer.maintain();
        }
    }
}

/// However the writer ends, nobody waits for it any more and the folder is free.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.0.queue.lock().clear();
        *self.0.store.write() = None;
        self.0.changed.notify_waiters();
    }
}

/// What a group commit wrote.
struct Committed {
    appended_at: i64,
    next: Vec<u64>,
}

struct Writer<'a> {
    shared: &'a Shared,
    next: Vec<u64>,
    builders: Vec<Builder>,
    table: CompressTable,
    last_appended_at: i64,
    maintenance_at: Instant,
}

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared) -> Self {
        let next: Vec<u64> = shared
            .ends
            .iter()
            .map(|end| end.load(Ordering::Acquire))
            .collect();
        Self {
            shared,
            builders: next.iter().map(|_| Builder::default()).collect(),
            next,
            table: CompressTable::large(),
            last_appended_at: 0,
            maintenance_at: Instant::now() + shared.options.retention_interval,
        }
    }

    /// What is waiting; empty when maintenance is due, `None` when the log is closed and the queue empty.
    fn next_group(&self) -> Option<Vec<Request>> {
        let mut queue = self.shared.queue.lock();
        while queue.is_empty() {
            if self.shared.is_closed() {
                return None;
            }
            if self
                .shared
                .queued
                .wait_until(&mut queue, self.maintenance_at)
                .timed_out()
            {
                return Some(Vec::new());
            }
        }
        let mut bytes = 0;
        let mut group = Vec::new();
        while let Some(request) = queue.front() {
            let size: usize = request
                .records
                .iter()
                .map(|record| record.payload.len())
                .sum();
            if !group.is_empty() && bytes + size > GROUP_BYTES {
                break;
            }
            bytes += size;
            group.extend(queue.pop_front());
        }
        Some(group)
    }

    fn commit(&mut self, group: &[Request]) -> Result<Committed, CommitError> {
        let Some(store) = self.shared.store.read().clone() else {
            let reason = "a write failed and the log is being reopened".to_owned();
            return Err(CommitError {
                reason,
                may_have_landed: false,
            });
        };
        let begun = Instant::now();
        let appended_at = self.now();
        let mut next = self.next.clone();
        let mut blocks = Vec::new();
        for record in group.iter().flat_map(|request| &request.records) {
            let index = record.partition as usize;
            let builder = &mut self.builders[index];
            builder.push(&record.payload, record.trace.as_deref());
            if builder.len() >= BLOCK_BYTES {
                blocks.push(seal(
                    builder,
                    record.partition,
                    &mut next[index],
                    appended_at,
                    &mut self.table,
                ));
            }
        }
        for (partition, builder) in (0..).zip(&mut self.builders) {
            if !builder.is_empty() {
                let next = &mut next[partition as usize];
                blocks.push(seal(builder, partition, next, appended_at, &mut self.table));
            }
            builder.shrink(2 * BLOCK_BYTES);
        }
        store.commit(blocks, appended_at)?;
        let records = group.iter().map(|request| request.records.len()).sum();
        self.shared.meters.committed(records, begun.elapsed());
        Ok(Committed { appended_at, next })
    }

    /// Shows the records to readers, then answers.
    fn publish(&mut self, group: Vec<Request>, committed: Committed) {
        let Committed { appended_at, next } = committed;
        let generation = self.shared.options.generation;
        let mut offsets = std::mem::replace(&mut self.next, next);
        let mut runs: Vec<Vec<LogRecord>> = offsets
            .iter()
            .zip(&self.next)
            .map(|(first, end)| Vec::with_capacity((end - first) as usize))
            .collect();
        let mut answers = Vec::with_capacity(group.len());
        for request in group {
            let mut results = Vec::with_capacity(request.records.len());
            for record in request.records {
                let partition = record.partition;
                let offset = &mut offsets[partition as usize];
                let position = Position {
                    generation,
                    partition,
                    offset: *offset,
                };
                *offset += 1;
                results.push(Ok(position));
                runs[partition as usize].push(LogRecord {
                    position,
                    payload: record.payload,
                    decoded: record.decoded,
                    appended_at,
                    trace: record.trace,
                });
            }
            answers.push((request.answer, results));
        }
        {
            let mut tail = self.shared.tail.lock();
            for (partition, run) in (0..).zip(runs) {
                tail.push(partition, run);
            }
        }
        for (end, next) in self.shared.ends.iter().zip(&self.next) {
            end.store(*next, Ordering::Release);
        }
        self.shared.changed.notify_waiters();
        for (answer, results) in answers {
            // Nobody waits any more: the client went away, the record stays.
            let _ = answer.send(results);
        }
    }

    /// Answers a group that was not written, and reopens the log when it has to be.
    fn fail(&mut self, group: Vec<Request>, error: &CommitError) {
        tracing::warn!(
            reason = error.reason,
            "an append failed; the log is reopened, and its senders are told to send again"
        );
        let error = if error.may_have_landed {
            AppendError::unknown(error.reason.as_str())
        } else {
            AppendError::unavailable(error.reason.as_str())
        };
        answer_all(group, &error);
        self.recover();
    }

    /// Opens the store anew until that works: what the failed one held in memory is not to be trusted.
    fn recover(&mut self) {
        *self.shared.store.write() = None;
        let mut backoff = FIRST_BACKOFF;
        loop {
            let opened =
                Store::open(&self.shared.folder, &self.shared.options).and_then(|(store, next)| {
                    store.flush()?;
                    Ok((store, next))
                });
            match opened {
                Ok((store, next)) => {
                    self.resume(store, next);
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the log takes no appends; look at its disk; it is tried again by itself");
                    if self.refuse_for(backoff) {
                        return;
                    }
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                }
            }
        }
    }

    fn resume(&mut self, store: Store, next: Vec<u64>) {
        // An append of unknown outcome may have landed: then it is part of the log now.
        self.shared.tail.lock().clear();
        for (end, next) in self.shared.ends.iter().zip(&next) {
            end.store(*next, Ordering::Release);
        }
        self.next = next;
        *self.shared.store.write() = Some(Arc::new(store));
        self.shared.changed.notify_waiters();
        tracing::info!("the log takes appends again");
    }

    /// Answers what arrives for so long. True when the log was closed meanwhile.
    fn refuse_for(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let mut queue = self.shared.queue.lock();
            let group: Vec<Request> = queue.drain(..).collect();
            if group.is_empty() {
                if self.shared.is_closed() {
                    return true;
                }
                if self.shared.queued.wait_until(&mut queue, until).timed_out() {
                    return false;
                }
            }
            drop(queue);
            answer_all(
                group,
                &AppendError::unavailable("a write failed and the log is being reopened"),
            );
        }
    }

    fn segment_is_full(&self) -> bool {
        self.shared
            .store
            .read()
            .as_ref()
            .is_some_and(|store| store.newest_is_full())
    }

    /// Begins a new segment when one is due and deletes what may go.
    fn maintain(&mut self) {
        let options = &self.shared.options;
        self.maintenance_at = Instant::now() + options.retention_interval;
        let Some(store) = self.shared.store.read().clone() else {
            self.recover();
            return;
        };
        let now = self.now();
        let released: Vec<u64> = self
            .shared
            .released
            .iter()
            .map(|offset| offset.load(Ordering::Acquire))
            .collect();
        let done = store
            .roll_if_due(&self.next, now, options.retention_age / SEGMENTS_PER_AGE)
            .and_then(|_| store.retain(&released, options, now));
        self.shared.meters.on_disk(store.bytes());
        match done {
            Ok(0) => {}
            Ok(segments) => tracing::info!(segments, "released segments of the log were deleted"),
            Err(error) => {
                tracing::warn!(%error, "the log cannot be maintained; it is reopened");
                drop(store);
                self.recover();
            }
        }
    }

    /// Microseconds since the epoch, never before the last.
    fn now(&mut self) -> i64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        self.last_appended_at = now.max(self.last_appended_at);
        self.last_appended_at
    }
}

fn seal(
    builder: &mut Builder,
    partition: u32,
    next: &mut u64,
    appended_at: i64,
    table: &mut CompressTable,
) -> ([u8; 12], Vec<u8>) {
    let first = *next;
    *next += u64::from(builder.count());
    (
        block::key(partition, first),
        builder.finish(partition, first, appended_at, table),
    )
}

fn answer_all(group: Vec<Request>, error: &AppendError) {
    for request in group {
        let results = vec![Err(error.clone()); request.records.len()];
        let _ = request.answer.send(results);
    }
}
