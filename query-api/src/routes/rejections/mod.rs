//! `/rejections`: records that were taken and do not count, and why.

mod export;
mod filters;
pub(crate) mod retry;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use control::Principal;
use schemas::{Position, Problem, ProblemKind, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::Administrator;
use crate::http::params::{Params, refuse};
use crate::http::problem::warehouse_problem;
use crate::models::rejections::{Filter, Next, Order, Payload, Place, Rejection};
use crate::models::rejections::{at, next_sendings, page};

/// A record that was taken and does not count.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectionJson {
    /// Where the record is in the log: `generation:partition:offset`.
    #[schema(value_type = String)]
    position: Position,
    /// `duplicate`, `undecodable`, `misplaced`, `internal`, or the code of the rule it breaks.
    reason: String,
    /// The field at fault; null for the event as a whole.
    field: Option<String>,
    /// What is wrong, for a person.
    detail: String,
    /// user, purchase, activity or interaction; null where the record does not say, as are the ids.
    kind: Option<String>,
    /// Whose event it would have been, if that could be read.
    customer_id: Option<String>,
    /// The event's id, if that could be read.
    event_id: Option<String>,
    /// 0 as the client sent it; each retry after a verdict counts up.
    attempt: u32,
    /// When the server took it.
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// The key that sent it, or the user.
    key: Option<String>,
    /// For a duplicate, the position that counts.
    #[schema(value_type = Option<String>)]
    first: Option<Position>,
    /// Where the event was sent again, by a retry or by the client.
    #[schema(value_type = Option<String>)]
    retried_as: Option<Position>,
}

impl RejectionJson {
    fn new(rejection: &Rejection, next: Next) -> Self {
        let stated = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            position: rejection.position,
            reason: rejection.reason.clone(),
            field: stated(&rejection.field),
            detail: rejection.detail.clone(),
            kind: stated(&rejection.kind),
            customer_id: stated(&rejection.customer_id),
            event_id: stated(&rejection.event_id),
            attempt: rejection.attempt,
            received_at: rejection.received_at,
            key: stated(&rejection.source),
            first: rejection.first,
            retried_as: match next {
                Next::Sent(position) => Some(position),
                Next::Attempt(_) | Next::Repeat => None,
            },
        }
    }
}

/// A page of rejections, the last received first.
#[derive(Serialize, ToSchema)]
pub(crate) struct RejectionList {
    as_of: AsOf,
    /// This page, the newest first.
    items: Vec<RejectionJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// A rejection with the record itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct RejectionDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
    #[serde(flatten)]
    rejection: RejectionJson,
    /// The record as it is in the log.
    payload: String,
    /// `utf-8`, or `base64` for what is no UTF-8.
    encoding: &'static str,
    /// The event as the client stated it; null where the record holds none that is JSON.
    #[schema(value_type = Option<Object>)]
    event: Option<Box<RawValue>>,
}

impl RejectionDetail {
    fn new(rejection: Rejection, next: Next) -> Self {
        let shown = RejectionJson::new(&rejection, next);
        let stated = rejection
            .payload
            .text()
            .and_then(|text| schemas::record::stated(text.as_bytes()));
        let event = stated.and_then(|stated| RawValue::from_string(stated.to_owned()).ok());
        let (payload, encoding) = match rejection.payload {
            Payload::Text(text) => (text, "utf-8"),
            Payload::Bytes(text) => (text, "base64"),
        };
        Self {
            as_of: None,
            rejection: shown,
            payload,
            encoding,
            event,
        }
    }
}

/// List rejections, or export them.
///
/// As NDJSON or CSV (by `Accept` or `format`) it is all of them with their payloads, in the order of the log; what it is
/// computed from is in the header `X-As-Of`.
#[utoipa::path(
    get, path = "/rejections", tag = "rejections",
    params(
        ("reason" = Option<String>, Query, description = "such as duplicate, undecodable, misplaced or internal"),
        ("kind" = Option<String>, Query, description = "user, purchase, activity or interaction"),
        ("customer_id" = Option<String>, Query, description = "your id of the customer"),
        ("event_id" = Option<String>, Query, description = "your id of the event"),
        ("key" = Option<String>, Query, description = "the id of the key or user that sent it"),
        ("from" = Option<String>, Query, description = "received at this time or later"),
        ("to" = Option<String>, Query, description = "received before this time"),
        ("format" = Option<String>, Query, description = "json (default), ndjson or csv"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50; only for JSON"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before; only for JSON"),
    ),
    responses((status = 200, description = "A page of rejections", body = RejectionList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let format = export::format(&headers, &mut params)?;
    let wanted = filters::read(&mut params)?;
    if let Some(format) = format {
        params.finish()?;
        return export::export(app, &principal, wanted, format).await;
    }
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    let cut = app.cut().await?;
    let filter = wanted.apply(Filter::of(&principal, &cut));
    let warehouse = &*app.api.warehouse;
    let _turn = app.payloads.acquire().await;
    // One more tells whether there is another page.
    let mut found = page(warehouse, filter, Order::Newest, after.as_ref(), limit + 1)
        .await
        .map_err(|error| warehouse_problem(&error))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found
        .last()
        .filter(|_| more)
        .map(|last| question.cursor(&Place::of(last)));
    let next = next_sendings(warehouse, &found)
        .await
        .map_err(|error| warehouse_problem(&error))?;
    let items = found
        .iter()
        .zip(next)
        .map(|(rejection, next)| RejectionJson::new(rejection, next))
        .collect();
    Ok(Json(RejectionList {
        as_of: cut.as_of(),
        items,
        next_cursor,
    })
    .into_response())
}

/// One rejection, with the record itself.
#[utoipa::path(
    get, path = "/rejections/{position}", tag = "rejections",
    params(("position" = String, Path, description = "`generation:partition:offset`")),
    responses((status = 200, description = "The rejection", body = RejectionDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    Path(position): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let (rejection, next) = find(&app, &principal, &position).await?;
    let shown = RejectionDetail {
        as_of: Some(as_of),
        ..RejectionDetail::new(rejection, next)
    };
    // It holds what customers are and do.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown)).into_response())
}

/// The rejection of a path, and what may become of it.
async fn find(
    app: &App,
    principal: &Principal,
    position: &str,
) -> Result<(Rejection, Next), Problem> {
    let position: Position = position.parse().map_err(|error| {
        let error: schemas::ParsePositionError = error;
        refuse("position", error.to_string())
    })?;
    let failed = |error| warehouse_problem(&error);
    let warehouse = &*app.api.warehouse;
    let filter = Filter::of(principal, &app.cut().await?);
    let found = at(warehouse, filter, position).await.map_err(failed)?;
    let rejection = found.ok_or_else(|| {
        let detail = "no record of this organization was rejected at that position";
        Problem::new(ProblemKind::NotFound, detail)
    })?;
    let next = next_sendings(warehouse, std::slice::from_ref(&rejection))
        .await
        .map_err(failed)?;
    let next = next.into_iter().next().unwrap_or(Next::Repeat);
    Ok((rejection, next))
}
