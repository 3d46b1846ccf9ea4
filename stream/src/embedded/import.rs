//! Making an embedded log of records of another, with the offsets and times they had there.

use std::path::Path;

use lz4_flex::block::CompressTable;

use super::block::{self, Builder};
use super::store::Store;
use crate::{LogError, LogRecord, Options};

/// A block is closed at this size.
const BLOCK_BYTES: usize = 1 << 20;

/// A log that is being made. Blocking: use it off the event loop.
pub struct Import {
    store: Store,
    next: Vec<u64>,
    table: CompressTable,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Import {
    /// Begins a log in an empty folder whose partitions start at these offsets.
    ///
    /// # Errors
    /// Options that cannot work, a folder that holds a log or cannot be written.
    pub fn begin(folder: &Path, options: &Options, starts: &[u64]) -> Result<Self, LogError> {
        options.check()?;
        if starts.len() != options.partitions as usize {
            return Err(LogError::Misconfigured(format!(
                "{} partitions cannot start at {} offsets",
                options.partitions,
                starts.len()
            )));
        }
        let (store, next) = Store::open_at(folder, options, starts)?;
        if next != starts {
            return Err(LogError::Mismatch(format!(
                "{} holds a log already; name an empty folder",
                folder.display()
            )));
        }
        Ok(Self {
            store,
            next,
            table: CompressTable::large(),
        })
    }

    /// Adds records of one partition, which follow on those before. They are on disk when this returns.
    ///
    /// # Errors
    /// Records that do not follow, a disk that fails.
    pub fn add(&mut self, partition: u32, records: &[LogRecord]) -> Result<(), LogError> {
        let Some(next) = self.next.get_mut(partition as usize) else {
            return Err(LogError::Misconfigured(format!(
                "the log has no partition {partition}"
            )));
        };
        let mut blocks = Vec::new();
        let mut builder = Builder::default();
        let mut appended_at = 0;
        for (index, record) in records.iter().enumerate() {
            let (found, expected) = (record.position.offset, *next + u64::from(builder.count()));
            if found != expected {
                return Err(LogError::Damaged(format!(
                    "partition {partition} has offset {found} where {expected} follows"
                )));
            }
            builder.push(&record.payload, record.trace.as_deref());
            appended_at = record.appended_at;
            let same_time = records
                .get(index + 1)
                .is_some_and(|following| following.appended_at == appended_at);
            if !same_time || builder.len() >= BLOCK_BYTES {
                let first = *next;
                *next += u64::from(builder.count());
                let value = builder.finish(partition, first, appended_at, &mut self.table);
                blocks.push((block::key(partition, first), value));
            }
        }
        if blocks.is_empty() {
            return Ok(());
        }
        self.store
            .commit(blocks, appended_at)
            .map_err(|error| LogError::Unavailable(error.reason))
    }
}
