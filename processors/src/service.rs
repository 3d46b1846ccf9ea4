//! The processor: the driver, the archiver and the clock of one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::UInt64Type;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use schemas::Timestamp;
use schemas::crash::{Step, skipped};
use stream::Log;
use tokio_util::sync::CancellationToken;
use warehouse::archive::{Archive, CompactOptions};
use warehouse::{Params, Warehouse};

use crate::archive::{Archiver, Budget, Message, Teller, inbox};
use crate::driver::{Limits, Observer, Wiring, drive};
use crate::engine::Progress;
use crate::error::ProcessorError;
use crate::handle::{Handle, PartitionProgress};
use crate::rows::{Cycle, Table};
use crate::rules::Rules;
use crate::store::{StoreError, WarehouseStore, columns};
use crate::{clock, fold, lag};

/// How the processor works. The defaults suit one node.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the group of consumers: processors of one group share the partitions.
    pub group: String,
    /// Names this process in `progress`.
    pub owner: String,
    /// Records in a cycle at the most.
    pub max_events: usize,
    /// Payload bytes in a cycle at the most.
    pub max_bytes: usize,
    /// How long a cycle gathers records.
    pub linger: Duration,
    /// How long it gathers them while the cycle before is still being written.
    pub linger_behind: Duration,
    /// Bytes of customer states in memory.
    pub state_bytes: usize,
    /// When the archive is written.
    pub archive: ArchiveRoll,
}

/// When what is applied is committed to the archive: at whichever comes first.
#[derive(Debug, Clone)]
pub struct ArchiveRoll {
    /// So many rows wait.
    pub min_rows: usize,
    /// So many bytes of rows wait. Also what is read back from the warehouse at once.
    pub min_bytes: usize,
    /// The oldest has waited so long.
    pub max_age: Duration,
    /// Nothing more has come for so long.
    pub idle: Duration,
    /// Bytes of rows kept in memory for the archive; beyond, they are read back from the warehouse.
    pub cache_bytes: usize,
    /// Small files are put together after so many commits.
    pub compact_every: u32,
    /// What is put together.
    pub compact: CompactOptions,
    /// Files that nothing refers to are deleted after this time: longer than the longest query.
    pub vacuum_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group: "processors".to_owned(),
            owner: format!("process {}", std::process::id()),
            max_events: 100_000,
            max_bytes: 64 << 20,
            linger: Duration::from_millis(200),
            linger_behind: Duration::from_secs(1),
            state_bytes: 512 << 20,
            archive: ArchiveRoll::default(),
        }
    }
}

impl Default for ArchiveRoll {
    fn default() -> Self {
        Self {
            min_rows: 250_000,
            min_bytes: 96 << 20,
            max_age: Duration::from_secs(60),
            idle: Duration::from_secs(1),
            cache_bytes: 192 << 20,
            compact_every: 16,
            compact: CompactOptions::default(),
            vacuum_grace: Duration::from_secs(3600),
        }
    }
}

/// The processor of one process.
#[derive(Debug)]
pub struct Processor {
    log: Arc<dyn Log>,
    warehouse: Arc<dyn Warehouse>,
    archive: Archive,
    options: Options,
    handle: Handle,
}

/// Rows in one insert: what ClickHouse still takes as one block.
pub(crate) const INSERT_ROWS: usize = 1_000_000;

impl Processor {
    /// A processor of this log into this warehouse and this archive.
    pub fn new(
        log: Arc<dyn Log>,
        warehouse: Arc<dyn Warehouse>,
        archive: Archive,
        options: Options,
    ) -> Self {
        crate::metrics::describe();
        let handle = Handle::new(log.generation());
        Self {
            log,
            warehouse,
            archive,
            options,
            handle,
        }
    }

