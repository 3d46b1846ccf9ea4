//! What comes of a quote: it is sent, viewed, accepted or rejected, and once accepted becomes an order.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use schemas::form::Members;
use schemas::forms::quote::REJECTION;
use schemas::{Kind, Problem, ProblemKind};

use crate::api::{App, now};
use crate::http::body::{Text, refuse};
use crate::http::caller::{DealEditor, Editor};
use crate::http::params::{Params, encoded};
use crate::http::problem::warehouse_problem;
use crate::http::writing::Writing;
use crate::models::authoring::{Author, Outcome, Receipt, field_problem, refusal};
use crate::models::quotes::{order_id, purchase, set, valid_until};
use crate::models::records::RecordJson;
use crate::models::rejections::{DUPLICATE, holder};
use crate::routes::customer_edits::accepted;
use crate::routes::quotes::{QuoteDetail, Step, answer, edit, effects, one};

/// Refuses a body where there is nothing to say.
fn nothing(body: Option<&str>) -> Result<(), Problem> {
    match body.map(str::trim) {
        None | Some("" | "{}") => Ok(()),
        Some(_) => Err(refuse("", "invalid_value", "send no body")),
    }
}

/// The fields of a quote with some of them set.
fn with<const N: usize>(quote: &RecordJson, set_to: [(&str, &str); N]) -> Result<Members, Problem> {
    let mut fields = quote.fields.clone();
    for (name, value) in set_to {
        set(&mut fields, name, value).map_err(field_problem)?;
    }
    Ok(fields)
}

/// A step that is stated by its path alone.
async fn step(
    app: &App,
    editor: &Editor,
    writing: &Writing,
    (id, quote_id): (&str, &str),
    body: Option<&str>,
    (action, decide): (&str, impl Fn(&RecordJson) -> Result<Members, Problem>),
) -> Result<Response, Problem> {
    let mut author = Author::new(app, &editor.principal, writing, body.unwrap_or_default());
    let path = (id, quote_id);
    let done = edit(app, editor, &mut author, path, decide, action).await?;
    answer(app, editor, StatusCode::OK, quote_id, done).await
}

