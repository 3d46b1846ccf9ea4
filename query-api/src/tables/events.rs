//! `events`: archive ∪ hot tail of one organization, cut at the applied positions.
//!
//! Per log partition the archive answers for offsets below its archived offset, the warehouse from
//! there to the cut: no gap and no overlap, whatever either holds beyond.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::union::UnionExec;
use datafusion::prelude::{col, lit};
use schemas::OrganizationId;
use warehouse::Warehouse;
use warehouse::archive::{ArchiveError, Snapshot};

use super::barrier::BarrierExec;
use super::cut::Cut;
use super::hot::{HotTail, Range};
use super::pushdown::harmless;

/// The events of one organization as of one cut.
#[derive(Debug)]
pub(crate) struct EventsTable {
    schema: SchemaRef,
    archive: Arc<dyn TableProvider>,
    /// What rows of the archive must fulfil.
    admitted: Expr,
    hot: HotTail,
}

impl EventsTable {
    /// `snapshot` must have been taken after `cut`.
    pub(crate) fn new(
        organization: &OrganizationId,
        cut: &Cut,
        snapshot: &Snapshot,
        warehouse: Arc<dyn Warehouse>,
    ) -> std::result::Result<Self, ArchiveError> {
        let mut admitted = col("organization").eq(lit(organization.as_str()));
        for ((generation, partition), archived) in snapshot.all_archived() {
            let next = cut.next(generation, partition);
            if archived > next {
                // Archived since the cut was read: those rows are not in this answer.
                let elsewhere = col("generation")
                    .not_eq(lit(i64::from(generation)))
                    .or(col("partition").not_eq(lit(i64::from(partition))));
                let before = col("offset").lt(lit(i64::try_from(next).unwrap_or(i64::MAX)));
                admitted = admitted.and(elsewhere.or(before));
            }
        }
        let ranges = cut
            .next
            .iter()
            .map(|(&(generation, partition), &next)| Range {
                generation,
                partition,
                from: snapshot.archived(generation, partition),
                to: next,
            })
            .filter(|range| range.from < range.to)
            .collect();
        let schema = schemas::arrow::events();
        Ok(Self {
            hot: HotTail::new(organization.clone(), ranges, warehouse),
            archive: snapshot.provider()?,
            schema,
            admitted,
        })
    }

    /// The archive's part: tenant filter and cut applied below a barrier.
    async fn scan_archive(
        &self,
        session: &dyn Session,
        columns: &Schema,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let archive = self.archive.schema();
        let mut wanted: Vec<String> = columns
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let mut needed: Vec<&str> = self
            .admitted
            .column_refs()
            .iter()
            .map(|column| column.name())
            .collect();
        needed.sort_unstable();
        for name in needed {
            if !wanted.iter().any(|other| other == name) {
                wanted.push(name.to_owned());
            }
        }
        let projection = wanted
            .iter()
            .map(|name| Ok(archive.index_of(name)?))
            .collect::<Result<Vec<usize>>>()?;
        let mut pushed = vec![self.admitted.clone()];
        pushed.extend(filters.iter().cloned());
        let scan = self
            .archive
            .scan(session, Some(&projection), &pushed, None)
            .await?;
        let schema = DFSchema::try_from(scan.schema())?;
        let predicate = session.create_physical_expr(self.admitted.clone(), &schema)?;
        let shown = (0..columns.fields().len()).collect();
        let filter = FilterExecBuilder::new(predicate, scan)
            .apply_projection(Some(shown))?
            .build()?;
        Ok(Arc::new(BarrierExec::new(Arc::new(filter))))
    }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema.clone(),
        };
        let archive = self.scan_archive(session, &columns, filters).await?;
        match self.hot.is_empty() {
            true => Ok(archive),
            false => UnionExec::try_new(vec![archive, self.hot.scan(columns, filters)]),
        }
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match harmless(filter, &self.schema) {
                true => TableProviderFilterPushDown::Inexact,
                false => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }
}
