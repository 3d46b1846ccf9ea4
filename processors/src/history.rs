//! A customer as it was: its events up to a time, folded again.
//!
//! "As it was" is as it was known: by when events were received, not by when they happened.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{UInt32Type, UInt64Type};
use schemas::{Control, CustomerRef, Event, Position, Timestamp, bucket};
use warehouse::{Params, Warehouse};

use crate::fold::{Definitions, State, apply, tick};
use crate::replay::events;
use crate::rows::{StateRows, archive_rows};
use crate::store::StoreError;
use crate::store::columns::{control, numbers, texts, unreadable};

const TIME: &str = "DateTime64(6, 'UTC')";

/// The row of `customer_state` that a customer had at a time; none where it was not known then.
///
/// # Errors
/// When the warehouse does not answer, or holds what this program does not read.
pub async fn customer_at(
    warehouse: &dyn Warehouse,
    customer: &CustomerRef,
    at: Timestamp,
) -> Result<Option<RecordBatch>, StoreError> {
    let events = received_until(warehouse, customer, at).await?;
    let mut definitions = Definitions::default();
    let mut state: Option<State> = None;
    let mut groups: BTreeMap<(u32, u32), Vec<(Position, Event)>> = BTreeMap::new();
    for (position, event) in events {
        let group = (position.generation, position.partition);
        groups.entry(group).or_default().push((position, event));
    }
    let mut earlier = 0;
    for ((generation, partition), events) in groups {
        // Every partition had all definitions of an earlier generation: those of the first one do.
        for before in earlier..generation {
            for (_, control) in controls(warehouse, before, 0).await? {
                define(&mut definitions, &control)?;
            }
        }
        earlier = generation + 1;
        let mut controls = controls(warehouse, generation, partition)
            .await?
            .into_iter()
            .peekable();
        for (position, event) in &events {
            while let Some((offset, control)) =
                controls.next_if(|(offset, _)| *offset < position.offset)
            {
                step(
                    customer,
                    &mut definitions,
                    &mut state,
                    &control,
                    Position {
                        offset,
                        ..*position
                    },
                    at,
                )?;
            }
            let state =
                state.get_or_insert_with(|| State::new(event.occurred_at, event.received_at));
            // Events of the table count; their verdict is not decided again.
            if apply(&definitions, state, event).is_ok() {
                state.version = position.version();
            }
        }
        for (offset, control) in controls {
            let position = Position {
                generation,
                partition,
                offset,
            };
            step(
                customer,
                &mut definitions,
                &mut state,
                &control,
                position,
                at,
            )?;
        }
    }
    let Some(state) = state.filter(|state| !state.is_deleted) else {
        return Ok(None);
    };
    let mut rows = StateRows::default();
    let bucket = bucket(&customer.organization, &customer.customer_id);
    let currency = definitions.currency(&customer.organization);
    rows.push(customer, bucket, currency, &state);
    let rows = rows.finish();
    rows.map(Some)
        .map_err(|error| unreadable(error.to_string()))
}

fn define(definitions: &mut Definitions, control: &Control) -> Result<(), StoreError> {
    match control {
        Control::Define { define } => definitions
            .define(define)
            .map_err(|error| unreadable(error.to_string())),
        _ => Ok(()),
    }
}

fn step(
    customer: &CustomerRef,
    definitions: &mut Definitions,
    state: &mut Option<State>,
    control: &Control,
    position: Position,
    until: Timestamp,
) -> Result<(), StoreError> {
    if let (Control::Tick { at }, Some(state)) = (control, state)
        && *at <= until
        && tick(definitions, &customer.organization, state, *at).is_some()
    {
        state.version = position.version();
    }
    define(definitions, control)
}

async fn received_until(
    warehouse: &dyn Warehouse,
    customer: &CustomerRef,
    at: Timestamp,
) -> Result<Vec<(Position, Event)>, StoreError> {
    let sql = format!(
        "SELECT * FROM events FINAL WHERE organization = {{organization:String}} AND customer = {{customer:String}} \
         AND received_at <= {{at:{TIME}}} ORDER BY generation, partition, offset"
    );
    let params = Params::new()
        .with("organization", customer.organization.as_str())
        .with("customer", customer.customer_id.as_str())
        .with("at", at);
    let batches = warehouse.query(&sql, &params).await?;
    let Some(first) = batches.first() else {
        return Ok(Vec::new());
    };
    let failed = |error: arrow::error::ArrowError| unreadable(error.to_string());
    let batch = concat_batches(&first.schema(), &batches).map_err(failed)?;
    let generations = numbers::<UInt32Type>(&batch, "generation")?;
    let partitions = numbers::<UInt32Type>(&batch, "partition")?;
    let events = events::read(&archive_rows(&batch).map_err(failed)?)?;
    Ok(events
        .into_iter()
        .enumerate()
        .map(|(row, (offset, event))| {
            let position = Position {
                generation: generations.value(row),
                partition: partitions.value(row),
                offset,
            };
            (position, event)
        })
        .collect())
}

/// Definitions and ticks of a partition, by offset.
async fn controls(
    warehouse: &dyn Warehouse,
    generation: u32,
    partition: u32,
) -> Result<Vec<(u64, Control)>, StoreError> {
    let sql = "SELECT offset, any(control) AS control FROM controls WHERE generation = {generation:UInt32} \
        AND partition = {partition:UInt32} GROUP BY offset ORDER BY offset";
    let params = Params::new()
        .with("generation", generation)
        .with("partition", partition);
    let mut found = Vec::new();
    for batch in warehouse.query(sql, &params).await? {
        let offsets = numbers::<UInt64Type>(&batch, "offset")?;
        let controls = texts(&batch, "control")?;
        for row in 0..batch.num_rows() {
            found.push((offsets.value(row), control(controls.value(row))?));
        }
    }
    Ok(found)
}
