//! `/auth`: accounts and sessions.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::{Actor, ControlError, LoggedIn, Organization, Register, Registered, Scopes};
use schemas::{Control, Currency, Define, Problem, ProblemKind, SessionId, Timestamp, UserId};
use serde::Serialize;
use stream::NewRecord;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::body::Fields;
use crate::http::caller::{Acting, Caller};
use crate::http::params::Params;
use crate::http::problem::control_problem;
use crate::http::writing::Client;
use crate::metrics;
use crate::routes::users::{UserJson, UserSessionJson};

/// What registers an organization and its owner.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct RegisterBody {
    /// The owner's name.
    name: String,
    /// The owner's address; unique in the installation.
    email: String,
    /// 8 to 1024 characters.
    password: String,
    /// The organization's name; the owner's where absent.
    organization: Option<String>,
    /// ISO 4217; USD where absent.
    currency: Option<String>,
    /// An IANA name; UTC where absent.
    timezone: Option<String>,
}

/// What logs in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct LoginBody {
    /// The address the user registered with.
    email: String,
    /// The password in clear.
    password: String,
}

/// An organization.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrganizationJson {
    /// `org_…`.
    id: String,
    /// Its name, for people.
    name: String,
    /// ISO 4217.
    currency: String,
    /// IANA name.
    timezone: String,
    /// Whether it operates the installation.
    operator: bool,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionJson {
    organization: OrganizationJson,
    user: UserJson,
    /// To be sent as `Authorization: Bearer …`.
    token: String,
    /// When the session ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Who is calling.
#[derive(Serialize, ToSchema)]
pub(crate) struct MeJson {
    organization: Option<OrganizationJson>,
    /// The member of staff; null for a key, and for a user of an outside service.
    user: Option<UserJson>,
    /// The key's id; null for a session.
    key: Option<String>,
    /// What the caller may do.
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
}

impl From<Organization> for OrganizationJson {
    fn from(organization: Organization) -> Self {
        Self {
            id: organization.id.to_string(),
            name: organization.name,
            currency: organization.currency.to_string(),
            timezone: organization.timezone,
            operator: organization.operator,
            created_at: organization.created_at,
        }
    }
}

impl From<Registered> for SessionJson {
    fn from(registered: Registered) -> Self {
        Self {
            organization: registered.organization.into(),
            user: registered.user.into(),
            token: registered.token,
            expires_at: registered.expires_at,
        }
    }
}

impl From<LoggedIn> for SessionJson {
    fn from(session: LoggedIn) -> Self {
        Self {
            organization: session.organization.into(),
            user: session.user.into(),
            token: session.token,
            expires_at: session.expires_at,
        }
    }
}

/// Tokens must not stay in caches.
fn unstored(status: StatusCode, body: impl Serialize) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Tells every partition the organization's currency, in which the fold keeps the revenue of lists. Durable before the
/// organization exists, so that no event of it can come first.
async fn define_currency(app: &App, organization: &Organization) -> Result<(), Problem> {
    let define = Define::Organization {
        organization: organization.id.clone(),
        currency: organization.currency,
    };
    let payload = Control::Define { define }.encode();
    let records = (0..app.api.log.partitions())
        .map(|partition| NewRecord {
            partition,
            payload: payload.clone(),
            decoded: None,
            trace: None,
        })
        .collect();
    for answer in app.api.log.append(records).await {
        if let Err(error) = answer {
            tracing::warn!(%error, "the log did not take a definition; an organization was not registered");
            let detail = "the log takes no records now; nothing was registered, try again";
            return Err(Problem::new(ProblemKind::Unavailable, detail));
        }
    }
    Ok(())
}

/// Register an organization and its owner.
#[utoipa::path(
    post, path = "/auth/register", tag = "accounts", security(()),
    request_body = RegisterBody,
    responses((status = 201, description = "The organization, its owner and a first session", body = SessionJson))
)]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    Client(client): Client,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let currency = body.optional_text("currency")?;
    let currency = currency
        .map(|code| Currency::parse(&code))
        .transpose()
        .map_err(|error| {
            Problem::new(ProblemKind::BadRequest, format!("currency: {error}"))
                .field("currency")
                .with("code", "unknown_currency".into())
        })?;
    let request = Register {
        name: body.text("name")?,
        email: body.text("email")?,
        password: body.text("password")?,
        organization: body.optional_text("organization")?,
        currency,
        timezone: body.optional_text("timezone")?,
    };
    body.finish()?;
    // Who registers is known when it is done.
    let control = app.api.control.on_behalf_of(Actor {
        origin: client.map(|address| address.to_string()),
        ..Actor::system()
    });
    let registration = control.prepare_registration(request).await;
    let registration = registration.map_err(control_problem)?;
    define_currency(&app, registration.organization()).await?;
    let registered = control.complete_registration(registration).await;
    let registered = registered.map_err(control_problem)?;
    Ok(unstored(StatusCode::CREATED, SessionJson::from(registered)))
}

/// Begin a session.
#[utoipa::path(
    post, path = "/auth/login", tag = "accounts", security(()),
    request_body = LoginBody,
    responses((status = 200, description = "A session", body = SessionJson))
)]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    Client(client): Client,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let (email, password) = (body.text("email")?, body.text("password")?);
    body.finish()?;
    if let Some(seconds) = app.throttle.wait(&email, client, Instant::now()) {
        metrics::login_throttled();
        let detail = "too many failed log-ins; try again after the time in Retry-After";
        return Err(Problem::new(ProblemKind::TooManyRequests, detail).retry_after(seconds));
    }
    match app.api.control.login(&email, &password).await {
        Ok(session) => {
            app.throttle.succeeded(&email, client);
            Ok(unstored(StatusCode::OK, SessionJson::from(session)))
        }
        Err(error) => {
            if matches!(error, ControlError::Credentials) {
                app.throttle.failed(&email, client, Instant::now());
            }
            Err(control_problem(error))
        }
    }
}

