//! What became of an event: each sending that reached the log, from the warehouse and, for what is
//! not applied yet, from the log itself.

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use schemas::{
    OrganizationId, Position, Problem, ProblemKind, Record, Timestamp, bucket, event_hash,
};
use serde_json::{Value, json};
use warehouse::{Params, WarehouseError};

use crate::Ingest;

/// Unapplied records looked through for one receipt, at most: seconds of backlog, not hours.
const MOST_UNAPPLIED: u64 = 500_000;
const READ_RECORDS: usize = 10_000;
const READ_BYTES: usize = 16 << 20;

#[derive(Debug)]
struct Receipt {
    customer_id: String,
    received_at: Timestamp,
    reason: Option<String>,
    applied: bool,
}

fn away(error: impl std::fmt::Display) -> Problem {
    tracing::warn!(%error, "receipts cannot be looked up");
    Problem::new(
        ProblemKind::Unavailable,
        "receipts cannot be looked up now; try again",
    )
}

/// All receipts of an event id, oldest position first; 404 where none reached the log.
pub(crate) async fn find(
    ingest: &Ingest,
    organization: &OrganizationId,
    event_id: &str,
    customer: Option<&str>,
) -> Result<Value, Problem> {
    // Progress before rows: what is applied by then is certainly in the tables.
    let progress = progress(ingest).await.map_err(away)?;
    let mut found = stored(ingest, organization, event_id, customer)
        .await
        .map_err(away)?;
    unapplied(
        ingest,
        organization,
        event_id,
        customer,
        &progress,
        &mut found,
    )
    .await?;
    if found.is_empty() {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "no event of this id has reached the log; if you had no answer, send it again with the same id",
        ));
    }
    // Positions are in order within a partition only.
    let mut receipts: Vec<(Position, Receipt)> = found.into_iter().collect();
    receipts.sort_by_key(|(position, receipt)| (receipt.received_at, *position));
    let archived = ingest.archive.snapshot().await.map_err(away)?;
    let receipts: Vec<Value> = receipts
        .into_iter()
        .map(|(position, receipt)| {
            let status = match receipt.reason.as_deref() {
                _ if !receipt.applied => "accepted",
                Some("duplicate") => "duplicate",
                Some(_) => "rejected",
                None if position.offset
                    < archived.archived(position.generation, position.partition) =>
                {
                    "archived"
                }
                None => "processed",
            };
            let mut out = json!({
                "customer_id": receipt.customer_id,
                "position": position,
                "status": status,
                "received_at": receipt.received_at,
            });
            if let (true, Some(reason)) = (receipt.applied, receipt.reason) {
                out["reason"] = reason.into();
            }
            out
        })
        .collect();
    Ok(json!({"event_id": event_id, "receipts": receipts}))
}

/// The next record to apply of each (generation, partition).
type Progress = HashMap<(u32, u32), u64>;

async fn progress(ingest: &Ingest) -> Result<Progress, WarehouseError> {
    let rows = ingest
        .warehouse
        .query(
            "SELECT generation, partition, max(offset) AS offset FROM progress GROUP BY generation, partition",
            &Params::new(),
        )
        .await?;
    let mut progress = Progress::new();
    for batch in &rows {
        let (generation, partition) = (
            rows::u32(batch, "generation")?,
            rows::u32(batch, "partition")?,
        );
        let offset = rows::u64(batch, "offset")?;
        for row in 0..batch.num_rows() {
            progress.insert(
                (generation.value(row), partition.value(row)),
                offset.value(row),
            );
        }
    }
    Ok(progress)
}

/// Receipts in the tables: rejections (duplicates among them), and the events that hold a claim on the id.
async fn stored(
    ingest: &Ingest,
    organization: &OrganizationId,
    event_id: &str,
    customer: Option<&str>,
) -> Result<BTreeMap<Position, Receipt>, WarehouseError> {
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("event_id", event_id)
        .with("customer", customer.unwrap_or_default());
    let one_customer = if customer.is_some() {
        "AND customer = {customer:String}"
    } else {
        ""
    };
    let of_event = format!(
        "WHERE organization = {{organization:String}} AND event_id = {{event_id:String}} {one_customer}"
    );
    let sql = format!(
        "SELECT generation, partition, offset, customer, toUnixTimestamp64Micro(received_at) AS at, \
             toString(reason) AS reason, attempt FROM rejections {of_event}"
    );
    let mut receipts = BTreeMap::new();
    let mut attempts = 0;
    for batch in &ingest.warehouse.query(&sql, &params).await? {
        take(batch, &mut receipts)?;
        let rejected = rows::u32(batch, "attempt")?;
        attempts = attempts.max(rejected.values().iter().max().map_or(0, |last| last + 1));
    }
    // Each attempt claims apart, and there is one more only after the verdict on the one before.
    let ids: Vec<[u8; 16]> = (0..=attempts)
        .map(|attempt| event_hash(organization, event_id, attempt).to_be_bytes())
        .collect();
    let sql = format!(
        "SELECT generation, partition, offset, customer, toUnixTimestamp64Micro(received_at) AS at, '' AS reason \
         FROM events {of_event} AND (generation, partition, offset) IN \
             (SELECT generation, partition, offset FROM event_ids WHERE id IN {{ids:Array(FixedString(16))}})"
    );
    for batch in &ingest
        .warehouse
        .query(&sql, &params.with("ids", ids))
        .await?
    {
        take(batch, &mut receipts)?;
    }
    Ok(receipts)
}

