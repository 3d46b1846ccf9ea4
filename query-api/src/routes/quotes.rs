//! `/customers/{id}/quotes`: what is offered to a customer. A draft is written and changed here; see
//! [`quote_steps`](super::quote_steps) for what comes of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::event::{Effects, RecordEdit};
use schemas::form::Members;
use schemas::forms::quote::{EXPIRED, FORM, OPEN, RECORD, STATUSES};
use schemas::{OrganizationId, Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{App, now};
use crate::http::as_of::AsOf;
use crate::http::body::Text;
use crate::http::caller::{CustomerReader, DealEditor, Editor};
use crate::http::params::{Params, encoded};
use crate::http::problem::warehouse_problem;
use crate::http::writing::{Writing, etag};
use crate::models::authoring::{Author, Outcome, Receipt, field_problem};
use crate::models::quote_numbers;
use crate::models::quotes::{filled, patched, set, valid_until};
use crate::models::records::{Place, RecordJson, Records, cut, missing};
use crate::models::sight::Sight;
use crate::routes::customer_edits::{accepted, json};
use crate::routes::customers::load;

/// The code of a step that a quote cannot take from where it is.
const ILLEGAL_STATUS: &str = "illegal_status";

/// What is done to a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Edit,
    Send,
    View,
    Accept,
    Reject,
    Convert,
}

impl Step {
    /// As problems name it: but for editing, the end of its path.
    const fn as_str(self) -> &'static str {
        match self {
            Step::Edit => "edit",
            Step::Send => "send",
            Step::View => "viewed",
            Step::Accept => "accept",
            Step::Reject => "reject",
            Step::Convert => "convert",
        }
    }

    /// What can be done to a quote of a status.
    fn possible(status: &str) -> &'static [Step] {
        match status {
            "draft" => &[Step::Edit, Step::Send],
            "sent" => &[Step::View, Step::Accept, Step::Reject],
            "viewed" => &[Step::Accept, Step::Reject],
            "accepted" => &[Step::Convert],
            _ => &[],
        }
    }

    /// Passes where this can be done to a quote now, also where the clock has not ended its time yet that is over.
    pub(crate) fn check(self, quote: &RecordJson) -> Result<(), Problem> {
        let status = quote.text("status").unwrap_or_default();
        let is_over = valid_until(&quote.fields).is_some_and(|until| until <= now());
        let status = match OPEN.contains(&status.as_str()) && is_over {
            true => EXPIRED,
            false => status.as_str(),
        };
        let possible = Self::possible(status);
        if possible.contains(&self) {
            return Ok(());
        }
        let words: Vec<&str> = possible.iter().map(|step| step.as_str()).collect();
        let then = match words.is_empty() {
            true => "nothing more can be done with it".to_owned(),
            false => format!("possible: {}", words.join(", ")),
        };
        let detail = format!("the quote is {status}, so not {}; {then}", self.as_str());
        Err(Problem::new(ProblemKind::Unprocessable, detail)
            .field("status")
            .with("code", ILLEGAL_STATUS.into())
            .with("possible", words.into()))
    }
}

