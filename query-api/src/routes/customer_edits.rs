//! Customers written by staff: made, changed and replaced.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::{ControlError, Principal};
use schemas::event::change::{Json as Raw, PROFILE};
use schemas::event::{Effects, Move};
use schemas::form::{Filled, Members};
use schemas::forms::customer::FORM;
use schemas::{Decimal, Problem, ProblemKind, UserId};

use crate::api::{App, internal};
use crate::http::body::{Text, refuse};
use crate::http::caller::{CustomerEditor, Editor};
use crate::http::params::Params;
use crate::http::problem::control_problem;
use crate::http::writing::{Writing, etag};
use crate::models::authoring::{Author, Outcome, Receipt, field_problem};
use crate::models::customers::Found;
use crate::models::lead_scores;
use crate::models::sight::Sight;
use crate::models::unique_names::NameHold;
use crate::routes::contacts;
use crate::routes::customers::{CustomerDetail, load, profile};

impl Editor {
    /// The customer of a path, which this caller may change in its way.
    pub(crate) async fn load(&self, app: &App, id: &str) -> Result<Found, Problem> {
        let found = load(app, &self.principal.organization, &self.sees, id).await?;
        match self.may.includes(&found) {
            true => Ok(found),
            false => Err(Problem::new(
                ProblemKind::Forbidden,
                "you see this customer and may not change it so; ask somebody it is assigned to",
            )),
        }
    }
}

/// JSON of plain data of our own.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Raw, Problem> {
    Raw::of(value).map_err(|error| internal("a value does not serialise", &error))
}

