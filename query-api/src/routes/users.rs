//! `/users`: the staff of the organization.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::{Control, NewUser, Principal, Role, Session, User, UserChange};
use schemas::{Problem, ProblemKind, TeamId, Timestamp, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::body::{Fields, refuse};
use crate::http::caller::{Acting, Administrator, StaffReader};
use crate::http::params::Params;
use crate::http::problem::control_problem;

/// A member of staff.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserJson {
    /// `usr_…`.
    id: String,
    /// For people.
    name: String,
    /// The address to sign in with.
    email: String,
    /// What the user may do: see `GET /roles`.
    #[schema(value_type = String, example = "sales")]
    role: Role,
    /// The team the user is in, `team_…`.
    team_id: Option<String>,
    /// Whether the user may log in.
    is_active: bool,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Since when the user may not log in any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    deactivated_at: Option<Timestamp>,
    /// When the user last logged in.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login_at: Option<Timestamp>,
}

impl From<User> for UserJson {
    fn from(user: User) -> Self {
        Self {
            is_active: user.is_active(),
            id: user.id.to_string(),
            name: user.name,
            email: user.email,
            role: user.role,
            team_id: user.team.as_ref().map(ToString::to_string),
            created_at: user.created_at,
            deactivated_at: user.deactivated_at,
            last_login_at: user.last_login_at,
        }
    }
}

/// One member of staff.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserDetail {
    as_of: AsOf,
    #[serde(flatten)]
    user: UserJson,
}

/// A page of the staff.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserList {
    as_of: AsOf,
    /// This page, in the order they were made.
    items: Vec<UserJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// A user to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct NewUserBody {
    /// 1 to 200 characters.
    name: String,
    /// The address to sign in with; unique in the installation.
    email: String,
    /// 8 to 1024 characters; the user is to change it.
    password: String,
    /// owner, admin, manager, sales, support, employee, brand or none.
    role: String,
    /// The team the user is in.
    team_id: Option<String>,
}

/// What is to change of a user; what is absent stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct UserChangeBody {
    /// 1 to 200 characters.
    name: Option<String>,
    /// The address to sign in with; unique in the installation.
    email: Option<String>,
    /// A new password, 8 to 1024 characters; it ends every session of the user.
    password: Option<String>,
    /// owner, admin, manager, sales, support, employee, brand or none.
    role: Option<String>,
    /// Another team, or null for none.
    team_id: Option<String>,
    /// Whether the user may log in; false ends every session.
    is_active: Option<bool>,
}

/// A session that has not ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserSessionJson {
    /// `ses_…`; not its token.
    id: String,
    /// When the user logged in.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// Whether it is the one that asks.
    is_current: bool,
}

impl UserSessionJson {
    pub(crate) fn new(session: Session, caller: &Principal) -> Self {
        Self {
            is_current: caller.session.as_ref() == Some(&session.id),
            id: session.id.to_string(),
            created_at: session.created_at,
            expires_at: session.expires_at,
            last_used_at: session.last_used_at,
        }
    }
}

/// The sessions of a user.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserSessionList {
    as_of: AsOf,
    /// The newest first.
    items: Vec<UserSessionJson>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

/// The role that decides about owners: a key administers, and owns nothing.
fn by(principal: &Principal) -> Role {
    match principal.user {
        Some(_) => principal.role,
        None => Role::Admin,
    }
}

fn role(body: &mut Fields) -> Result<Option<Role>, Problem> {
    let words: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
    let form = format!("use one of {}", words.join(", "));
    body.parsed("role", &form)
}

fn user_id(id: String) -> UserId {
    // PostgreSQL refuses NUL in text, and no id has it.
    UserId::from_text(id.replace('\0', " "))
}

