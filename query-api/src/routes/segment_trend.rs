//! `/segments/{id}/trend`: a segment over time.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemas::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::ReportReader;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::models::segments::{Period, TrendRow, trend};
use crate::routes::segments::load;

/// A segment over time.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrendJson {
    as_of: AsOf,
    /// ISO 4217, of the revenue.
    currency: String,
    /// Periods in which somebody entered, left, or as a member brought revenue, in order; the others are absent.
    rows: Vec<TrendRow>,
}

/// How large a segment was, and what its members brought.
#[utoipa::path(
    get, path = "/segments/{id}/trend", tag = "segments",
    params(
        ("id" = String, Path, description = "seg_…"),
        ("period" = Option<String>, Query, description = "day (default), week (from Monday) or month, UTC"),
        ("currency" = Option<String>, Query, description = "ISO 4217; the organization's where absent. Never converted"),
    ),
    responses((status = 200, description = "The segment over time", body = TrendJson))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    ReportReader(principal): ReportReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<TrendJson>, Problem> {
    let periods = [
        ("day", Period::Day),
        ("week", Period::Week),
        ("month", Period::Month),
    ];
    let period = params.choice("period", &periods)?.unwrap_or(Period::Day);
    let currency = params.currency(principal.currency)?;
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let segment = load(&app.api.control, &principal, &id).await?;
    let rows = trend(
        &*app.api.warehouse,
        &principal.organization,
        segment.id.as_str(),
        period,
        currency,
    );
    Ok(Json(TrendJson {
        as_of,
        currency: currency.to_string(),
        rows: rows.await.map_err(|error| warehouse_problem(&error))?,
    }))
}
