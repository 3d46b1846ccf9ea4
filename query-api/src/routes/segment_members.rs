//! Who is in segments: members, changes, previews, looking again, and assigning by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemas::event::{Assign, Effects};
use schemas::{Problem, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::body::{Fields, Text, refuse};
use crate::http::caller::{CustomerEditor, CustomerReader, Definer};
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::http::writing::Writing;
use crate::models::authoring::{Author, Outcome, Receipt};
use crate::models::customers::{CustomerJson, Found, get};
use crate::models::segments::{
    self, ChangeRow, MemberPlace, Place, Selected, changes, members, recalculate as look_again,
    select,
};
use crate::routes::customer_edits::accepted;
use crate::routes::customers::load as load_customer;
use crate::routes::segments::load;

/// Customers that a preview shows.
const SAMPLE: usize = 20;

/// A customer that is in a segment.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemberJson {
    /// When it entered.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// The version of the segment by which it did.
    rule_version: i64,
    #[serde(flatten)]
    customer: CustomerJson,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemberList {
    as_of: AsOf,
    /// This page, in the order of their ids.
    items: Vec<MemberJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// The customers in a segment.
#[utoipa::path(
    get, path = "/segments/{id}/customers", tag = "segments",
    params(
        ("id" = String, Path, description = "seg_…"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of its customers", body = MemberList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<MemberList>, Problem> {
    let limit = params.count("limit", 50, 200)?;
    let after: Option<MemberPlace> = params.place()?;
    let question = params.finish()?;
    let as_of = app.cut().await?.as_of();
    let segment = load(&app.api.control, &principal, &id).await?;
    let warehouse = &*app.api.warehouse;
    let organization = &principal.organization;
    let failed = |error| warehouse_problem(&error);
    let found = members(
        warehouse,
        organization,
        &sight,
        segment.id.as_str(),
        after.as_ref(),
        limit + 1,
    );
    let mut found = found.await.map_err(failed)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next_cursor = last.map(|last| question.cursor(&MemberPlace(last.customer.clone())));
    let ids: Vec<String> = found.iter().map(|row| row.customer.clone()).collect();
    let customers = match ids.is_empty() {
        true => Vec::new(),
        false => get(warehouse, organization, &ids).await.map_err(failed)?,
    };
    // In the same order; who has no state any more is passed over.
    let mut rows = found.into_iter();
    let items = customers.into_iter().filter_map(|customer| {
        let row = rows.find(|row| row.customer == customer.customer_id)?;
        Some(MemberJson {
            since: row.since,
            rule_version: row.rule_version,
            customer,
        })
    });
    Ok(Json(MemberList {
        as_of,
        items: items.collect(),
        next_cursor,
    }))
}

/// A page of changes.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeList {
    as_of: AsOf,
    /// This page, newest first.
    items: Vec<ChangeRow>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// Who entered and left a segment, when and why.
#[utoipa::path(
    get, path = "/segments/{id}/events", tag = "segments",
    params(
        ("id" = String, Path, description = "seg_…"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of changes", body = ChangeList))
)]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<ChangeList>, Problem> {
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    let as_of = app.cut().await?.as_of();
    let segment = load(&app.api.control, &principal, &id).await?;
    let found = changes(
        &*app.api.warehouse,
        &principal.organization,
        &sight,
        segment.id.as_str(),
        after.as_ref(),
        limit + 1,
    );
    let mut items = found.await.map_err(|error| warehouse_problem(&error))?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next_cursor = last
        .and_then(ChangeRow::place)
        .map(|place| question.cursor(&place));
    Ok(Json(ChangeList {
        as_of,
        items,
        next_cursor,
    }))
}

/// Criteria to be tried.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct PreviewBody {
    /// As those of a segment.
    #[schema(value_type = Object)]
    criteria: Value,
}

/// Who fulfils criteria now.
#[derive(Serialize, ToSchema)]
pub(crate) struct PreviewJson {
    as_of: AsOf,
    /// How many customers.
    count: i64,
    /// The first 20 of them, in the order of their ids.
    sample: Vec<CustomerJson>,
}

/// Try criteria before they are anybody's. Nothing is kept.
#[utoipa::path(
    post, path = "/segments/preview", tag = "segments", request_body = PreviewBody,
    responses((status = 200, description = "Who fulfils them now", body = PreviewJson))
)]
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    Definer(principal): Definer,
    params: Params,
    mut body: Fields,
) -> Result<Json<PreviewJson>, Problem> {
    params.finish()?;
    let criteria = body.value("criteria");
    body.finish()?;
    let criteria =
        criteria.ok_or_else(|| refuse("criteria", "required", "say who belongs to the segment"))?;
    let as_of = app.cut().await?.as_of();
    let organization = &principal.organization;
    let criteria = segments::parse(&criteria.to_string())?;
    let all = segments::all(&app.api.control, organization).await?;
    segments::check_references(&all, None, criteria.as_ref())?;
    let warehouse = &*app.api.warehouse;
    let failed = |error| warehouse_problem(&error);
    let Selected { count, sample } = match &criteria {
        Some(criteria) => select(warehouse, &principal, criteria, SAMPLE)
            .await
            .map_err(failed)?,
        // Nobody is assigned to what is not there.
        None => Selected::default(),
    };
    let sample = match sample.is_empty() {
        true => Vec::new(),
        false => get(warehouse, organization, &sample)
            .await
            .map_err(failed)?,
    };
    Ok(Json(PreviewJson {
        as_of,
        count,
        sample,
    }))
}

