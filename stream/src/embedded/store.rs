//! The log on disk: one fjall database whose keyspaces are segments.
//!
//! A segment takes the blocks of all partitions until it is full; then the next one is begun. Retention deletes
//! whole segments, so that nothing is ever compacted or rewritten: an event is written to the journal and once
//! to a table. A segment's record in the keyspace `state` holds the first offset it may contain of every
//! partition (its base). The bases of the oldest segment are where the log starts; those of the newest are a
//! durable lower limit of the next offsets, even when all that was before them is gone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::RwLock;
use schemas::Position;
use schemas::crash::{Point, Step, point, skipped};

use super::block;
use super::identity::{check_identity, open_error, storage_error};
use super::journal::cut_torn_batch;
use super::segment::{Full, Segment, SegmentRecord, age, keyspace_name};
use crate::{LogError, LogRecord, Options};

const STATE: &str = "state";
/// Memtables of a segment. fjall stalls at 20 runs, and below that it need not compact.
const TABLES_PER_SEGMENT: u64 = 8;
/// How long the first flush after a failure may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Store {
    database: Database,
    state: Keyspace,
    generation: u32,
    partitions: u32,
    segment_bytes: u64,
    /// Oldest first, never empty.
    segments: RwLock<Vec<Arc<Segment>>>,
}

/// Why a group commit failed.
pub(super) struct CommitError {
    pub(super) reason: String,
    /// Whether the blocks may be in the log all the same.
    pub(super) may_have_landed: bool,
}

impl Store {
    /// Opens the folder and returns the next offset of every partition.
    pub(super) fn open(folder: &Path, options: &Options) -> Result<(Self, Vec<u64>), LogError> {
        Self::open_at(folder, options, &vec![0; options.partitions as usize])
    }

    /// The same; a log that is made here has these as its first offsets.
    pub(super) fn open_at(
        folder: &Path,
        options: &Options,
        starts: &[u64],
    ) -> Result<(Self, Vec<u64>), LogError> {
        std::fs::create_dir_all(folder).map_err(|error| {
            LogError::Unavailable(format!("cannot create {}: {error}", folder.display()))
        })?;
        let database = match open_database(folder, options) {
            Err(fjall::Error::JournalRecovery(_)) if cut_torn_batch(folder).unwrap_or(false) => {
                open_database(folder, options)
            }
            opened => opened,
        };
        let database = database.map_err(|error| open_error(folder, error))?;
        let failed = |error: fjall::Error| storage_error(&error);
        let state = database
            .keyspace(STATE, || {
                KeyspaceCreateOptions::default().max_memtable_size(1 << 20)
            })
            .map_err(failed)?;
        check_identity(folder, &database, &state, options)?;

        let mut store = Self {
            database,
            state,
            generation: options.generation,
            partitions: options.partitions,
            segment_bytes: options.embedded.segment_bytes,
            segments: RwLock::new(Vec::new()),
        };
        store.load_segments()?;
        let next = if store.segments.read().is_empty() {
            store.begin_segment(1, starts.to_vec()).map_err(failed)?;
            starts.to_vec()
        } else {
            store.scan_newest()?
        };
        Ok((store, next))
    }

