//! Steps of a customer's life: assigned, moved on, deactivated and deleted by staff.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control::Permission;
use schemas::event::change::PROFILE;
use schemas::event::{Effects, Move, RecordEdit};
use schemas::{Problem, ProblemKind};

use crate::api::App;
use crate::http::body::{Fields, Text, refuse};
use crate::http::caller::{CustomerEditor, Editor, forbidden};
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::http::writing::Writing;
use crate::models::authoring::{Author, Outcome, Receipt, field_problem};
use crate::models::records::Records;
use crate::models::sight::Sight;
use crate::models::unique_names::release;
use crate::routes::customer_edits::{Editing, accepted, answer, check_assignee, json, text};
use crate::routes::customers::CustomerDetail;

/// Records deleted by one change, and bytes of them, at most.
const DELETED_AT_ONCE: usize = 500;
const DELETED_BYTES: usize = 400_000;

/// Deactivate a customer, or with `mode=delete` remove it with its records.
///
/// What it has bought stays in the reports either way.
#[utoipa::path(
    delete, path = "/customers/{id}", tag = "customers",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("mode" = Option<String>, Query, description = "deactivate (default) or delete"),
    ),
    responses(
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 204, description = "Done"),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path(id): Path<String>,
    writing: Writing,
    mut params: Params,
) -> Result<Response, Problem> {
    let delete = params.choice("mode", &[("deactivate", false), ("delete", true)])?;
    params.finish()?;
    let outcome = match delete {
        Some(true) => {
            let reach = editor.principal.reach(Permission::DeleteCustomers);
            reach.map_err(forbidden)?;
            remove(&app, &editor, &writing, &id).await?
        }
        _ => {
            let mut effects = Effects {
                action: "customer.deactivate".into(),
                guards: vec![PROFILE.into()],
                status: Some(Move {
                    to: "inactive".into(),
                    reason: Some("deactivated".into()),
                }),
                ..Effects::default()
            };
            effects.profile.insert("is_active".into(), json(&false)?);
            let mut editing = Editing::new(&app, &editor, &writing, "", &id);
            editing.state(effects).await?.1
        }
    };
    Ok(match outcome {
        Outcome::Applied => StatusCode::NO_CONTENT.into_response(),
        Outcome::Accepted(receipt) => accepted(receipt),
    })
}

/// Removes a customer's records, as many at once as one change holds, and then the customer.
async fn remove(
    app: &App,
    editor: &Editor,
    writing: &Writing,
    id: &str,
) -> Result<Outcome, Problem> {
    let organization = &editor.principal.organization;
    let mut author = Author::new(app, &editor.principal, writing, "");
    loop {
        let found = editor.load(app, id).await?;
        let customer = &found.customer.customer_id;
        writing.check(found.state.edits.of(PROFILE))?;
        let left = Records::of_any(organization).of_customer(customer);
        let left = left.page(&*app.api.warehouse, None, DELETED_AT_ONCE).await;
        let left = left.map_err(|error| warehouse_problem(&error))?;
        let last = left.is_empty();
        let mut effects = Effects {
            action: "customer.delete".into(),
            seen: found.state.edits.count,
            guards: if last {
                vec![PROFILE.into()]
            } else {
                Vec::new()
            },
            deletes: last,
            ..Effects::default()
        };
        let mut bytes = 0;
        for record in left {
            let before = json(&record.fields)?;
            bytes += before.get().len() + 200;
            if bytes > DELETED_BYTES && !effects.records.is_empty() {
                break;
            }
            effects.records.push(RecordEdit {
                record: record.record.into(),
                id: record.id.into(),
                at: record.at,
                before: Some(before),
                after: None,
            });
        }
        match author.state(customer, effects).await? {
            Some(outcome) if last => {
                if let Some(name) = &found.customer.name {
                    release(app, organization, customer, name).await?;
                }
                return Ok(outcome);
            }
            Some(Outcome::Accepted(receipt)) => return Ok(Outcome::Accepted(receipt)),
            // The next piece is another change.
            Some(Outcome::Applied) => author = Author::new(app, &editor.principal, writing, ""),
            None => {}
        }
    }
}

/// Assign a customer to a member of staff, or to nobody.
#[utoipa::path(
    post, path = "/customers/{id}/assign", tag = "customers",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body(content = serde_json::Value, description = "`assigned_to`: the id of a user, or null"),
    responses(
        (status = 200, description = "The customer as it is now", body = CustomerDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn assign(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let to = body.change_text("assigned_to")?;
    body.finish()?;
    let to = to.ok_or_else(|| refuse("assigned_to", "required", "send a user's id, or null"))?;
    match &to {
        Some(user) => check_assignee(&app, &editor, "assigned_to", user).await?,
        None if editor.may != Sight::All => {
            let detail = "assigned_to: your role cannot give a customer away";
            return Err(Problem::new(ProblemKind::Forbidden, detail).field("assigned_to"));
        }
        None => {}
    }
    let mut effects = Effects {
        action: "customer.assign".into(),
        guards: vec![PROFILE.into()],
        ..Effects::default()
    };
    effects.profile.insert("assigned_to".into(), json(&to)?);
    let stated = to.clone().unwrap_or_default();
    let mut editing = Editing::new(&app, &editor, &writing, &stated, &id);
    let (customer, outcome) = editing.state(effects).await?;
    answer(&app, &editor.principal, StatusCode::OK, &customer, outcome).await
}

/// Move a customer on in its life: prospect, lead, active, inactive; from inactive back to active.
#[utoipa::path(
    post, path = "/customers/{id}/status", tag = "customers",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body(content = serde_json::Value, description = "`status`, and perhaps a `reason`: converted, qualified, churned or deactivated"),
    responses(
        (status = 200, description = "The customer as it is now", body = CustomerDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 422, description = "A customer's life does not go there"),
    )
)]
pub(crate) async fn step(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    use schemas::forms::customer::STEP;
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let filled = STEP.read(&body).map_err(field_problem)?;
    let to = text(&filled.fields, "status").unwrap_or_default();
    let reason = text(&filled.fields, "reason");
    let mut effects = Effects {
        action: "customer.status".into(),
        guards: vec![PROFILE.into()],
        status: Some(Move {
            to: to.as_str().into(),
            reason: reason.as_deref().map(Into::into),
        }),
        ..Effects::default()
    };
    effects
        .profile
        .insert("is_active".into(), json(&(to != "inactive"))?);
    let mut editing = Editing::new(&app, &editor, &writing, &body, &id);
    let (customer, outcome) = editing.state(effects).await?;
    answer(&app, &editor.principal, StatusCode::OK, &customer, outcome).await
}
