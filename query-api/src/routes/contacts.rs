//! `/customers/{id}/contacts`: the people to talk to.
//!
//! A company with contacts has exactly one primary one. Who edits one of them names all of them as what it rests on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::event::{Effects, RecordEdit};
use schemas::form::Members;
use schemas::forms::contact::FORM;
use schemas::{OrganizationId, Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{App, now};
use crate::http::as_of::AsOf;
use crate::http::body::Text;
use crate::http::caller::{CustomerEditor, CustomerReader, Editor};
use crate::http::params::{Params, encoded};
use crate::http::problem::warehouse_problem;
use crate::http::writing::{Writing, etag};
use crate::models::authoring::{Author, Outcome, Receipt, field_problem};
use crate::models::customers::Found;
use crate::models::records::{RecordJson, Records, missing};
use crate::models::sight::Sight;
use crate::routes::customer_edits::{accepted, is_company, json};
use crate::routes::customers::load;

/// What a contact is among records, and the guard of all of a customer's.
pub(crate) const RECORD: &str = "contact";
/// Contacts of a customer at most.
const MOST: usize = 500;

/// All contacts of a customer, those known longest first.
pub(crate) async fn all(
    app: &App,
    organization: &OrganizationId,
    customer: &str,
) -> Result<Vec<RecordJson>, Problem> {
    let records = Records::of(organization, RECORD, &Sight::All).of_customer(customer);
    let found = records.page(&*app.api.warehouse, None, MOST + 1).await;
    let mut found = found.map_err(|error| warehouse_problem(&error))?;
    found.reverse();
    Ok(found)
}

fn is_primary(contact: &RecordJson) -> bool {
    flag(&contact.fields, "is_primary")
}

fn flag(fields: &Members, name: &str) -> bool {
    fields.get(name).is_some_and(|json| json.get() == "true")
}

/// A contact with one field set, as an edit of it.
fn with_primary(contact: &RecordJson, primary: bool) -> Result<RecordEdit, Problem> {
    let mut fields = contact.fields.clone();
    set(&mut fields, "is_primary", &primary)?;
    edited(contact, &fields)
}

fn edited(contact: &RecordJson, fields: &Members) -> Result<RecordEdit, Problem> {
    Ok(RecordEdit {
        record: RECORD.into(),
        id: contact.id.as_str().into(),
        at: contact.at,
        before: Some(json(&contact.fields)?),
        after: Some(json(fields)?),
    })
}

fn set<T: Serialize + ?Sized>(fields: &mut Members, name: &str, value: &T) -> Result<(), Problem> {
    let value = serde_json::value::to_raw_value(value)
        .map_err(|error| crate::api::internal("a value does not serialise", &error))?;
    fields.insert(name.to_owned(), value);
    Ok(())
}

/// The edit that makes the contact known longest the primary one, where there are contacts and none is, leaving one aside.
pub(crate) fn promoted(
    all: &[RecordJson],
    aside: Option<&str>,
) -> Result<Option<RecordEdit>, Problem> {
    let mut others = all
        .iter()
        .filter(|contact| Some(contact.id.as_str()) != aside);
    match others.clone().any(is_primary) {
        true => Ok(None),
        false => others
            .next()
            .map(|first| with_primary(first, true))
            .transpose(),
    }
}

/// A page of contacts.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactList {
    as_of: AsOf,
    /// All of them, the primary one first, then those known longest.
    items: Vec<RecordJson>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

/// One contact.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactDetail {
    as_of: AsOf,
    #[serde(flatten)]
    contact: RecordJson,
}

async fn shown(app: &App, status: StatusCode, contact: RecordJson) -> Result<Response, Problem> {
    let as_of = app.cut().await?.as_of();
    let edit = contact.edit;
    Ok((status, etag(edit), Json(ContactDetail { as_of, contact })).into_response())
}

