//! `/teams`, and `/roles`, which no organization changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::{Permission, Reach, Role, Scopes, Team};
use schemas::{Problem, TeamId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::body::Fields;
use crate::http::caller::{Acting, Administrator, Caller, StaffReader};
use crate::http::params::Params;
use crate::http::problem::control_problem;

/// A group of staff.
#[derive(Serialize, ToSchema)]
pub(crate) struct TeamJson {
    /// `team_…`.
    id: String,
    /// Unique in the organization, whatever its case.
    name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Team> for TeamJson {
    fn from(team: Team) -> Self {
        Self {
            id: team.id.to_string(),
            name: team.name,
            created_at: team.created_at,
        }
    }
}

/// One team.
#[derive(Serialize, ToSchema)]
pub(crate) struct TeamDetail {
    as_of: AsOf,
    #[serde(flatten)]
    team: TeamJson,
}

/// A page of teams.
#[derive(Serialize, ToSchema)]
pub(crate) struct TeamList {
    as_of: AsOf,
    /// This page, in the order they were made.
    items: Vec<TeamJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// What a team is made of.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct TeamBody {
    /// 1 to 200 characters; unique in the organization.
    name: String,
}

fn team_id(id: String) -> TeamId {
    // PostgreSQL refuses NUL in text, and no id has it.
    TeamId::from_text(id.replace('\0', " "))
}

/// Make a team.
#[utoipa::path(
    post, path = "/teams", tag = "staff", request_body = TeamBody,
    responses((status = 201, description = "The team", body = TeamJson))
)]
pub(crate) async fn create(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    params: Params,
    mut body: Fields,
) -> Result<(StatusCode, Json<TeamJson>), Problem> {
    params.finish()?;
    let name = body.text("name")?;
    body.finish()?;
    let team = control.create_team(&principal.organization, &name).await;
    let team = team.map_err(control_problem)?;
    Ok((StatusCode::CREATED, Json(team.into())))
}

/// List the teams.
#[utoipa::path(
    get, path = "/teams", tag = "staff",
    params(
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of teams", body = TeamList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    StaffReader(principal): StaffReader,
    mut params: Params,
) -> Result<Json<TeamList>, Problem> {
    let limit = params.count("limit", 50, 200)?;
    let after: Option<String> = params.place()?;
    let question = params.finish()?;
    let after = after.map(team_id);
    let control = &app.api.control;
    // One more tells whether there is another page.
    let found = control
        .teams_after(&principal.organization, after.as_ref(), limit + 1)
        .await;
    let mut found = found.map_err(control_problem)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next_cursor = last.map(|last| question.cursor(&last.id.as_str()));
    Ok(Json(TeamList {
        as_of: app.cut().await?.as_of(),
        items: found.into_iter().map(TeamJson::from).collect(),
        next_cursor,
    }))
}

/// One team.
#[utoipa::path(
    get, path = "/teams/{id}", tag = "staff", params(("id" = String, Path, description = "team_…")),
    responses((status = 200, description = "The team", body = TeamDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    StaffReader(principal): StaffReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<TeamDetail>, Problem> {
    params.finish()?;
    let control = &app.api.control;
    let team = control.team(&principal.organization, &team_id(id)).await;
    Ok(Json(TeamDetail {
        as_of: app.cut().await?.as_of(),
        team: team.map_err(control_problem)?.into(),
    }))
}

/// Give a team another name.
#[utoipa::path(
    patch, path = "/teams/{id}", tag = "staff", params(("id" = String, Path, description = "team_…")),
    request_body = TeamBody,
    responses((status = 200, description = "The team as it is now", body = TeamJson))
)]
pub(crate) async fn update(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
    mut body: Fields,
) -> Result<Json<TeamJson>, Problem> {
    params.finish()?;
    let name = body.text("name")?;
    body.finish()?;
    let team = control
        .rename_team(&principal.organization, &team_id(id), &name)
        .await;
    Ok(Json(team.map_err(control_problem)?.into()))
}

/// Remove a team; its members are in none then.
#[utoipa::path(
    delete, path = "/teams/{id}", tag = "staff", params(("id" = String, Path, description = "team_…")),
    responses((status = 204, description = "Removed"))
)]
pub(crate) async fn delete(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let deleted = control
        .delete_team(&principal.organization, &team_id(id))
        .await;
    deleted.map_err(control_problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a role may do.
#[derive(Serialize, ToSchema)]
pub(crate) struct RoleJson {
    /// Its name.
    #[schema(value_type = String, example = "sales")]
    role: Role,
    /// How far each permission reaches: `all` of the organization; `assigned` customers, and prospects and leads of
    /// nobody; one's `own` record; `nothing`.
    #[schema(value_type = BTreeMap<String, String>, example = json!({"customers.read": "assigned"}))]
    permissions: BTreeMap<&'static str, Reach>,
    /// The scopes of a session.
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
}

/// Every role.
#[derive(Serialize, ToSchema)]
pub(crate) struct RoleList {
    as_of: AsOf,
    /// The same for every organization.
    items: Vec<RoleJson>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

/// What each role may do.
#[utoipa::path(
    get, path = "/roles", tag = "staff",
    responses((status = 200, description = "The matrix of permissions", body = RoleList))
)]
pub(crate) async fn roles(
    State(app): State<Arc<App>>,
    _caller: Caller,
    params: Params,
) -> Result<Json<RoleList>, Problem> {
    params.finish()?;
    let of = |role: Role| RoleJson {
        role,
        permissions: Permission::ALL
            .into_iter()
            .map(|permission| (permission.as_str(), role.reach(permission)))
            .collect(),
        scopes: role.scopes(),
    };
    Ok(Json(RoleList {
        as_of: app.cut().await?.as_of(),
        items: Role::ALL.into_iter().map(of).collect(),
        next_cursor: None,
    }))
}
