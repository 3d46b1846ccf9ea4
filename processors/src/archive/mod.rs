//! The archiver: commits what is applied to the archive, each event exactly once.
//!
//! For the partitions this process owns. What fails here is tried again and never holds up the state; what the state
//! does waits here in bounded memory, and beyond that is read back from the warehouse.

mod cache;
mod commit;
mod inbox;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stream::Log;
use warehouse::Warehouse;
use warehouse::archive::Archive;

pub(crate) use cache::Budget;
use cache::Cache;
pub(crate) use inbox::{Inbox, Teller, inbox};

use crate::error::ProcessorError;
use crate::handle::Handle;
use crate::metrics as names;
use crate::rows::Cycle;
use crate::service::ArchiveRoll;

/// What the driver tells the archiver.
#[derive(Debug)]
pub(crate) enum Message {
    /// A partition is ours, applied up to `next` with so many events.
    Assigned {
        partition: u32,
        next: u64,
        events: u64,
    },
    /// Partitions are somebody else's.
    Lost(Vec<u32>),
    /// A cycle is in the warehouse.
    Committed {
        /// What it did, as (partition, from, next, events in all).
        parts: Vec<(u32, u64, u64, u64)>,
        /// Its rows, if there was room.
        rows: Option<cache::Held>,
        /// Events in it.
        count: usize,
    },
}

impl Message {
    pub(crate) fn committed(cycle: &Arc<Cycle>, budget: &Budget) -> Self {
        let parts = cycle.parts.iter();
        let parts = parts
            .map(|part| (part.partition, part.from, part.next(), part.progress.events))
            .collect();
        let events = &cycle.tables[0];
        Message::Committed {
            parts,
            count: events.num_rows(),
            rows: budget.hold(events),
        }
    }
}

/// How far an owned partition is.
#[derive(Debug, Clone, Copy)]
struct Owned {
    /// Applied up to here.
    next: u64,
    /// With so many events in all.
    events: u64,
    /// Archived up to here, as far as is known.
    archived: u64,
}

pub(crate) struct Archiver {
    log: Arc<dyn Log>,
    warehouse: Arc<dyn Warehouse>,
    archive: Archive,
    roll: ArchiveRoll,
    handle: Handle,
    cache: Cache,
    owned: BTreeMap<u32, Owned>,
    /// Events applied and not archived, as far as is known.
    waiting: usize,
    /// Since when something waits, and since when nothing more has come.
    oldest: Option<Instant>,
    newest: Instant,
    /// Not before this: something failed.
    not_before: Option<Instant>,
    failures: u32,
    commits: u32,
    maintenance: Option<tokio::task::JoinHandle<()>>,
}

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// Attempts to archive the rest at the end of the process; what is left is archived at the next start.
const LAST_ATTEMPTS: u32 = 3;

impl Archiver {
    pub(crate) fn new(
        log: Arc<dyn Log>,
        warehouse: Arc<dyn Warehouse>,
        archive: Archive,
        roll: ArchiveRoll,
        handle: Handle,
        budget: Budget,
    ) -> Self {
        Self {
            log,
            warehouse,
            archive,
            roll,
            handle,
            cache: Cache::new(budget),
            owned: BTreeMap::new(),
            waiting: 0,
            oldest: None,
            newest: Instant::now(),
            not_before: None,
            failures: 0,
            commits: 0,
            maintenance: None,
        }
    }

    /// Runs until the driver is gone, then archives what is left.
    pub(crate) async fn run(mut self, inbox: Inbox) -> Result<(), ProcessorError> {
        loop {
            let wait = self.next_look();
            match tokio::time::timeout(wait, inbox.take()).await {
                Ok(Some(messages)) => messages.into_iter().for_each(|message| self.take(message)),
                Ok(None) => break,
                Err(_) => {}
            }
            if self.is_due() {
                self.attempt().await;
            }
        }
        for _ in 0..LAST_ATTEMPTS {
            if self.oldest.is_none() {
                break;
            }
            self.attempt().await;
        }
        if let Some(maintenance) = self.maintenance.take() {
            let _ = maintenance.await;
        }
        match self.oldest {
            None => Ok(()),
            Some(_) => Err(ProcessorError::NotArchived),
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Assigned {
                partition,
                next,
                events,
            } => {
                self.owned.insert(
                    partition,
                    Owned {
                        next,
                        events,
                        archived: 0,
                    },
                );
                self.cache.begin(partition, next);
                // Another owner may have left something to archive.
                self.waits(1);
            }
            Message::Lost(partitions) => {
                self.owned
                    .retain(|partition, _| !partitions.contains(partition));
                self.cache.forget(&partitions);
            }
            Message::Committed { parts, rows, count } => {
                metrics::gauge!(names::ARCHIVE_QUEUE_BYTES).set(self.cache.bytes() as f64);
                for (partition, _, next, events) in &parts {
                    if let Some(owned) = self.owned.get_mut(partition) {
                        owned.next = *next;
                        owned.events = *events;
                    }
                }
                self.cache.add(&parts, rows);
                self.waits(count.max(1));
            }
        }
    }

