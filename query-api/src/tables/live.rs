//! Reading the warehouse inside a plan.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use futures::{StreamExt as _, TryStreamExt as _};
use warehouse::{Params, Warehouse};

/// A statement of ours and the values it is asked with.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) sql: String,
    pub(crate) params: Params,
}

/// Gives the warehouse's rows the table's types.
pub(crate) type Conform = Arc<dyn Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync>;

/// Asks the warehouse when it is executed. Predicates are not pushed into it, see [`super::barrier`].
#[derive(Clone)]
pub(crate) struct WarehouseExec {
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    warehouse: Arc<dyn Warehouse>,
    question: Question,
    conform: Conform,
}

impl WarehouseExec {
    pub(crate) fn new(
        schema: SchemaRef,
        warehouse: Arc<dyn Warehouse>,
        question: Question,
        conform: Conform,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            schema,
            properties: Arc::new(properties),
            warehouse,
            question,
            conform,
        }
    }
}

impl fmt::Debug for WarehouseExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarehouseExec")
            .field("sql", &self.question.sql)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for WarehouseExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WarehouseExec")
    }
}

impl ExecutionPlan for WarehouseExec {
    fn name(&self) -> &str {
        "WarehouseExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Self {
            warehouse,
            question,
            conform,
            ..
        } = self.clone();
        let external =
            |error: warehouse::WarehouseError| DataFusionError::External(Box::new(error));
        let batches = async move {
            warehouse
                .stream(&question.sql, &question.params)
                .await
                .map(|batches| batches.map_err(external))
                .map_err(external)
        };
        let rows = futures::stream::once(batches)
            .try_flatten()
            .map(move |batch| conform(batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            rows,
        )))
    }
}
