//! Writes cycles: outputs, then state, then progress, each acknowledged before the next.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use schemas::Timestamp;
use schemas::crash::{self, Point};
use tokio::sync::mpsc;

use super::{FIRST_DELAY, LONGEST_DELAY, Lost, Observer, Wiring, Written};
use crate::error::ProcessorError;
use crate::metrics as names;
use crate::rows::{Cycle, Table, progress_rows};
use crate::store::{Store, StoreError};

pub(super) async fn write<S, O>(
    wiring: Arc<Wiring<S, O>>,
    mut cycles: mpsc::Receiver<Cycle>,
    written: mpsc::UnboundedSender<Written>,
    lost: Lost,
) -> Result<(), ProcessorError>
where
    S: Store + ?Sized,
    O: Observer + ?Sized,
{
    while let Some(cycle) = cycles.recv().await {
        let parts = cycle.parts.clone();
        let (begun, began) = (Instant::now(), Timestamp::from_micros(wiring.store.now()));
        if let Some(cycle) = write_cycle(&wiring, cycle, &lost).await? {
            let took = begun.elapsed();
            metrics::histogram!(names::WRITE_SECONDS).record(took.as_secs_f64());
            for (fold, records) in &cycle.traces {
                let insert = fold.follow("insert", 0);
                stream::span("insert", &insert, fold.span_id, began, took, *records);
            }
            wiring.observer.committed(&Arc::new(cycle));
        }
        // Nobody listens any more when the folder has ended: then this is the last of the drain.
        let _ = written.send(Written { parts });
    }
    Ok(())
}

/// Writes one cycle and returns what was committed of it.
async fn write_cycle<S, O>(
    wiring: &Wiring<S, O>,
    mut cycle: Cycle,
    lost: &Lost,
) -> Result<Option<Cycle>, ProcessorError>
where
    S: Store + ?Sized,
    O: Observer + ?Sized,
{
    crash::point(Point::BeforeOutputs);
    for group in groups(wiring.rules) {
        // The tables of a group do not depend on each other: they are written at the same time.
        let mut left: Vec<Table> = group.to_vec();
        let mut delay = FIRST_DELAY;
        loop {
            if !still_ours(&mut cycle, lost)? {
                return Ok(None);
            }
            let (failed, error) = insert_all(wiring, &cycle, &left).await?;
            let Some((table, error)) = error else { break };
            if !wiring.rules.repeat_failed_insert {
                break;
            }
            if !error.retryable {
                let what = format!("insert into {}", table.name());
                return Err(ProcessorError::Warehouse {
                    what,
                    source: error,
                });
            }
            metrics::counter!(names::INSERT_RETRIES).increment(failed.len() as u64);
            if wiring.shutdown.is_cancelled() {
                // What is not written will be folded again from the log.
                return Err(ProcessorError::ShutDown);
            }
            let (table, delay_ms) = (table.name(), delay.as_millis() as u64);
            if delay < LONGEST_DELAY {
                tracing::warn!(table, %error, delay_ms, "an insert failed; repeating the same rows");
            } else {
                tracing::error!(table, %error, delay_ms, "an insert fails again and again; look at the warehouse; the same rows are repeated");
            }
            wiring.store.pause(delay).await;
            delay = (delay * 2).min(LONGEST_DELAY);
            left = failed;
        }
        crash::point(match group.first() {
            Some(Table::CustomerDays) => Point::DaysWritten,
            Some(Table::CustomerState) => Point::StateWritten,
            Some(Table::Progress) => Point::ProgressWritten,
            _ => Point::OutputsWritten,
        });
    }
    Ok(Some(cycle))
}

/// Inserts the rows of some tables and waits for all. Returns those that failed, and one of their errors.
async fn insert_all<S, O>(
    wiring: &Wiring<S, O>,
    cycle: &Cycle,
    tables: &[Table],
) -> Result<(Vec<Table>, Option<(Table, StoreError)>), ProcessorError>
where
    S: Store + ?Sized,
    O: Observer + ?Sized,
{
    let mut inserts = Vec::with_capacity(tables.len());
    for &table in tables {
        let rows = match table {
            Table::Progress => Some(progress_rows(cycle, &wiring.owner, wiring.store.now())?),
            table => cycle.rows(table).cloned(),
        };
        if let Some(rows) = rows.filter(|rows| rows.num_rows() > 0) {
            inserts.push(async move {
                let inserted = insert(wiring, table, rows).await;
                if tables.len() > 1 {
                    crash::point(Point::BetweenOutputs);
                }
                (table, inserted)
            });
        }
    }
    let mut failed = Vec::new();
    let mut worst: Option<(Table, StoreError)> = None;
    for (table, outcome) in futures::future::join_all(inserts).await {
        if let Err(error) = outcome {
            failed.push(table);
            // One that is final decides.
            if worst.as_ref().is_none_or(|(_, worst)| worst.retryable) {
                worst = Some((table, error));
            }
        }
    }
    Ok((failed, worst))
}

/// The groups A, B and C. Within B the buckets come first, so that a state never names what its buckets lack.
fn groups(rules: crate::rules::Rules) -> &'static [&'static [Table]] {
    const OUTPUTS: &[Table] = &[
        Table::Events,
        Table::Rejections,
        Table::EventIds,
        Table::Controls,
        Table::Edits,
        Table::LoyaltyLedger,
        Table::CustomerRecords,
        Table::SegmentEvents,
        Table::SegmentMembers,
    ];
    const DAYS: &[Table] = &[Table::CustomerDays];
    const STATE: &[Table] = &[Table::CustomerState];
    const COMMIT: &[Table] = &[Table::Progress];
    match (rules.groups_in_order, rules.days_before_state) {
        (true, true) => &[OUTPUTS, DAYS, STATE, COMMIT],
        (true, false) => &[OUTPUTS, STATE, DAYS, COMMIT],
        (false, _) => &[DAYS, STATE, COMMIT, OUTPUTS],
    }
}

/// Drops the rows of partitions that were taken away. Whether anything is left.
fn still_ours(cycle: &mut Cycle, lost: &Lost) -> Result<bool, ProcessorError> {
    let gone: Vec<u32> = {
        let lost = lost.lock();
        cycle
            .parts
            .iter()
            .map(|part| part.partition)
            .filter(|partition| lost.contains(partition))
            .collect()
    };
    if !gone.is_empty() {
        *cycle = cycle.without(&gone)?;
    }
    Ok(!cycle.parts.is_empty())
}

/// Inserts rows, in pieces the engine takes as one block each.
async fn insert<S, O>(
    wiring: &Wiring<S, O>,
    table: Table,
    rows: RecordBatch,
) -> Result<(), StoreError>
where
    S: Store + ?Sized,
    O: ?Sized,
{
    let most = wiring.limits.insert_rows.max(1);
    let mut begin = 0;
    while begin < rows.num_rows() {
        let length = most.min(rows.num_rows() - begin);
        let started = Instant::now();
        wiring
            .store
            .insert(table, rows.slice(begin, length))
            .await?;
        metrics::histogram!(names::INSERT_SECONDS, "table" => table.name())
            .record(started.elapsed().as_secs_f64());
        metrics::counter!(names::INSERTED_ROWS, "table" => table.name()).increment(length as u64);
        begin += length;
    }
    Ok(())
}
