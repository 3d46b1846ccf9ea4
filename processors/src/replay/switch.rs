//! The switch: the shadow's tables take the place of the live ones, each at once.

use arrow::datatypes::UInt64Type;
use warehouse::{Params, Warehouse};

use super::ReplayError;
use super::shadow::{REPLACED, SUFFIX};
use crate::store::columns::numbers;

/// Days before state, as everywhere: a state never names what its days lack.
const TABLES: [&str; 2] = ["customer_days", "customer_state"];

/// Replaces the live state. What it was is kept beside it until the next switch.
///
/// Only for who owns every partition. Parts are linked, not copied, and a table changes in one step. Should it end
/// between the two tables, the next replay finds and mends what differs.
pub(super) async fn swap(warehouse: &dyn Warehouse) -> Result<(), ReplayError> {
    let run = |sql: String| async move { warehouse.execute(&sql, &Params::new()).await };
    for table in TABLES {
        run(format!("DROP TABLE IF EXISTS {table}{REPLACED} SYNC")).await?;
        run(format!("CREATE TABLE {table}{REPLACED} AS {table}")).await?;
        // Replacing by or of nothing is refused by ClickHouse, as it would lose everything by mistake.
        if rows(warehouse, table).await? > 0 {
            run(format!(
                "ALTER TABLE {table}{REPLACED} REPLACE PARTITION tuple() FROM {table}"
            ))
            .await?;
        }
        match rows(warehouse, &format!("{table}{SUFFIX}")).await? {
            0 => run(format!("TRUNCATE TABLE {table}")).await?,
            _ => {
                run(format!(
                    "ALTER TABLE {table} REPLACE PARTITION tuple() FROM {table}{SUFFIX}"
                ))
                .await?;
            }
        }
    }
    Ok(())
}

async fn rows(warehouse: &dyn Warehouse, table: &str) -> Result<u64, ReplayError> {
    let sql = format!("SELECT count() AS found FROM {table}");
    let mut found = 0;
    for batch in warehouse.query(&sql, &Params::new()).await? {
        found += numbers::<UInt64Type>(&batch, "found")?
            .values()
            .iter()
            .sum::<u64>();
    }
    Ok(found)
}
