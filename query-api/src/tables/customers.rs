//! `customers`: the live state of one organization's customers, as a table.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use schemas::OrganizationId;
use warehouse::{Params, Warehouse};

use super::CUSTOMER;
use super::hot::conform;
use super::live::{Question, WarehouseExec};

/// The newest state of every customer of one organization. Not cut at a position: at least as new as the answer's.
pub(crate) struct CustomersTable {
    organization: OrganizationId,
    schema: SchemaRef,
    warehouse: Arc<dyn Warehouse>,
}

impl fmt::Debug for CustomersTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomersTable")
            .field("organization", &self.organization)
            .finish_non_exhaustive()
    }
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let time = |name: &str, nullable| Field::new(name, schemas::arrow::timestamp(), nullable);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("customer_id", DataType::Utf8, false),
        text("name"),
        text("email"),
        text("phone"),
        text("company_name"),
        text("customer_type"),
        text("status"),
        text("city"),
        text("country"),
        text("tier"),
        number("points"),
        number("orders"),
        Field::new("revenue", schemas::arrow::decimal(), false),
        text("currency"),
        time("first_seen", false),
        time("last_seen", false),
        time("last_contact", true),
        time("last_order", true),
        time("created_at", false),
        time("updated_at", false),
        number("activities"),
        number("interactions"),
    ]))
}

/// The expression of a column over the newest row.
fn select(field: &Field) -> String {
    let name = field.name().as_str();
    match (name, field.data_type()) {
        ("id", _) => "toString(customer_key) AS r_id".to_owned(),
        ("customer_id", _) => format!("{CUSTOMER} AS r_customer_id"),
        (_, DataType::Utf8) => format!("nullIf(toString({name}), '') AS r_{name}"),
        (_, DataType::Int64) => format!("toInt64({name}) AS r_{name}"),
        _ => format!("{name} AS r_{name}"),
    }
}

impl CustomersTable {
    pub(crate) fn new(organization: OrganizationId, warehouse: Arc<dyn Warehouse>) -> Self {
        Self {
            organization,
            schema: schema(),
            warehouse,
        }
    }
}

#[async_trait]
impl TableProvider for CustomersTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema.clone(),
        };
        let mut selected: Vec<String> =
            columns.fields().iter().map(|field| select(field)).collect();
        if selected.is_empty() {
            selected.push("1 AS r_nothing".to_owned());
        }
        let mut sql = format!(
            "SELECT * EXCEPT r_deleted FROM (SELECT {}, is_deleted AS r_deleted FROM customer_state \
             WHERE organization = {{organization:String}} \
             ORDER BY {CUSTOMER}, version DESC LIMIT 1 BY {CUSTOMER}) WHERE NOT r_deleted",
            selected.join(", ")
        );
        if let Some(limit) = limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        let question = Question {
            sql,
            params: Params::new().with("organization", self.organization.as_str()),
        };
        let shape = columns.clone();
        Ok(Arc::new(WarehouseExec::new(
            columns,
            self.warehouse.clone(),
            question,
            Arc::new(move |batch| conform(&batch, &shape)),
        )))
    }
}
