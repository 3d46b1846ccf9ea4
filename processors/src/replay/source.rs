//! The records that make up the state, read again: what counts, in the order of each partition.
//!
//! Whether a record counts has been decided, and a replay does not decide again: events before the archived offset are
//! those in the archive, events from there on are the log's records that have no row in `rejections`. Definitions and
//! ticks between the events of the archive come from `controls`, whatever the log still keeps.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::UInt64Type;
use bytes::Bytes;
use futures::StreamExt;
use schemas::{Control, Event, Position, Record};
use stream::{Log, LogRecord};
use tokio::sync::mpsc;
use warehouse::archive::Snapshot;
use warehouse::{Params, Warehouse, WarehouseError};

use super::{ReplayError, events};
use crate::prepare::CustomerKey;
use crate::store::columns;

/// Records handed on together.
const BATCH: usize = 4_096;
const READ_RECORDS: usize = 10_000;
const READ_BYTES: usize = 16 << 20;
/// Bytes the archive's rows may take while they are sorted.
const SORT_BYTES: usize = 256 << 20;

pub(super) type Batch = (u32, Vec<LogRecord>);

/// Where the records of one generation are.
pub(super) struct Source {
    pub(super) generation: u32,
    pub(super) partitions: u32,
    /// Of this generation, if it is the present one.
    pub(super) log: Option<Arc<dyn Log>>,
    pub(super) warehouse: Arc<dyn Warehouse>,
    pub(super) snapshot: Snapshot,
    /// Only these customers, if not all.
    pub(super) only: Option<Arc<HashSet<CustomerKey>>>,
}

/// What is sent on, in batches of one partition.
struct Out<'a> {
    source: &'a Source,
    partition: u32,
    batch: Vec<LogRecord>,
    last: Option<u64>,
    batches: &'a mpsc::Sender<Batch>,
}

impl Out<'_> {
    async fn push(&mut self, offset: u64, record: Record) -> Result<(), ReplayError> {
        if self.batch.len() >= BATCH {
            self.flush().await?;
        }
        self.batch.push(LogRecord {
            position: Position {
                generation: self.source.generation,
                partition: self.partition,
                offset,
            },
            payload: Bytes::new(),
            decoded: Some(Arc::new(record)),
            appended_at: 0,
            trace: None,
        });
        self.last = Some(offset);
        Ok(())
    }

    async fn event(&mut self, offset: u64, event: Event) -> Result<(), ReplayError> {
        let key = CustomerKey::of(event.organization.as_str(), &event.customer_id);
        match self
            .source
            .only
            .as_ref()
            .is_none_or(|only| only.contains(&key))
        {
            true => self.push(offset, Record::Event(event)).await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), ReplayError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        // The reader is gone only when the rebuild has ended.
        let sent = self.batches.send((self.partition, batch)).await;
        sent.map_err(|_| ReplayError::Ended)
    }
}

impl Source {
    /// Sends the records of a partition at these offsets. The last one sent is always at the last offset.
    pub(super) async fn send(
        &self,
        partition: u32,
        from: u64,
        to: u64,
        batches: &mpsc::Sender<Batch>,
    ) -> Result<(), ReplayError> {
        let mut out = Out {
            source: self,
            partition,
            batch: Vec::new(),
            last: None,
            batches,
        };
        let archived = self.snapshot.archived(self.generation, partition);
        if from < archived.min(to) {
            self.send_archived(&mut out, from, archived.min(to)).await?;
        }
        if from.max(archived) < to {
            self.send_logged(&mut out, from.max(archived), to).await?;
        }
        if out.last != Some(to - 1) {
            out.push(to - 1, Record::Control(Control::Probe)).await?;
        }
        out.flush().await
    }

