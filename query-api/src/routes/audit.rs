//! `/audit`: who changed what, for those who manage the organization. It is read only: nothing edits or deletes a line.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemas::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::Administrator;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::models::audit::{AuditJson, Changes, Place};

/// A page of the audit.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditList {
    as_of: AsOf,
    /// This page, newest first.
    items: Vec<AuditJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// Who changed what of customers and their records, when and from where, as it was and as it is.
#[utoipa::path(
    get, path = "/audit", tag = "audit",
    params(
        ("customer_id" = Option<String>, Query, description = "only this customer and its records"),
        ("actor" = Option<String>, Query, description = "only by this user or key"),
        ("action" = Option<String>, Query, description = "only this, such as customer.update"),
        ("record" = Option<String>, Query, description = "only of this kind: customer, contact, interaction, …"),
        ("record_id" = Option<String>, Query, description = "only of this record"),
        ("from" = Option<String>, Query, description = "at this time or later"),
        ("to" = Option<String>, Query, description = "before this time"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of the audit", body = AuditList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    mut params: Params,
) -> Result<Json<AuditList>, Problem> {
    let cut = app.cut().await?;
    let mut changes = Changes::of(&principal.organization, &cut);
    for (name, column) in [
        ("customer_id", "customer"),
        ("actor", "author"),
        ("action", "action"),
        ("record", "record"),
        ("record_id", "id"),
    ] {
        if let Some(value) = params.text(name) {
            changes.equals(column, &value);
        }
    }
    if let Some(from) = params.time("from")? {
        changes.from(from);
    }
    if let Some(to) = params.time("to")? {
        changes.before(to);
    }
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    // One more tells whether there is another page.
    let found = changes
        .page(&*app.api.warehouse, after.as_ref(), limit + 1)
        .await;
    let mut items = found.map_err(|error| warehouse_problem(&error))?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next_cursor = last.map(|last| question.cursor(&last.place));
    Ok(Json(AuditList {
        as_of: cut.as_of(),
        items,
        next_cursor,
    }))
}
