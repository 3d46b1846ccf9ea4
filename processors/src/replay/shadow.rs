//! The shadow: the tables of state beside the live ones, and the store that the rebuild writes them through.
//!
//! Every replay has a shadow of its own, with the time it began in the names of its tables: what runs in other
//! processes does not meet it, and what was cut off is known by its age.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use warehouse::{Params, Warehouse, WarehouseError};

use super::ReplayError;
use crate::engine::{Found, Needs, Progress, Recount, StoredBucket, StoredState};
use crate::rows::Table;
use crate::store::columns::texts;
use crate::store::{Scope, Store, StoreError, StoredClaim, StoredDefinition, WarehouseStore};

/// Behind the names of a shadow's tables, before the time it began.
const MARK: &str = "_replay_";
/// Behind the names of the tables that keep what a switch has replaced.
pub(super) const REPLACED: &str = "_replaced";
/// No replay takes so long: microseconds after which a shadow is one that was left.
const LEFT_AFTER: i64 = 7 * 24 * 3600 * 1_000_000;

const TABLES: [Table; 6] = [
    Table::CustomerState,
    Table::CustomerRecords,
    Table::SegmentMembers,
    Table::CustomerDays,
    Table::EventIds,
    Table::Progress,
];

/// Whether a table is a shadow or what a switch has replaced: no part of the state, and rebuilt or spare.
pub fn is_aside(table: &str) -> bool {
    table.ends_with(REPLACED) || began(table).is_some()
}

/// When the replay began whose shadow a table belongs to, in microseconds.
fn began(table: &str) -> Option<i64> {
    let (live, time) = table.split_once(MARK)?;
    let known = TABLES.iter().any(|table| table.name() == live);
    i64::from_str_radix(time, 16).ok().filter(|_| known)
}

/// Makes tables that are empty and like the live ones of now. Returns what is behind their names.
pub(super) async fn create(warehouse: &dyn Warehouse) -> Result<Arc<str>, ReplayError> {
    let now = chrono::Utc::now().timestamp_micros();
    drop_left(warehouse, now).await?;
    let suffix: Arc<str> = format!("{MARK}{now:x}").into();
    for table in TABLES {
        let name = table.name();
        let sql = format!("CREATE TABLE {name}{suffix} AS {name}");
        warehouse.execute(&sql, &Params::new()).await?;
    }
    Ok(suffix)
}

/// Takes a shadow away.
pub(super) async fn drop_all(
    warehouse: &dyn Warehouse,
    suffix: &str,
) -> Result<(), WarehouseError> {
    for table in TABLES {
        drop_table(warehouse, &format!("{}{suffix}", table.name())).await?;
    }
    Ok(())
}

/// Takes away what replays have left that were cut off long ago.
async fn drop_left(warehouse: &dyn Warehouse, now: i64) -> Result<(), ReplayError> {
    let sql = "SELECT name FROM system.tables WHERE database = currentDatabase()";
    for batch in warehouse.query(sql, &Params::new()).await? {
        for table in texts(&batch, "name")?.iter().flatten() {
            if began(table).is_some_and(|began| now - began > LEFT_AFTER) {
                drop_table(warehouse, table).await?;
            }
        }
    }
    Ok(())
}

async fn drop_table(warehouse: &dyn Warehouse, table: &str) -> Result<(), WarehouseError> {
    let sql = format!("DROP TABLE IF EXISTS {table} SYNC");
    warehouse.execute(&sql, &Params::new()).await
}

/// The store of a rebuild, which begins with nothing and is never handed over.
#[derive(Debug)]
pub(super) struct Shadow(WarehouseStore);

impl Shadow {
    pub(super) fn new(warehouse: Arc<dyn Warehouse>, suffix: Arc<str>) -> Self {
        Self(WarehouseStore::beside(warehouse, suffix))
    }
}

#[async_trait]
impl Store for Shadow {
    async fn synchronise(&self) -> Result<(), StoreError> {
        self.0.synchronise().await
    }

    async fn progress(&self, scope: &Scope) -> Result<Vec<(u32, Progress)>, StoreError> {
        self.0.progress(scope).await
    }

    async fn definitions(&self, scope: &Scope) -> Result<Vec<StoredDefinition>, StoreError> {
        let mut definitions = self.0.definitions(scope).await?;
        // Those of this generation come with its records.
        definitions.retain(|definition| definition.offset.is_none());
        Ok(definitions)
    }

    async fn states(
        &self,
        scope: &Scope,
        take: &mut (dyn FnMut(Vec<(u16, StoredState)>) + Send),
    ) -> Result<(), StoreError> {
        self.0.states(scope, take).await
    }

    async fn claims(
        &self,
        scope: &Scope,
        take: &mut (dyn FnMut(Vec<StoredClaim>) + Send),
    ) -> Result<(), StoreError> {
        self.0.claims(scope, take).await
    }

    async fn rejections_from(
        &self,
        _: u32,
        _: &[(u32, u64)],
    ) -> Result<Vec<(u32, u64)>, StoreError> {
        // Only records that count are folded.
        Ok(Vec::new())
    }

    async fn find(&self, needs: &Needs) -> Result<Found, StoreError> {
        self.0.find(needs).await
    }

    async fn recount(&self, recounts: &[Recount]) -> Result<Vec<StoredBucket>, StoreError> {
        self.0.recount(recounts).await
    }

    async fn insert(&self, table: Table, rows: RecordBatch) -> Result<(), StoreError> {
        match TABLES.contains(&table) {
            true => self.0.insert(table, rows).await,
            false => Ok(()),
        }
    }

    async fn pause(&self, time: Duration) {
        self.0.pause(time).await;
    }

    fn now(&self) -> i64 {
        self.0.now()
    }

    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.run(work).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_aside_is_known_by_its_name() {
        assert!(is_aside("customer_state_replay_64a1b2c3d4e5f"));
        assert!(is_aside("customer_days_replaced"));
        for live in [
            "customer_state",
            "progress",
            "events",
            "game_replay_sessions",
        ] {
            assert!(!is_aside(live), "{live}");
        }
        assert_eq!(began("progress_replay_ff"), Some(255));
    }
}
