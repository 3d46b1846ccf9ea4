//! Changing and deleting interactions.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemas::event::{Effects, RecordEdit};
use schemas::form::Members;
use schemas::{Problem, ProblemKind, Timestamp};

use super::InteractionDetail;
use super::rules::{
    check_completed, check_contact, check_responsible, check_times, complete, read, rule,
};
use crate::api::{App, now};
use crate::http::body::Text;
use crate::http::caller::{Editor, ServiceEditor};
use crate::http::params::Params;
use crate::http::writing::Writing;
use crate::models::authoring::{Author, Outcome, Receipt};
use crate::models::interactions::{Circle, RECORD, flag, may_edit, set, text, time, whose};
use crate::models::records::{RecordJson, missing};
use crate::models::sight::Sight;
use crate::routes::contacts;
use crate::routes::customer_edits::{accepted, json};
use crate::routes::customers::load;

/// What becomes of an interaction.
struct Rewrite {
    action: &'static str,
    /// The request's body; none where the interaction is deleted.
    body: Option<String>,
    /// Whether what is not sent is cleared.
    whole: bool,
}

impl Rewrite {
    fn replace(body: Option<String>) -> Self {
        Self {
            action: "interaction.replace",
            body: Some(body.unwrap_or_else(|| "{}".to_owned())),
            whole: true,
        }
    }
}

