//! `/access-review`: who can do what, and when they last did anything.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemas::{Problem, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::Administrator;
use crate::http::params::Params;
use crate::http::problem::control_problem;
use crate::routes::keys::KeyJson;
use crate::routes::users::UserJson;

/// A member of staff and the sessions that are open.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserAccess {
    #[serde(flatten)]
    user: UserJson,
    /// Sessions that have not ended.
    sessions: u64,
    /// When any of them was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

/// Who has access to the organization.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccessReview {
    as_of: AsOf,
    /// All members of staff, in the order they were made, those who were deactivated included.
    users: Vec<UserAccess>,
    /// All keys, in the order they were made, revoked ones included.
    keys: Vec<KeyJson>,
}

/// Review who can do what: every user with role and sessions, every key with scopes, and when each was last used.
#[utoipa::path(
    get, path = "/access-review", tag = "staff",
    responses((status = 200, description = "Users and keys", body = AccessReview))
)]
pub(crate) async fn review(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    params: Params,
) -> Result<Json<AccessReview>, Problem> {
    params.finish()?;
    let (control, organization) = (&app.api.control, &principal.organization);
    let users = control.users(organization).await;
    let users = users.map_err(control_problem)?;
    let uses = control.session_uses(organization).await;
    let mut uses: HashMap<_, _> = uses
        .map_err(control_problem)?
        .into_iter()
        .map(|of| (of.user, (of.sessions, of.last_used_at)))
        .collect();
    let keys = control.list_keys(organization).await;
    let keys = keys.map_err(control_problem)?;
    let access = |user: control::User| {
        let (sessions, last_used_at) = uses.remove(&user.id).unwrap_or_default();
        UserAccess {
            user: user.into(),
            sessions,
            last_used_at,
        }
    };
    Ok(Json(AccessReview {
        as_of: app.cut().await?.as_of(),
        users: users.into_iter().map(access).collect(),
        keys: keys.into_iter().map(KeyJson::from).collect(),
    }))
}
