//! Replay: customer state, computed a second time from what counts, compared with the live one, and put in its place.
//!
//! The rebuild is the production fold over the archive and the log, into tables beside the live ones (the shadow). What
//! is compared is as of the same positions: customers that go on meanwhile are looked at again. A switch is made only
//! while no processor owns a partition: this process's own stands still, and the replay joins the group of processors
//! and waits until it owns every partition itself. Then it folds the rest, checks that it has folded exactly the events
//! that were counted, and replaces the tables, during which it hands over nothing; who gets the partitions next reads
//! them anew. A process that was stopped all that time without being ended can still write what it had folded before:
//! stop such a process before a switch.

mod claims;
mod compare;
pub(crate) mod events;
mod exclusive;
mod rebuild;
mod report;
mod shadow;
mod source;
mod switch;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{UInt32Type, UInt64Type};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use schemas::{Position, Timestamp};
use stream::{Log, LogError};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use warehouse::archive::{Archive, ArchiveError};
use warehouse::{Params, Warehouse, WarehouseError};

use crate::error::ProcessorError;
use crate::handle::Handle;
use crate::prepare::CustomerKey;
use crate::store::{StoreError, columns};
use compare::{Compared, compare};
use exclusive::Exclusive;
use rebuild::{Cut, Rebuild};
pub use report::{Difference, PartitionReport, Phase, Progress, Report};
use shadow::Shadow;
pub use shadow::is_aside;
use source::Source;

/// What a replay works with.
#[derive(Debug, Clone)]
pub struct Place {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The warehouse, live state and shadow.
    pub warehouse: Arc<dyn Warehouse>,
    /// The archive.
    pub archive: Archive,
    /// The processor of this process, if it has one.
    pub processor: Option<Handle>,
}

/// Which customers are rebuilt and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// Every customer.
    #[default]
    All,
    /// Those with events in this partition, from this position on.
    From(Position),
    /// Those with events received in a range; the first inside, the second outside.
    Received(Option<Timestamp>, Option<Timestamp>),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which customers. A switch needs all.
    pub selection: Selection,
    /// Whether the shadow becomes the live state where they differ.
    pub switch: bool,
    /// Whether only to say what would be read.
    pub dry_run: bool,
    /// Bytes of customer states in memory.
    pub state_bytes: usize,
    /// The group of the processors.
    pub group: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selection: Selection::All,
            switch: false,
            dry_run: false,
            state_bytes: 256 << 20,
            group: crate::Options::default().group,
        }
    }
}

/// Why a replay ended. The live state is as it was, unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The warehouse does not answer.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// The warehouse answers something else than asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive does not answer.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The fold cannot go on.
    #[error("folding failed: {0}")]
    Fold(#[from] ProcessorError),
    /// Neither the archive nor the log has these records.
    #[error(
        "the records {from}..{to} of partition {partition} of generation {generation} are neither in the archive nor in the log; without them the state cannot be rebuilt"
    )]
    Missing {
        /// The generation.
        generation: u32,
        /// The partition.
        partition: u32,
        /// The first offset that is missing.
        from: u64,
        /// The first that is not asked for.
        to: u64,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Options(&'static str),
    /// Others own partitions.
    #[error(
        "other processors own partitions of this log; stop them, switch, and start them again (the live state is as it was)"
    )]
    Busy,
    /// Somebody applied records while the tables were replaced.
    #[error(
        "a processor applied records while the state was replaced; replay with a switch once more (what the state was is in customer_state_replaced and customer_days_replaced)"
    )]
    Overtaken,
    /// What was folded is not what was counted.
    #[error(
        "partition {partition} of generation {generation} counted {counted} events and the replay found {folded}; look at /admin/reconciliation before anything is replaced"
    )]
    Unbalanced {
        /// The generation.
        generation: u32,
        /// The partition.
        partition: u32,
        /// Events by the progress.
        counted: u64,
        /// Events folded.
        folded: u64,
    },
    /// A task ended that should not have.
    #[error("a part of the replay ended early; see the log above")]
    Ended,
    /// A worker was lost.
    #[error("a worker ended early: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

/// One generation of the log, as far as it is applied.
#[derive(Clone)]
struct Generation {
    number: u32,
    partitions: u32,
    cut: Cut,
    events: BTreeMap<u32, u64>,
}

/// Times to look again at customers that went on while they were compared.
const ROUNDS: usize = 5;
/// Before looking again, so that what was on its way has landed.
const PAUSE: Duration = Duration::from_secs(1);