/// The text that a member holds, if it is one.
pub(crate) fn text(members: &Members, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

/// Whether a customer of this type is no person.
pub(crate) fn is_company(customer_type: Option<&str>) -> bool {
    matches!(customer_type, Some("business" | "enterprise" | "corporate"))
}

/// A member of staff that customers may be assigned to.
pub(crate) async fn check_assignee(
    app: &App,
    editor: &Editor,
    field: &str,
    user: &str,
) -> Result<(), Problem> {
    let principal: &Principal = &editor.principal;
    if principal
        .user
        .as_ref()
        .is_some_and(|own| own.as_str() == user)
    {
        return Ok(());
    }
    if editor.may != Sight::All {
        let detail = format!("{field}: your role assigns customers to yourself only");
        return Err(Problem::new(ProblemKind::Forbidden, detail).field(field));
    }
    // PostgreSQL refuses NUL in text, and no id has it.
    let id = UserId::from_text(user.replace('\0', " "));
    let found = app.api.control.user_of(&principal.organization, &id).await;
    let is_active = match found {
        Ok(user) => user.is_active(),
        Err(ControlError::NotFound { .. }) => false,
        Err(error) => return Err(control_problem(error)),
    };
    match is_active {
        true => Ok(()),
        false => {
            let detail = format!("{field}: no active user of the organization has this id");
            Err(Problem::new(ProblemKind::Unprocessable, detail)
                .field(field)
                .with("code", "unknown_user".into()))
        }
    }
}

/// What is stated of a customer as a change: fields of the profile, and the step in its life.
struct Stated {
    effects: Effects,
}

impl Stated {
    async fn read(app: &App, editor: &Editor, mut filled: Filled) -> Result<Self, Problem> {
        for name in ["name", "email", "phone", "company_name"] {
            if text(&filled.fields, name).is_some_and(|text| text.trim().is_empty()) {
                return Err(refuse(
                    name,
                    "required",
                    "must not be empty; null clears it",
                ));
            }
        }
        if let Some(value) = filled.fields.get("value_override")
            && let Ok(value) = Decimal::parse(value.get().trim_matches('"').as_bytes())
            && value < Decimal::ZERO
        {
            return Err(refuse(
                "value_override",
                "out_of_range",
                "must not be negative",
            ));
        }
        if let Some(user) = text(&filled.fields, "assigned_to") {
            check_assignee(app, editor, "assigned_to", &user).await?;
        } else if filled.fields.contains_key("assigned_to") && editor.may != Sight::All {
            let detail = "assigned_to: your role cannot give a customer away";
            return Err(Problem::new(ProblemKind::Forbidden, detail).field("assigned_to"));
        }
        let to = filled.fields.remove("status");
        let reason = filled.fields.remove("status_reason");
        let word = |json: Option<Box<serde_json::value::RawValue>>| -> Option<String> {
            serde_json::from_str(json?.get()).ok()
        };
        let status = match (word(to), word(reason)) {
            (Some(to), reason) => Some(Move {
                to: to.into(),
                reason: reason.map(Into::into),
            }),
            (None, Some(_)) => {
                return Err(refuse(
                    "status_reason",
                    "required",
                    "send the status it is the reason of, too",
                ));
            }
            (None, None) => None,
        };
        let mut effects = Effects {
            status,
            guards: vec![PROFILE.into()],
            ..Effects::default()
        };
        for (name, value) in &filled.fields {
            effects.profile.insert(name.into(), json(value)?);
        }
        for (name, value) in &filled.attributes {
            effects.attributes.insert(name.into(), json(value)?);
        }
        Ok(Self { effects })
    }

    fn set<T: serde::Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Problem> {
        self.effects.profile.insert(name.into(), json(value)?);
        Ok(())
    }

    fn set_default<T: serde::Serialize + ?Sized>(
        &mut self,
        name: &str,
        value: &T,
    ) -> Result<(), Problem> {
        match self.effects.profile.contains_key(name) {
            true => Ok(()),
            false => self.set(name, value),
        }
    }
}

/// The text that a change gives a field of the profile.
fn stated_text(effects: &Effects, name: &str) -> Option<String> {
    serde_json::from_str(effects.profile.get(name)?.get()).ok()
}

/// What a write of a customer answers.
pub(crate) async fn answer(
    app: &App,
    principal: &Principal,
    status: StatusCode,
    id: &str,
    outcome: Outcome,
) -> Result<Response, Problem> {
    if let Outcome::Accepted(receipt) = outcome {
        return Ok(accepted(receipt));
    }
    let as_of = app.cut().await?.as_of();
    // Its author reads what it has written, also if it has given it away with it.
    let found = load(app, &principal.organization, &Sight::All, id).await?;
    let edit = found.state.edits.of(PROFILE);
    let detail = CustomerDetail::new(as_of, profile(&found));
    Ok((status, etag(edit), Json(detail)).into_response())
}

/// The answer where a change is in the log and its verdict is not known yet.
pub(crate) fn accepted(receipt: Receipt) -> Response {
    (StatusCode::ACCEPTED, Json(receipt)).into_response()
}

/// Write a customer down.
///
/// The name must be there. With an `Idempotency-Key` the same request sent again is done once.
#[utoipa::path(
    post, path = "/customers", tag = "customers",
    request_body(content = serde_json::Value, description = "A `CustomerForm`; fields it does not know become attributes"),
    responses(
        (status = 201, description = "The customer", body = CustomerDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let mut filled = FORM.read(&body).map_err(field_problem)?;
    let principal = &*editor.principal;
    if matches!(editor.may, Sight::Own(_)) {
        let detail = "your role has one customer, itself, and makes no others";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let name = text(&filled.fields, "name");
    let name = name.ok_or_else(|| refuse("name", "required", "must be there"))?;
    let mut author = Author::new(&app, principal, &writing, &body);
    let stated_id = filled.fields.remove("customer_id");
    let id = match stated_id.and_then(|json| serde_json::from_str::<String>(json.get()).ok()) {
        Some(id) => id,
        None => author.id("c"),
    };
    let mut stated = Stated::read(&app, &editor, filled).await?;
    stated.set_default("source", "website")?;
    stated.set_default("is_active", &true)?;
    stated.set("created_by", &author.name())?;
    if let (Sight::Assigned(user), false) = (
        &editor.may,
        stated.effects.profile.contains_key("assigned_to"),
    ) {
        stated.set("assigned_to", user)?;
    }
    let effects = Effects {
        action: "customer.create".into(),
        creates: true,
        guards: Vec::new(),
        ..stated.effects
    };
    let outcome = match author.is_done(&id).await? {
        true => Outcome::Applied,
        false => {
            let company = is_company(stated_text(&effects, "customer_type").as_deref());
            let organization = &principal.organization;
            let hold = NameHold::take(&app, organization, &id, &name, company).await?;
            let outcome = author.state(&id, effects).await;
            hold.settle(outcome.as_ref().ok().and_then(Option::as_ref))
                .await;
            outcome?.unwrap_or(Outcome::Applied)
        }
    };
    let mut response = answer(&app, principal, StatusCode::CREATED, &id, outcome).await?;
    let location = format!(
        "{}/customers/{}",
        crate::router::PREFIX,
        crate::http::params::encoded(&id)
    );
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A change of one customer, decided again while others edit it, unless the caller named what it has read.
pub(crate) struct Editing<'a> {
    app: &'a App,
    editor: &'a Editor,
    author: Author<'a>,
    id: &'a str,
}

/// What became of a change of a customer of this id.
pub(crate) type Done = (String, Outcome);

impl<'a> Editing<'a> {
    pub(crate) fn new(
        app: &'a App,
        editor: &'a Editor,
        writing: &'a Writing,
        body: &str,
        id: &'a str,
    ) -> Self {
        Self {
            app,
            editor,
            author: Author::new(app, &editor.principal, writing, body),
            id,
        }
    }

    /// The customer to decide on as it is now; or the request was done already.
    async fn begin(&mut self) -> Result<Result<Found, Done>, Problem> {
        let found = self.editor.load(self.app, self.id).await?;
        let customer = &found.customer.customer_id;
        if self.author.is_done(customer).await? {
            return Ok(Err((customer.clone(), Outcome::Applied)));
        }
        self.author.writing.check(found.state.edits.of(PROFILE))?;
        Ok(Ok(found))
    }

    /// States what was decided, under a name that no other customer has; none where it has to be decided again.
    async fn end_named(
        &mut self,
        found: &Found,
        effects: Effects,
    ) -> Result<Option<Done>, Problem> {
        let name = stated_text(&effects, "name");
        let stated = stated_text(&effects, "customer_type");
        let Some(name) = name.filter(|name| found.customer.name.as_ref() != Some(name)) else {
            return self.end(found, effects).await;
        };
        let company = is_company(
            stated
                .as_deref()
                .or(found.customer.customer_type.as_deref()),
        );
        let (app, organization) = (self.app, &self.editor.principal.organization);
        let customer = &found.customer.customer_id;
        let hold = NameHold::take(app, organization, customer, &name, company).await?;
        let done = self.end(found, effects).await;
        let outcome = done.as_ref().ok().and_then(Option::as_ref);
        hold.settle(outcome.map(|(_, outcome)| outcome)).await;
        done
    }

    /// States what was decided; none where it has to be decided again.
    async fn end(&mut self, found: &Found, effects: Effects) -> Result<Option<Done>, Problem> {
        let customer = &found.customer.customer_id;
        let effects = Effects {
            seen: found.state.edits.count,
            ..effects
        };
        let outcome = self.author.state(customer, effects).await?;
        Ok(outcome.map(|outcome| (customer.clone(), outcome)))
    }

    /// A step in a customer's life notes what its score as a lead was then.
    async fn with_score(&self, found: &Found, mut effects: Effects) -> Result<Effects, Problem> {
        if effects.status.is_some() {
            let organization = &self.editor.principal.organization;
            let id = self.author.id("lsc");
            let point = lead_scores::step(self.app, organization, found, &id).await?;
            effects.records.push(point);
        }
        Ok(effects)
    }

    /// States a change that does not depend on what there is.
    pub(crate) async fn state(&mut self, effects: Effects) -> Result<Done, Problem> {
        loop {
            let found = match self.begin().await? {
                Ok(found) => found,
                Err(done) => return Ok(done),
            };
            let effects = self.with_score(&found, effects.clone()).await?;
            if let Some(done) = self.end(&found, effects).await? {
                return Ok(done);
            }
        }
    }
}

/// What a change of the type asks of the contacts: a company has a primary one.
async fn with_primary(
    app: &App,
    editor: &Editor,
    found: &Found,
    mut effects: Effects,
) -> Result<Effects, Problem> {
    let now = effects
        .profile
        .get("customer_type")
        .and_then(|json| serde_json::from_str::<String>(json.get()).ok());
    let was = found.customer.customer_type.as_deref();
    if is_company(now.as_deref()) && !is_company(was) {
        let customer = &found.customer.customer_id;
        let all = contacts::all(app, &editor.principal.organization, customer).await?;
        if let Some(edit) = contacts::promoted(&all, None)? {
            effects.guards.push(contacts::RECORD.into());
            effects.records.push(edit);
        }
    }
    Ok(effects)
}

/// Replace a customer: what is not sent is cleared.
#[utoipa::path(
    put, path = "/customers/{id}", tag = "customers",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body(content = serde_json::Value, description = "A `CustomerForm`"),
    responses(
        (status = 200, description = "The customer as it is now", body = CustomerDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let mut editing = Editing::new(&app, &editor, &writing, &body, &id);
    let (customer, outcome) = loop {
        let found = match editing.begin().await? {
            Ok(found) => found,
            Err(done) => break done,
        };
        let found = &found;
        let mut filled = FORM.read(&body).map_err(field_problem)?;
        check_id(&mut filled, found)?;
        if text(&filled.fields, "name").is_none() {
            return Err(refuse("name", "required", "must be there"));
        }
        let null = || serde_json::value::RawValue::from_string("null".to_owned());
        let null = || null().map_err(|error| internal("null does not serialise", &error));
        let profile = &found.state.profile;
        for name in profile.fields.keys().filter(|name| *name != "created_by") {
            if !filled.fields.contains_key(name) {
                filled.fields.insert(name.clone(), null()?);
            }
        }
        for name in profile.attributes.keys() {
            if !filled.attributes.contains_key(name) {
                filled.attributes.insert(name.clone(), null()?);
            }
        }
        // Whose customer it is does not change by being left out.
        if editor.may != Sight::All
            && filled
                .fields
                .get("assigned_to")
                .is_some_and(|json| json.get() == "null")
        {
            filled.fields.remove("assigned_to");
        }
        let stated = Stated::read(&app, &editor, filled).await?;
        let effects = Effects {
            action: "customer.replace".into(),
            ..stated.effects
        };
        let effects = with_primary(&app, &editor, found, effects).await?;
        let effects = editing.with_score(found, effects).await?;
        if let Some(done) = editing.end_named(found, effects).await? {
            break done;
        }
    };
    answer(&app, &editor.principal, StatusCode::OK, &customer, outcome).await
}

fn check_id(filled: &mut Filled, found: &Found) -> Result<(), Problem> {
    let stated = text(&filled.fields, "customer_id");
    filled.fields.remove("customer_id");
    match stated {
        Some(id) if id != found.customer.customer_id => {
            let detail = "customer_id: it never changes; merge two customers instead";
            Err(Problem::new(ProblemKind::Unprocessable, detail).field("customer_id"))
        }
        _ => Ok(()),
    }
}

/// Change a customer, by JSON merge patch: null clears a field, objects are merged.
#[utoipa::path(
    patch, path = "/customers/{id}", tag = "customers",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    request_body(content = serde_json::Value, description = "Fields of a `CustomerForm`"),
    responses(
        (status = 200, description = "The customer as it is now", body = CustomerDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 412, description = "It was edited since it was read"),
    )
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    CustomerEditor(editor): CustomerEditor,
    Path(id): Path<String>,
    writing: Writing,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let mut editing = Editing::new(&app, &editor, &writing, &body, &id);
    let (customer, outcome) = loop {
        let found = match editing.begin().await? {
            Ok(found) => found,
            Err(done) => break done,
        };
        let found = &found;
        let mut filled = FORM.read_part(&body).map_err(field_problem)?;
        check_id(&mut filled, found)?;
        if filled
            .fields
            .get("name")
            .is_some_and(|json| json.get() == "null")
        {
            return Err(refuse("name", "required", "a customer keeps a name"));
        }
        let stated = Stated::read(&app, &editor, filled).await?;
        let effects = Effects {
            action: "customer.update".into(),
            ..stated.effects
        };
        let effects = with_primary(&app, &editor, found, effects).await?;
        let effects = editing.with_score(found, effects).await?;
        if let Some(done) = editing.end_named(found, effects).await? {
            break done;
        }
    };
    answer(&app, &editor.principal, StatusCode::OK, &customer, outcome).await
}
