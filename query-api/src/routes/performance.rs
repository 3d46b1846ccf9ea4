//! `/users/{id}/performance`: how a member of staff does with its customers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use control::{Permission, Principal, Role};
use schemas::{Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{App, now};
use crate::http::as_of::AsOf;
use crate::http::caller::StaffReader;
use crate::http::params::{Params, refuse};
use crate::http::problem::{control_problem, warehouse_problem};
use crate::models::interactions::user_id;
use crate::models::performance::{Performance, performance};

/// How a member of staff does.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserPerformance {
    as_of: AsOf,
    /// `usr_…`.
    user_id: String,
    /// For people.
    name: String,
    #[serde(flatten)]
    performance: Performance,
}

/// Who looks at others' figures: owners, admins, managers, and keys that read reports.
fn leads(principal: &Principal) -> bool {
    match principal.user {
        Some(_) => matches!(principal.role, Role::Owner | Role::Admin | Role::Manager),
        None => principal.reach(Permission::ReadReports).is_ok(),
    }
}

/// How a member of staff does with the customers that are assigned to it. For managers and above, and for oneself.
#[utoipa::path(
    get, path = "/users/{id}/performance", tag = "staff",
    params(
        ("id" = String, Path, description = "usr_…"),
        ("from" = Option<String>, Query, description = "interactions that occurred at this time or later"),
        ("to" = Option<String>, Query, description = "interactions that occurred before this time"),
    ),
    responses((status = 200, description = "The figures", body = UserPerformance))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    StaffReader(principal): StaffReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<UserPerformance>, Problem> {
    let (from, to) = (params.time("from")?, params.time("to")?);
    params.finish()?;
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(refuse("to", "must not be before from"));
    }
    let own = principal
        .user
        .as_ref()
        .is_some_and(|user| user.as_str() == id);
    if !own && !leads(&principal) {
        let detail = "your role sees its own performance only; ask a manager";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let user = app
        .api
        .control
        .user_of(&principal.organization, &user_id(&id))
        .await;
    let user = user.map_err(control_problem)?;
    let as_of = app.cut().await?.as_of();
    let figures = performance(
        &*app.api.warehouse,
        &principal.organization,
        principal.currency,
        user.id.as_str(),
        (from, to),
        now(),
    )
    .await;
    Ok(Json(UserPerformance {
        as_of,
        user_id: user.id.to_string(),
        name: user.name,
        performance: figures.map_err(|error| warehouse_problem(&error))?,
    }))
}