/// Takes the receipts of an answer.
fn take(
    batch: &RecordBatch,
    receipts: &mut BTreeMap<Position, Receipt>,
) -> Result<(), WarehouseError> {
    let (generation, partition) = (
        rows::u32(batch, "generation")?,
        rows::u32(batch, "partition")?,
    );
    let (offset, at) = (rows::u64(batch, "offset")?, rows::i64(batch, "at")?);
    let (customers, reasons) = (rows::text(batch, "customer")?, rows::text(batch, "reason")?);
    for row in 0..batch.num_rows() {
        let position = Position {
            generation: generation.value(row),
            partition: partition.value(row),
            offset: offset.value(row),
        };
        let reason = reasons.value(row);
        receipts.insert(
            position,
            Receipt {
                customer_id: customers.value(row).to_owned(),
                received_at: Timestamp::from_micros(at.value(row)),
                reason: (!reason.is_empty()).then(|| reason.to_owned()),
                applied: true,
            },
        );
    }
    Ok(())
}

/// Adds what the log holds beyond the progress of each partition, and marks what is ahead of it.
async fn unapplied(
    ingest: &Ingest,
    organization: &OrganizationId,
    event_id: &str,
    customer: Option<&str>,
    progress: &Progress,
    receipts: &mut BTreeMap<Position, Receipt>,
) -> Result<(), Problem> {
    let generation = ingest.log.generation();
    for (position, receipt) in receipts.iter_mut() {
        let next = progress
            .get(&(position.generation, position.partition))
            .copied()
            .unwrap_or(0);
        receipt.applied = position.offset < next;
    }
    let only = customer
        .map(|customer| u32::from(bucket(organization, customer)) % ingest.log.partitions());
    let mut searched = true;
    let mut needle = Vec::new();
    schemas::json::write_string(&mut needle, event_id);
    for bounds in ingest.log.bounds().await.map_err(away)? {
        if only.is_some_and(|only| only != bounds.partition) {
            continue;
        }
        let next = progress
            .get(&(generation, bounds.partition))
            .copied()
            .unwrap_or(0);
        let mut from = next.max(bounds.start);
        let last = bounds.end.min(from + MOST_UNAPPLIED);
        searched &= last == bounds.end;
        while from < last {
            let records = ingest
                .log
                .read(bounds.partition, from, READ_RECORDS, READ_BYTES)
                .await
                .map_err(away)?;
            let Some(newest) = records.last() else { break };
            from = newest.position.offset + 1;
            for record in records
                .iter()
                .filter(|record| contains(&record.payload, &needle))
            {
                let Ok(Record::Event(event)) = Record::decode(&record.payload) else {
                    continue;
                };
                let same = event.organization == *organization && event.event_id == event_id;
                if same && customer.is_none_or(|customer| customer == event.customer_id) {
                    receipts.entry(record.position).or_insert(Receipt {
                        customer_id: event.customer_id.into(),
                        received_at: event.received_at,
                        reason: None,
                        applied: false,
                    });
                }
            }
        }
    }
    match searched || !receipts.is_empty() {
        true => Ok(()),
        false => Err(Problem::new(
            ProblemKind::Unavailable,
            "processing is too far behind to look this event up; ask again later",
        )),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// Typed columns of a result.
mod rows {
    use arrow::array::{Array, AsArray, Int64Array, PrimitiveArray, RecordBatch, StringArray};
    use arrow::datatypes::{ArrowPrimitiveType, Int64Type, UInt32Type, UInt64Type};
    use warehouse::WarehouseError;

    fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, WarehouseError> {
        batch
            .column_by_name(name)
            .map(AsRef::as_ref)
            .ok_or_else(|| WarehouseError::Answer(format!("no column {name}")))
    }

    fn primitive<'a, T: ArrowPrimitiveType>(
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<&'a PrimitiveArray<T>, WarehouseError> {
        column(batch, name)?
            .as_primitive_opt::<T>()
            .ok_or_else(|| WarehouseError::Answer(format!("column {name} is not {}", T::DATA_TYPE)))
    }

    pub(super) fn u32<'a>(
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<&'a PrimitiveArray<UInt32Type>, WarehouseError> {
        primitive(batch, name)
    }

    pub(super) fn u64<'a>(
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<&'a PrimitiveArray<UInt64Type>, WarehouseError> {
        primitive(batch, name)
    }

    pub(super) fn i64<'a>(
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<&'a Int64Array, WarehouseError> {
        primitive::<Int64Type>(batch, name)
    }

    pub(super) fn text<'a>(
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<&'a StringArray, WarehouseError> {
        column(batch, name)?
            .as_string_opt::<i32>()
            .ok_or_else(|| WarehouseError::Answer(format!("column {name} is not text")))
    }
}