/// Replays, and tells how far it is.
///
/// # Errors
/// See [`ReplayError`]; nothing is replaced where one is returned before the switch.
pub fn replay<'a>(
    place: &'a Place,
    options: &'a Options,
    progress: &'a watch::Sender<Progress>,
) -> BoxFuture<'a, Result<Report, ReplayError>> {
    async move {
    if options.switch && options.selection != Selection::All {
        return Err(ReplayError::Options(
            "a switch replaces the state of every customer: leave out the position or time range",
        ));
    }
    let begun = Instant::now();
    let mut report = Report::default();
    let generations = generations(place).await?;
    if let Selection::From(from) = options.selection
        && !generations.iter().any(|generation| {
            generation.number == from.generation && generation.cut.contains_key(&from.partition)
        })
    {
        return Err(ReplayError::Options(
            "nothing is applied of that generation and partition; GET /admin/reconciliation lists those there are",
        ));
    }
    let snapshot = place.archive.snapshot().await?;
    report.plan(&generations, |generation, partition| {
        snapshot.archived(generation, partition)
    });
    if options.dry_run || generations.is_empty() {
        report.dry_run = options.dry_run;
        return Ok(report);
    }
    let only = selected(place, options.selection).await?.map(Arc::new);
    let total: u64 = match only {
        None => report.partitions.iter().map(|part| part.events).sum(),
        Some(_) => 0,
    };
    progress.send_modify(|progress| progress.begin(total));
    let suffix = shadow::create(&*place.warehouse).await?;
    let task = Task { place, options, suffix: &suffix };
    let result = task.run(&generations, only, progress, &mut report).await;
    if let Err(error) = shadow::drop_all(&*place.warehouse, &suffix).await {
        tracing::warn!(%error, "the tables of a replay are still there; drop those whose names end with {suffix}");
    }
    result?;
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}.boxed()
}

/// A replay under way.
struct Task<'a> {
    place: &'a Place,
    options: &'a Options,
    /// Behind the names of the shadow's tables.
    suffix: &'a Arc<str>,
}

impl Task<'_> {
    async fn run(
        &self,
        generations: &[Generation],
        only: Option<Arc<HashSet<CustomerKey>>>,
        progress: &watch::Sender<Progress>,
        report: &mut Report,
    ) -> Result<(), ReplayError> {
        let (warehouse, whole) = (&*self.place.warehouse, only.is_none());
        let (mut last, mut folded) = (None, 0);
        for generation in generations {
            if let Some((rebuild, before)) = last.take() {
                finish(rebuild, before, whole).await?;
            }
            let mut rebuild = self.start(generation, only.clone()).await?;
            let _following = follow(&rebuild, progress);
            rebuild.reach(&generation.cut).await?;
            folded += rebuild.events();
            progress.send_modify(|progress| progress.folded(folded));
            last = Some((rebuild, generation));
        }
        let Some((mut rebuild, generation)) = last else {
            return Ok(());
        };
        report.folded = folded;
        report.events_per_second = progress.borrow().events_per_second;
        progress.send_modify(|progress| progress.phase = Phase::Comparing);
        let only = only.map(|only| (*only).clone());
        let reached = self
            .compare(&mut rebuild, generation.clone(), only, report)
            .await?;
        let missing = claims::missing(warehouse, self.suffix).await?;
        report.add(missing, 0);
        if !self.options.switch || report.is_clean() {
            return finish(rebuild, &reached, whole).await;
        }
        progress.send_modify(|progress| progress.phase = Phase::Switching);
        self.switch(rebuild, generation.number).await?;
        report.switched = true;
        Ok(())
    }

    /// Compares, and looks again at what went on meanwhile. Returns how far the shadow is then.
    async fn compare(
        &self,
        rebuild: &mut Rebuild,
        mut reached: Generation,
        mut looked_at: Option<HashSet<CustomerKey>>,
        report: &mut Report,
    ) -> Result<Generation, ReplayError> {
        for round in 0..ROUNDS {
            let frame = compare::Frame {
                suffix: self.suffix,
                generation: reached.number,
                partitions: reached.partitions,
                cut: &reached.cut,
                ends: self.ends(&reached).await?,
                only: looked_at.as_ref(),
            };
            let Compared {
                customers,
                differences,
                moved,
                hidden,
            } = compare(&*self.place.warehouse, &frame).await?;
            if round == 0 {
                report.customers = customers;
            }
            report.add(differences, hidden);
            report.moved = moved.len() as u64;
            if moved.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            looked_at = Some(moved.iter().map(compare::Key::customer).collect());
            reached = now(self.place, reached.number).await?;
            rebuild.reach(&reached.cut).await?;
        }
        Ok(reached)
    }

    /// Where the log of a generation ends: no row comes from beyond.
    async fn ends(&self, generation: &Generation) -> Result<Cut, ReplayError> {
        if self.place.log.generation() != generation.number {
            return Ok(generation.cut.clone());
        }
        let bounds = self.place.log.bounds().await?;
        Ok(bounds
            .iter()
            .map(|bounds| (bounds.partition, bounds.end))
            .collect())
    }

    /// Folds what is left and puts the shadow in the place of the live state.
    async fn switch(&self, mut rebuild: Rebuild, generation: u32) -> Result<(), ReplayError> {
        let (place, warehouse) = (self.place, &*self.place.warehouse);
        let exclusive =
            Exclusive::take(&place.log, &self.options.group, place.processor.as_ref()).await?;
        let end = now(place, generation).await?;
        rebuild.reach(&end.cut).await?;
        finish(rebuild, &end, true).await?;
        claims::add_missing(warehouse, self.suffix).await?;
        switch::keep(warehouse).await?;
        let _still = exclusive.keep().await?;
        if now(place, generation).await?.cut != end.cut {
            return Err(ReplayError::Busy);
        }
        switch::swap(warehouse, self.suffix).await?;
        match now(place, generation).await?.cut == end.cut {
            true => Ok(()),
            false => Err(ReplayError::Overtaken),
        }
    }

    async fn start(
        &self,
        generation: &Generation,
        only: Option<Arc<HashSet<CustomerKey>>>,
    ) -> Result<Rebuild, ReplayError> {
        let place = self.place;
        let present = place.log.generation() == generation.number;
        let source = Source {
            generation: generation.number,
            partitions: generation.partitions,
            log: present.then(|| place.log.clone()),
            warehouse: place.warehouse.clone(),
            snapshot: place.archive.snapshot().await?,
            only,
        };
        let shadow = Shadow::new(place.warehouse.clone(), self.suffix.clone());
        Ok(Rebuild::start(source, shadow, self.options.state_bytes))
    }
}

