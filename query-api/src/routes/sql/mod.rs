//! `POST /sql`: one read-only SELECT over the organization's own tables.

mod statement;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::{SQLOptions, SessionContext};
use datafusion::sql::parser::Statement;
use futures::StreamExt as _;
use schemas::{OrganizationId, Problem, ProblemKind};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::body::Fields;
use crate::http::caller::ReportReader;
use crate::http::params::Params;
use crate::http::problem::query_problem;
use crate::models::cells;
use crate::tables::session;
use statement::{NOT_OFFERED, parse, plain, refuse};

/// A query.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct SqlBody {
    /// One SELECT over `events`, `items` and `customers`.
    #[schema(example = "SELECT kind, count(*) AS n FROM events GROUP BY kind ORDER BY n DESC")]
    sql: String,
    /// Most rows of the answer; by default 1,000.
    limit: Option<usize>,
}

/// A column of an answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct ColumnJson {
    /// Its name in the answer.
    name: String,
    /// text, boolean, integer, decimal, number, date, time, timestamp, interval, binary, list, struct or map.
    #[serde(rename = "type")]
    kind: &'static str,
}

/// What a query gave. Decimals are texts, times RFC 3339.
#[derive(Serialize, ToSchema)]
pub(crate) struct SqlAnswer {
    as_of: AsOf,
    /// The columns of the answer, in order.
    columns: Vec<ColumnJson>,
    /// The rows, each a list of values in the order of the columns.
    #[schema(value_type = Vec<Vec<Object>>)]
    rows: Vec<Box<RawValue>>,
    /// Whether `limit` cut the rows.
    truncated: bool,
}

/// Most bytes of the rows of an answer.
const MOST_BYTES: usize = 64 << 20;

/// Query the organization's events, purchase items and customers with SQL.
#[utoipa::path(
    post, path = "/sql", tag = "reports", request_body = SqlBody,
    responses((status = 200, description = "The rows", body = SqlAnswer))
)]
pub(crate) async fn query(
    State(app): State<Arc<App>>,
    ReportReader(principal): ReportReader,
    params: Params,
    mut body: Fields,
) -> Result<Json<SqlAnswer>, Problem> {
    params.finish()?;
    let sql = body.text("sql")?;
    let most = app.api.limits.sql_rows;
    let limit = body.count("limit", most.min(1000), most)?;
    body.finish()?;
    let statement = parse(&sql)?;
    let (shared, organization) = (app.clone(), principal.organization.clone());
    let work = async move { answer(&shared, &organization, statement, limit).await };
    Ok(Json(app.statements.run("sql", work).await?))
}

/// Whose fault a failed query is: what it asks for, or something here.
fn failed(error: &DataFusionError) -> Problem {
    match error.find_root() {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Execution(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::ArrowError(..) => refuse(plain(error)),
        _ => query_problem(error),
    }
}

async fn plan_of(
    context: &SessionContext,
    statement: Statement,
) -> Result<LogicalPlan, DataFusionError> {
    let plan = context.state().statement_to_plan(statement).await?;
    let reading = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    reading.verify_plan(&plan)?;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| match expr {
                Expr::Placeholder(place) => Err(DataFusionError::Plan(format!(
                    "{} is a place for a value; write the value",
                    place.id
                ))),
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(plan)
}

async fn answer(
    app: &App,
    organization: &OrganizationId,
    statement: Statement,
    limit: usize,
) -> Result<SqlAnswer, Problem> {
    let tables = session::open_at(app, &app.statements, organization, None).await?;
    session::add_derived(app, organization, &tables.context).await?;
    for name in NOT_OFFERED {
        tables.context.deregister_udf(name);
    }
    let plan = plan_of(&tables.context, statement)
        .await
        .map_err(|error| failed(&error))?;
    let frame = tables
        .context
        .execute_logical_plan(plan)
        .await
        .map_err(|error| failed(&error))?;
    // One row more than asked for tells whether there are more.
    let frame = frame
        .limit(0, Some(limit + 1))
        .map_err(|error| failed(&error))?;
    let columns = frame
        .schema()
        .fields()
        .iter()
        .map(|field| ColumnJson {
            name: field.name().clone(),
            kind: cells::kind(field.data_type()),
        })
        .collect();
    let mut batches = frame
        .execute_stream()
        .await
        .map_err(|error| failed(&error))?;
    let (mut rows, mut bytes, mut truncated) = (Vec::new(), 0, false);
    while let Some(batch) = batches.next().await {
        for row in cells::rows(&batch.map_err(|error| failed(&error))?) {
            truncated = rows.len() == limit;
            if truncated {
                break;
            }
            bytes += row.get().len();
            if bytes > MOST_BYTES {
                let detail = "the answer has more than 64 MB; select fewer columns or set a limit";
                return Err(
                    Problem::new(ProblemKind::Unprocessable, detail).with("code", "memory".into())
                );
            }
            rows.push(row);
        }
    }
    Ok(SqlAnswer {
        as_of: tables.cut.as_of(),
        columns,
        rows,
        truncated,
    })
}
