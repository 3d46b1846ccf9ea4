//! `/segments`: definitions, which anybody may read who sees customers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::{Control, ControlError, NewSegment, Principal, Segment, SegmentChange};
use schemas::{Problem, SegmentId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::body::{Fields, refuse};
use crate::http::caller::{Acting, CustomerReader, Definer};
use crate::http::params::Params;
use crate::http::problem::{control_problem, warehouse_problem};
use crate::http::writing::{Writing, etag, stale};
use crate::models::segments::{self, Calculated, calculated, publish, retire, sizes};
use crate::models::sight::Sight;

/// A segment.
#[derive(Serialize, ToSchema)]
pub(crate) struct SegmentJson {
    /// `seg_…`.
    id: String,
    /// Unique in the organization, whatever its case.
    name: String,
    /// For people.
    description: Option<String>,
    /// Who is in it: see the JSON Schema `criteria.json`. `{"manual": true}`: those whom staff assign, nobody else.
    #[schema(value_type = Object)]
    criteria: Value,
    /// Whether customers enter and leave it; nobody is in one that is not.
    is_active: bool,
    /// Rises when criteria or is_active change: what its ETag holds.
    version: i64,
    /// Customers in it that you may see.
    customer_count: i64,
    /// As of when everybody was looked at; null while that is under way for the first time. Who something happens to
    /// is looked at anyway, at once.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_calculated: Option<Timestamp>,
    /// The share of the customers that were looked at since the version was made, 0 to 1.
    progress: f64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When anything of it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Who made it.
    created_by: String,
}

/// One segment.
#[derive(Serialize, ToSchema)]
pub(crate) struct SegmentDetail {
    as_of: AsOf,
    #[serde(flatten)]
    segment: SegmentJson,
}

/// A page of segments.
#[derive(Serialize, ToSchema)]
pub(crate) struct SegmentList {
    as_of: AsOf,
    /// This page, in the order they were made.
    items: Vec<SegmentJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// What a segment is made of.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct SegmentBody {
    /// 1 to 200 characters; unique in the organization, whatever its case.
    name: String,
    /// At most 2,000 characters.
    description: Option<String>,
    /// The tree of all, any and not (see the JSON Schema `criteria.json`), or the flat form: keys all, values any. They may
    /// refer to other segments, but not in a circle. `{"manual": true}`: those whom staff assign, nobody else.
    #[schema(value_type = Object)]
    criteria: Value,
    /// True where absent. 200 segments of an organization are active at most.
    is_active: Option<bool>,
}

fn segment_json(segment: Segment, count: i64, calculated: Calculated) -> SegmentJson {
    SegmentJson {
        id: segment.id.to_string(),
        name: segment.name,
        description: segment.description,
        criteria: serde_json::from_str(&segment.criteria).unwrap_or_default(),
        is_active: segment.is_active,
        version: segment.version,
        customer_count: count,
        last_calculated: calculated.at,
        progress: calculated.share,
        created_at: segment.created_at,
        updated_at: segment.updated_at,
        created_by: segment.created_by,
    }
}

/// Segments with what the fold has made of them.
async fn shown(
    app: &App,
    principal: &Principal,
    sight: &Sight,
    found: Vec<Segment>,
) -> Result<Vec<SegmentJson>, Problem> {
    let warehouse = &*app.api.warehouse;
    let organization = &principal.organization;
    let failed = |error| warehouse_problem(&error);
    let sizes = sizes(warehouse, organization, sight)
        .await
        .map_err(failed)?;
    let calculated = calculated(warehouse, organization, &found)
        .await
        .map_err(failed)?;
    let segments = found.into_iter().zip(calculated);
    Ok(segments
        .map(|(segment, calculated)| {
            let count = sizes.get(segment.id.as_str()).copied().unwrap_or_default();
            segment_json(segment, count, calculated)
        })
        .collect())
}

pub(crate) fn segment_id(id: &str) -> SegmentId {
    // PostgreSQL refuses NUL in text, and no id has it.
    SegmentId::from_text(id.replace('\0', " "))
}

/// A segment of the caller's organization.
pub(crate) async fn load(
    control: &Control,
    principal: &Principal,
    id: &str,
) -> Result<Segment, Problem> {
    let id = segment_id(id);
    let found = control.segment(&principal.organization, &id);
    found.await.map_err(control_problem)
}

/// The answer with one segment as it is now.
async fn answer(
    app: &App,
    principal: &Principal,
    status: StatusCode,
    segment: Segment,
) -> Result<Response, Problem> {
    let as_of = app.cut().await?.as_of();
    let version = segment.version.unsigned_abs();
    let mut shown = shown(app, principal, &Sight::All, vec![segment]).await?;
    match shown.pop() {
        Some(segment) => {
            let detail = SegmentDetail { as_of, segment };
            Ok((status, etag(version), Json(detail)).into_response())
        }
        None => Err(control_problem(ControlError::NotFound { what: "segment" })),
    }
}

/// Define a segment.
///
/// Who something happens to enters it within a second; everybody else is looked at meanwhile.
#[utoipa::path(
    post, path = "/segments", tag = "segments", request_body = SegmentBody,
    responses((status = 201, description = "The segment", body = SegmentDetail))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Definer(principal): Definer,
    Acting(control): Acting,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let name = body.text("name")?;
    let description = body.optional_text("description")?;
    let criteria = body.value("criteria");
    let is_active = body.optional_flag("is_active")?.unwrap_or(true);
    body.finish()?;
    let criteria = criteria
        .ok_or_else(|| refuse("criteria", "required", "say who belongs to the segment"))?
        .to_string();
    let organization = &principal.organization;
    let all = segments::all(&control, organization).await?;
    segments::check_references(&all, None, segments::parse(&criteria)?.as_ref())?;
    let new = NewSegment {
        name,
        description,
        criteria,
        is_active,
    };
    let made = control.create_segment(organization, new).await;
    let made = made.map_err(control_problem)?;
    publish(&app, organization, &made).await?;
    let location = format!("{}/segments/{}", crate::router::PREFIX, made.id);
    let mut response = answer(&app, &principal, StatusCode::CREATED, made).await?;
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// List the segments.
#[utoipa::path(
    get, path = "/segments", tag = "segments",
    params(
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of segments", body = SegmentList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    mut params: Params,
) -> Result<Json<SegmentList>, Problem> {
    let limit = params.count("limit", 50, 200)?;
    let after: Option<String> = params.place()?;
    let question = params.finish()?;
    let after = after.map(|id| segment_id(&id));
    let as_of = app.cut().await?.as_of();
    let control = &app.api.control;
    // One more tells whether there is another page.
    let found = control
        .segments_after(&principal.organization, after.as_ref(), limit + 1)
        .await;
    let mut found = found.map_err(control_problem)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next_cursor = last.map(|last| question.cursor(&last.id.as_str()));
    Ok(Json(SegmentList {
        as_of,
        items: shown(&app, &principal, &sight, found).await?,
        next_cursor,
    }))
}

/// One segment.
#[utoipa::path(
    get, path = "/segments/{id}", tag = "segments", params(("id" = String, Path, description = "seg_…")),
    responses((status = 200, description = "The segment", body = SegmentDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let found = load(&app.api.control, &principal, &id).await?;
    let version = found.version.unsigned_abs();
    let mut shown = shown(&app, &principal, &sight, vec![found]).await?;
    match shown.pop() {
        Some(segment) => {
            Ok((etag(version), Json(SegmentDetail { as_of, segment })).into_response())
        }
        None => Err(control_problem(ControlError::NotFound { what: "segment" })),
    }
}

/// A segment as the caller has read it, or its refusal.
async fn read_for(
    control: &Control,
    principal: &Principal,
    writing: &Writing,
    id: &str,
) -> Result<Segment, Problem> {
    let found = load(control, principal, id).await?;
    writing.check(found.version.unsigned_abs())?;
    Ok(found)
}

async fn change(
    app: &App,
    control: &Control,
    principal: &Principal,
    writing: &Writing,
    before: &Segment,
    change: SegmentChange,
) -> Result<Segment, Problem> {
    let organization = &principal.organization;
    let all = segments::all(control, organization).await?;
    if let Some(criteria) = &change.criteria {
        let criteria = segments::parse(criteria)?;
        segments::check_references(&all, Some(&before.id), criteria.as_ref())?;
    }
    if change.is_active == Some(false) {
        segments::check_unused(&all, &before.id)?;
    }
    let expected = writing.is_conditional().then_some(before.version);
    let changed = control
        .update_segment(organization, &before.id, expected, change)
        .await;
    let changed = changed.map_err(|error| match error {
        ControlError::Stale { .. } => stale(),
        error => control_problem(error),
    })?;
    // Also where nothing has changed: the log may not have taken it before.
    publish(app, organization, &changed).await?;
    Ok(changed)
}

/// Replace a segment: what is not sent is as for a new one.
#[utoipa::path(
    put, path = "/segments/{id}", tag = "segments", params(("id" = String, Path, description = "seg_…")),
    request_body = SegmentBody,
    responses(
        (status = 200, description = "The segment as it is now", body = SegmentDetail),
        (status = 412, description = "It was changed since it was read"),
    )
)]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    Definer(principal): Definer,
    Acting(control): Acting,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let name = body.text("name")?;
    let description = body.optional_text("description")?;
    let criteria = body.value("criteria");
    let is_active = body.optional_flag("is_active")?.unwrap_or(true);
    body.finish()?;
    let criteria =
        criteria.ok_or_else(|| refuse("criteria", "required", "say who belongs to the segment"))?;
    let before = read_for(&control, &principal, &writing, &id).await?;
    let wanted = SegmentChange {
        name: Some(name),
        description: Some(description),
        criteria: Some(criteria.to_string()),
        is_active: Some(is_active),
    };
    let changed = change(&app, &control, &principal, &writing, &before, wanted).await?;
    answer(&app, &principal, StatusCode::OK, changed).await
}

