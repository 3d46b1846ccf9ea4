//! The tables, created and kept up to date by numbered migrations, the same on every adapter.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use xxhash_rust::xxh3::xxh3_64;

use crate::port::{Params, Warehouse, WarehouseError};

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        [$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../migrations/", $name, ".sql")),
        }),*]
    };
}

/// In the order they run; only ever appended to.
const MIGRATIONS: &[Migration] = &migrations![
    1 "0001_events",
    2 "0002_rejections",
    3 "0003_event_ids",
    4 "0004_customer_state",
    5 "0005_customer_days",
    6 "0006_progress",
    7 "0007_controls",
    8 "0008_customer_records",
    9 "0009_edits",
    10 "0010_loyalty_ledger",
    11 "0011_segments",
];

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS migrations (version UInt32, name String, checksum UInt64, \
     applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')) ENGINE = @replacing() ORDER BY version SETTINGS @durable";

/// Fills in what migrations leave open: the family of engines (the one place a cluster's replicated ones would be
/// chosen) and the settings that make an acknowledged insert survive power loss, merges included.
fn render(sql: &str) -> String {
    sql.replace("@replacing(", "ReplacingMergeTree(").replace(
        "@durable",
        "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1",
    )
}

/// Cuts a migration into statements. They end with a semicolon at the end of a line.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n")
        .map(|statement| statement.trim().trim_end_matches(';'))
        .filter(|statement| !statement.is_empty())
}

/// Runs the migrations that this database has not seen. Safe to repeat, and safe beside another process doing the same.
pub(crate) async fn run(warehouse: &dyn Warehouse) -> Result<(), WarehouseError> {
    warehouse.execute(&render(LEDGER), &Params::new()).await?;
    let seen = warehouse
        .query(
            "SELECT version, toString(any(checksum)) AS checksum FROM migrations GROUP BY version ORDER BY version",
            &Params::new(),
        )
        .await?;
    let applied = read_ledger(&seen)?;
    let newest = MIGRATIONS.last().map_or(0, |migration| migration.version);
    if let Some((version, _)) = applied.iter().find(|(version, _)| *version > newest) {
        return Err(WarehouseError::Migration(format!(
            "the database has migration {version} and this program knows {newest}; run a newer program"
        )));
    }
    for migration in MIGRATIONS {
        let checksum = xxh3_64(migration.sql.as_bytes()).to_string();
        match applied
            .iter()
            .find(|(version, _)| *version == migration.version)
        {
            Some((_, stored)) if *stored == checksum => continue,
            Some(_) => {
                return Err(WarehouseError::Migration(format!(
                    "migration {} was changed after it ran; add a new one instead",
                    migration.name
                )));
            }
            None => apply(warehouse, migration, &checksum).await?,
        }
    }
    Ok(())
}

async fn apply(
    warehouse: &dyn Warehouse,
    migration: &Migration,
    checksum: &str,
) -> Result<(), WarehouseError> {
    for statement in statements(migration.sql) {
        warehouse
            .execute(&render(statement), &Params::new())
            .await?;
    }
    let params = Params::new()
        .with("version", migration.version)
        .with("name", migration.name)
        .with("checksum", checksum);
    warehouse
        .execute(
            "INSERT INTO migrations (version, name, checksum) SELECT {version:UInt32}, {name:String}, {checksum:UInt64}",
            &params,
        )
        .await?;
    tracing::info!(
        migration = migration.name,
        "applied a migration of the warehouse"
    );
    Ok(())
}

fn read_ledger(batches: &[RecordBatch]) -> Result<Vec<(u32, String)>, WarehouseError> {
    let mut applied = Vec::new();
    for batch in batches {
        let (Some(versions), Some(checksums)) = (
            batch.column(0).as_primitive_opt::<UInt32Type>(),
            batch.column(1).as_string_opt::<i32>(),
        ) else {
            return Err(WarehouseError::Answer(
                "the table of migrations has other columns".into(),
            ));
        };
        applied.extend(
            (0..versions.len()).map(|row| (versions.value(row), checksums.value(row).to_owned())),
        );
    }
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_in_order_and_rendered_whole() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert!(
                migration
                    .name
                    .starts_with(&format!("{:04}_", migration.version))
            );
            assert!(statements(migration.sql).count() >= 1);
            for statement in statements(migration.sql) {
                assert!(!render(statement).contains('@'), "{}", migration.name);
            }
        }
    }
}
