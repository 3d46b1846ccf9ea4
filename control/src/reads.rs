//! Reads of personal data: noted in memory, written to the audit in batches.
//!
//! A read is in memory for a second, or as long as the database is away. Closing writes what is left, so only a crash loses
//! any; where more is waiting than memory is meant for, nobody reads until it is written.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use schemas::OrganizationId;

use crate::audit::{Actor, Entry};
use crate::control::{Control, Inner};
use crate::error::ControlError;

const WRITE_AFTER: Duration = Duration::from_secs(1);
/// What may wait, in bytes.
const MOST_BYTES: usize = 8 << 20;
/// Entries of one transaction: SQLite has one writer.
const BATCH: usize = 1_000;

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    queue: Mutex<Queue>,
    /// Held by the one who writes, so that closing waits for it.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// Whether somebody is going to write.
    scheduled: bool,
    closed: bool,
}

impl Reads {
    fn is_full(&self) -> bool {
        self.queue.lock().bytes >= MOST_BYTES
    }

    /// Appends entries; whether somebody has to be told to write them.
    fn push(&self, entries: Vec<Entry>) -> Result<bool, ControlError> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(sqlx::Error::PoolClosed.into());
        }
        queue.bytes += entries.iter().map(Entry::bytes).sum::<usize>();
        queue.entries.extend(entries.into_iter().map(Arc::new));
        let idle = !queue.scheduled && !queue.entries.is_empty();
        queue.scheduled |= idle;
        Ok(idle)
    }

    /// The oldest entries. They stay until they are written, however the writer ends.
    fn first(&self, most: usize) -> Vec<Arc<Entry>> {
        self.queue
            .lock()
            .entries
            .iter()
            .take(most)
            .cloned()
            .collect()
    }

    fn written(&self, count: usize) {
        let mut queue = self.queue.lock();
        let gone: usize = queue
            .entries
            .drain(..count)
            .map(|entry| entry.bytes())
            .sum();
        queue.bytes = queue.bytes.saturating_sub(gone);
    }

    /// Whether the writer may end.
    fn rest(&self) -> bool {
        let mut queue = self.queue.lock();
        queue.scheduled = !queue.entries.is_empty() && !queue.closed;
        !queue.scheduled
    }

    /// Takes no more; how many entries are left.
    pub(crate) fn close(&self) -> usize {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.entries.len()
    }
}

impl Inner {
    /// Writes what was waiting when it was called.
    pub(crate) async fn write_reads(&self) -> Result<(), ControlError> {
        let _writing = self.reads.writing.lock().await;
        let mut left = self.reads.queue.lock().entries.len();
        while left > 0 {
            let batch = self.reads.first(left.min(BATCH));
            let mut transaction = self.db.begin().await?;
            for entry in &batch {
                transaction.execute(Entry::INSERT, entry.row()).await?;
            }
            transaction.commit().await?;
            self.reads.written(batch.len());
            left -= batch.len();
        }
        Ok(())
    }
}

/// Writes a little later, until nothing is left or the database is closed.
fn write_soon(inner: Weak<Inner>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(WRITE_AFTER).await;
            let Some(inner) = inner.upgrade() else { return };
            if let Err(error) = inner.write_reads().await {
                tracing::warn!(%error, "reads of personal data are not in the audit yet, trying again");
            }
            if inner.reads.rest() {
                return;
            }
        }
    });
}

impl Control {
    /// Notes that somebody has read records of persons, such as customers: an entry `read` for each id. They are in the
    /// audit a second later. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When too many wait because the database does not answer: what was to be read must not be shown then.
    pub async fn note_read<I>(
        &self,
        organization: &OrganizationId,
        record: &str,
        ids: I,
    ) -> Result<(), ControlError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let (at, actor) = (self.now(), self.actor());
        let entry = |id: I::Item| {
            let actor = Arc::<Actor>::clone(&actor);
            Entry::new(at, organization, actor, "read", record, id.as_ref())
        };
        let entries = ids.into_iter().map(entry).collect();
        let inner = self.inner();
        if inner.reads.is_full() {
            inner.write_reads().await?;
        }
        if inner.reads.push(entries)? {
            write_soon(Arc::downgrade(inner));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use schemas::Timestamp;

    use super::*;

    fn entries(count: usize) -> Vec<Entry> {
        let organization = OrganizationId::from_text("org_1");
        let actor = Arc::new(Actor::system());
        let entry = |number: usize| {
            let (at, id) = (Timestamp::from_micros(0), number.to_string());
            Entry::new(at, &organization, actor.clone(), "read", "customer", &id)
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn entries_wait_until_they_are_written_and_take_what_they_take() {
        let reads = Reads::default();
        assert!(!reads.push(Vec::new()).unwrap(), "nothing to write");
        assert!(reads.push(entries(3)).unwrap());
        assert!(!reads.push(entries(2)).unwrap(), "somebody writes already");
        assert_eq!(reads.first(4).len(), 4);
        assert_eq!(reads.first(9).len(), 5, "a failed write must come again");
        reads.written(4);
        assert!(!reads.rest());
        reads.written(1);
        assert!(reads.rest());
        assert_eq!(reads.queue.lock().bytes, 0);
        while !reads.is_full() {
            reads.push(entries(1_000)).unwrap();
        }
        let waiting = reads.queue.lock().entries.len();
        assert!((10_000..60_000).contains(&waiting), "{waiting}");
        assert_eq!(reads.close(), waiting);
        assert!(reads.push(entries(1)).unwrap_err().is_retryable());
    }
}