    /// Answers questions about the processor, also while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until the shutdown, then writes what has been folded and archives what has been applied.
    ///
    /// # Errors
    /// What no repetition mends, or what a shutdown left unwritten; see [`ProcessorError`].
    pub fn run(
        self,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<(), ProcessorError>> {
        async move {
            self.check_warehouse().await?;
            let Options { archive: roll, .. } = self.options.clone();
            let (messages, inbox) = inbox();
            let messages = Arc::new(messages);
            let budget = Budget::new(roll.cache_bytes);
            let archiver = Archiver::new(
                self.log.clone(),
                self.warehouse.clone(),
                self.archive.clone(),
                roll,
                self.handle.clone(),
                budget.clone(),
            );
            // It ends when the last sender is gone: after the driver, so that it archives all that was applied.
            let archiving = tokio::spawn(archiver.run(inbox));
            let clock_shutdown = shutdown.child_token();
            let ticking = tokio::spawn(clock::run(
                self.log.clone(),
                self.handle.clone(),
                clock_shutdown.clone(),
            ));

            let measuring = tokio::spawn(lag::run(
                self.log.clone(),
                self.handle.clone(),
                clock_shutdown.clone(),
            ));

            let driven = self.drive_unless_held(&messages, &budget, &shutdown).await;
            drop(messages);
            clock_shutdown.cancel();
            let _ = tokio::join!(ticking, measuring);
            let archived = archiving
                .await
                .map_err(|error| ProcessorError::Worker(error.to_string()));
            driven?;
            archived?
        }
        .boxed()
    }

    /// Refuses a warehouse that knows nothing of an earlier generation that is archived: its customers would seem new.
    /// That it lags behind in this generation is for the log to make good.
    async fn check_warehouse(&self) -> Result<(), ProcessorError> {
        let snapshot = self.archive.snapshot().await?;
        let mut archived = snapshot.all_archived().into_keys();
        let Some((generation, _)) =
            archived.find(|(generation, _)| *generation < self.log.generation())
        else {
            return Ok(());
        };
        let sql = "SELECT count() AS known FROM progress WHERE generation < {generation:UInt32}";
        let params = Params::new().with("generation", self.log.generation());
        let answer = self.warehouse.query(sql, &params).await;
        let known = answer.map_err(StoreError::from).and_then(|batches| {
            let mut known = 0;
            for batch in &batches {
                let counts = columns::numbers::<UInt64Type>(batch, "known")?;
                known += counts.values().iter().sum::<u64>();
            }
            Ok(known)
        });
        match known {
            Ok(0) => Err(ProcessorError::WrongWarehouse { generation }),
            Ok(_) => Ok(()),
            Err(source) => Err(ProcessorError::Warehouse {
                what: "say what it has applied".to_owned(),
                source,
            }),
        }
    }

    /// Drives until the shutdown, with a pause wherever somebody holds the processor.
    async fn drive_unless_held(
        &self,
        messages: &Arc<Teller>,
        budget: &Budget,
        shutdown: &CancellationToken,
    ) -> Result<(), ProcessorError> {
        while !shutdown.is_cancelled() {
            // In this order, so that nobody takes it for still who has not been seen holding it.
            self.handle.set_driving(true);
            if self.handle.is_held() {
                self.handle.set_driving(false);
                tokio::select! {
                    () = self.handle.until_held(false) => {}
                    () = shutdown.cancelled() => {}
                }
                continue;
            }
            let stop = shutdown.child_token();
            let holding = async {
                self.handle.until_held(true).await;
                stop.cancel();
                std::future::pending().await
            };
            let driven = tokio::select! {
                driven = self.drive(messages.clone(), budget.clone(), stop.clone()) => driven,
                never = holding => never,
            };
            self.handle.set_driving(false);
            match driven {
                // What a hold left unwritten is folded again from the log.
                Err(ProcessorError::ShutDown) if !shutdown.is_cancelled() => {}
                driven => driven?,
            }
        }
        Ok(())
    }

    async fn drive(
        &self,
        messages: Arc<Teller>,
        budget: Budget,
        shutdown: CancellationToken,
    ) -> Result<(), ProcessorError> {
        let options = &self.options;
        let generation = self.log.generation();
        let wiring = Wiring {
            log: self.log.clone(),
            group: options.group.clone(),
            store: Arc::new(WarehouseStore::new(self.warehouse.clone())),
            observer: Arc::new(Following {
                generation,
                handle: self.handle.clone(),
                messages,
                budget,
            }),
            limits: Limits {
                max_events: options.max_events,
                max_bytes: options.max_bytes,
                linger: options.linger,
                linger_behind: options.linger_behind,
                state_bytes: options.state_bytes,
                insert_rows: INSERT_ROWS,
            },
            fold: fold::apply,
            rules: Rules {
                groups_in_order: !skipped(Step::OutputsFirst),
                own_claim_is_replay: !skipped(Step::OwnClaims),
                ..Rules::ALL
            },
            owner: options.owner.clone(),
            shutdown,
        };
        drive(Arc::new(wiring)).await
    }
}

/// Tells the handle and the archiver what the driver does.
struct Following {
    generation: u32,
    handle: Handle,
    messages: Arc<Teller>,
    budget: Budget,
}

impl Observer for Following {
    fn assigned(&self, partition: u32, progress: Option<Progress>, next: u64) {
        let known = progress.unwrap_or_default();
        let begun = PartitionProgress {
            generation: self.generation,
            partition,
            applied: next,
            appended_at: 0,
            archived: 0,
            events: known.events,
            rejections: known.rejections,
            duplicates: known.duplicates,
            internal: known.internal,
            due: None,
        };
        self.handle.update(|all| {
            all.insert(partition, begun);
        });
        self.messages.tell(Message::Assigned {
            partition,
            next,
            events: known.events,
        });
    }