    fn load_segments(&mut self) -> Result<(), LogError> {
        let failed = |error: fjall::Error| storage_error(&error);
        let mut segments = Vec::new();
        for entry in self.state.prefix(SegmentRecord::PREFIX) {
            let (key, value) = entry.into_inner().map_err(failed)?;
            let number = SegmentRecord::number(&key)
                .ok_or_else(|| LogError::Damaged("a segment has no number".to_owned()))?;
            let record: SegmentRecord = serde_json::from_slice(&value).map_err(|error| {
                LogError::Damaged(format!("the record of segment {number}: {error}"))
            })?;
            if record.base.len() != self.partitions as usize {
                return Err(LogError::Damaged(format!(
                    "segment {number} knows {} partitions, not {}",
                    record.base.len(),
                    self.partitions
                )));
            }
            if !self.database.keyspace_exists(&keyspace_name(number)) {
                return Err(LogError::Damaged(format!("segment {number} is missing")));
            }
            segments.push(Arc::new(Segment {
                number,
                keyspace: self.open_keyspace(number).map_err(failed)?,
                base: record.base,
                bytes: AtomicU64::new(record.full.map_or(0, |full| full.bytes)),
                begun_at: AtomicI64::new(0),
                appended_at: AtomicI64::new(record.full.map_or(0, |full| full.appended_at)),
            }));
        }
        // A crash between a segment and its record leaves one without the other: an empty new one, or an old one
        // that retention had already struck out.
        for name in self.database.list_keyspace_names() {
            if &*name != STATE
                && !segments
                    .iter()
                    .any(|segment| keyspace_name(segment.number) == *name)
            {
                let keyspace = self
                    .database
                    .keyspace(&name, KeyspaceCreateOptions::default)
                    .map_err(failed)?;
                self.database.delete_keyspace(keyspace).map_err(failed)?;
            }
        }
        self.segments = RwLock::new(segments);
        Ok(())
    }

    /// Checks the newest segment, block by block, and says where each partition goes on.
    fn scan_newest(&self) -> Result<Vec<u64>, LogError> {
        let newest = self.newest();
        let mut next = newest.base.clone();
        let mut bytes = 0;
        let mut begun_at = i64::MAX;
        let mut appended_at = 0;
        for entry in newest.keyspace.iter() {
            let (key, value) = entry.into_inner().map_err(|error| storage_error(&error))?;
            let (partition, first) = block::split_key(&key)
                .filter(|(partition, _)| *partition < self.partitions)
                .ok_or_else(|| {
                    LogError::Damaged(format!("segment {} has a foreign entry", newest.number))
                })?;
            let header = block::check(partition, first, &value).map_err(LogError::Damaged)?;
            let expected = &mut next[partition as usize];
            if first != *expected {
                return Err(LogError::Damaged(format!(
                    "partition {partition} goes on at offset {first} instead of {expected}"
                )));
            }
            *expected += u64::from(header.count);
            bytes += value.len() as u64;
            begun_at = header.appended_at.min(begun_at);
            appended_at = header.appended_at.max(appended_at);
        }
        newest.bytes.store(bytes, Ordering::Relaxed);
        newest
            .begun_at
            .store(if bytes == 0 { 0 } else { begun_at }, Ordering::Relaxed);
        newest.appended_at.store(appended_at, Ordering::Relaxed);
        Ok(next)
    }

