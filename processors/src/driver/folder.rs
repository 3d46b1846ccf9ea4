//! Follows the log and folds what comes, while the writer writes what came before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use schemas::crash::{Point, point};
use schemas::record::is_change;
use schemas::{Position, Timestamp, TraceContext, bucket};
use stream::{Consumer, Delivery, LogRecord};
use tokio::sync::mpsc;

use super::assign::assign;
use super::batch::{self, Batch};
use super::{FIRST_DELAY, Lost, Observer, Wiring, Written, patiently, wait_out};
use crate::claims::Claim;
use crate::engine::{Engine, EngineError, Found, Needs, Recount, StoredBucket, StoredState};
use crate::error::ProcessorError;
use crate::metrics as names;
use crate::prepare::{Prepared, prepare};
use crate::rows::{Cycle, Output};
use crate::store::Store;

/// Longest wait for the first record; the shutdown is looked at in between.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// While a cycle gathers, it looks this often whether somebody is in a hurry.
const GATHER_STEP: Duration = Duration::from_millis(20);
/// Traces followed in a cycle, at most.
const MOST_FOLLOWED: usize = 256;

type Ready = BTreeMap<u32, Vec<Prepared>>;

/// Records that wait to be folded together.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    records: usize,
    bytes: usize,
    begun: Option<Instant>,
    /// Somebody waits for the verdict on one of them.
    awaited: bool,
}

impl Gathered {
    fn take(&mut self, partition: u32, records: Vec<LogRecord>) {
        self.records += records.len();
        self.awaited |= records.iter().any(|record| is_change(&record.payload));
        self.bytes += records
            .iter()
            .map(|record| record.payload.len())
            .sum::<usize>();
        self.begun.get_or_insert_with(Instant::now);
        self.batch.entry(partition).or_default().extend(records);
    }
}

pub(super) struct Folder<S: ?Sized, O: ?Sized> {
    wiring: Arc<Wiring<S, O>>,
    consumer: Box<dyn Consumer>,
    engines: BTreeMap<u32, Engine>,
    /// Only for the test that memory must be dropped at a hand-over.
    kept: BTreeMap<u32, Engine>,
    cycles: mpsc::Sender<Cycle>,
    written: mpsc::UnboundedReceiver<Written>,
    /// Cycles handed to the writer and not heard of again.
    outstanding: usize,
    lost: Lost,
}