/// Change a segment; what is absent stays.
#[utoipa::path(
    patch, path = "/segments/{id}", tag = "segments", params(("id" = String, Path, description = "seg_…")),
    request_body(content = serde_json::Value, description = "Fields of a `SegmentBody`; null clears the description"),
    responses(
        (status = 200, description = "The segment as it is now", body = SegmentDetail),
        (status = 412, description = "It was changed since it was read"),
    )
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    Definer(principal): Definer,
    Acting(control): Acting,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let wanted = SegmentChange {
        name: body.optional_text("name")?,
        description: body.change_text("description")?,
        criteria: body.value("criteria").map(|criteria| criteria.to_string()),
        is_active: body.optional_flag("is_active")?,
    };
    body.finish()?;
    let before = read_for(&control, &principal, &writing, &id).await?;
    let changed = change(&app, &control, &principal, &writing, &before, wanted).await?;
    answer(&app, &principal, StatusCode::OK, changed).await
}

/// Remove a segment: its customers leave it. One that another active segment refers to is refused.
#[utoipa::path(
    delete, path = "/segments/{id}", tag = "segments", params(("id" = String, Path, description = "seg_…")),
    responses(
        (status = 204, description = "Removed"),
        (status = 412, description = "It was changed since it was read"),
    )
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Definer(principal): Definer,
    Acting(control): Acting,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let before = read_for(&control, &principal, &writing, &id).await?;
    // First it ends for the customers, with a version of its own: were it gone, nobody could tell the log.
    let ended = SegmentChange {
        is_active: Some(false),
        ..SegmentChange::default()
    };
    let ended = change(&app, &control, &principal, &writing, &before, ended).await?;
    let organization = &principal.organization;
    let deleted = control.delete_segment(organization, &ended.id).await;
    deleted.map_err(control_problem)?;
    retire(&app, organization, &ended).await?;
    Ok(StatusCode::NO_CONTENT)
}