    /// Writes blocks to the newest segment. They are on disk when this returns `Ok`.
    pub(super) fn commit(
        &self,
        blocks: Vec<([u8; 12], Vec<u8>)>,
        appended_at: i64,
    ) -> Result<(), CommitError> {
        let newest = self.newest();
        let mut bytes = 0;
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (key, value) in blocks {
            bytes += value.len() as u64;
            batch.insert(&newest.keyspace, key, value);
        }
        batch.commit().map_err(|error| CommitError {
            // A poisoned database refuses before it writes.
            may_have_landed: !matches!(error, fjall::Error::Poisoned),
            reason: error.to_string(),
        })?;
        point(Point::LogBeforeSync);
        if !skipped(Step::LogSync) {
            // Whatever is wrong by now, the blocks are written.
            self.database
                .persist(PersistMode::SyncAll)
                .map_err(|error| CommitError {
                    may_have_landed: true,
                    reason: error.to_string(),
                })?;
        }
        point(Point::LogAfterSync);
        if newest.bytes.fetch_add(bytes, Ordering::Relaxed) == 0 {
            newest.begun_at.store(appended_at, Ordering::Relaxed);
        }
        newest.appended_at.store(appended_at, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn newest_is_full(&self) -> bool {
        self.newest().bytes.load(Ordering::Relaxed) >= self.segment_bytes
    }

    /// Begins a new segment when the newest is full, or old enough for retention to want it whole.
    pub(super) fn roll_if_due(
        &self,
        next: &[u64],
        now: i64,
        most_age: Duration,
    ) -> Result<bool, fjall::Error> {
        let newest = self.newest();
        let bytes = newest.bytes.load(Ordering::Relaxed);
        let appended_at = newest.appended_at.load(Ordering::Relaxed);
        let full = bytes >= self.segment_bytes;
        let old = bytes > 0 && age(newest.begun_at.load(Ordering::Relaxed), now) > most_age;
        if !full && !old {
            return Ok(false);
        }
        let record = SegmentRecord {
            base: newest.base.clone(),
            full: Some(Full { bytes, appended_at }),
        };
        self.state
            .insert(SegmentRecord::key(newest.number), record.encode())?;
        point(Point::SegmentFull);
        // Its last memtable would hold up the journal.
        newest.keyspace.rotate_memtable()?;
        self.begin_segment(newest.number + 1, next.to_vec())?;
        self.state.rotate_memtable()?;
        Ok(true)
    }

    fn begin_segment(&self, number: u64, base: Vec<u64>) -> Result<(), fjall::Error> {
        let keyspace = self.open_keyspace(number)?;
        point(Point::SegmentBegun);
        let record = SegmentRecord {
            base: base.clone(),
            full: None,
        };
        self.state
            .insert(SegmentRecord::key(number), record.encode())?;
        self.database.persist(PersistMode::SyncAll)?;
        self.segments.write().push(Arc::new(Segment {
            number,
            keyspace,
            base,
            bytes: AtomicU64::new(0),
            begun_at: AtomicI64::new(0),
            appended_at: AtomicI64::new(0),
        }));
        Ok(())
    }

    /// Deletes the oldest segments whose records are all released and that are too old, or one too many for
    /// the size. Returns how many.
    pub(super) fn retain(
        &self,
        released: &[u64],
        options: &Options,
        now: i64,
    ) -> Result<usize, fjall::Error> {
        let mut deleted = 0;
        loop {
            let segments = self.segments.read().clone();
            let [oldest, second, ..] = &segments[..] else {
                return Ok(deleted);
            };
            let needed = second
                .base
                .iter()
                .zip(released)
                .any(|(end, released)| end > released);
            let bytes = self.bytes();
            let old = age(oldest.appended_at.load(Ordering::Relaxed), now) > options.retention_age;
            if needed || !(old || bytes > options.retention_bytes) {
                return Ok(deleted);
            }
            point(Point::RetentionBefore);
            // The record goes first: a segment without one is cleared away at the next opening.
            self.state.remove(SegmentRecord::key(oldest.number))?;
            self.database.persist(PersistMode::SyncAll)?;
            point(Point::RetentionRecordRemoved);
            let removed = self.segments.write().remove(0);
            self.database.delete_keyspace(removed.keyspace.clone())?;
            point(Point::RetentionAfter);
            deleted += 1;
        }
    }

    /// Bytes of all blocks.
    pub(super) fn bytes(&self) -> u64 {
        let segments = self.segments.read();
        let bytes = segments
            .iter()
            .map(|segment| segment.bytes.load(Ordering::Relaxed));
        bytes.sum()
    }

    /// First kept offset of every partition.
    pub(super) fn starts(&self) -> Vec<u64> {
        self.segments.read()[0].base.clone()
    }

    /// Records `from..end` of a partition, at most so many; `end` is what has been acknowledged.
    pub(super) fn read(
        &self,
        partition: u32,
        from: u64,
        end: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let index = partition as usize;
        let segments = self.segments.read().clone();
        let start = segments[0].base[index];
        if from < start || from > end {
            return Err(LogError::OutOfRange {
                partition,
                offset: from,
                start,
                end,
            });
        }
        let holding = segments.partition_point(|segment| segment.base[index] <= from) - 1;
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        for segment in &segments[holding..] {
            let range = segment
                .range_from(partition, next)
                .map_err(|error| storage_error(&error))?;
            for entry in range {
                if next >= end
                    || records.len() >= max_records
                    || (bytes >= max_bytes && !records.is_empty())
                {
                    return Ok(records);
                }
                let (key, value) = entry.into_inner().map_err(|error| storage_error(&error))?;
                let first = block::split_key(&key).map_or(u64::MAX, |(_, first)| first);
                let (header, payloads) =
                    block::payloads(partition, first, &value).map_err(LogError::Damaged)?;
                if first > next || first + u64::from(header.count) <= next {
                    return Err(LogError::Damaged(format!(
                        "offset {next} of partition {partition} is missing"
                    )));
                }
                for (payload, trace) in payloads.into_iter().skip((next - first) as usize) {
                    let full = records.len() >= max_records || bytes + payload.len() > max_bytes;
                    if next >= end || (full && !records.is_empty()) {
                        return Ok(records);
                    }
                    bytes += payload.len();
                    let position = Position {
                        generation: self.generation,
                        partition,
                        offset: next,
                    };
                    records.push(LogRecord {
                        position,
                        payload,
                        decoded: None,
                        appended_at: header.appended_at,
                        trace: trace.map(Arc::new),
                    });
                    next += 1;
                }
            }
        }
        if records.is_empty() && next < end {
            return Err(LogError::Damaged(format!(
                "offset {next} of partition {partition} is missing"
            )));
        }
        Ok(records)
    }

    /// Moves what came back from the journal into tables. After a failed fsync the journal's pages may be in
    /// memory only, and no later fsync of them can be trusted.
    pub(super) fn flush(&self) -> Result<(), LogError> {
        let segments = self.segments.read().clone();
        let keyspaces: Vec<&Keyspace> = segments
            .iter()
            .map(|segment| &segment.keyspace)
            .chain([&self.state])
            .collect();
        for keyspace in &keyspaces {
            keyspace
                .rotate_memtable()
                .map_err(|error| storage_error(&error))?;
        }
        let begun = Instant::now();
        while keyspaces
            .iter()
            .any(|keyspace| keyspace.sealed_memtable_count() > 0)
        {
            if begun.elapsed() > FLUSH_TIMEOUT {
                return Err(LogError::Timeout(FLUSH_TIMEOUT));
            }
            // Says so when the flush has failed.
            self.database
                .persist(PersistMode::Buffer)
                .map_err(|error| storage_error(&error))?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether the database still takes writes.
    pub(super) fn healthy(&self) -> Result<(), LogError> {
        self.database
            .persist(PersistMode::Buffer)
            .map_err(|error| storage_error(&error))
    }

    fn newest(&self) -> Arc<Segment> {
        let segments = self.segments.read();
        Arc::clone(segments.last().expect("an open log has a segment"))
    }

    fn open_keyspace(&self, number: u64) -> Result<Keyspace, fjall::Error> {
        self.database.keyspace(&keyspace_name(number), || {
            let table = (self.segment_bytes / TABLES_PER_SEGMENT).clamp(1 << 20, 32 << 20);
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(table)
                .data_block_compression_policy(fjall::config::CompressionPolicy::disabled())
                // Blocks are found by range, never by exact key.
                .filter_policy(fjall::config::FilterPolicy::disabled())
                .compaction_strategy(Arc::new(
                    fjall::compaction::Leveled::default().with_l0_threshold(u8::MAX),
                ))
        })
    }
}

fn open_database(folder: &Path, options: &Options) -> Result<Database, fjall::Error> {
    Database::builder(folder)
        .cache_size(options.embedded.cache_bytes)
        .worker_threads(2)
        .max_cached_files(Some(256))
        .max_journaling_size(128 << 20)
        // Blocks are compressed already, and every group commit asks for its fsync itself.
        .journal_compression(fjall::CompressionType::None)
        .manual_journal_persist(true)
        .open()
}
