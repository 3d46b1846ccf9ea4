//! A rejection as the table has it.

use arrow::array::RecordBatch;
use schemas::{OrganizationId, Position, Timestamp};
use warehouse::WarehouseError;

use crate::tables::rows::Rows;

/// One record that does not count, and why.
#[derive(Debug, Clone)]
pub(crate) struct Rejection {
    pub(crate) position: Position,
    /// Empty where the record does not say; so are the other texts.
    pub(crate) organization: OrganizationId,
    pub(crate) customer_id: String,
    pub(crate) event_id: String,
    pub(crate) kind: String,
    pub(crate) attempt: u32,
    pub(crate) received_at: Timestamp,
    pub(crate) reason: String,
    pub(crate) field: String,
    pub(crate) detail: String,
    /// For a duplicate, the position that counts.
    pub(crate) first: Option<Position>,
    /// The key or user that sent it.
    pub(crate) source: String,
    pub(crate) payload: Payload,
}

/// The record as it is in the log.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    Text(String),
    /// What is no UTF-8, in Base64.
    Bytes(String),
}

impl Payload {
    /// As text, if it is that.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Payload::Text(text) => Some(text),
            Payload::Bytes(_) => None,
        }
    }
}

/// What is selected beside [`WITH_PAYLOAD`] or [`WITHOUT_PAYLOAD`], by the names that [`read`] looks for.
pub(super) const COLUMNS: &str = "generation AS c_generation, partition AS c_partition, offset AS c_offset, \
    organization AS c_organization, customer AS c_customer, event_id AS c_event_id, toString(kind) AS c_kind, \
    attempt AS c_attempt, toUnixTimestamp64Micro(received_at) AS c_received_at, toString(reason) AS c_reason, \
    field AS c_field, detail AS c_detail, first_generation AS c_first_generation, \
    first_partition AS c_first_partition, first_offset AS c_first_offset, \
    JSONExtractString(payload, 'source') AS c_source";
pub(super) const WITH_PAYLOAD: &str = "toUInt8(isValidUTF8(payload)) AS c_is_text, \
    if(isValidUTF8(payload), payload, base64Encode(payload)) AS c_payload";
pub(super) const WITHOUT_PAYLOAD: &str = "toUInt8(1) AS c_is_text, '' AS c_payload";

pub(super) fn read(batch: &RecordBatch) -> Result<Vec<Rejection>, WarehouseError> {
    let rows = Rows::new(batch);
    let positions = |generation, partition, offset| -> Result<Vec<Position>, WarehouseError> {
        let number = |values: &[Option<i64>], row: usize| {
            values[row].and_then(|value| u32::try_from(value).ok())
        };
        let (generations, partitions) = (rows.numbers(generation)?, rows.numbers(partition)?);
        let offsets = rows.numbers(offset)?;
        Ok((0..batch.num_rows())
            .map(|row| Position {
                generation: number(&generations, row).unwrap_or_default(),
                partition: number(&partitions, row).unwrap_or_default(),
                offset: offsets[row].unwrap_or_default().unsigned_abs(),
            })
            .collect())
    };
    let own = positions("c_generation", "c_partition", "c_offset")?;
    let first = positions("c_first_generation", "c_first_partition", "c_first_offset")?;
    let (organizations, customers) = (rows.texts("c_organization")?, rows.texts("c_customer")?);
    let (event_ids, kinds) = (rows.texts("c_event_id")?, rows.texts("c_kind")?);
    let (attempts, received) = (rows.numbers("c_attempt")?, rows.times("c_received_at")?);
    let (reasons, fields) = (rows.texts("c_reason")?, rows.texts("c_field")?);
    let (details, sources) = (rows.texts("c_detail")?, rows.texts("c_source")?);
    let (are_texts, payloads) = (rows.numbers("c_is_text")?, rows.texts("c_payload")?);
    let mut found = Vec::with_capacity(batch.num_rows());
    for (row, payload) in payloads.into_iter().enumerate() {
        found.push(Rejection {
            position: own[row],
            organization: OrganizationId::from_text(organizations[row].as_str()),
            customer_id: customers[row].clone(),
            event_id: event_ids[row].clone(),
            kind: kinds[row].clone(),
            attempt: attempts[row]
                .and_then(|attempt| u32::try_from(attempt).ok())
                .unwrap_or_default(),
            received_at: received[row].unwrap_or_default(),
            reason: reasons[row].clone(),
            field: fields[row].clone(),
            detail: details[row].clone(),
            // Generations begin with 1.
            first: Some(first[row]).filter(|first| first.generation > 0),
            source: sources[row].clone(),
            payload: match are_texts[row] {
                Some(0) => Payload::Bytes(payload),
                _ => Payload::Text(payload),
            },
        });
    }
    Ok(found)
}
