//! `/customers/{id}/timeline`: all that happened with a customer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemas::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::CustomerReader;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::models::timeline::{Entry, Place, TYPES, page};
use crate::routes::customers::load;

/// A page of what happened.
#[derive(Serialize, ToSchema)]
pub(crate) struct Timeline {
    as_of: AsOf,
    /// This page, newest first.
    items: Vec<Entry>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// All that happened with a customer, newest first: interactions, purchases, refunds, activities, quotes, feedback, and
/// what was changed of it.
#[utoipa::path(
    get, path = "/customers/{id}/timeline", tag = "customers",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("type" = Option<String>, Query, description = "only interaction, quote, feedback, purchase, refund, cancellation, activity, status or edit"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of the timeline", body = Timeline))
)]
pub(crate) async fn timeline(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<Timeline>, Problem> {
    let kind = params.choice("type", &TYPES.map(|kind| (kind, kind)))?;
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    let as_of = app.cut().await?.as_of();
    let found = load(&app, &principal.organization, &sight, &id).await?;
    // One more tells whether there is another page.
    let items = page(
        &*app.api.warehouse,
        &principal.organization,
        &found.customer.customer_id,
        kind,
        after.as_ref(),
        limit + 1,
    )
    .await;
    let mut items = items.map_err(|error| warehouse_problem(&error))?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next_cursor = last.map(|last| question.cursor(&last.place()));
    Ok(Json(Timeline {
        as_of,
        items,
        next_cursor,
    }))
}
