//! The switch: the shadow's tables take the place of the live ones, each at once.

use arrow::datatypes::UInt64Type;
use warehouse::{Params, Warehouse};

use super::ReplayError;
use super::shadow::REPLACED;
use crate::store::columns::numbers;

/// State last, as everywhere: it never names what the others lack.
const TABLES: [&str; 4] = [
    "customer_records",
    "segment_members",
    "customer_days",
    "customer_state",
];

/// Keeps the live state beside itself until the next switch. What takes time happens here.
pub(super) async fn keep(warehouse: &dyn Warehouse) -> Result<(), ReplayError> {
    for table in TABLES {
        execute(
            warehouse,
            format!("DROP TABLE IF EXISTS {table}{REPLACED} SYNC"),
        )
        .await?;
        execute(
            warehouse,
            format!("CREATE TABLE {table}{REPLACED} AS {table}"),
        )
        .await?;
        replace(warehouse, &format!("{table}{REPLACED}"), table).await?;
    }
    Ok(())
}

/// Replaces the live state by a shadow.
///
/// Only for who owns every partition. Parts are linked, not copied, and a table changes in one step. Should it end
/// between the two tables, the next replay finds and mends what differs.
pub(super) async fn swap(warehouse: &dyn Warehouse, suffix: &str) -> Result<(), ReplayError> {
    for table in TABLES {
        replace(warehouse, table, &format!("{table}{suffix}")).await?;
    }
    Ok(())
}

async fn replace(warehouse: &dyn Warehouse, table: &str, by: &str) -> Result<(), ReplayError> {
    // Replacing by nothing is refused by ClickHouse, as it would lose everything by mistake.
    let sql = match rows(warehouse, by).await? {
        0 => format!("TRUNCATE TABLE {table}"),
        _ => format!("ALTER TABLE {table} REPLACE PARTITION tuple() FROM {by}"),
    };
    execute(warehouse, sql).await
}

async fn execute(warehouse: &dyn Warehouse, sql: String) -> Result<(), ReplayError> {
    Ok(warehouse.execute(&sql, &Params::new()).await?)
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
