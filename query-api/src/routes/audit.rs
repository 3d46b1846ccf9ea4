//! `/audit`: who changed what, for those who manage the organization. It is read only: nothing edits or deletes a line.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use control::{AuditFilter, AuditPlace};
use schemas::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::Administrator;
use crate::http::params::Params;
use crate::http::problem::{control_problem, warehouse_problem};
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

/// Who changed what, when and from where, as it was and as it is: customers and their records, users, keys, settings and
/// definitions; and who read the data of which customer.
#[utoipa::path(
    get, path = "/audit", tag = "audit",
    params(
        ("customer_id" = Option<String>, Query, description = "only this customer and its records"),
        ("actor" = Option<String>, Query, description = "only by this user or key"),
        ("action" = Option<String>, Query, description = "only this, such as customer.update"),
        ("record" = Option<String>, Query, description = "only of this kind: customer, contact, interaction, user, key, setting, …"),
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
    let mut filter = AuditFilter::default();
    if let Some(customer) = params.text("customer_id") {
        changes.equals("customer", &customer);
        filter.record = Some("customer".to_owned());
        filter.record_id = Some(customer);
    }
    for (name, column, wanted) in [
        ("actor", "author", &mut filter.actor),
        ("action", "action", &mut filter.action),
        ("record", "record", &mut filter.record),
        ("record_id", "id", &mut filter.record_id),
    ] {
        if let Some(value) = params.text(name) {
            changes.equals(column, &value);
            *wanted = Some(value);
        }
    }
    filter.from = params.time("from")?;
    filter.to = params.time("to")?;
    if let Some(from) = filter.from {
        changes.from(from);
    }
    if let Some(to) = filter.to {
        changes.before(to);
    }
    let limit = params.count("limit", 50, 200)?;
    let mut place: Places = params.place()?.unwrap_or_default();
    let question = params.finish()?;
    // One more of each tells whether there is another page.
    let control = &app.api.control;
    let (facts, settings) = futures::join!(
        changes.page(&*app.api.warehouse, place.facts.as_ref(), limit + 1),
        control.audit_after(
            &principal.organization,
            &filter,
            place.settings.as_ref(),
            limit + 1
        ),
    );
    let facts = facts.map_err(|error| warehouse_problem(&error))?;
    let settings = settings.map_err(control_problem)?;
    let (mut facts, mut settings) = (
        facts.into_iter().peekable(),
        settings.into_iter().peekable(),
    );
    let mut items = Vec::with_capacity(limit);
    while items.len() < limit {
        let newer = match (facts.peek(), settings.peek()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(fact), Some(setting)) => fact.at >= Some(setting.at),
        };
        let next = match newer {
            true => facts
                .next()
                .inspect(|fact| place.facts = Some(fact.place.clone())),
            false => settings.next().map(|setting| {
                place.settings = Some(setting.place());
                AuditJson::from(setting)
            }),
        };
        items.extend(next);
    }
    let more = facts.peek().is_some() || settings.peek().is_some();
    Ok(Json(AuditList {
        as_of: cut.as_of(),
        items,
        next_cursor: more.then(|| question.cursor(&place)),
    }))
}

/// Where a page begins in what is told of customers, and of everything else.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Places {
    facts: Option<Place>,
    settings: Option<AuditPlace>,
}
