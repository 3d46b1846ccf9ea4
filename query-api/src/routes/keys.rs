//! `/api-keys`: what applications call with.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::{Control, CreatedKey, KeyChange, KeyInfo, NewKey, Principal, Quota, Scope, Scopes};
use schemas::{KeyId, OrganizationId, Problem, ProblemKind, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::body::{Fields, refuse};
use crate::http::caller::{Acting, Administrator, Operator};
use crate::http::params::Params;
use crate::http::problem::control_problem;

/// What makes a key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct NewKeyBody {
    /// What it is for.
    name: String,
    /// Of ingest, read, write, admin.
    #[schema(example = json!(["ingest"]))]
    scopes: Vec<String>,
    /// When it ends by itself: RFC 3339 or epoch milliseconds; never where absent.
    expires_at: Option<String>,
    /// Events a second, over time, in each ingest process; 0: without limit; the installation's default where absent.
    events_per_second: Option<u64>,
    /// Events at once, after a pause; ten seconds' worth where absent.
    burst: Option<u64>,
    /// Events a day (UTC); 0: without limit; the installation's default where absent.
    events_per_day: Option<u64>,
}

/// What changes of a key. What is absent stays; null is the installation's default again.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct KeyChangeBody {
    /// What it is for.
    name: Option<String>,
    /// Events a second, over time, in each ingest process.
    events_per_second: Option<u64>,
    /// Events at once, after a pause.
    burst: Option<u64>,
    /// Events a day (UTC).
    events_per_day: Option<u64>,
}

/// What a key may send, where it has something of its own; null is the installation's default.
#[derive(Serialize, ToSchema)]
pub(crate) struct QuotaJson {
    /// Events a second, over time, in each ingest process; 0: without limit.
    events_per_second: Option<u64>,
    /// Events at once, after a pause.
    burst: Option<u64>,
    /// Events a day (UTC); 0: without limit.
    events_per_day: Option<u64>,
}

/// A key whose secret is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedKeyJson {
    /// `key_…`.
    id: String,
    /// The secret, to be sent as `Authorization: Bearer …` or `X-Api-Key`.
    key: String,
    name: String,
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
    /// What lists show of the secret.
    hint: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[serde(flatten)]
    quota: QuotaJson,
}

/// A key in a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyJson {
    /// `key_…`.
    id: String,
    name: String,
    /// Prefix and last characters of the secret.
    hint: String,
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    rotated_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    #[serde(flatten)]
    quota: QuotaJson,
}

/// All keys of the organization.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// All keys of the organization, revoked ones too.
    items: Vec<KeyJson>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

impl From<Quota> for QuotaJson {
    fn from(quota: Quota) -> Self {
        Self {
            events_per_second: quota.events_per_second,
            burst: quota.burst,
            events_per_day: quota.events_per_day,
        }
    }
}

impl From<CreatedKey> for CreatedKeyJson {
    fn from(key: CreatedKey) -> Self {
        Self {
            id: key.id.to_string(),
            key: key.key,
            name: key.name,
            scopes: key.scopes,
            hint: key.hint,
            created_at: key.created_at,
            expires_at: key.expires_at,
            quota: key.quota.into(),
        }
    }
}

impl From<KeyInfo> for KeyJson {
    fn from(key: KeyInfo) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            hint: key.hint,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            rotated_at: key.rotated_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            quota: key.quota.into(),
        }
    }
}

fn unstored(status: StatusCode, body: impl Serialize) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// The quota of a body. Who runs the installation decides how much a key may send; others may only give less.
fn quota_change(app: &App, principal: &Principal, body: &mut Fields) -> Result<KeyChange, Problem> {
    let most = &app.api.limits.quota;
    let mut take = |name, most| {
        let change = body.change(name)?;
        let over = |value: u64| most > 0 && (value == 0 || value > most);
        match change.flatten() {
            Some(value) if over(value) && !principal.operator => Err(refuse(
                name,
                "out_of_range",
                format_args!("must be from 1 to {most} here; ask the operator for more"),
            )),
            _ => Ok(change),
        }
    };
    Ok(KeyChange {
        name: None,
        events_per_second: take("events_per_second", most.events_per_second)?,
        burst: take("burst", most.burst)?,
        events_per_day: take("events_per_day", most.events_per_day)?,
    })
}

