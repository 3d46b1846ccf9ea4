//! Writing an interaction down.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use schemas::form::Members;
use schemas::{Kind, Problem};
use serde::Serialize;
use serde_json::value::RawValue;

use super::InteractionDetail;
use super::rules::{
    check_completed, check_contact, check_responsible, check_times, complete, read, rule,
};
use crate::api::{App, internal, now};
use crate::http::body::{Text, refuse};
use crate::http::caller::{Editor, ServiceEditor};
use crate::http::params::{Params, encoded};
use crate::http::problem::warehouse_problem;
use crate::http::writing::Writing;
use crate::models::authoring::{Author, Outcome, Receipt, refusal, reused_key};
use crate::models::interactions::{Circle, PREFIX, RECORD, flag, set, shown, text, whose};
use crate::models::records::{Records, missing};
use crate::models::rejections::DUPLICATE;
use crate::models::sight::Sight;
use crate::routes::customer_edits::accepted;

/// Write an interaction down; `customer_id` says whose it is.
///
/// Without an `assigned_to` the user who writes it down is responsible. It counts like one that a client application sends.
#[utoipa::path(
    post, path = "/interactions", tag = "interactions",
    request_body(content = serde_json::Value, description = "An `InteractionForm`"),
    responses(
        (status = 201, description = "The interaction", body = InteractionDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    ServiceEditor(editor): ServiceEditor,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    add(&app, &editor, &writing, None, body).await
}

/// Write an interaction of a customer down.
///
/// Without an `assigned_to` the user who writes it down is responsible. It counts like one that a client application sends.
#[utoipa::path(
    post, path = "/customers/{id}/interactions", tag = "interactions",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body(content = serde_json::Value, description = "An `InteractionForm`"),
    responses(
        (status = 201, description = "The interaction", body = InteractionDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn create_of_customer(
    State(app): State<Arc<App>>,
    ServiceEditor(editor): ServiceEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    add(&app, &editor, &writing, Some(id), body).await
}

/// The event, as a client would state it.
#[derive(Serialize)]
struct Stated<'a> {
    customer_id: &'a str,
    event_id: &'a str,
    attributes: Request<'a>,
    #[serde(flatten)]
    fields: &'a Members,
}

/// Tells a repeated request from another one under the same key.
#[derive(Serialize)]
struct Request<'a> {
    request: &'a str,
}

async fn add(
    app: &App,
    editor: &Editor,
    writing: &Writing,
    of: Option<String>,
    body: Option<String>,
) -> Result<Response, Problem> {
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let mut fields = read(&body, true)?;
    fields.retain(|_, json: &mut Box<RawValue>| json.get() != "null");
    let named = text(&fields, "customer_id");
    fields.remove("customer_id");
    let stated = of.as_ref().or(named.as_ref());
    let stated = stated.ok_or_else(|| refuse("customer_id", "required", "say whose it is"))?;
    let found = editor.load(app, stated).await?;
    let customer = &found.customer.customer_id;
    if named.is_some_and(|named| named != *customer && named != found.customer.id) {
        return Err(rule(
            "customer_id",
            "invalid_value",
            "the path names another customer",
        ));
    }
    let author = Author::new(app, &editor.principal, writing, &body);
    let id = author.id(PREFIX);
    if writing.is_named() {
        // The key's id may be another customer's already.
        let other = whose(app, &editor.principal.organization, &id).await?;
        if other.is_some_and(|other| other != *customer) {
            return Err(reused_key());
        }
    }
    let mut author = author.under(id.as_str());
    let outcome = match author.is_done(customer).await? {
        true => Outcome::Applied,
        false => {
            decide(app, editor, customer, &mut fields).await?;
            let stated = Stated {
                customer_id: customer,
                event_id: &id,
                attributes: Request {
                    request: author.request(),
                },
                fields: &fields,
            };
            let stated = serde_json::to_string(&stated)
                .map_err(|error| internal("an interaction does not serialise", &error))?;
            match author.append(Kind::Interaction, customer, &stated).await? {
                Ok(outcome) => outcome,
                // Another sending of the same request was faster.
                Err(verdict) if verdict.reason == DUPLICATE && author.is_done(customer).await? => {
                    Outcome::Applied
                }
                Err(verdict) => return Err(refusal(&verdict)),
            }
        }
    };
    if let Outcome::Accepted(receipt) = outcome {
        return Ok(accepted(receipt));
    }
    let made = Records::of(&editor.principal.organization, RECORD, &Sight::All)
        .of_customer(customer)
        .with_id(&id);
    let made = made.one(&*app.api.warehouse).await;
    let made = made.map_err(|error| warehouse_problem(&error))?;
    let made = shown(made.ok_or_else(|| missing("interaction"))?);
    let mut response = super::answer(app, StatusCode::CREATED, made).await?;
    let location = format!("{}/interactions/{}", crate::router::PREFIX, encoded(&id));
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Completes what was stated and checks it.
async fn decide(
    app: &App,
    editor: &Editor,
    customer: &str,
    fields: &mut Members,
) -> Result<(), Problem> {
    let now = now();
    complete(fields)?;
    if !fields.contains_key("occurred_at") {
        set(fields, "occurred_at", &now)?;
    }
    for (name, default) in [("status", "pending"), ("priority", "medium")] {
        if !fields.contains_key(name) {
            set(fields, name, default)?;
        }
    }
    if text(fields, "kind").as_deref() == Some("support")
        && !fields.contains_key("opened_at")
        && let Some(at) = fields.get("occurred_at").cloned()
    {
        fields.insert("opened_at".to_owned(), at);
    }
    check_times(fields)?;
    check_completed(fields, now)?;
    if text(fields, "status").as_deref() != Some("pending") && flag(fields, "requires_follow_up") {
        let detail = "what is left to do is pending; leave the status out, or the follow-up";
        return Err(rule("status", "illegal_status", detail));
    }
    check_contact(app, editor, customer, fields).await?;
    let user = editor.principal.user.as_ref();
    if let (false, Some(user), false) = (
        fields.contains_key("assigned_to"),
        user,
        matches!(editor.may, Sight::Own(_)),
    ) {
        set(fields, "assigned_to", user.as_str())?;
    }
    let circle = Circle::of(app, &editor.principal, &editor.sees).await?;
    check_responsible(app, editor, &circle, fields).await
}