/// Ends a rebuild, once it has folded what was counted.
async fn finish(rebuild: Rebuild, generation: &Generation, whole: bool) -> Result<(), ReplayError> {
    let folded = rebuild.progress().borrow().clone();
    rebuild.finish().await?;
    for (&partition, &counted) in generation.events.iter().filter(|_| whole) {
        let folded = folded.get(&partition).map_or(0, |progress| progress.events);
        if folded != counted {
            return Err(ReplayError::Unbalanced {
                generation: generation.number,
                partition,
                counted,
                folded,
            });
        }
    }
    Ok(())
}

/// Tells how far a rebuild is, until the guard is dropped.
fn follow(rebuild: &Rebuild, progress: &watch::Sender<Progress>) -> AbortOnDropHandle<()> {
    let (mut folded, told) = (rebuild.progress(), progress.clone());
    let before = progress.borrow().events;
    AbortOnDropHandle::new(tokio::spawn(async move {
        while folded.changed().await.is_ok() {
            let events: u64 = folded
                .borrow_and_update()
                .values()
                .map(|partition| partition.events)
                .sum();
            told.send_modify(|progress| progress.folded(before + events));
        }
    }))
}

/// All generations with anything applied, the oldest first.
async fn generations(place: &Place) -> Result<Vec<Generation>, ReplayError> {
    let sql = "SELECT generation, partition, offset, events FROM progress ORDER BY offset DESC LIMIT 1 BY generation, partition";
    let mut found: BTreeMap<u32, Generation> = BTreeMap::new();
    for batch in place.warehouse.query(sql, &Params::new()).await? {
        let small = |name| columns::numbers::<UInt32Type>(&batch, name);
        let (numbers, partitions) = (small("generation")?, small("partition")?);
        let large = |name| columns::numbers::<UInt64Type>(&batch, name);
        let (offsets, events) = (large("offset")?, large("events")?);
        for row in 0..batch.num_rows() {
            let (number, partition) = (numbers.value(row), partitions.value(row));
            let generation = found.entry(number).or_insert(Generation {
                number,
                partitions: 1,
                cut: Cut::new(),
                events: BTreeMap::new(),
            });
            // Of an older log: their number is a power of two, and partitions without records do not matter.
            let least = (partition + 1).next_power_of_two();
            generation.partitions = generation.partitions.max(least);
            generation.cut.insert(partition, offsets.value(row));
            generation.events.insert(partition, events.value(row));
        }
    }
    if let Some(present) = found.get_mut(&place.log.generation()) {
        present.partitions = place.log.partitions();
    }
    Ok(found.into_values().collect())
}

/// How far a generation is applied now.
async fn now(place: &Place, generation: u32) -> Result<Generation, ReplayError> {
    let found = generations(place).await?;
    found
        .into_iter()
        .find(|found| found.number == generation)
        .ok_or(ReplayError::Ended)
}

/// The customers of a selection; none for all.
async fn selected(
    place: &Place,
    selection: Selection,
) -> Result<Option<HashSet<CustomerKey>>, ReplayError> {
    let (condition, params) = match selection {
        Selection::All => return Ok(None),
        Selection::From(position) => (
            "generation = {generation:UInt32} AND partition = {partition:UInt32} AND offset >= {offset:UInt64}",
            Params::new()
                .with("generation", position.generation)
                .with("partition", position.partition)
                .with("offset", position.offset),
        ),
        Selection::Received(from, to) => (
            "received_at >= {from:DateTime64(6, 'UTC')} AND received_at < {to:DateTime64(6, 'UTC')}",
            Params::new()
                .with("from", from.unwrap_or(Timestamp::EARLIEST).kept())
                .with("to", to.unwrap_or(Timestamp::LATEST).kept()),
        ),
    };
    let sql = format!("SELECT DISTINCT organization, customer FROM events WHERE {condition}");
    let mut keys = HashSet::new();
    for batch in place.warehouse.query(&sql, &params).await? {
        let organizations = columns::texts(&batch, "organization")?;
        let customers = columns::texts(&batch, "customer")?;
        for row in 0..batch.num_rows() {
            keys.insert(CustomerKey::of(
                organizations.value(row),
                customers.value(row),
            ));
        }
    }
    Ok(Some(keys))
}
