//! The shadow: the tables of state beside the live ones, and the store that the rebuild writes them through.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use warehouse::{Params, Warehouse, WarehouseError};

use crate::engine::{Found, Needs, Progress, StoredState};
use crate::rows::Table;
use crate::store::{Scope, Store, StoreError, StoredClaim, StoredDefinition, WarehouseStore};

/// Behind the names of the shadow's tables.
pub(super) const SUFFIX: &str = "_replay";
/// Behind the names of the tables that keep what a switch has replaced.
pub(super) const REPLACED: &str = "_replaced";

const TABLES: [Table; 4] = [
    Table::CustomerState,
    Table::CustomerDays,
    Table::EventIds,
    Table::Progress,
];

/// Makes the shadow's tables, empty and like the live ones of now.
pub(super) async fn create(warehouse: &dyn Warehouse) -> Result<(), WarehouseError> {
    drop_all(warehouse).await?;
    for table in TABLES {
        let name = table.name();
        let sql = format!("CREATE TABLE {name}{SUFFIX} AS {name}");
        warehouse.execute(&sql, &Params::new()).await?;
    }
    Ok(())
}

/// Takes the shadow away.
pub(super) async fn drop_all(warehouse: &dyn Warehouse) -> Result<(), WarehouseError> {
    for table in TABLES {
        let sql = format!("DROP TABLE IF EXISTS {}{SUFFIX} SYNC", table.name());
        warehouse.execute(&sql, &Params::new()).await?;
    }
    Ok(())
}

/// The store of a rebuild, which begins with nothing and is never handed over.
#[derive(Debug)]
pub(super) struct Shadow(WarehouseStore);

impl Shadow {
    pub(super) fn new(warehouse: Arc<dyn Warehouse>) -> Self {
        Self(WarehouseStore::beside(warehouse, SUFFIX))
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
