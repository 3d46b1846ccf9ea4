//! Rejected events sent again, and what became of them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use schemas::record::{DecodeError, resend};
use schemas::{Position, bucket};
use stream::{AppendError, Log, NewRecord};
use warehouse::{Params, Warehouse, WarehouseError};

use super::Rejection;
use crate::tables::cut::Cut;
use crate::tables::rows::Rows;

/// A rejected event that was sent again.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) rejection: Position,
    pub(crate) position: Position,
    pub(crate) customer_id: String,
    pub(crate) event_id: String,
    pub(crate) attempt: u32,
}

/// Why a sending does not count either.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) reason: String,
    pub(crate) field: String,
    pub(crate) detail: String,
}

/// Why a rejected event could not be sent again.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is still something wrong with it.
    Event(DecodeError),
    /// The log does not take it.
    Log(AppendError),
}

/// Offsets in one statement: servers refuse parameters of more than 128 KiB.
const AT_ONCE: usize = 4_000;

/// Sends rejected events again, each as the attempt given and with its correction, in this order.
pub(crate) async fn send(
    log: &dyn Log,
    again: &[(&Rejection, u32)],
    correction: Option<&str>,
) -> Vec<Result<Sent, Refused>> {
    let mut records = Vec::with_capacity(again.len());
    let mut outcomes = Vec::with_capacity(again.len());
    for (rejection, attempt) in again {
        // What is no text is no JSON either.
        let payload = rejection.payload.text().unwrap_or_default();
        let (event, payload) = match resend(payload.as_bytes(), *attempt, correction) {
            Ok(resent) => resent,
            Err(error) => {
                outcomes.push(Err(Refused::Event(error)));
                continue;
            }
        };
        let partition =
            u32::from(bucket(&event.organization, &event.customer_id)) % log.partitions();
        outcomes.push(Ok(Sent {
            rejection: rejection.position,
            // Where the log puts it is filled in below.
            position: rejection.position,
            customer_id: event.customer_id.to_string(),
            event_id: event.event_id.to_string(),
            attempt: event.attempt,
        }));
        records.push(NewRecord {
            partition,
            payload: payload.into(),
            decoded: None,
            trace: None,
        });
    }
    let mut appended = log.append(records).await.into_iter();
    for outcome in &mut outcomes {
        if let Ok(sent) = outcome {
            match appended.next().unwrap_or(Err(AppendError::Closed)) {
                Ok(position) => sent.position = position,
                Err(error) => *outcome = Err(Refused::Log(error)),
            }
        }
    }
    outcomes
}

/// Waits until the positions are applied, at most `patience`.
pub(crate) async fn wait_applied(
    warehouse: &dyn Warehouse,
    log: &dyn Log,
    positions: impl Iterator<Item = Position> + Clone,
    patience: Duration,
) -> Result<bool, WarehouseError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        let cut = Cut::read(warehouse, log).await?;
        let applied = |position: Position| {
            position.offset < cut.next(position.generation, position.partition)
        };
        if positions.clone().all(applied) {
            return Ok(true);
        }
        if begun.elapsed() + pause > patience {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(250));
    }
}

/// The verdicts on applied positions: those that are not in the answer count.
pub(crate) async fn verdicts(
    warehouse: &dyn Warehouse,
    positions: impl Iterator<Item = Position>,
) -> Result<HashMap<Position, Verdict>, WarehouseError> {
    let mut asked: BTreeMap<(u32, u32), Vec<u64>> = BTreeMap::new();
    for position in positions {
        let key = (position.generation, position.partition);
        asked.entry(key).or_default().push(position.offset);
    }
    let sql = "SELECT offset AS c_offset, toString(reason) AS c_reason, field AS c_field, detail AS c_detail \
        FROM rejections WHERE generation = {generation:UInt32} AND partition = {partition:UInt32} \
        AND offset IN {offsets:Array(UInt64)}";
    let mut found = HashMap::new();
    for ((generation, partition), offsets) in asked {
        for offsets in offsets.chunks(AT_ONCE) {
            let params = Params::new()
                .with("generation", generation)
                .with("partition", partition)
                .with("offsets", offsets);
            for batch in warehouse.query(sql, &params).await? {
                let rows = Rows::new(&batch);
                let (offsets, reasons) = (rows.numbers("c_offset")?, rows.texts("c_reason")?);
                let (fields, details) = (rows.texts("c_field")?, rows.texts("c_detail")?);
                for (row, offset) in offsets.into_iter().enumerate() {
                    let position = Position {
                        generation,
                        partition,
                        offset: offset.unwrap_or_default().unsigned_abs(),
                    };
                    let verdict = Verdict {
                        reason: reasons[row].clone(),
                        field: fields[row].clone(),
                        detail: details[row].clone(),
                    };
                    found.insert(position, verdict);
                }
            }
        }
    }
    Ok(found)
}