/// Make a key.
#[utoipa::path(
    post, path = "/api-keys", tag = "keys", request_body = NewKeyBody,
    responses((status = 201, description = "The key, its secret shown this once", body = CreatedKeyJson))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    Acting(control): Acting,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let name = body.text("name")?;
    let scopes = body.texts("scopes")?;
    let scopes: Scopes = scopes
        .iter()
        .map(|scope| scope.parse::<Scope>())
        .collect::<Result<_, _>>()
        .map_err(|error| {
            Problem::new(ProblemKind::BadRequest, format!("scopes: {error}"))
                .field("scopes")
                .with("code", "invalid_value".into())
        })?;
    let expires_at = body.time("expires_at")?;
    let quota = quota_change(&app, &principal, &mut body)?;
    body.finish()?;
    let new = NewKey {
        name,
        scopes,
        expires_at,
        quota: Quota {
            events_per_second: quota.events_per_second.flatten(),
            burst: quota.burst.flatten(),
            events_per_day: quota.events_per_day.flatten(),
        },
    };
    let created = control.create_key(&principal.organization, new).await;
    let created = CreatedKeyJson::from(created.map_err(control_problem)?);
    Ok(unstored(StatusCode::CREATED, created))
}

/// List the keys, revoked ones included.
#[utoipa::path(
    get, path = "/api-keys", tag = "keys",
    responses((status = 200, description = "The keys", body = KeyList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let keys = app.api.control.list_keys(&principal.organization).await;
    let items = keys
        .map_err(control_problem)?
        .into_iter()
        .map(KeyJson::from)
        .collect();
    Ok(unstored(
        StatusCode::OK,
        KeyList {
            items,
            next_cursor: None,
        },
    ))
}

/// Change a key's name or quota: it holds within 5 seconds everywhere.
#[utoipa::path(
    patch, path = "/api-keys/{id}", tag = "keys", params(("id" = String, Path, description = "key_…")),
    request_body = KeyChangeBody,
    responses((status = 200, description = "The key as it is now", body = KeyJson))
)]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let change = KeyChange {
        name: body.optional_text("name")?,
        ..quota_change(&app, &principal, &mut body)?
    };
    body.finish()?;
    changed(&control, Some(&principal.organization), id, change).await
}

/// Change the quota of any organization's key, also beyond the installation's default.
#[utoipa::path(
    patch, path = "/admin/api-keys/{id}", tag = "operation", params(("id" = String, Path, description = "key_…")),
    request_body = KeyChangeBody,
    responses((status = 200, description = "The key as it is now", body = KeyJson))
)]
pub(crate) async fn update_any(
    State(app): State<Arc<App>>,
    Operator(principal): Operator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let change = quota_change(&app, &principal, &mut body)?;
    body.finish()?;
    changed(&control, None, id, change).await
}

async fn changed(
    control: &Control,
    organization: Option<&OrganizationId>,
    id: String,
    change: KeyChange,
) -> Result<Response, Problem> {
    let id = KeyId::from_text(id);
    let key = control.update_key(organization, &id, change).await;
    let key = KeyJson::from(key.map_err(control_problem)?);
    Ok(unstored(StatusCode::OK, key))
}

/// Revoke a key: it fails within 5 seconds everywhere.
#[utoipa::path(
    delete, path = "/api-keys/{id}", tag = "keys", params(("id" = String, Path, description = "key_…")),
    responses((status = 204, description = "Revoked"))
)]
pub(crate) async fn revoke(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let id = KeyId::from_text(id);
    let revoked = control.revoke_key(&principal.organization, &id).await;
    revoked.map_err(control_problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace a key's secret; the old one ends as a revoked key does.
#[utoipa::path(
    post, path = "/api-keys/{id}/rotate", tag = "keys", params(("id" = String, Path, description = "key_…")),
    responses((status = 200, description = "The key with its new secret, shown this once", body = CreatedKeyJson))
)]
pub(crate) async fn rotate(
    Administrator(principal): Administrator,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let id = KeyId::from_text(id);
    let rotated = control.rotate_key(&principal.organization, &id).await;
    let rotated = CreatedKeyJson::from(rotated.map_err(control_problem)?);
    Ok(unstored(StatusCode::OK, rotated))
}