/// Send a draft to the customer: from now on it is not changed any more.
#[utoipa::path(
    post, path = "/customers/{id}/quotes/{quote_id}/send", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("quote_id" = String, Path, description = "quo_…"),
    ),
    responses(
        (status = 200, description = "The quote as it is now", body = QuoteDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
        (status = 422, description = "It is no draft, or its time is over"),
    )
)]
pub(crate) async fn send(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path((id, quote_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    nothing(body.as_deref())?;
    let decide = |quote: &RecordJson| {
        Step::Send.check(quote)?;
        let at = now();
        if valid_until(&quote.fields).is_some_and(|until| until <= at) {
            let detail = "valid_until: it is over; set a later one first";
            return Err(Problem::new(ProblemKind::Unprocessable, detail)
                .field("valid_until")
                .with("code", "out_of_range".into()));
        }
        with(quote, [("status", "sent"), ("sent_at", &at.to_string())])
    };
    let path = (id.as_str(), quote_id.as_str());
    step(&app, &editor, &writing, path, None, ("quote.send", decide)).await
}

/// Note that the customer has seen a sent quote.
#[utoipa::path(
    post, path = "/customers/{id}/quotes/{quote_id}/viewed", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("quote_id" = String, Path, description = "quo_…"),
    ),
    responses(
        (status = 200, description = "The quote as it is now", body = QuoteDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
        (status = 422, description = "It is not sent, or expired"),
    )
)]
pub(crate) async fn viewed(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path((id, quote_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    nothing(body.as_deref())?;
    let decide = |quote: &RecordJson| {
        Step::View.check(quote)?;
        let at = now().to_string();
        with(quote, [("status", "viewed"), ("viewed_at", &at)])
    };
    let path = (id.as_str(), quote_id.as_str());
    step(&app, &editor, &writing, path, None, ("quote.view", decide)).await
}

/// Note that the customer takes a quote that was sent, viewed or not.
#[utoipa::path(
    post, path = "/customers/{id}/quotes/{quote_id}/accept", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("quote_id" = String, Path, description = "quo_…"),
    ),
    responses(
        (status = 200, description = "The quote as it is now", body = QuoteDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
        (status = 422, description = "It waits for no answer"),
    )
)]
pub(crate) async fn accept(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path((id, quote_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    nothing(body.as_deref())?;
    let decide = |quote: &RecordJson| {
        Step::Accept.check(quote)?;
        let at = now().to_string();
        let set_to = [
            ("status", "accepted"),
            ("responded_at", &at),
            ("accepted_at", &at),
        ];
        with(quote, set_to)
    };
    let path = (id.as_str(), quote_id.as_str());
    step(
        &app,
        &editor,
        &writing,
        path,
        None,
        ("quote.accept", decide),
    )
    .await
}

/// Note that the customer does not take a quote that was sent, viewed or not.
#[utoipa::path(
    post, path = "/customers/{id}/quotes/{quote_id}/reject", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("quote_id" = String, Path, description = "quo_…"),
    ),
    request_body(content = serde_json::Value, description = "A `QuoteRejectionForm`; may be left out"),
    responses(
        (status = 200, description = "The quote as it is now", body = QuoteDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
        (status = 422, description = "It waits for no answer"),
    )
)]
pub(crate) async fn reject(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path((id, quote_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.filter(|body| !body.trim().is_empty());
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let mut stated = REJECTION.read(&body).map_err(field_problem)?.fields;
    stated.retain(|_, json| json.get() != "null");
    let decide = |quote: &RecordJson| {
        Step::Reject.check(quote)?;
        let at = now().to_string();
        let mut fields = with(quote, [("status", "rejected"), ("responded_at", &at)])?;
        fields.extend(stated.clone());
        Ok(fields)
    };
    let path = (id.as_str(), quote_id.as_str());
    let reject = ("quote.reject", decide);
    step(&app, &editor, &writing, path, Some(&body), reject).await
}

/// Make an accepted quote an order: a purchase of the customer with its lines and its total.
///
/// Sent again it makes no second order, and makes the one that an interrupted request left out. It does not heed
/// `Prefer: respond-async`.
#[utoipa::path(
    post, path = "/customers/{id}/quotes/{quote_id}/convert", tag = "quotes",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("quote_id" = String, Path, description = "quo_…"),
    ),
    responses(
        (status = 200, description = "The quote, which is an order already: `order_id`", body = QuoteDetail),
        (status = 201, description = "The quote with the `order_id` of the order it became", body = QuoteDetail),
        (status = 202, description = "It is in the log and not applied yet; send it again later", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
        (status = 422, description = "It is not accepted"),
    )
)]
pub(crate) async fn convert(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path((id, quote_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    nothing(body.as_deref())?;
    // The order comes after the change, which must count.
    let mut writing = writing;
    writing.respond_async = false;
    let organization = &editor.principal.organization;
    let order = order_id(&quote_id);
    let mut author = Author::new(&app, &editor.principal, &writing, "");
    let (customer, quote) = loop {
        let found = editor.load(&app, &id).await?;
        let customer = found.customer.customer_id.clone();
        let quote = one(&app, organization, &customer, &quote_id).await?;
        if quote.text("order_id").is_some() {
            break (customer, quote);
        }
        writing.check(quote.edit)?;
        Step::Convert.check(&quote)?;
        let at = now().to_string();
        let fields = with(&quote, [("order_id", &order), ("converted_at", &at)])?;
        let effects = effects(&quote, &fields, ("quote.convert", found.state.edits.count))?;
        if let Some(Outcome::Accepted(receipt)) = author.state(&customer, effects).await? {
            return Ok(accepted(receipt));
        }
    };
    let warehouse = &*app.api.warehouse;
    let ordered = holder(warehouse, organization, &customer, &order, 0).await;
    let mut status = StatusCode::OK;
    if ordered
        .map_err(|error| warehouse_problem(&error))?
        .is_none()
    {
        let stated = purchase(&customer, &quote_id, &quote.fields).map_err(field_problem)?;
        // An author of its own: whatever became of the change, this is the first sending of the order.
        let author = Author::new(&app, &editor.principal, &writing, "");
        match author.append(Kind::Purchase, &customer, &stated).await? {
            Ok(Outcome::Applied) => status = StatusCode::CREATED,
            Ok(Outcome::Accepted(receipt)) => return Ok(accepted(receipt)),
            Err(verdict) if verdict.reason == DUPLICATE => {}
            Err(verdict) => return Err(refusal(&verdict)),
        }
    }
    let done = (customer, Outcome::Applied);
    let mut response = answer(&app, &editor, status, &quote_id, done).await?;
    let location = format!("{}/orders/{}", crate::router::PREFIX, encoded(&order));
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
