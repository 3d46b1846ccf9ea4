//! Claims: every event that counts must hold its id, or a repeat of it would count again.

use arrow::datatypes::{Int32Type, UInt32Type, UInt64Type};
use schemas::Position;
use warehouse::{Params, Warehouse};

use super::ReplayError;
use super::report::{Difference, MOST_DIFFERENCES};
use crate::store::columns::{numbers, texts};

/// Claims of a week that the live table lacks. Only claims that the shadow made are asked for: those of rejected events
/// are in the live table alone.
fn lacking(suffix: &str, what: &str) -> String {
    format!(
        "{what} FROM event_ids{suffix} WHERE toMonday(received_at) = toDate({{monday:Int32}}) AND (id, who) NOT IN \
         (SELECT id, who FROM event_ids WHERE toMonday(received_at) = toDate({{monday:Int32}}))"
    )
}

/// The weeks that the shadow has claims of.
async fn mondays(warehouse: &dyn Warehouse, suffix: &str) -> Result<Vec<i32>, ReplayError> {
    let sql =
        format!("SELECT DISTINCT toInt32(toMonday(received_at)) AS monday FROM event_ids{suffix}");
    let mut found = Vec::new();
    for batch in warehouse.query(&sql, &Params::new()).await? {
        found.extend_from_slice(numbers::<Int32Type>(&batch, "monday")?.values());
    }
    Ok(found)
}

/// Events whose claims are missing.
pub(super) async fn missing(
    warehouse: &dyn Warehouse,
    suffix: &str,
) -> Result<Vec<Difference>, ReplayError> {
    let mut found = Vec::new();
    for monday in mondays(warehouse, suffix).await? {
        let sql = lacking(suffix, "SELECT generation, partition, offset")
            + &format!(" LIMIT {MOST_DIFFERENCES}");
        for batch in warehouse
            .query(&sql, &Params::new().with("monday", monday))
            .await?
        {
            let generations = numbers::<UInt32Type>(&batch, "generation")?;
            let partitions = numbers::<UInt32Type>(&batch, "partition")?;
            let offsets = numbers::<UInt64Type>(&batch, "offset")?;
            for row in 0..batch.num_rows() {
                let position = Position {
                    generation: generations.value(row),
                    partition: partitions.value(row),
                    offset: offsets.value(row),
                };
                found.extend(describe(warehouse, position).await?);
            }
        }
    }
    Ok(found)
}

/// The event at a position as one that has no claim.
async fn describe(
    warehouse: &dyn Warehouse,
    position: Position,
) -> Result<Option<Difference>, ReplayError> {
    let sql = "SELECT organization, customer, event_id FROM events WHERE generation = {generation:UInt32} \
        AND partition = {partition:UInt32} AND offset = {offset:UInt64} LIMIT 1";
    let params = Params::new()
        .with("generation", position.generation)
        .with("partition", position.partition)
        .with("offset", position.offset);
    for batch in warehouse.query(sql, &params).await? {
        let (organizations, customers) =
            (texts(&batch, "organization")?, texts(&batch, "customer")?);
        let event_ids = texts(&batch, "event_id")?;
        if batch.num_rows() > 0 {
            return Ok(Some(Difference {
                organization: organizations.value(0).to_owned(),
                customer_id: customers.value(0).to_owned(),
                table: "event_ids",
                row: event_ids.value(0).to_owned(),
                field: "claim".to_owned(),
                live: None,
                replayed: Some(position.to_string()),
            }));
        }
    }
    Ok(None)
}

/// Adds what is missing. A claim that is there already stays what it is.
pub(super) async fn add_missing(
    warehouse: &dyn Warehouse,
    suffix: &str,
) -> Result<(), ReplayError> {
    for monday in mondays(warehouse, suffix).await? {
        let sql = lacking(suffix, "INSERT INTO event_ids SELECT *");
        warehouse
            .execute(&sql, &Params::new().with("monday", monday))
            .await?;
    }
    Ok(())
}
