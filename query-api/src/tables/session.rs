//! A session over one organization's tables.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::prelude::{Expr, SessionContext, col, lit};
use schemas::{OrganizationId, Problem, ProblemKind};

use super::customers::CustomersTable;
use super::cut::Cut;
use super::engine::Engine;
use super::events::EventsTable;
use crate::api::{App, internal};

/// Tables as of one cut.
pub(crate) struct Tables {
    pub(crate) context: SessionContext,
    pub(crate) cut: Cut,
}

/// Makes `events` of the organization, cut at what is applied now.
pub(crate) async fn open(app: &App, organization: &OrganizationId) -> Result<Tables, Problem> {
    open_at(app, &app.engine, organization, None).await
}

/// The same on this engine, and cut where another answer was cut, if there was one before it.
pub(crate) async fn open_at(
    app: &App,
    engine: &Engine,
    organization: &OrganizationId,
    earlier: Option<&Cut>,
) -> Result<Tables, Problem> {
    // In this order: what is archived meanwhile is cut off, what was archived before is not read twice.
    let now = app.cut().await?;
    let cut = earlier.map_or_else(|| now.clone(), |earlier| earlier.within(&now));
    let snapshot = app.api.archive.snapshot().await.map_err(|error| {
        tracing::warn!(%error, "the archive cannot be read");
        Problem::new(
            ProblemKind::Unavailable,
            "the archive cannot be read now, try again",
        )
    })?;
    let context = engine.session();
    let events = EventsTable::new(organization, &cut, &snapshot, app.api.warehouse.clone())
        .map_err(|error| internal("the archive's table cannot be made", &error))?;
    context
        .register_table("events", Arc::new(events))
        .map_err(|error| internal("a table cannot be registered", &error))?;
    Ok(Tables { context, cut })
}

/// Adds `items`, one row a line of a purchase, and `customers`.
pub(crate) async fn add_derived(
    app: &App,
    organization: &OrganizationId,
    context: &SessionContext,
) -> Result<(), Problem> {
    let add = async {
        context.register_table("items", items(context).await?)?;
        let customers = CustomersTable::new(organization.clone(), app.api.warehouse.clone());
        context.register_table("customers", Arc::new(customers))
    };
    add.await
        .map(|_| ())
        .map_err(|error| internal("a table cannot be registered", &error))
}

/// Columns of a purchase that are repeated for each of its items.
const OF_PURCHASE: [&str; 10] = [
    "organization",
    "customer_id",
    "event_id",
    "occurred_at",
    "currency",
    "status",
    "order_id",
    "generation",
    "partition",
    "offset",
];

async fn items(context: &SessionContext) -> Result<Arc<dyn datafusion::catalog::TableProvider>> {
    let purchases = context
        .table("events")
        .await?
        .filter(col("kind").eq(lit("purchase")))?;
    let mut columns: Vec<Expr> = OF_PURCHASE.iter().map(|name| col(*name)).collect();
    columns.push(col("items"));
    let lines = purchases.select(columns)?.unnest_columns(&["items"])?;
    let mut columns: Vec<Expr> = OF_PURCHASE.iter().map(|name| col(*name)).collect();
    for field in schemas::arrow::item_fields().iter() {
        let name = field.name().as_str();
        columns.push(get_field(col("items"), name).alias(name));
    }
    // Purchases without items have no row here.
    Ok(lines
        .filter(col("items").is_not_null())?
        .select(columns)?
        .into_view())
}
