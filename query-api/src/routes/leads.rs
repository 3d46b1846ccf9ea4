//! `/customers/{id}/qualification` and `/customers/{id}/lead-score`: how promising a customer is, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemas::event::{Effects, RecordEdit};
use schemas::form::Members;
use schemas::forms::qualification::{CRITERIA, FORM};
use schemas::{FieldError, Problem, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::{App, now};
use crate::domain::lead_score::Factor;
use crate::http::as_of::AsOf;
use crate::http::body::Text;
use crate::http::caller::{CustomerReader, DealEditor};
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::http::writing::{Writing, etag};
use crate::models::authoring::{Author, Outcome, Receipt, field_problem};
use crate::models::customers::raw;
use crate::models::lead_scores::{self, BANT, QUALIFICATION};
use crate::models::records::{Place, RecordJson, Records, cut};
use crate::models::sight::Sight;
use crate::routes::customer_edits::{accepted, json};
use crate::routes::customers::load;

/// What is known of a lead.
#[derive(Serialize, ToSchema)]
pub(crate) struct QualificationDetail {
    as_of: AsOf,
    /// The client's own id of the customer.
    customer_id: String,
    /// budget, authority, need and timeline: each an object with `status` (unknown, no, partly or yes), and perhaps `notes`
    /// and `value` (of the budget an amount, of the timeline a time).
    #[serde(flatten)]
    #[schema(value_type = Object)]
    criteria: BTreeMap<String, Box<RawValue>>,
    /// When it was last edited; null if it never was.
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<Timestamp>,
    /// Who edited it last.
    updated_by: Option<String>,
}

async fn shown(
    app: &App,
    customer_id: &str,
    record: Option<RecordJson>,
) -> Result<Response, Problem> {
    let as_of = app.cut().await?.as_of();
    let edit = record.as_ref().map_or(0, |record| record.edit);
    let (updated_at, updated_by, mut criteria) = match record {
        Some(record) => (record.updated_at, Some(record.updated_by), record.fields),
        None => (None, None, Members::new()),
    };
    for (criterion, _) in CRITERIA {
        criteria
            .entry(criterion.to_owned())
            .or_insert_with(|| raw(r#"{"status":"unknown"}"#));
    }
    let detail = QualificationDetail {
        as_of,
        customer_id: customer_id.to_owned(),
        criteria,
        updated_at,
        updated_by,
    };
    Ok((StatusCode::OK, etag(edit), Json(detail)).into_response())
}

/// Budget, authority, need and timeline of a lead.
#[utoipa::path(
    get, path = "/customers/{id}/qualification", tag = "leads",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses((status = 200, description = "The qualification", body = QualificationDetail))
)]
pub(crate) async fn qualification(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let organization = &principal.organization;
    let found = load(&app, organization, &sight, &id).await?;
    let customer = &found.customer.customer_id;
    let record = lead_scores::qualification(&app, organization, customer).await?;
    shown(&app, customer, record).await
}

/// Reads a qualification, every criterion by its own form.
fn read(body: &str) -> Result<Members, Problem> {
    let mut fields = FORM.read(body).map_err(field_problem)?.fields;
    fields.retain(|_, json| json.get() != "null");
    for (criterion, form) in CRITERIA {
        let Some(stated) = fields.get(criterion) else {
            continue;
        };
        let within = |error: FieldError| {
            let field = match error.field.as_str() {
                "" => criterion.to_owned(),
                inner => format!("{criterion}.{inner}"),
            };
            field_problem(FieldError { field, ..error })
        };
        let mut parts = form.read(stated.get()).map_err(within)?.fields;
        parts.retain(|_, json| json.get() != "null");
        let parts = json(&parts)?;
        fields.insert(criterion.to_owned(), raw(parts.get()));
    }
    Ok(fields)
}

/// Write down what is known of a lead's budget, authority, need and timeline. What is not sent is unknown.
///
/// The lead's score of then becomes a point of its history.
#[utoipa::path(
    put, path = "/customers/{id}/qualification", tag = "leads",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body(content = serde_json::Value, description = "A `QualificationForm`, its criteria by the forms of theirs"),
    responses(
        (status = 200, description = "The qualification as it is now", body = QualificationDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn qualify(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let fields = read(&body)?;
    let organization = &editor.principal.organization;
    let mut author = Author::new(&app, &editor.principal, &writing, &body);
    let point = author.id("lsc");
    let (customer, outcome) = loop {
        let found = editor.load(&app, &id).await?;
        let customer = found.customer.customer_id.clone();
        if author.is_done(&customer).await? {
            break (customer, Outcome::Applied);
        }
        let before = lead_scores::qualification(&app, organization, &customer).await?;
        writing.check(before.as_ref().map_or(0, |record| record.edit))?;
        let score = lead_scores::score(&app, organization, &found, &fields).await?;
        let edit = RecordEdit {
            record: QUALIFICATION.into(),
            id: BANT.into(),
            at: None,
            before: before.map(|record| json(&record.fields)).transpose()?,
            after: Some(json(&fields)?),
        };
        let effects = Effects {
            action: "qualification.replace".into(),
            seen: found.state.edits.count,
            guards: vec![RecordEdit::guard(QUALIFICATION, BANT)],
            records: vec![edit, lead_scores::point(&point, &score, QUALIFICATION)?],
            ..Effects::default()
        };
        if let Some(outcome) = author.state(&customer, effects).await? {
            break (customer, outcome);
        }
    };
    if let Outcome::Accepted(receipt) = outcome {
        return Ok(accepted(receipt));
    }
    let record = lead_scores::qualification(&app, organization, &customer).await?;
    shown(&app, &customer, record).await
}

/// A part of a score.
#[derive(Serialize, ToSchema)]
pub(crate) struct FactorJson {
    /// What is looked at.
    factor: &'static str,
    /// The most points it can add; all weights sum to 100.
    weight: u32,
    /// How much of the weight it adds, 0 to 1.
    value: f64,
    /// Points it adds; those of all factors sum to the score.
    contribution: u32,
}

impl From<Factor> for FactorJson {
    fn from(factor: Factor) -> Self {
        Self {
            factor: factor.factor,
            weight: factor.weight,
            value: factor.value,
            contribution: factor.contribution,
        }
    }
}

/// A score of before.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScorePoint {
    /// When it was.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// `score` (0 to 100), `factors`, and the `cause` for which it was computed: qualification or status.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    fields: Members,
    /// Who wrote that down.
    by: String,
}

/// How promising a customer is.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeadScoreDetail {
    as_of: AsOf,
    /// The client's own id of the customer.
    customer_id: String,
    /// 0 to 100, as it is now.
    score: u32,
    /// What it is made of, always all parts and in the same order.
    factors: Vec<FactorJson>,
    /// When the score was computed: for this answer.
    #[schema(value_type = String, format = DateTime)]
    last_calculated: Timestamp,
    /// What it was whenever staff wrote down a qualification or a status, the newest first.
    history: Vec<ScorePoint>,
    /// Where the next page of the history begins; null on the last one.
    next_cursor: Option<String>,
}

/// How promising a customer is, and why: `score`, and `factors` that sum to it.
#[utoipa::path(
    get, path = "/customers/{id}/lead-score", tag = "leads",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("limit" = Option<usize>, Query, description = "points of the history, 1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "The score", body = LeadScoreDetail))
)]
pub(crate) async fn lead_score(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<LeadScoreDetail>, Problem> {
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    let as_of = app.cut().await?.as_of();
    let organization = &principal.organization;
    let found = load(&app, organization, &sight, &id).await?;
    let customer = &found.customer.customer_id;
    let record = lead_scores::qualification(&app, organization, customer).await?;
    let fields = record.map(|record| record.fields).unwrap_or_default();
    let score = lead_scores::score(&app, organization, &found, &fields).await?;
    let history = Records::of(organization, lead_scores::RECORD, &Sight::All);
    let history = history.of_customer(customer);
    let history = history.page(&*app.api.warehouse, after.as_ref(), limit + 1);
    let mut history = history.await.map_err(|error| warehouse_problem(&error))?;
    let next = cut(&mut history, limit);
    let point = |record: RecordJson| ScorePoint {
        at: record.at,
        fields: record.fields,
        by: record.updated_by,
    };
    Ok(Json(LeadScoreDetail {
        as_of,
        customer_id: customer.clone(),
        score: score.score,
        factors: score.factors.into_iter().map(FactorJson::from).collect(),
        last_calculated: now(),
        history: history.into_iter().map(point).collect(),
        next_cursor: next.map(|place| question.cursor(&place)),
    }))
}
