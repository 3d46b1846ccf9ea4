//! `/admin/replay`: the state computed a second time, compared, and put in place of the live one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemas::Problem;
use serde_json::Value;
use utoipa::ToSchema;

use super::system::with_as_of;
use crate::api::{App, ReplayRequest};
use crate::http::body::Fields;
use crate::http::caller::Operator;
use crate::http::params::Params;

/// What to replay.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct ReplayBody {
    /// Make the rebuilt state the live one where they differ; for all customers only.
    switch: Option<bool>,
    /// Only say what would be read.
    dry_run: Option<bool>,
    /// Only customers with events in this partition from this position on, `generation:partition:offset`.
    from: Option<String>,
    /// Only customers with events received at this time or later.
    since: Option<String>,
    /// Only customers with events received before this time.
    until: Option<String>,
}

/// Rebuild customer state from the archive and the log, and compare it with the live state.
///
/// One replay runs at a time; `GET` tells how far it is and what it has found. With `switch`, processors of this process
/// stand still for its last step, and processors elsewhere must be stopped: what is sent meanwhile waits in the log.
#[utoipa::path(
    post, path = "/admin/replay", tag = "operation", request_body = ReplayBody,
    responses((status = 202, description = "It has begun", body = Object))
)]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    _operator: Operator,
    params: Params,
    mut body: Fields,
) -> Result<(StatusCode, Json<Value>), Problem> {
    params.finish()?;
    let request = ReplayRequest {
        switch: body.flag("switch")?,
        dry_run: body.flag("dry_run")?,
        from: body.parsed("from", "a position is generation:partition:offset")?,
        since: body.time("since")?,
        until: body.time("until")?,
    };
    body.finish()?;
    let begun = app.api.admin.start_replay(request).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// How far the last replay is, and what it has found.
#[utoipa::path(
    get, path = "/admin/replay", tag = "operation",
    responses(
        (status = 200, description = "Its state, with a report once it is done", body = Object),
        (status = 404, description = "None has begun since this process started"),
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    _operator: Operator,
    params: Params,
) -> Result<Json<Value>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    Ok(Json(with_as_of(app.api.admin.replay().await?, as_of)))
}