/// A page of quotes.
#[derive(Serialize, ToSchema)]
pub(crate) struct QuoteList {
    as_of: AsOf,
    /// This page, those made last first. Fields as in `QuoteForm`, and what `QuoteDetail` tells of them.
    items: Vec<RecordJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// One quote: the fields of `QuoteForm` with all totals, and beside them `number`, `status` (draft, sent, viewed, accepted,
/// rejected, expired), `sent_at`, `viewed_at`, `responded_at`, `accepted_at`, `reason` of a rejection, `converted_at` and
/// `order_id` where it has become an order, `created_at`, `created_by`.
#[derive(Serialize, ToSchema)]
pub(crate) struct QuoteDetail {
    as_of: AsOf,
    #[serde(flatten)]
    quote: RecordJson,
}

/// A quote of a customer.
pub(crate) async fn one(
    app: &App,
    organization: &OrganizationId,
    customer: &str,
    id: &str,
) -> Result<RecordJson, Problem> {
    let records = Records::of(organization, RECORD, &Sight::All);
    let records = records.of_customer(customer).with_id(id);
    let found = records.one(&*app.api.warehouse).await;
    found
        .map_err(|error| warehouse_problem(&error))?
        .ok_or_else(|| missing("quote"))
}

async fn shown(app: &App, status: StatusCode, quote: RecordJson) -> Result<Response, Problem> {
    let as_of = app.cut().await?.as_of();
    let edit = quote.edit;
    Ok((status, etag(edit), Json(QuoteDetail { as_of, quote })).into_response())
}

/// The answer of a write, with the quote as it is now.
pub(crate) async fn answer(
    app: &App,
    editor: &Editor,
    status: StatusCode,
    quote: &str,
    (customer, outcome): (String, Outcome),
) -> Result<Response, Problem> {
    if let Outcome::Accepted(receipt) = outcome {
        return Ok(accepted(receipt));
    }
    let quote = one(app, &editor.principal.organization, &customer, quote).await?;
    shown(app, status, quote).await
}

/// The change that makes a quote what these fields say.
pub(crate) fn effects(
    quote: &RecordJson,
    fields: &Members,
    (action, seen): (&str, u64),
) -> Result<Effects, Problem> {
    Ok(Effects {
        action: action.into(),
        seen,
        guards: vec![RecordEdit::guard(RECORD, &quote.id)],
        records: vec![RecordEdit {
            record: RECORD.into(),
            id: quote.id.as_str().into(),
            at: quote.at,
            before: Some(json(&quote.fields)?),
            after: Some(json(fields)?),
        }],
        ..Effects::default()
    })
}

/// Decides a change of a quote, and again while others edit it.
pub(crate) async fn edit(
    app: &App,
    editor: &Editor,
    author: &mut Author<'_>,
    (id, quote_id): (&str, &str),
    decide: impl Fn(&RecordJson) -> Result<Members, Problem>,
    action: &str,
) -> Result<(String, Outcome), Problem> {
    loop {
        let found = editor.load(app, id).await?;
        let customer = &found.customer.customer_id;
        if author.is_done(customer).await? {
            return Ok((customer.clone(), Outcome::Applied));
        }
        let quote = one(app, &editor.principal.organization, customer, quote_id).await?;
        author.writing.check(quote.edit)?;
        let fields = decide(&quote)?;
        let effects = effects(&quote, &fields, (action, found.state.edits.count))?;
        if let Some(outcome) = author.state(customer, effects).await? {
            return Ok((customer.clone(), outcome));
        }
    }
}

/// List the quotes of a customer.
#[utoipa::path(
    get, path = "/customers/{id}/quotes", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("status" = Option<String>, Query, description = "draft, sent, viewed, accepted, rejected or expired"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 500, by default 50"),
    ),
    responses((status = 200, description = "Its quotes, those made last first", body = QuoteList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<QuoteList>, Problem> {
    let statuses = STATUSES.map(|status| (status, status));
    let status = params.choice("status", &statuses)?;
    let after: Option<Place> = params.place()?;
    let limit = params.count("limit", 50, 500)?;
    let question = params.finish()?;
    let as_of = app.cut().await?.as_of();
    let found = load(&app, &principal.organization, &sight, &id).await?;
    let mut records = Records::of(&principal.organization, RECORD, &Sight::All)
        .of_customer(&found.customer.customer_id);
    if let Some(status) = status {
        records = records.with_text("status", status);
    }
    let page = records.page(&*app.api.warehouse, after.as_ref(), limit + 1);
    let mut items = page.await.map_err(|error| warehouse_problem(&error))?;
    let next_cursor = cut(&mut items, limit).map(|place| question.cursor(&place));
    Ok(Json(QuoteList {
        as_of,
        items,
        next_cursor,
    }))
}

/// One quote.
#[utoipa::path(
    get, path = "/customers/{id}/quotes/{quote_id}", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("quote_id" = String, Path, description = "quo_…"),
    ),
    responses((status = 200, description = "The quote", body = QuoteDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path((id, quote_id)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let found = load(&app, &principal.organization, &sight, &id).await?;
    let customer = &found.customer.customer_id;
    let quote = one(&app, &principal.organization, customer, &quote_id).await?;
    shown(&app, StatusCode::OK, quote).await
}

/// Make a quote, a draft at first.
///
/// Its number is the next one of the organization. Totals are computed; those that are stated must be equal.
#[utoipa::path(
    post, path = "/customers/{id}/quotes", tag = "quotes",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body(content = serde_json::Value, description = "A `QuoteForm`"),
    responses(
        (status = 201, description = "The quote", body = QuoteDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let principal = &editor.principal;
    let stated = FORM.read(&body).map_err(field_problem)?.fields;
    let mut fields = filled(stated, principal.currency).map_err(field_problem)?;
    let mut author = Author::new(&app, principal, &writing, &body);
    let quote = author.id("quo");
    let found = editor.load(&app, &id).await?;
    let customer = found.customer.customer_id.clone();
    // Also of a request that was done already: its number may still have to be confirmed.
    let is_done = author.is_done(&customer).await?;
    let (taken, number) = quote_numbers::take(&app, &principal.organization, &quote).await?;
    set(&mut fields, "number", &number).map_err(field_problem)?;
    set(&mut fields, "status", "draft").map_err(field_problem)?;
    set(&mut fields, "created_at", &now()).map_err(field_problem)?;
    set(&mut fields, "created_by", &author.name()).map_err(field_problem)?;
    let effects = Effects {
        action: "quote.create".into(),
        seen: found.state.edits.count,
        records: vec![RecordEdit {
            record: RECORD.into(),
            id: quote.as_str().into(),
            at: None,
            before: None,
            after: Some(json(&fields)?),
        }],
        ..Effects::default()
    };
    let outcome = match is_done {
        true => Outcome::Applied,
        false => loop {
            match author.state(&customer, effects.clone()).await {
                Ok(None) => {}
                Ok(Some(outcome)) => break outcome,
                Err(problem) => {
                    // What has no code may be in the log.
                    if problem.more.contains_key("code") {
                        quote_numbers::give_back(&app, &taken).await;
                    }
                    return Err(problem);
                }
            }
        },
    };
    if outcome == Outcome::Applied {
        quote_numbers::confirm(&app, &taken).await;
    }
    let location = format!(
        "{}/customers/{}/quotes/{quote}",
        crate::router::PREFIX,
        encoded(&customer)
    );
    let done = (customer, outcome);
    let mut response = answer(&app, &editor, StatusCode::CREATED, &quote, done).await?;
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Fields of a quote that nobody writes.
const KEPT: [&str; 4] = ["number", "status", "created_at", "created_by"];

/// Replace a draft: what is not sent is cleared.
#[utoipa::path(
    put, path = "/customers/{id}/quotes/{quote_id}", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("quote_id" = String, Path, description = "quo_…"),
    ),
    request_body(content = serde_json::Value, description = "A `QuoteForm`"),
    responses(
        (status = 200, description = "The quote as it is now", body = QuoteDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path((id, quote_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let stated = FORM.read(&body).map_err(field_problem)?.fields;
    let stated = filled(stated, editor.principal.currency).map_err(field_problem)?;
    let mut author = Author::new(&app, &editor.principal, &writing, &body);
    let decide = |quote: &RecordJson| {
        Step::Edit.check(quote)?;
        let mut fields = quote.fields.clone();
        fields.retain(|name, _| KEPT.contains(&name.as_str()));
        fields.extend(stated.clone());
        Ok(fields)
    };
    let path = (id.as_str(), quote_id.as_str());
    let done = edit(&app, &editor, &mut author, path, decide, "quote.replace").await?;
    answer(&app, &editor, StatusCode::OK, &quote_id, done).await
}

/// Change a draft, by JSON merge patch: null clears a field, and a list is replaced whole.
///
/// What was computed is computed again.
#[utoipa::path(
    patch, path = "/customers/{id}/quotes/{quote_id}", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("quote_id" = String, Path, description = "quo_…"),
    ),
    request_body(content = serde_json::Value, description = "Fields of a `QuoteForm`"),
    responses(
        (status = 200, description = "The quote as it is now", body = QuoteDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path((id, quote_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let stated = FORM.read_part(&body).map_err(field_problem)?.fields;
    let mut author = Author::new(&app, &editor.principal, &writing, &body);
    let decide = |quote: &RecordJson| {
        Step::Edit.check(quote)?;
        patched(&quote.fields, &stated, editor.principal.currency).map_err(field_problem)
    };
    let path = (id.as_str(), quote_id.as_str());
    let done = edit(&app, &editor, &mut author, path, decide, "quote.update").await?;
    answer(&app, &editor, StatusCode::OK, &quote_id, done).await
}