    fn waits(&mut self, count: usize) {
        self.waiting += count;
        self.newest = Instant::now();
        self.oldest.get_or_insert(self.newest);
    }

    fn is_due(&self) -> bool {
        let Some(oldest) = self.oldest else {
            return false;
        };
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return false;
        }
        self.waiting >= self.roll.min_rows
            || self.cache.bytes() >= self.roll.min_bytes
            || oldest.elapsed() >= self.roll.max_age
            || self.newest.elapsed() >= self.roll.idle
    }

    fn next_look(&self) -> Duration {
        let Some(oldest) = self.oldest else {
            return Duration::from_secs(3600);
        };
        let idle = self.roll.idle.saturating_sub(self.newest.elapsed());
        let age = self.roll.max_age.saturating_sub(oldest.elapsed());
        let barred = self.not_before.map_or(Duration::ZERO, |time| {
            time.saturating_duration_since(Instant::now())
        });
        idle.min(age).max(barred).max(Duration::from_millis(10))
    }

    async fn attempt(&mut self) {
        let begun = Instant::now();
        match self.commit().await {
            Ok(rows) => {
                self.oldest = None;
                self.waiting = 0;
                self.failures = 0;
                self.not_before = None;
                if rows > 0 {
                    metrics::counter!(names::ARCHIVED_ROWS).increment(rows);
                    metrics::histogram!(names::ARCHIVE_COMMIT_ROWS).record(rows as f64);
                    metrics::histogram!(names::ARCHIVE_SECONDS)
                        .record(begun.elapsed().as_secs_f64());
                }
                self.release().await;
                self.commits += 1;
                self.maintain();
            }
            Err(error) => {
                metrics::counter!(names::ARCHIVE_FAILURES).increment(1);
                let delay = (FIRST_DELAY * 2_u32.saturating_pow(self.failures)).min(LONGEST_DELAY);
                self.failures = (self.failures + 1).min(10);
                self.not_before = Some(Instant::now() + delay);
                let delay_ms = delay.as_millis() as u64;
                if delay < LONGEST_DELAY {
                    tracing::warn!(%error, delay_ms, "could not archive; the state goes on, and the archive is tried again");
                } else {
                    tracing::error!(%error, delay_ms, "could not archive again and again; look at the archive's storage; the state goes on, and the log keeps what is not archived");
                }
            }
        }
        metrics::gauge!(names::ARCHIVE_QUEUE_BYTES).set(self.cache.bytes() as f64);
    }

    /// Lets the log drop what is applied and archived.
    async fn release(&self) {
        let below: Vec<(u32, u64)> = self
            .owned
            .iter()
            .map(|(partition, owned)| (*partition, owned.archived.min(owned.next)))
            .collect();
        if let Err(error) = self.log.release(&below).await {
            tracing::warn!(%error, "could not release what is archived; the log keeps it until the next commit");
        }
    }

    /// Puts small files together and deletes abandoned ones now and then, beside everything else.
    fn maintain(&mut self) {
        let busy = self
            .maintenance
            .as_ref()
            .is_some_and(|running| !running.is_finished());
        if self.roll.compact_every == 0
            || !self.commits.is_multiple_of(self.roll.compact_every)
            || busy
        {
            return;
        }
        let (archive, options, grace) = (
            self.archive.clone(),
            self.roll.compact.clone(),
            self.roll.vacuum_grace,
        );
        self.maintenance = Some(tokio::spawn(async move {
            match archive.compact(&options).await {
                Ok(report) => tracing::debug!(?report, "compacted the archive"),
                Err(error) => {
                    tracing::warn!(%error, "could not compact the archive; tried again later")
                }
            }
            if let Err(error) = archive.vacuum(grace).await {
                tracing::warn!(%error, "could not vacuum the archive; tried again later");
            }
        }));
    }
}
