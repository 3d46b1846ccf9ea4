//! `/interactions`, and those of a customer: what was and is to be done with customers.
//!
//! One that staff write down is an event like those of client applications, so that it counts like them; what becomes of
//! it afterwards are changes.

mod edit;
mod follow_ups;
mod rules;
mod stats;
mod write;

pub(crate) use edit::*;
pub(crate) use follow_ups::*;
pub(crate) use stats::*;
pub(crate) use write::*;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control::Principal;
use schemas::event::interaction::{CHANNELS, KINDS, PRIORITIES, STATUSES, SUPPORT_CATEGORIES};
use schemas::{Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::CustomerReader;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::http::writing::etag;
use crate::models::interactions::{ASSIGNED_TO, Circle, PRIORITY, STATUS, members, shown};
use crate::models::records::{Place, RecordJson, Records, cut};
use crate::models::sight::Sight;
use crate::routes::customers::load;

/// A page of interactions.
#[derive(Serialize, ToSchema)]
pub(crate) struct InteractionList {
    as_of: AsOf,
    /// This page, newest first; fields as in an `InteractionForm`, and completed_at, created_at, created_by.
    items: Vec<RecordJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// One interaction.
#[derive(Serialize, ToSchema)]
pub(crate) struct InteractionDetail {
    as_of: AsOf,
    #[serde(flatten)]
    interaction: RecordJson,
}

/// What one interaction is answered as.
async fn answer(
    app: &App,
    status: StatusCode,
    interaction: RecordJson,
) -> Result<Response, Problem> {
    let as_of = app.cut().await?.as_of();
    let edit = interaction.edit;
    let detail = InteractionDetail { as_of, interaction };
    Ok((status, etag(edit), Json(detail)).into_response())
}

/// Fields that are one of some words, with what they hold where nothing was stated.
const CHOICES: [(&str, &[&str], &str); 5] = [
    ("channel", &CHANNELS, "JSONExtractString(fields, 'channel')"),
    ("kind", &KINDS, "JSONExtractString(fields, 'kind')"),
    (
        "support_category",
        &SUPPORT_CATEGORIES,
        "JSONExtractString(fields, 'support_category')",
    ),
    ("status", &STATUSES, STATUS),
    ("priority", &PRIORITIES, PRIORITY),
];

/// Narrows interactions to what was asked for.
async fn filtered(
    app: &App,
    principal: &Principal,
    mut records: Records,
    params: &mut Params,
) -> Result<Records, Problem> {
    for (name, words, expression) in CHOICES {
        let words: Vec<(&str, &str)> = words.iter().map(|word| (*word, *word)).collect();
        if let Some(word) = params.choice(name, &words)? {
            records = records.and(
                format!("{expression} = {{is_{name}:String}}"),
                &format!("is_{name}"),
                word,
            );
        }
    }
    if let Some(user) = params.text("assigned_to") {
        records = records.with_text("assigned_to", &user);
    }
    if let Some(team) = params.text("team_id") {
        let users = members(app, principal, &team).await?;
        records = records.and(
            format!("{ASSIGNED_TO} IN {{of_team:Array(String)}}"),
            "of_team",
            users,
        );
    }
    if let Some(wanted) =
        params.choice("requires_follow_up", &[("true", true), ("false", false)])?
    {
        let condition = "JSONExtractBool(fields, 'requires_follow_up') = {requires_follow_up:Bool}";
        records = records.and(condition, "requires_follow_up", wanted);
    }
    if let Some(time) = params.time("from")? {
        records = records.from(time.kept());
    }
    if let Some(time) = params.time("to")? {
        records = records.before(time.kept());
    }
    if let Some(text) = params.text("q").filter(|text| !text.is_empty()) {
        let contains = ["subject", "description", "summary"].map(|field| {
            format!("positionCaseInsensitiveUTF8(JSONExtractString(fields, '{field}'), {{q:String}}) > 0")
        });
        records = records.and(format!("({})", contains.join(" OR ")), "q", text);
    }
    Ok(records)
}

/// A page of interactions with the filters of a request, perhaps of one customer.
async fn page(
    app: &App,
    principal: &Principal,
    circle: &Circle,
    customer: Option<&str>,
    mut params: Params,
) -> Result<InteractionList, Problem> {
    let mut records = circle.records();
    if let Some(customer) = customer {
        records = records.of_customer(customer);
    }
    let records = filtered(app, principal, records, &mut params).await?;
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    let as_of = app.cut().await?.as_of();
    // One more tells whether there is another page.
    let found = records
        .page(&*app.api.warehouse, after.as_ref(), limit + 1)
        .await;
    let mut found = found.map_err(|error| warehouse_problem(&error))?;
    let next_cursor = cut(&mut found, limit).map(|place| question.cursor(&place));
    Ok(InteractionList {
        as_of,
        items: found.into_iter().map(shown).collect(),
        next_cursor,
    })
}

/// List interactions, newest first.
///
/// Beside those of the customers that the caller sees there are those that are assigned to it or to somebody of its team.
#[utoipa::path(
    get, path = "/interactions", tag = "interactions",
    params(
        ("customer_id" = Option<String>, Query, description = "the client's own id of a customer"),
        ("channel" = Option<String>, Query, description = "email, phone, chat, in_person, whatsapp, sms, web or other"),
        ("kind" = Option<String>, Query, description = "call, email, meeting, visit, support, sale, quote, order, follow_up or other"),
        ("support_category" = Option<String>, Query, description = "profile_admin, access_grant, bug, incident or request"),
        ("status" = Option<String>, Query, description = "pending, completed or cancelled"),
        ("priority" = Option<String>, Query, description = "low, medium, high or urgent"),
        ("assigned_to" = Option<String>, Query, description = "the member of staff responsible, usr_…"),
        ("team_id" = Option<String>, Query, description = "assigned to somebody of this team, team_…"),
        ("requires_follow_up" = Option<bool>, Query, description = "true or false"),
        ("from" = Option<String>, Query, description = "occurred at this time or later"),
        ("to" = Option<String>, Query, description = "occurred before this time"),
        ("q" = Option<String>, Query, description = "subject, description or summary contains this, whatever the case"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of interactions", body = InteractionList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    mut params: Params,
) -> Result<Json<InteractionList>, Problem> {
    let circle = Circle::of(&app, &principal, &sight).await?;
    let customer = params.text("customer_id");
    let list = page(&app, &principal, &circle, customer.as_deref(), params).await?;
    Ok(Json(list))
}

/// The interactions of a customer as far as the caller sees them; not there where it sees neither it nor any of them.
async fn of_customer(
    app: &App,
    CustomerReader(principal, sight): CustomerReader,
    id: &str,
    params: Params,
) -> Result<Json<InteractionList>, Problem> {
    let circle = Circle::of(app, &principal, &sight).await?;
    let found = load(app, &principal.organization, &Sight::All, id).await?;
    let customer = &found.customer.customer_id;
    if !sight.includes(&found) {
        let any = circle.records().of_customer(customer);
        let any = any.one(&*app.api.warehouse).await;
        if any.map_err(|error| warehouse_problem(&error))?.is_none() {
            let detail = "no customer that you may see has that id";
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
    }
    let list = page(app, &principal, &circle, Some(customer), params).await?;
    Ok(Json(list))
}

/// List the interactions of a customer, newest first. Filters as for all interactions.
#[utoipa::path(
    get, path = "/customers/{id}/interactions", tag = "interactions",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of its interactions", body = InteractionList))
)]
pub(crate) async fn list_of_customer(
    State(app): State<Arc<App>>,
    reader: CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<InteractionList>, Problem> {
    of_customer(&app, reader, &id, params).await
}

/// List the interactions of a customer, newest first; the same as below the customer.
#[utoipa::path(
    get, path = "/interactions/customer/{customer_id}", tag = "interactions",
    params(
        ("customer_id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of its interactions", body = InteractionList))
)]
pub(crate) async fn list_by_customer(
    State(app): State<Arc<App>>,
    reader: CustomerReader,
    Path(customer_id): Path<String>,
    params: Params,
) -> Result<Json<InteractionList>, Problem> {
    of_customer(&app, reader, &customer_id, params).await
}

/// One interaction.
#[utoipa::path(
    get, path = "/interactions/{id}", tag = "interactions",
    params(("id" = String, Path, description = "int_…, or the event id of a client's")),
    responses((status = 200, description = "The interaction", body = InteractionDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let circle = Circle::of(&app, &principal, &sight).await?;
    answer(&app, StatusCode::OK, circle.find(&app, None, &id).await?).await
}

/// One interaction of a customer.
#[utoipa::path(
    get, path = "/customers/{id}/interactions/{interaction_id}", tag = "interactions",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("interaction_id" = String, Path, description = "int_…, or the event id of a client's"),
    ),
    responses((status = 200, description = "The interaction", body = InteractionDetail))
)]
pub(crate) async fn show_of_customer(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path((id, interaction_id)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let circle = Circle::of(&app, &principal, &sight).await?;
    let found = load(&app, &principal.organization, &Sight::All, &id).await?;
    let customer = Some(found.customer.customer_id.as_str());
    let interaction = circle.find(&app, customer, &interaction_id).await?;
    answer(&app, StatusCode::OK, interaction).await
}