    fn lost(&self, partitions: &[u32]) {
        self.handle
            .update(|all| all.retain(|partition, _| !partitions.contains(partition)));
        self.messages.tell(Message::Lost(partitions.to_vec()));
    }

    fn committed(&self, cycle: &Arc<Cycle>) {
        self.handle.update(|all| {
            for part in &cycle.parts {
                if let Some(known) = all.get_mut(&part.partition) {
                    let progress = &part.progress;
                    count("event", progress.events - known.events);
                    count("duplicate", progress.duplicates - known.duplicates);
                    count(
                        "rejection",
                        (progress.rejections - known.rejections)
                            - (progress.duplicates - known.duplicates),
                    );
                    count("internal", progress.internal - known.internal);
                    known.applied = progress.next;
                    known.appended_at = part.appended_at;
                    known.events = progress.events;
                    known.rejections = progress.rejections;
                    known.duplicates = progress.duplicates;
                    known.internal = progress.internal;
                    let labels = [("partition", part.partition.to_string())];
                    metrics::gauge!(crate::metrics::APPLIED, &labels).set(progress.next as f64);
                }
            }
        });
        count_reasons(cycle);
        self.messages.tell(Message::committed(cycle, &self.budget));
    }

    fn due(&self, partition: u32, due: Option<Timestamp>) {
        let changed = self
            .handle
            .watch()
            .borrow()
            .get(&partition)
            .is_some_and(|known| known.due != due);
        if changed {
            self.handle
                .update_partition(partition, |known| known.due = due);
        }
    }

    fn hurried(&self) -> bool {
        self.handle.take_hurry()
    }
}

/// Counts the rejections of a cycle by their reasons: names of this program, so there are few.
fn count_reasons(cycle: &Cycle) {
    let reasons = cycle
        .rows(Table::Rejections)
        .and_then(|rows| columns::texts(rows, "reason").ok());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for reason in reasons.iter().flat_map(|reasons| reasons.iter().flatten()) {
        *counts.entry(reason).or_default() += 1;
    }
    for (reason, count) in counts {
        metrics::counter!(crate::metrics::REJECTIONS, "reason" => reason.to_owned())
            .increment(count);
    }
}

fn count(verdict: &'static str, records: u64) {
    if records > 0 {
        metrics::counter!(crate::metrics::RECORDS, "verdict" => verdict).increment(records);
    }
}