    async fn send_archived(
        &self,
        out: &mut Out<'_>,
        from: u64,
        to: u64,
    ) -> Result<(), ReplayError> {
        let partition = out.partition;
        let mut controls = self.controls(partition, from, to).await?;
        let mut rows = self
            .snapshot
            .in_order(self.generation, partition, from..to, SORT_BYTES)
            .await?;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let found = tokio::task::spawn_blocking(move || events::read(&batch)).await??;
            for (offset, event) in found {
                while controls.front().is_some_and(|(at, _)| *at < offset) {
                    if let Some((at, control)) = controls.pop_front() {
                        out.push(at, Record::Control(control)).await?;
                    }
                }
                out.event(offset, event).await?;
            }
        }
        for (at, control) in controls {
            out.push(at, Record::Control(control)).await?;
        }
        Ok(())
    }

    /// Definitions and ticks at these offsets, in the order of the log.
    async fn controls(
        &self,
        partition: u32,
        from: u64,
        to: u64,
    ) -> Result<VecDeque<(u64, Control)>, ReplayError> {
        let sql = "SELECT offset, any(control) AS control FROM controls \
            WHERE generation = {generation:UInt32} AND partition = {partition:UInt32} \
                AND offset >= {from:UInt64} AND offset < {to:UInt64} GROUP BY offset ORDER BY offset";
        let mut found = VecDeque::new();
        for batch in self.of(sql, partition, from, to).await? {
            let offsets = columns::numbers::<UInt64Type>(&batch, "offset")?;
            let controls = columns::texts(&batch, "control")?;
            for row in 0..batch.num_rows() {
                found.push_back((offsets.value(row), columns::control(controls.value(row))?));
            }
        }
        Ok(found)
    }

    /// Records of the log that count.
    async fn send_logged(&self, out: &mut Out<'_>, from: u64, to: u64) -> Result<(), ReplayError> {
        let Some(log) = &self.log else {
            return Err(ReplayError::Missing {
                generation: self.generation,
                partition: out.partition,
                from,
                to,
            });
        };
        let mut at = from;
        while at < to {
            let records = log
                .read(out.partition, at, READ_RECORDS, READ_BYTES)
                .await?;
            let Some(last) = records.last().map(|record| record.position.offset) else {
                return Err(ReplayError::Missing {
                    generation: self.generation,
                    partition: out.partition,
                    from: at,
                    to,
                });
            };
            let end = to.min(last + 1);
            let rejected = self.rejected(out.partition, at, end).await?;
            for record in records {
                let offset = record.position.offset;
                if offset >= to || rejected.contains(&offset) {
                    continue;
                }
                match Record::decode(&record.payload) {
                    Ok(Record::Event(event)) => out.event(offset, event).await?,
                    Ok(control) => out.push(offset, control).await?,
                    Err(error) => {
                        tracing::warn!(position = %record.position, %error, "a record that counts cannot be read; the replay goes on without it");
                    }
                }
            }
            at = end;
        }
        Ok(())
    }

    async fn rejected(
        &self,
        partition: u32,
        from: u64,
        to: u64,
    ) -> Result<BTreeSet<u64>, ReplayError> {
        let sql = "SELECT DISTINCT offset FROM rejections WHERE generation = {generation:UInt32} \
            AND partition = {partition:UInt32} AND offset >= {from:UInt64} AND offset < {to:UInt64}";
        let mut found = BTreeSet::new();
        for batch in self.of(sql, partition, from, to).await? {
            let offsets = columns::numbers::<UInt64Type>(&batch, "offset")?;
            found.extend(offsets.values().iter().copied());
        }
        Ok(found)
    }

    /// Asks the warehouse about these offsets of a partition.
    async fn of(
        &self,
        sql: &str,
        partition: u32,
        from: u64,
        to: u64,
    ) -> Result<Vec<RecordBatch>, WarehouseError> {
        let params = Params::new()
            .with("generation", self.generation)
            .with("partition", partition)
            .with("from", from)
            .with("to", to);
        self.warehouse.query(sql, &params).await
    }
}