/// Decides a change of an interaction, and again while others edit it.
async fn rewrite(
    app: &App,
    editor: &Editor,
    writing: &Writing,
    (customer, id): (&str, &str),
    rewrite: &Rewrite,
) -> Result<Outcome, Problem> {
    let principal = &editor.principal;
    let circle = Circle::of(app, principal, &editor.sees).await?;
    let stated = rewrite
        .body
        .as_deref()
        .map(|body| read(body, rewrite.whole));
    let stated = stated.transpose()?;
    let body = rewrite.body.as_deref().unwrap_or_default();
    let mut author = Author::new(app, principal, writing, body);
    loop {
        // Before the interaction: what is edited in between counts as edited since.
        let found = load(app, &principal.organization, &Sight::All, customer).await?;
        let customer = &found.customer.customer_id;
        if author.is_done(customer).await? {
            return Ok(Outcome::Applied);
        }
        let interaction = circle.find(app, Some(customer), id).await?;
        if !may_edit(&editor.may, &found, &interaction) {
            let detail =
                "you see this interaction and may not change it; ask who is responsible for it";
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        writing.check(interaction.edit)?;
        let mut guards = vec![RecordEdit::guard(RECORD, id)];
        let after = match &stated {
            None => None,
            Some(stated) => {
                let fields = decide(editor, &interaction, stated, rewrite.whole)?;
                if stated.contains_key("contact_id") {
                    check_contact(app, editor, customer, &fields).await?;
                    guards.push(contacts::RECORD.into());
                }
                if text(&fields, "assigned_to") != interaction.text("assigned_to") {
                    check_responsible(app, editor, &circle, &fields).await?;
                }
                Some(fields)
            }
        };
        let at = after
            .as_ref()
            .and_then(|fields| time(fields, "occurred_at"));
        let effects = Effects {
            action: rewrite.action.into(),
            seen: found.state.edits.count,
            guards,
            records: vec![RecordEdit {
                record: RECORD.into(),
                id: id.into(),
                at: at.or(interaction.at),
                before: Some(json(&interaction.fields)?),
                after: after.as_ref().map(json).transpose()?,
            }],
            ..Effects::default()
        };
        if let Some(outcome) = author.state(customer, effects).await? {
            return Ok(outcome);
        }
    }
}

/// What stays of an interaction that is replaced.
const KEPT: [&str; 6] = [
    "created_at",
    "created_by",
    "occurred_at",
    "attributes",
    "status",
    "completed_at",
];

/// The fields of an interaction after a change, checked.
fn decide(
    editor: &Editor,
    interaction: &RecordJson,
    stated: &Members,
    whole: bool,
) -> Result<Members, Problem> {
    let now = now();
    let mut fields = interaction.fields.clone();
    let limited = editor.may != Sight::All;
    if whole {
        // Who is responsible does not change by being left out where the role could not give it away.
        fields.retain(|name, _| KEPT.contains(&name.as_str()) || limited && name == "assigned_to");
    }
    let named = text(stated, "customer_id");
    if named.is_some_and(|named| named != interaction.customer_id) {
        return Err(rule(
            "customer_id",
            "invalid_value",
            "it never changes; delete it and write it down again",
        ));
    }
    let cleared = stated
        .get("assigned_to")
        .is_some_and(|json| json.get() == "null");
    if limited && cleared {
        let detail = "assigned_to: your role cannot leave an interaction to nobody; name a colleague of your team";
        return Err(Problem::new(ProblemKind::Forbidden, detail).field("assigned_to"));
    }
    fields.extend(stated.clone());
    fields.remove("customer_id");
    fields.retain(|_, json| json.get() != "null");
    complete(&mut fields)?;
    if !fields.contains_key("occurred_at") {
        set(&mut fields, "occurred_at", &interaction.at.unwrap_or(now))?;
    }
    for (name, default) in [("status", "pending"), ("priority", "medium")] {
        if !fields.contains_key(name) {
            set(&mut fields, name, default)?;
        }
    }
    let occurred_at = time(&fields, "occurred_at");
    if occurred_at.is_some_and(|at| at > now.plus_micros(schemas::event::MAX_AHEAD_MICROS)) {
        return Err(rule(
            "occurred_at",
            "out_of_range",
            "must be at most 24 hours ahead",
        ));
    }
    check_times(&mut fields)?;
    check_completed(&fields, now)?;
    step(editor, interaction, &mut fields, stated, now)?;
    Ok(fields)
}

/// From pending on; what has ended is taken up again only by a role that reaches all.
fn step(
    editor: &Editor,
    interaction: &RecordJson,
    fields: &mut Members,
    stated: &Members,
    now: Timestamp,
) -> Result<(), Problem> {
    let was = interaction.text("status");
    let was = was.as_deref().unwrap_or("pending");
    let status = text(fields, "status");
    let is = status.as_deref().unwrap_or("pending");
    if was != "pending" && was != is && editor.may != Sight::All {
        let detail = format!(
            "it is {was} already; ask somebody whose role reaches every customer to take it up again"
        );
        return Err(rule("status", "illegal_status", &detail));
    }
    if is != "pending" && flag(stated, "requires_follow_up") {
        let detail = "what is left to do is pending; leave the status as it is, or the follow-up";
        return Err(rule("status", "illegal_status", detail));
    }
    let is_case = text(fields, "kind").as_deref() == Some("support");
    match is == "completed" {
        true if was != "completed" => {
            set(fields, "completed_at", &now)?;
            if is_case && !fields.contains_key("resolved_at") {
                set(fields, "resolved_at", &now)?;
            }
        }
        true => {}
        false => {
            fields.remove("completed_at");
            // A case that is taken up again is not resolved, unless that was said just now.
            if was == "completed" && !stated.contains_key("resolved_at") {
                fields.remove("resolved_at");
            }
        }
    }
    Ok(())
}

/// Whose an interaction is, by its id alone.
async fn owner(app: &App, editor: &Editor, id: &str) -> Result<String, Problem> {
    let owner = whose(app, &editor.principal.organization, id).await?;
    owner.ok_or_else(|| missing("interaction"))
}

async fn answer(
    app: &App,
    editor: &Editor,
    (customer, id): (&str, &str),
    outcome: Outcome,
) -> Result<Response, Problem> {
    if let Outcome::Accepted(receipt) = outcome {
        return Ok(accepted(receipt));
    }
    // Its author reads what it has written, also if it has given it away with it.
    let circle = Circle::of(app, &editor.principal, &Sight::All).await?;
    super::answer(
        app,
        StatusCode::OK,
        circle.find(app, Some(customer), id).await?,
    )
    .await
}

/// Replace an interaction: what is not sent is cleared, but for its status and time.
#[utoipa::path(
    put, path = "/interactions/{id}", tag = "interactions",
    params(("id" = String, Path, description = "int_…, or the event id of a client's")),
    request_body(content = serde_json::Value, description = "An `InteractionForm`"),
    responses(
        (status = 200, description = "The interaction as it is now", body = InteractionDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    ServiceEditor(editor): ServiceEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let customer = owner(&app, &editor, &id).await?;
    let outcome = rewrite(
        &app,
        &editor,
        &writing,
        (&customer, &id),
        &Rewrite::replace(body),
    )
    .await?;
    answer(&app, &editor, (&customer, &id), outcome).await
}

/// Replace an interaction of a customer: what is not sent is cleared, but for its status and time.
#[utoipa::path(
    put, path = "/customers/{id}/interactions/{interaction_id}", tag = "interactions",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("interaction_id" = String, Path, description = "int_…, or the event id of a client's"),
    ),
    request_body(content = serde_json::Value, description = "An `InteractionForm`"),
    responses(
        (status = 200, description = "The interaction as it is now", body = InteractionDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn replace_of_customer(
    State(app): State<Arc<App>>,
    ServiceEditor(editor): ServiceEditor,
    Path((id, interaction_id)): Path<(String, String)>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let found = load(&app, &editor.principal.organization, &Sight::All, &id).await?;
    let place = (found.customer.customer_id.as_str(), interaction_id.as_str());
    let outcome = rewrite(&app, &editor, &writing, place, &Rewrite::replace(body)).await?;
    answer(&app, &editor, place, outcome).await
}

/// Change an interaction, by JSON merge patch: null clears a field.
///
/// With the status `completed` it is completed now. One that has ended is taken up again only by a role that reaches every
/// customer.
#[utoipa::path(
    patch, path = "/interactions/{id}", tag = "interactions",
    params(("id" = String, Path, description = "int_…, or the event id of a client's")),
    request_body(content = serde_json::Value, description = "Fields of an `InteractionForm`"),
    responses(
        (status = 200, description = "The interaction as it is now", body = InteractionDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    ServiceEditor(editor): ServiceEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let customer = owner(&app, &editor, &id).await?;
    let part = Rewrite {
        action: "interaction.update",
        body: Some(body.unwrap_or_else(|| "{}".to_owned())),
        whole: false,
    };
    let outcome = rewrite(&app, &editor, &writing, (&customer, &id), &part).await?;
    answer(&app, &editor, (&customer, &id), outcome).await
}

/// Delete an interaction. That it took place still counts.
#[utoipa::path(
    delete, path = "/interactions/{id}", tag = "interactions",
    params(("id" = String, Path, description = "int_…, or the event id of a client's")),
    responses(
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 204, description = "Deleted"),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    ServiceEditor(editor): ServiceEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let customer = owner(&app, &editor, &id).await?;
    let gone = Rewrite {
        action: "interaction.delete",
        body: None,
        whole: false,
    };
    let outcome = rewrite(&app, &editor, &writing, (&customer, &id), &gone).await?;
    Ok(match outcome {
        Outcome::Applied => StatusCode::NO_CONTENT.into_response(),
        Outcome::Accepted(receipt) => accepted(receipt),
    })
}
