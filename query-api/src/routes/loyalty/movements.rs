//! What staff do with loyalty accounts. Whether the balance covers it is decided where all of a customer's movements are in
//! one order, so that nothing is redeemed twice, however many try at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use schemas::event::{Effects, ManualTier, Points, PointsKind};
use schemas::{Problem, ProblemKind};
use utoipa::ToSchema;

use crate::api::App;
use crate::http::body::{Fields, refuse};
use crate::http::caller::{DealEditor, Editor};
use crate::http::params::Params;
use crate::http::writing::Writing;
use crate::models::authoring::{Author, Outcome, Receipt};
use crate::models::loyalty::Programme;
use crate::models::sight::Sight;
use crate::routes::customer_edits::accepted;
use crate::routes::loyalty::accounts::{AccountDetail, detail};

/// Points moved at once, at most.
const MOST_POINTS: i64 = 1_000_000_000;

/// Points to be moved.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct PointsBody {
    /// 1 to 1,000,000,000; in an adjustment also negative.
    points: i64,
    /// Why, in up to 1,000 characters; an adjustment must say it.
    reason: Option<String>,
    /// What it belongs to, such as an order's id, in up to 256 characters.
    reference: Option<String>,
}

/// A tier to be given by hand.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct GivenTier {
    /// The name of a tier of the programme; null for the one that points reach.
    tier: Option<String>,
}

fn text(body: &mut Fields, name: &'static str, most: usize) -> Result<String, Problem> {
    let text = body.optional_text(name)?.unwrap_or_default();
    match text.chars().count() <= most {
        true => Ok(text),
        false => {
            let detail = format!("must have at most {most} characters");
            Err(refuse(name, "invalid_length", detail))
        }
    }
}

/// Reads a movement of a kind.
fn points(body: &mut Fields, kind: PointsKind) -> Result<Points, Problem> {
    let points = body
        .value("points")
        .ok_or_else(|| refuse("points", "required", "must be there"))?
        .as_i64()
        .ok_or_else(|| refuse("points", "invalid_type", "must be a whole number"))?;
    let least = if kind == PointsKind::Adjust {
        -MOST_POINTS
    } else {
        1
    };
    if !(least..=MOST_POINTS).contains(&points) || points == 0 {
        let detail = format!("must be {least} to {MOST_POINTS}, and not 0");
        return Err(refuse("points", "out_of_range", detail));
    }
    let reason = text(body, "reason", 1_000)?;
    if kind == PointsKind::Adjust && reason.trim().is_empty() {
        return Err(refuse("reason", "required", "say why points are put right"));
    }
    Ok(Points {
        kind,
        points,
        reason: reason.into(),
        reference: text(body, "reference", 256)?.into(),
    })
}

/// States a change of an account and answers with it.
async fn state(
    app: &App,
    editor: &Editor,
    writing: &Writing,
    id: &str,
    effects: Effects,
) -> Result<Response, Problem> {
    let stated = serde_json::to_string(&effects)
        .map_err(|error| crate::api::internal("a change does not serialise", &error))?;
    let mut author = Author::new(app, &editor.principal, writing, &stated);
    let (customer, outcome) = loop {
        let found = editor.load(app, id).await?;
        let customer = found.customer.customer_id;
        if author.is_done(&customer).await? {
            break (customer, Outcome::Applied);
        }
        let effects = Effects {
            seen: found.state.edits.count,
            ..effects.clone()
        };
        if let Some(outcome) = author.state(&customer, effects).await? {
            break (customer, outcome);
        }
    };
    match outcome {
        Outcome::Accepted(receipt) => Ok(accepted(receipt)),
        Outcome::Applied => {
            let organization = &editor.principal.organization;
            let account = detail(app, organization, &Sight::All, &customer).await?;
            Ok(Json(account).into_response())
        }
    }
}

async fn moved(
    app: &App,
    editor: &Editor,
    writing: &Writing,
    id: &str,
    (mut body, kind): (Fields, PointsKind),
) -> Result<Response, Problem> {
    let points = points(&mut body, kind)?;
    body.finish()?;
    let effects = Effects {
        action: format!("loyalty.{}", kind.as_str()).into(),
        points: Some(points),
        ..Effects::default()
    };
    state(app, editor, writing, id, effects).await
}

/// Give a customer points.
#[utoipa::path(
    post, path = "/loyalty/accounts/{customer}/earn", tag = "loyalty", request_body = PointsBody,
    params(("customer" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses(
        (status = 200, description = "The account as it is now", body = AccountDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn earn(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path(customer): Path<String>,
    writing: Writing,
    params: Params,
    body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    moved(&app, &editor, &writing, &customer, (body, PointsKind::Earn)).await
}

/// Redeem points of a customer; never more than there are.
#[utoipa::path(
    post, path = "/loyalty/accounts/{customer}/redeem", tag = "loyalty", request_body = PointsBody,
    params(("customer" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses(
        (status = 200, description = "The account as it is now", body = AccountDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 422, description = "There are not so many points: `overdraft`"),
    )
)]
pub(crate) async fn redeem(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path(customer): Path<String>,
    writing: Writing,
    params: Params,
    body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    moved(
        &app,
        &editor,
        &writing,
        &customer,
        (body, PointsKind::Redeem),
    )
    .await
}

/// Put a customer's points right, up or down, and say why; never below zero.
#[utoipa::path(
    post, path = "/loyalty/accounts/{customer}/adjust", tag = "loyalty", request_body = PointsBody,
    params(("customer" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses(
        (status = 200, description = "The account as it is now", body = AccountDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
        (status = 422, description = "There are not so many points: `overdraft`"),
    )
)]
pub(crate) async fn adjust(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path(customer): Path<String>,
    writing: Writing,
    params: Params,
    body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    moved(
        &app,
        &editor,
        &writing,
        &customer,
        (body, PointsKind::Adjust),
    )
    .await
}

/// Give a customer a tier by hand, whatever its points, or take that back.
#[utoipa::path(
    post, path = "/loyalty/accounts/{customer}/tier", tag = "loyalty", request_body = GivenTier,
    params(("customer" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses(
        (status = 200, description = "The account as it is now", body = AccountDetail),
        (status = 202, description = "It is in the log and not applied yet", body = Receipt),
    )
)]
pub(crate) async fn tier(
    State(app): State<Arc<App>>,
    DealEditor(editor): DealEditor,
    Path(customer): Path<String>,
    writing: Writing,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let tier = body.change_text("tier")?;
    body.finish()?;
    let detail = "send the name of a tier, or null";
    let to = tier.ok_or_else(|| refuse("tier", "required", detail))?;
    if let Some(name) = &to {
        let programme = Programme::of(&app, &editor.principal.organization).await?;
        if !programme.has(name) {
            let detail = format!("tier: use one of {}", programme.names().join(", "));
            return Err(Problem::new(ProblemKind::Unprocessable, detail)
                .field("tier")
                .with("code", "unknown_tier".into()));
        }
    }
    let effects = Effects {
        action: "loyalty.tier".into(),
        tier: Some(ManualTier {
            to: to.map(Into::into),
        }),
        ..Effects::default()
    };
    state(&app, &editor, &writing, &customer, effects).await
}