/// Make a member of staff.
#[utoipa::path(
    post, path = "/users", tag = "staff", request_body = NewUserBody,
    responses((status = 201, description = "The user", body = UserJson))
)]
pub(crate) async fn create(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    params: Params,
    mut body: Fields,
) -> Result<(StatusCode, Json<UserJson>), Problem> {
    params.finish()?;
    let new = NewUser {
        name: body.text("name")?,
        email: body.text("email")?,
        password: body.text("password")?,
        role: role(&mut body)?.ok_or_else(|| refuse("role", "required", "must be there"))?,
        team: body.optional_text("team_id")?.map(TeamId::from_text),
    };
    body.finish()?;
    let made = control
        .create_user(&principal.organization, by(&principal), new)
        .await;
    let made = made.map_err(control_problem)?;
    tracing::info!(user = %made.id, role = %made.role, "a user was made");
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// List the staff, those who were deactivated included.
#[utoipa::path(
    get, path = "/users", tag = "staff",
    params(
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of users", body = UserList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    StaffReader(principal): StaffReader,
    mut params: Params,
) -> Result<Json<UserList>, Problem> {
    let limit = params.count("limit", 50, 200)?;
    let after: Option<String> = params.place()?;
    let question = params.finish()?;
    let after = after.map(user_id);
    let control = &app.api.control;
    // One more tells whether there is another page.
    let found = control
        .users_after(&principal.organization, after.as_ref(), limit + 1)
        .await;
    let mut found = found.map_err(control_problem)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next_cursor = last.map(|last| question.cursor(&last.id.as_str()));
    Ok(Json(UserList {
        as_of: app.cut().await?.as_of(),
        items: found.into_iter().map(UserJson::from).collect(),
        next_cursor,
    }))
}

/// One member of staff.
#[utoipa::path(
    get, path = "/users/{id}", tag = "staff", params(("id" = String, Path, description = "usr_…")),
    responses((status = 200, description = "The user", body = UserDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    StaffReader(principal): StaffReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<UserDetail>, Problem> {
    params.finish()?;
    let user = find(&app.api.control, &principal, id).await?;
    Ok(Json(UserDetail {
        as_of: app.cut().await?.as_of(),
        user: user.into(),
    }))
}

/// A user of the caller's organization.
async fn find(control: &Control, principal: &Principal, id: String) -> Result<User, Problem> {
    let id = user_id(id);
    let found = control.user_of(&principal.organization, &id).await;
    found.map_err(control_problem)
}

async fn change(
    control: &Control,
    principal: &Principal,
    id: String,
    change: UserChange,
) -> Result<User, Problem> {
    let user = find(control, principal, id).await?;
    let changed = control
        .update_user(&principal.organization, by(principal), &user.id, change)
        .await;
    let changed = changed.map_err(control_problem)?;
    tracing::info!(user = %changed.id, role = %changed.role, active = changed.is_active(), "a user was changed");
    Ok(changed)
}

/// Change a member of staff: it holds within 5 seconds everywhere.
#[utoipa::path(
    patch, path = "/users/{id}", tag = "staff", params(("id" = String, Path, description = "usr_…")),
    request_body = UserChangeBody,
    responses((status = 200, description = "The user as it is now", body = UserJson))
)]
pub(crate) async fn update(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
    mut body: Fields,
) -> Result<Json<UserJson>, Problem> {
    params.finish()?;
    let wanted = UserChange {
        name: body.optional_text("name")?,
        email: body.optional_text("email")?,
        password: body.optional_text("password")?,
        role: role(&mut body)?,
        team: body
            .change_text("team_id")?
            .map(|team| team.map(TeamId::from_text)),
        active: body.optional_flag("is_active")?,
    };
    body.finish()?;
    // Who has found an open session is not to keep the account.
    let own = principal
        .user
        .as_ref()
        .is_some_and(|user| user.as_str() == id);
    if own && (wanted.password.is_some() || wanted.email.is_some()) {
        let detail = "change your own password with POST /auth/password, and have another administrator change your address";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let changed = change(&control, &principal, id, wanted).await?;
    Ok(Json(changed.into()))
}

/// Deactivate a member of staff: sessions end within 5 seconds everywhere, and what the user did stays.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "staff", params(("id" = String, Path, description = "usr_…")),
    responses((status = 204, description = "Deactivated"))
)]
pub(crate) async fn deactivate(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let wanted = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    change(&control, &principal, id, wanted).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the sessions of a member of staff.
#[utoipa::path(
    get, path = "/users/{id}/sessions", tag = "staff", params(("id" = String, Path, description = "usr_…")),
    responses((status = 200, description = "The sessions", body = UserSessionList))
)]
pub(crate) async fn sessions(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<UserSessionList>, Problem> {
    params.finish()?;
    let user = find(&app.api.control, &principal, id).await?;
    let sessions = app.api.control.sessions(&user.id).await;
    let sessions = sessions.map_err(control_problem)?;
    Ok(Json(UserSessionList {
        as_of: app.cut().await?.as_of(),
        items: sessions
            .into_iter()
            .map(|session| UserSessionJson::new(session, &principal))
            .collect(),
        next_cursor: None,
    }))
}

/// End every session of a member of staff, for example after a lost laptop: within 5 seconds everywhere.
#[utoipa::path(
    delete, path = "/users/{id}/sessions", tag = "staff", params(("id" = String, Path, description = "usr_…")),
    responses((status = 204, description = "They have ended"))
)]
pub(crate) async fn end_sessions(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let ended = control
        .end_sessions_of(&principal.organization, by(&principal), &user_id(id))
        .await;
    ended.map_err(control_problem)?;
    Ok(StatusCode::NO_CONTENT)
}