/// End the session of this token.
#[utoipa::path(
    post, path = "/auth/logout", tag = "accounts",
    responses((status = 204, description = "The session has ended"))
)]
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    if caller.principal.session.is_none() {
        let detail = "only sessions end by logging out; revoke a key with DELETE /api-keys/{id}, and end a token where it was made";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let ended = app.api.control.logout(&caller.token.0).await;
    ended.map_err(control_problem)?;
    Ok((
        StatusCode::NO_CONTENT,
        [(header::CACHE_CONTROL, "no-store")],
    )
        .into_response())
}

/// Who is calling.
#[utoipa::path(
    get, path = "/auth/me", tag = "accounts",
    responses((status = 200, description = "The caller", body = MeJson))
)]
pub(crate) async fn me(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let principal = &caller.principal;
    let user = match &principal.user {
        Some(id) => match app.api.control.user(id).await {
            Ok(user) => Some(user.into()),
            // A user of an outside service is none of ours.
            Err(ControlError::NotFound { .. }) => None,
            Err(error) => return Err(control_problem(error)),
        },
        None => None,
    };
    let organization = match app.api.control.organization(&principal.organization).await {
        Ok(organization) => Some(organization.into()),
        // A key of the configuration may speak for no organization yet.
        Err(ControlError::NotFound { .. }) => None,
        Err(error) => return Err(control_problem(error)),
    };
    let me = MeJson {
        organization,
        user,
        key: principal.key.as_ref().map(ToString::to_string),
        scopes: principal.scopes,
    };
    Ok(unstored(StatusCode::OK, me))
}

/// A new password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct PasswordBody {
    /// The password until now.
    current_password: String,
    /// 8 to 1024 characters.
    new_password: String,
}

/// Sessions of the caller.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnSessionList {
    /// The newest first.
    items: Vec<UserSessionJson>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

/// The user of a session; keys have none.
fn user(caller: &Caller) -> Result<&UserId, Problem> {
    caller.principal.user.as_ref().ok_or_else(|| {
        let detail = "this is about a person's account; log in, and use the session's token";
        Problem::new(ProblemKind::Forbidden, detail)
    })
}

/// Change one's password: every other session ends.
#[utoipa::path(
    post, path = "/auth/password", tag = "accounts", request_body = PasswordBody,
    responses((status = 204, description = "It is changed"))
)]
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    Acting(control): Acting,
    Client(client): Client,
    params: Params,
    mut body: Fields,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let id = user(&caller)?;
    let current = body.text("current_password")?;
    let new = body.text("new_password")?;
    body.finish()?;
    // Who has found an open session is not to find the password, too.
    let name = id.as_str();
    if let Some(seconds) = app.password_throttle.wait(name, client, Instant::now()) {
        metrics::login_throttled();
        let detail = "too many wrong passwords; try again after the time in Retry-After";
        return Err(Problem::new(ProblemKind::TooManyRequests, detail).retry_after(seconds));
    }
    let session = caller.principal.session.as_ref();
    let changed = control.change_password(id, current, new, session);
    match changed.await {
        Ok(()) => {
            app.password_throttle.succeeded(name, client);
            tracing::info!(user = %id, "a user has changed the password");
            Ok(StatusCode::NO_CONTENT)
        }
        Err(ControlError::Credentials) => {
            app.password_throttle.failed(name, client, Instant::now());
            let detail = "current_password: this is not the password";
            Err(Problem::new(ProblemKind::Forbidden, detail).field("current_password"))
        }
        Err(ControlError::Invalid(error)) => {
            let detail = format!("new_password: {}", error.detail);
            Err(Problem::new(ProblemKind::BadRequest, detail)
                .field("new_password")
                .with("code", error.code.as_str().into()))
        }
        Err(error) => Err(control_problem(error)),
    }
}

/// List one's sessions.
#[utoipa::path(
    get, path = "/auth/sessions", tag = "accounts",
    responses((status = 200, description = "The sessions", body = OwnSessionList))
)]
pub(crate) async fn sessions(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let sessions = app.api.control.sessions(user(&caller)?).await;
    let sessions = sessions.map_err(control_problem)?;
    let list = OwnSessionList {
        items: sessions
            .into_iter()
            .map(|session| UserSessionJson::new(session, &caller.principal))
            .collect(),
        next_cursor: None,
    };
    Ok(unstored(StatusCode::OK, list))
}

/// End one of one's sessions: within 5 seconds everywhere.
#[utoipa::path(
    delete, path = "/auth/sessions/{id}", tag = "accounts",
    params(("id" = String, Path, description = "ses_…")),
    responses((status = 204, description = "The session has ended"))
)]
pub(crate) async fn end_session(
    caller: Caller,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    // PostgreSQL refuses NUL in text, and no id has it.
    let id = SessionId::from_text(id.replace('\0', " "));
    let ended = control.end_session(user(&caller)?, &id).await;
    ended.map_err(control_problem)?;
    Ok(StatusCode::NO_CONTENT)
}