/// List the contacts of a customer.
#[utoipa::path(
    get, path = "/customers/{id}/contacts", tag = "contacts",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses((status = 200, description = "Its contacts", body = ContactList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<ContactList>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let found = load(&app, &principal.organization, &sight, &id).await?;
    let mut items = all(&app, &principal.organization, &found.customer.customer_id).await?;
    items.sort_by_key(|contact| !is_primary(contact));
    Ok(Json(ContactList {
        as_of,
        items,
        next_cursor: None,
    }))
}

/// One contact.
#[utoipa::path(
    get, path = "/customers/{id}/contacts/{contact_id}", tag = "contacts",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("contact_id" = String, Path, description = "con_…"),
    ),
    responses((status = 200, description = "The contact", body = ContactDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path((id, contact_id)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let found = load(&app, &principal.organization, &sight, &id).await?;
    let all = all(&app, &principal.organization, &found.customer.customer_id).await?;
    let contact = all.into_iter().find(|contact| contact.id == contact_id);
    shown(
        &app,
        StatusCode::OK,
        contact.ok_or_else(|| missing("contact"))?,
    )
    .await
}

/// Decides a change of a customer's contacts, and again while others edit them.
async fn edit(
    app: &App,
    editor: &Editor,
    author: &mut Author<'_>,
    id: &str,
    decide: impl Fn(&Found, &[RecordJson]) -> Result<Vec<RecordEdit>, Problem>,
    action: &str,
) -> Result<(String, Outcome), Problem> {
    loop {
        let found = editor.load(app, id).await?;
        let customer = &found.customer.customer_id;
        if author.is_done(customer).await? {
            return Ok((customer.clone(), Outcome::Applied));
        }
        let all = all(app, &editor.principal.organization, customer).await?;
        let records = decide(&found, &all)?;
        let effects = Effects {
            action: action.into(),
            seen: found.state.edits.count,
            guards: vec![RECORD.into()],
            records,
            ..Effects::default()
        };
        if let Some(outcome) = author.state(customer, effects).await? {
            return Ok((customer.clone(), outcome));
        }
    }
}

async fn answer(
    app: &App,
    editor: &Editor,
    status: StatusCode,
    contact: &str,
    (customer, outcome): (String, Outcome),
) -> Result<Response, Problem> {
    if let Outcome::Accepted(receipt) = outcome {
        return Ok(accepted(receipt));
    }
    let all = all(app, &editor.principal.organization, &customer).await?;
    let found = all.into_iter().find(|found| found.id == contact);
    shown(app, status, found.ok_or_else(|| missing("contact"))?).await
}

/// Add a contact.
///
/// The first one of a company is its primary one; a new primary one takes the place of the old.
#[utoipa::path(
    post, path = "/customers/{id}/contacts", tag = "contacts",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body(content = serde_json::Value, description = "A `ContactForm`"),
    responses(
        (status = 201, description = "The contact", body = ContactDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let stated = FORM.read(&body).map_err(field_problem)?.fields;
    let mut author = Author::new(&app, &editor.principal, &writing, &body);
    let contact = author.id("con");
    let (by, at) = (author.name(), now());
    let decide = |found: &Found, all: &[RecordJson]| {
        if all.len() >= MOST {
            let detail =
                format!("a customer has {MOST} contacts at most; delete those that are gone");
            return Err(Problem::new(ProblemKind::Unprocessable, detail));
        }
        let mut fields = stated.clone();
        fields.retain(|_, json| json.get() != "null");
        let company = is_company(found.customer.customer_type.as_deref());
        let primary = flag(&fields, "is_primary") || company && !all.iter().any(is_primary);
        set(&mut fields, "is_primary", &primary)?;
        if !fields.contains_key("is_active") {
            set(&mut fields, "is_active", &true)?;
        }
        set(&mut fields, "created_at", &at)?;
        set(&mut fields, "created_by", &by)?;
        let mut records = vec![RecordEdit {
            record: RECORD.into(),
            id: contact.as_str().into(),
            at: None,
            before: None,
            after: Some(json(&fields)?),
        }];
        if primary {
            for other in all.iter().filter(|other| is_primary(other)) {
                records.push(with_primary(other, false)?);
            }
        }
        Ok(records)
    };
    let done = edit(&app, &editor, &mut author, &id, decide, "contact.create").await?;
    let location = format!(
        "{}/customers/{}/contacts/{contact}",
        crate::router::PREFIX,
        encoded(&done.0)
    );
    let mut response = answer(&app, &editor, StatusCode::CREATED, &contact, done).await?;
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What is written over a contact.
struct Rewrite {
    body: String,
    /// Whether what is not sent is cleared.
    whole: bool,
    action: &'static str,
}

async fn rewrite(
    app: &App,
    editor: &Editor,
    writing: &Writing,
    (id, contact_id): (&str, &str),
    rewrite: Rewrite,
) -> Result<Response, Problem> {
    let stated = match rewrite.whole {
        true => FORM.read(&rewrite.body),
        false => FORM.read_part(&rewrite.body),
    };
    let stated = stated.map_err(field_problem)?.fields;
    let mut author = Author::new(app, &editor.principal, writing, &rewrite.body);
    let decide = |found: &Found, all: &[RecordJson]| {
        let contact = all.iter().find(|contact| contact.id == contact_id);
        let contact = contact.ok_or_else(|| missing("contact"))?;
        writing.check(contact.edit)?;
        let mut fields = match rewrite.whole {
            true => {
                let mut kept = contact.fields.clone();
                kept.retain(|name, _| name.starts_with("created_"));
                set(&mut kept, "is_active", &true)?;
                set(&mut kept, "is_primary", &is_primary(contact))?;
                kept
            }
            false => contact.fields.clone(),
        };
        fields.extend(stated.clone());
        fields.retain(|_, json| json.get() != "null");
        let primary = flag(&fields, "is_primary");
        let company = is_company(found.customer.customer_type.as_deref());
        if company && is_primary(contact) && !primary {
            let detail =
                "is_primary: a company keeps a primary contact; make another one primary instead";
            return Err(Problem::new(ProblemKind::Unprocessable, detail).field("is_primary"));
        }
        set(&mut fields, "is_primary", &primary)?;
        let mut records = vec![edited(contact, &fields)?];
        if primary {
            let others = all.iter().filter(|other| other.id != contact.id);
            for other in others.filter(|other| is_primary(other)) {
                records.push(with_primary(other, false)?);
            }
        }
        Ok(records)
    };
    let done = edit(app, editor, &mut author, id, decide, rewrite.action).await?;
    answer(app, editor, StatusCode::OK, contact_id, done).await
}

/// Replace a contact: what is not sent is cleared.
#[utoipa::path(
    put, path = "/customers/{id}/contacts/{contact_id}", tag = "contacts",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("contact_id" = String, Path, description = "con_…"),
    ),
    request_body(content = serde_json::Value, description = "A `ContactForm`"),
    responses(
        (status = 200, description = "The contact as it is now", body = ContactDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path((id, contact_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let whole = Rewrite {
        body: body.unwrap_or_else(|| "{}".to_owned()),
        whole: true,
        action: "contact.replace",
    };
    rewrite(&app, &editor, &writing, (&id, &contact_id), whole).await
}

/// Change a contact, by JSON merge patch: null clears a field.
#[utoipa::path(
    patch, path = "/customers/{id}/contacts/{contact_id}", tag = "contacts",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("contact_id" = String, Path, description = "con_…"),
    ),
    request_body(content = serde_json::Value, description = "Fields of a `ContactForm`"),
    responses(
        (status = 200, description = "The contact as it is now", body = ContactDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path((id, contact_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let part = Rewrite {
        body: body.unwrap_or_else(|| "{}".to_owned()),
        whole: false,
        action: "contact.update",
    };
    rewrite(&app, &editor, &writing, (&id, &contact_id), part).await
}

/// Delete a contact. Of a company, the one known longest takes the place of a primary one.
#[utoipa::path(
    delete, path = "/customers/{id}/contacts/{contact_id}", tag = "contacts",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("contact_id" = String, Path, description = "con_…"),
    ),
    responses(
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 204, description = "Deleted"),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path((id, contact_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let mut author = Author::new(&app, &editor.principal, &writing, "");
    let decide = |found: &Found, all: &[RecordJson]| {
        let contact = all.iter().find(|contact| contact.id == contact_id);
        let contact = contact.ok_or_else(|| missing("contact"))?;
        writing.check(contact.edit)?;
        let mut records = vec![RecordEdit {
            after: None,
            ..edited(contact, &contact.fields)?
        }];
        if is_company(found.customer.customer_type.as_deref()) {
            records.extend(promoted(all, Some(&contact.id))?);
        }
        Ok(records)
    };
    let (_, outcome) = edit(&app, &editor, &mut author, &id, decide, "contact.delete").await?;
    Ok(match outcome {
        Outcome::Applied => StatusCode::NO_CONTENT.into_response(),
        Outcome::Accepted(receipt) => accepted(receipt),
    })
}
