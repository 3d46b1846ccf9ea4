//! Health, readiness, metrics and reconciliation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::{Problem, ProblemKind};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::Operator;
use crate::http::params::Params;

/// How the process is.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusJson {
    /// `ok` or `ready`.
    status: &'static str,
    /// Absent where the warehouse does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
}

/// Whether the process answers. Says nothing of what it depends on: a restart would not mend that.
#[utoipa::path(
    get, path = "/health", tag = "operation", security(()),
    responses((status = 200, description = "The process answers", body = StatusJson))
)]
pub(crate) async fn health(
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<StatusJson>, Problem> {
    params.finish()?;
    // A probe must not wait for what it does not ask about.
    let patience = std::time::Duration::from_millis(750);
    let cut = tokio::time::timeout(patience, app.cut()).await;
    let as_of = cut.ok().and_then(Result::ok).map(|cut| cut.as_of());
    Ok(Json(StatusJson {
        status: "ok",
        as_of,
    }))
}

/// Whether the process should get requests.
#[utoipa::path(
    get, path = "/ready", tag = "operation", security(()),
    responses((status = 200, description = "It serves", body = StatusJson))
)]
pub(crate) async fn ready(
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<StatusJson>, Problem> {
    params.finish()?;
    let unavailable = |detail: String| Problem::new(ProblemKind::Unavailable, detail);
    app.api.readiness.ready().await.map_err(unavailable)?;
    let ping = app.api.control.ping().await;
    ping.map_err(|_| unavailable("the control database does not answer".to_owned()))?;
    let as_of = Some(app.cut().await?.as_of());
    Ok(Json(StatusJson {
        status: "ready",
        as_of,
    }))
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], (app.api.metrics)()).into_response())
}

/// Whether log, state and archive hold the same, for the whole installation.
#[utoipa::path(
    get, path = "/admin/reconciliation", tag = "operation",
    responses((status = 200, description = "Counts by partition, their totals, and whether they balance", body = Object))
)]
pub(crate) async fn reconciliation(
    State(app): State<Arc<App>>,
    _operator: Operator,
    params: Params,
) -> Result<Json<Value>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let answer = app.api.admin.reconciliation().await?;
    Ok(Json(with_as_of(answer, as_of)))
}

/// Puts what an answer is computed from in front of it.
pub(crate) fn with_as_of(mut answer: Value, as_of: AsOf) -> Value {
    if let Value::Object(members) = &mut answer
        && let Ok(as_of) = serde_json::to_value(as_of)
    {
        members.shift_insert(0, "as_of".to_owned(), as_of);
    }
    answer
}

/// Begins a backup of the whole installation below the place that the settings name. Nothing stops meanwhile.
#[utoipa::path(
    post, path = "/admin/backup", tag = "operation",
    responses((status = 202, description = "Begun: `status`, `place`, `steps`, `error`", body = Object))
)]
pub(crate) async fn back_up(
    State(app): State<Arc<App>>,
    _operator: Operator,
    params: Params,
) -> Result<(StatusCode, Json<Value>), Problem> {
    params.finish()?;
    Ok((StatusCode::ACCEPTED, Json(app.api.admin.back_up().await?)))
}

/// How the latest backup is that was begun here.
#[utoipa::path(
    get, path = "/admin/backup", tag = "operation",
    responses((status = 200, description = "`status` (none, running, done, failed), `place`, `steps`, `error`", body = Object))
)]
pub(crate) async fn backup(
    State(app): State<Arc<App>>,
    _operator: Operator,
    params: Params,
) -> Result<Json<Value>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    Ok(Json(with_as_of(app.api.admin.backup().await?, as_of)))
}