/// What is being looked at.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecalculateJson {
    /// The segments that everybody is looked at for. How far that is: `progress` of each.
    segments: usize,
}

/// Look at everybody again, for every segment. Definitions that the log had not taken are told once more.
#[utoipa::path(
    post, path = "/segments/recalculate", tag = "segments",
    responses((status = 202, description = "Everybody is being looked at", body = RecalculateJson))
)]
pub(crate) async fn recalculate(
    State(app): State<Arc<App>>,
    Definer(principal): Definer,
    params: Params,
) -> Result<(StatusCode, Json<RecalculateJson>), Problem> {
    params.finish()?;
    let organization = &principal.organization;
    let all = segments::all(&app.api.control, organization).await?;
    look_again(&app, organization, &all).await?;
    let segments = all.iter().filter(|segment| segment.is_active).count();
    Ok((StatusCode::ACCEPTED, Json(RecalculateJson { segments })))
}

/// A segment for a customer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct AssignBody {
    /// `seg_…`; the segment must be active.
    segment_id: String,
    /// True puts the customer in and false keeps it out, whatever the criteria say, until taken back with null. Absent:
    /// the customer is looked at now, and nothing else.
    member: Option<bool>,
}

/// A customer and a segment.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssignedJson {
    as_of: AsOf,
    /// The client's own id.
    customer_id: String,
    /// `seg_…`.
    segment_id: String,
    /// Whether the customer is in it.
    is_member: bool,
    /// What staff have decided: true or false; null where the criteria decide.
    assigned: Option<bool>,
}

/// Look at one customer now, or decide by hand whether it is in a segment.
#[utoipa::path(
    post, path = "/segments/customer/{id}/assign", tag = "segments",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body = AssignBody,
    responses(
        (status = 200, description = "Whether it is in the segment", body = AssignedJson),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn assign(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let text = body.unwrap_or_else(|| "{}".to_owned());
    let mut body = Fields::of(&text)?;
    let segment_id = body.text("segment_id")?;
    let member = body.change_flag("member")?;
    body.finish()?;
    let principal = &*editor.principal;
    let segment = load(&app.api.control, principal, &segment_id).await?;
    if !segment.is_active {
        let detail = "segment_id: nobody is in a segment that is not active";
        return Err(Problem::new(schemas::ProblemKind::Unprocessable, detail)
            .field("segment_id")
            .with("code", "inactive".into()));
    }
    let found = editor.load(&app, &id).await?;
    let customer = found.customer.customer_id.clone();
    let held = |found: &Found| found.state.segments.held.get(segment.id.as_str()).copied();
    let effects = Effects {
        action: "segment.assign".into(),
        seen: found.state.edits.count,
        assign: vec![Assign {
            segment: segment.id.as_str().into(),
            member: member.unwrap_or_else(|| held(&found)),
        }],
        ..Effects::default()
    };
    let mut author = Author::new(&app, principal, &writing, &text);
    if !author.is_done(&customer).await?
        && let Some(Outcome::Accepted(receipt)) = author.state(&customer, effects).await?
    {
        return Ok(accepted(receipt));
    }
    let as_of = app.cut().await?.as_of();
    let found = load_customer(&app, &principal.organization, &editor.sees, &customer).await?;
    Ok(Json(AssignedJson {
        as_of,
        is_member: found
            .state
            .segments
            .members
            .contains_key(segment.id.as_str()),
        assigned: held(&found),
        segment_id: segment.id.to_string(),
        customer_id: customer,
    })
    .into_response())
}

/// A segment that a customer is in.
#[derive(Serialize, ToSchema)]
pub(crate) struct MembershipJson {
    /// `seg_…`.
    id: String,
    /// Its name.
    name: String,
    /// When the customer entered.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// The version of the segment by which it did.
    rule_version: u64,
    /// Whether staff have put the customer in.
    is_assigned: bool,
}

/// The segments of a customer.
#[derive(Serialize, ToSchema)]
pub(crate) struct MembershipList {
    as_of: AsOf,
    /// In the order the segments were made.
    items: Vec<MembershipJson>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

/// The segments a customer is in.
#[utoipa::path(
    get, path = "/customers/{id}/segments", tag = "segments",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses((status = 200, description = "The customer's segments", body = MembershipList))
)]
pub(crate) async fn of_customer(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<MembershipList>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let organization = &principal.organization;
    let found = load_customer(&app, organization, &sight, &id).await?;
    let of = &found.state.segments;
    let all = segments::all(&app.api.control, organization).await?;
    let items = all.into_iter().filter_map(|segment| {
        let member = of.members.get(segment.id.as_str())?;
        Some(MembershipJson {
            since: Timestamp::from_micros(member.since),
            rule_version: member.version,
            is_assigned: of.held.get(segment.id.as_str()) == Some(&true),
            id: segment.id.to_string(),
            name: segment.name,
        })
    });
    Ok(Json(MembershipList {
        as_of,
        items: items.collect(),
        next_cursor: None,
    }))
}
