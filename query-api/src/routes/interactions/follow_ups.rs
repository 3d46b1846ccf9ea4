//! What is to be followed up.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemas::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{App, now};
use crate::http::as_of::AsOf;
use crate::http::caller::CustomerReader;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::models::follow_ups::{FollowUp, Place, page};
use crate::models::interactions::Circle;
use crate::models::names::customer_names;

/// A page of follow-ups.
#[derive(Serialize, ToSchema)]
pub(crate) struct FollowUpList {
    as_of: AsOf,
    /// This page, the longest due first.
    items: Vec<FollowUp>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// List what is to be followed up: pending interactions that require it, and customers whose `next_follow_up` has come.
#[utoipa::path(
    get, path = "/customers/interactions/follow-up", tag = "interactions",
    params(
        ("before" = Option<String>, Query, description = "due by this time; by default now"),
        ("assigned_to" = Option<String>, Query, description = "who is responsible for the interaction or the customer, usr_…"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of follow-ups", body = FollowUpList))
)]
pub(crate) async fn follow_ups(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    mut params: Params,
) -> Result<Json<FollowUpList>, Problem> {
    let before = params.time("before")?.unwrap_or_else(now).kept();
    let assigned_to = params.text("assigned_to");
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    let circle = Circle::of(&app, &principal, &sight).await?;
    let as_of = app.cut().await?.as_of();
    // One more tells whether there is another page.
    let found = page(
        &*app.api.warehouse,
        (&circle, &sight),
        before,
        assigned_to.as_deref(),
        after.as_ref(),
        limit + 1,
    )
    .await;
    let mut items = found.map_err(|error| warehouse_problem(&error))?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next_cursor = last.map(|last| question.cursor(&last.place()));
    let customers: Vec<String> = items.iter().map(|item| item.customer_id.clone()).collect();
    let names = customer_names(&app, &principal.organization, &customers).await?;
    for item in &mut items {
        item.customer_name = names.get(&item.customer_id).cloned();
    }
    Ok(Json(FollowUpList {
        as_of,
        items,
        next_cursor,
    }))
}