impl<S, O> Folder<S, O>
where
    S: Store + ?Sized + 'static,
    O: Observer + ?Sized + 'static,
{
    pub(super) fn new(
        wiring: Arc<Wiring<S, O>>,
        consumer: Box<dyn Consumer>,
        cycles: mpsc::Sender<Cycle>,
        written: mpsc::UnboundedReceiver<Written>,
        lost: Lost,
    ) -> Self {
        let (engines, kept) = (BTreeMap::new(), BTreeMap::new());
        Self {
            wiring,
            consumer,
            engines,
            kept,
            cycles,
            written,
            outstanding: 0,
            lost,
        }
    }

    pub(super) async fn run(mut self) -> Result<(), ProcessorError> {
        // Outlives a log that does not answer: what has been delivered is not delivered again.
        let mut gathered = Gathered::default();
        while !self.wiring.shutdown.is_cancelled() {
            self.take_written();
            match self.gather(&mut gathered).await {
                Err(ProcessorError::Log(error)) if error.is_retryable() => {
                    tracing::warn!(%error, "the log did not answer; trying again");
                    self.wiring.store.pause(FIRST_DELAY).await;
                    continue;
                }
                outcome => outcome?,
            }
            let Gathered { batch, .. } = std::mem::take(&mut gathered);
            for batch in batch::cut(batch) {
                self.cycle(batch).await?;
            }
        }
        // Leaving the queue lets the writer finish what is in it and end.
        Ok(())
    }

    /// Adds records until they make a cycle, with every change of ownership acted on as it comes.
    async fn gather(&mut self, gathered: &mut Gathered) -> Result<(), ProcessorError> {
        loop {
            let limits = &self.wiring.limits;
            let left = stream::Limits {
                max_records: limits.max_events.saturating_sub(gathered.records).max(1),
                max_bytes: limits.max_bytes.saturating_sub(gathered.bytes).max(1),
                wait: if gathered.begun.is_some() {
                    GATHER_STEP.min(limits.linger)
                } else {
                    LONGEST_WAIT
                },
            };
            for delivery in self.consumer.poll(&left).await? {
                match delivery {
                    Delivery::Assigned(partitions) => self.assigned(partitions).await?,
                    Delivery::Revoked(partitions) => {
                        // What is being written is finished first, so that the next owner need not do it again.
                        self.flush().await?;
                        self.give_up(&partitions, &mut gathered.batch);
                    }
                    Delivery::Lost(partitions) => self.give_up(&partitions, &mut gathered.batch),
                    Delivery::Records { partition, records }
                        if self.engines.contains_key(&partition) =>
                    {
                        gathered.take(partition, records);
                    }
                    Delivery::Records { .. } => {}
                }
            }
            self.take_written();
            let limits = &self.wiring.limits;
            let full = gathered.records >= limits.max_events || gathered.bytes >= limits.max_bytes;
            let linger = if self.outstanding > 0 {
                limits.linger_behind
            } else {
                limits.linger
            };
            let waited = gathered.begun.map(|begun| begun.elapsed());
            let done =
                waited.is_none_or(|waited| waited >= linger) || self.wiring.observer.hurried();
            let done = done || gathered.awaited;
            if full || done || self.wiring.shutdown.is_cancelled() {
                return Ok(());
            }
        }
    }

    async fn assigned(&mut self, partitions: Vec<u32>) -> Result<(), ProcessorError> {
        // Nothing of an earlier ownership may still be under way when the warehouse is read.
        self.flush().await?;
        self.lost
            .lock()
            .retain(|partition| !partitions.contains(partition));
        let kept: Vec<u32> = partitions
            .iter()
            .copied()
            .filter(|partition| self.kept.contains_key(partition))
            .collect();
        let mut engines = assign(&self.wiring, &partitions).await?;
        point(Point::PartitionAssigned);
        for partition in kept {
            if let Some(engine) = self.kept.remove(&partition) {
                engines.insert(partition, engine);
            }
        }
        for (partition, engine) in engines {
            let committed = Some(engine.progress()).filter(|progress| progress.records > 0);
            self.wiring
                .observer
                .assigned(partition, committed, engine.next());
            self.wiring.observer.due(partition, engine.next_due());
            let mut delay = FIRST_DELAY;
            while let Err(error) = self.consumer.start(partition, engine.next()).await {
                wait_out(&self.wiring, "follow the log", error, &mut delay).await?;
            }
            tracing::info!(partition, next = engine.next(), "took over a partition");
            self.engines.insert(partition, engine);
        }
        Ok(())
    }

    /// Drops everything of partitions that are somebody else's now.
    fn give_up(&mut self, partitions: &[u32], batch: &mut Batch) {
        self.lost.lock().extend(partitions);
        for partition in partitions {
            batch.remove(partition);
            if let Some(engine) = self.engines.remove(partition)
                && !self.wiring.rules.drop_memory
            {
                self.kept.insert(*partition, engine);
            }
            tracing::info!(partition, "gave up a partition");
        }
        self.wiring.observer.lost(partitions);
    }

    /// Waits until the writer has nothing left.
    async fn flush(&mut self) -> Result<(), ProcessorError> {
        while self.outstanding > 0 {
            match self.written.recv().await {
                Some(written) => self.acknowledge(&written),
                None => return Err(ProcessorError::Worker("the writer has ended".to_owned())),
            }
        }
        Ok(())
    }

    fn take_written(&mut self) {
        while let Ok(written) = self.written.try_recv() {
            self.acknowledge(&written);
        }
    }

    fn acknowledge(&mut self, written: &Written) {
        self.outstanding -= 1;
        let mut progress = Vec::with_capacity(written.parts.len());
        for part in &written.parts {
            if let Some(engine) = self.engines.get_mut(&part.partition) {
                engine.acknowledge(part);
                progress.push((part.partition, part.next()));
            }
        }
        self.consumer.note_progress(&progress);
        let bytes: usize = self.engines.values().map(Engine::weight).sum();
        metrics::gauge!(names::MEMORY_BYTES).set(bytes as f64);
    }

    /// Makes records ready, looks up what they need, folds them and hands the rows to the writer.
    async fn cycle(&mut self, batch: Batch) -> Result<(), ProcessorError> {
        let begun = Instant::now();
        let began = Timestamp::from_micros(self.wiring.store.now());
        let count: usize = batch.values().map(Vec::len).sum();
        let followed = followed(&batch);
        let (ready, needs) = self
            .work(move |engines| {
                let ready: Ready = batch
                    .into_iter()
                    .map(|(partition, records)| (partition, prepare(records)))
                    .collect();
                let needs = ready
                    .iter()
                    .filter_map(|(partition, records)| {
                        Some((*partition, engines.get(partition)?.needs(records)))
                    })
                    .filter(|(_, needs)| !needs.is_empty())
                    .collect::<BTreeMap<u32, Needs>>();
                (ready, needs)
            })
            .await?;
        let missed: usize = needs.values().map(|needs| needs.customers.len()).sum();
        let held = self.look_up(needs).await?;
        let generation = self.wiring.log.generation();
        let mut cycle = self
            .work(move |engines| fold(engines, &ready, &held, generation, count))
            .await??;
        for (trace, first, records) in followed {
            let fold = trace.follow("fold", first);
            let took = begun.elapsed();
            stream::span("fold", &fold, trace.span_id, began, took, records);
            cycle.traces.push((fold, records));
        }
        metrics::histogram!(names::FOLD_SECONDS).record(begun.elapsed().as_secs_f64());
        metrics::histogram!(names::CYCLE_RECORDS).record(count as f64);
        metrics::counter!(names::STATE_REQUESTS, "result" => "miss").increment(missed as u64);
        metrics::counter!(names::STATE_REQUESTS, "result" => "hit")
            .increment(count.saturating_sub(missed) as u64);
        for (partition, engine) in &self.engines {
            self.wiring.observer.due(*partition, engine.next_due());
        }
        if !cycle.parts.is_empty() {
            if self.cycles.send(cycle).await.is_err() {
                return Err(ProcessorError::Worker("the writer has ended".to_owned()));
            }
            self.outstanding += 1;
        }
        Ok(())
    }

    /// Looks up what a cycle needs, hands it to the engines, and returns the holders of claims.
    async fn look_up(
        &mut self,
        needs: BTreeMap<u32, Needs>,
    ) -> Result<HashMap<Claim, Position>, ProcessorError> {
        if needs.is_empty() {
            return Ok(HashMap::new());
        }
        let mut all = Needs::default();
        for needs in needs.values() {
            all.claims.extend_from_slice(&needs.claims);
            all.customers.extend_from_slice(&needs.customers);
            all.buckets.extend_from_slice(&needs.buckets);
            all.windows.extend_from_slice(&needs.windows);
            all.homes.extend_from_slice(&needs.homes);
        }
        let counted = [
            ("claim", all.claims.len()),
            ("customer", all.customers.len()),
            ("bucket", all.buckets.len()),
            ("window", all.windows.len()),
            ("home", all.homes.len()),
        ];
        for (kind, count) in counted {
            metrics::counter!(names::LOOK_UPS, "kind" => kind).increment(count as u64);
        }
        let Found {
            claims,
            states,
            buckets,
            windows,
        } = patiently(&self.wiring, "look up what a cycle needs", || {
            self.wiring.store.find(&all)
        })
        .await?;

        let partitions = self.wiring.log.partitions();
        let partition = |customer: &schemas::CustomerRef| {
            u32::from(bucket(&customer.organization, &customer.customer_id)) % partitions
        };
        let mut states_of: BTreeMap<u32, Vec<StoredState>> = BTreeMap::new();
        for state in states {
            states_of
                .entry(partition(&state.customer))
                .or_default()
                .push(state);
        }
        let by_partition = |buckets: Vec<StoredBucket>| {
            let mut found: BTreeMap<u32, Vec<StoredBucket>> = BTreeMap::new();
            for bucket in buckets {
                let partition = partition(&bucket.customer);
                found.entry(partition).or_default().push(bucket);
            }
            found
        };
        let (mut buckets_of, mut windows_of) = (by_partition(buckets), by_partition(windows));
        let mut ahead = Vec::new();
        let mut recounts: BTreeMap<u32, Vec<Recount>> = BTreeMap::new();
        for (partition, needs) in &needs {
            let Some(engine) = self.engines.get_mut(partition) else {
                continue;
            };
            let found = Found {
                states: states_of.remove(partition).unwrap_or_default(),
                buckets: buckets_of.remove(partition).unwrap_or_default(),
                windows: windows_of.remove(partition).unwrap_or_default(),
                ..Found::default()
            };
            let supplied = engine.supply(needs, found);
            if supplied.ahead {
                ahead.push((*partition, engine.next()));
            }
            if !supplied.recounts.is_empty() {
                recounts.insert(*partition, supplied.recounts);
            }
        }
        for (partition, recounts) in recounts {
            let store = &self.wiring.store;
            let counted = patiently(&self.wiring, "count customers' days again", || {
                store.recount(&recounts)
            })
            .await?;
            if let Some(engine) = self.engines.get_mut(&partition) {
                engine.supply_recounted(&recounts, &counted);
            }
        }
        if !ahead.is_empty() {
            // Somebody else has written ahead of us: what it has rejected counts as that.
            let generation = self.wiring.log.generation();
            let store = &self.wiring.store;
            let landed = patiently(&self.wiring, "read landed rejections", || {
                store.rejections_from(generation, &ahead)
            })
            .await?;
            for (partition, offset) in landed {
                if let Some(engine) = self.engines.get_mut(&partition) {
                    engine.load_rejections([offset]);
                }
            }
        }
        Ok(claims)
    }

    /// Runs work on the engines where it does not hold up others.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut BTreeMap<u32, Engine>) -> T + Send + 'static,
    ) -> Result<T, ProcessorError> {
        let mut engines = std::mem::take(&mut self.engines);
        let (send, receive) = tokio::sync::oneshot::channel();
        let job = Box::new(move || {
            let result = work(&mut engines);
            // The receiver is gone only when the driver was dropped.
            let _ = send.send((engines, result));
        });
        self.wiring.store.run(job).await;
        let (engines, result) = receive.await.map_err(|_| {
            ProcessorError::Worker("folding panicked; see the log above".to_owned())
        })?;
        self.engines = engines;
        Ok(result)
    }
}

