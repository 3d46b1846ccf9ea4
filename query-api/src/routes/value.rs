//! `/customers/{id}/value`: what a customer has been worth, and what staff hold it to be worth.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemas::{Currency, Decimal, Problem, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::CustomerReader;
use crate::http::params::Params;
use crate::models::customers::Found;
use crate::routes::customers::{ValueJson, load, value};

/// Whether there are predictions.
#[derive(Serialize, ToSchema)]
pub(crate) struct Prediction {
    /// Whether `predicted_value` and `churn_risk` are computed.
    available: bool,
    /// Why not.
    reason: Option<&'static str>,
}

impl Prediction {
    /// There are none.
    pub(crate) fn none() -> Self {
        Self {
            available: false,
            reason: Some("no scores of customers have been computed"),
        }
    }
}

/// What a customer is worth. Money is decimal text.
#[derive(Serialize, ToSchema)]
pub(crate) struct ValueDetail {
    as_of: AsOf,
    /// The client's own id of the customer.
    customer_id: String,
    /// In `currency`: what staff hold the customer to be worth, else its net revenue.
    lifetime_value: String,
    /// What staff hold the customer to be worth, never negative; null where they say nothing.
    value_override: Option<String>,
    /// What the customer has bought: the sum of its orders less its refunds.
    #[serde(flatten)]
    history: ValueJson,
    /// What it is expected to bring from now on.
    predicted_value: Option<String>,
    /// low, medium or high: how likely it does not come again.
    churn_risk: Option<String>,
    prediction: Prediction,
    /// When the sums last changed: with the last event of the customer.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_calculated: Option<Timestamp>,
}

/// What staff hold a customer to be worth, in the currency's decimals.
fn override_of(found: &Found, currency: Currency) -> Option<String> {
    let json = found.state.profile.fields.get("value_override")?;
    let value = Decimal::parse(json.trim_matches('"').as_bytes()).ok()?;
    Some(value.to_text(currency.decimals()))
}

/// What a customer has been worth: revenue, orders, average, by currency; and what staff hold it to be worth.
#[utoipa::path(
    get, path = "/customers/{id}/value", tag = "customers",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses((status = 200, description = "Its value", body = ValueDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<ValueDetail>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let found = load(&app, &principal.organization, &sight, &id).await?;
    let history = value(&found, principal.currency);
    let value_override = override_of(&found, principal.currency);
    let worth = value_override.as_ref().unwrap_or(&history.total_revenue);
    Ok(Json(ValueDetail {
        as_of,
        customer_id: found.customer.customer_id.clone(),
        lifetime_value: worth.clone(),
        value_override,
        history,
        predicted_value: None,
        churn_risk: None,
        prediction: Prediction::none(),
        last_calculated: found.customer.updated_at,
    }))
}
