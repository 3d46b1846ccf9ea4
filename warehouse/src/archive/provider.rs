//! The archive as a table of DataFusion.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake::logstore::LogStoreRef;
use url::Position;

use super::error::ArchiveError;
use super::snapshot::Snapshot;

/// One version of the archive. Its columns have the plain types of the events' schema, so that the archive and the
/// hot tail unite without casts.
#[derive(Debug)]
pub(crate) struct EventsTable {
    scan: DeltaScanNext,
    log: LogStoreRef,
    store: ObjectStoreUrl,
}

impl EventsTable {
    pub(crate) fn new(snapshot: &Snapshot) -> std::result::Result<Self, ArchiveError> {
        let mut config = DeltaScanConfig::new()
            .with_wrap_partition_values(false)
            .with_schema(snapshot.columns.table.clone());
        config.schema_force_view_types = false;
        let scan = DeltaScanNext::new(snapshot.state.snapshot().clone(), config)?;
        let store = ObjectStoreUrl::parse(&snapshot.log.root_url()[..Position::BeforePath])?;
        Ok(Self {
            scan,
            log: snapshot.log.clone(),
            store,
        })
    }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        self.scan.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Sessions come and go; each must know how to reach the storage.
        let runtime = session.runtime_env();
        if runtime.object_store(&self.store).is_err() {
            runtime.register_object_store(self.store.as_ref(), self.log.root_object_store(None));
        }
        self.scan.scan(session, projection, filters, limit).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.scan.supports_filters_pushdown(filters)
    }
}