/// The traces of a batch that somebody follows: each with its first offset and its number of records.
fn followed(batch: &Batch) -> Vec<(TraceContext, u64, usize)> {
    let mut found: Vec<(TraceContext, u64, usize)> = Vec::new();
    let traced = batch.values().flatten().filter_map(|record| {
        let trace = record.trace.as_deref()?;
        Some((*trace, record.position.offset))
    });
    for (trace, offset) in traced {
        if let Some((.., records)) = found.iter_mut().rev().find(|(known, ..)| *known == trace) {
            *records += 1;
        } else if found.len() < MOST_FOLLOWED {
            found.push((trace, offset, 1));
        }
    }
    found
}

fn fold(
    engines: &mut BTreeMap<u32, Engine>,
    ready: &Ready,
    held: &HashMap<Claim, Position>,
    generation: u32,
    count: usize,
) -> Result<Cycle, ProcessorError> {
    let mut out = Output::with_capacity(count);
    let mut parts = Vec::with_capacity(ready.len());
    for (partition, records) in ready {
        let Some(engine) = engines.get_mut(partition) else {
            continue;
        };
        let expected = engine.next();
        if records.first().is_some_and(|first| first.offset < expected) {
            let found = records.first().map_or(0, |first| first.offset);
            let reason = format!(
                "partition {partition} delivered offset {found} where {expected} was expected"
            );
            return Err(EngineError::Rows(reason).into());
        }
        parts.extend(engine.fold(records, held, &mut out)?);
    }
    Ok(out.finish(generation, parts)?)
}
