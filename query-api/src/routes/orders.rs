//! `/orders`: purchases by order, with what was given back of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemas::{Currency, Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::CustomerReader;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::models::orders::{LineJson, OrderJson, Orders, Place, RefundJson, STATUSES, cut};
use crate::models::records::missing;

/// A page of orders.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderList {
    as_of: AsOf,
    /// This page, newest first.
    items: Vec<OrderJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// One order.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderDetail {
    as_of: AsOf,
    #[serde(flatten)]
    order: OrderJson,
    /// What was ordered, line by line, as far as it was stated.
    items: Vec<LineJson>,
    /// What was given back, oldest first.
    given_back: Vec<RefundJson>,
}

const CURRENCY: &str = "an ISO 4217 code in upper case, such as USD";

/// List orders of the customers you see.
#[utoipa::path(
    get, path = "/orders", tag = "orders",
    params(
        ("customer_id" = Option<String>, Query, description = "the client's own id of the customer"),
        ("status" = Option<String>, Query, description = "completed, partially_refunded, refunded or cancelled"),
        ("from" = Option<String>, Query, description = "ordered at this time or later, RFC 3339 or epoch milliseconds"),
        ("to" = Option<String>, Query, description = "ordered before this time"),
        ("currency" = Option<String>, Query, description = "ISO 4217; by default all"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 500, by default 50"),
    ),
    responses((status = 200, description = "Orders, newest first", body = OrderList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    mut params: Params,
) -> Result<Json<OrderList>, Problem> {
    let customer = params.text("customer_id");
    let status = params.choice("status", &STATUSES.map(|status| (status, status)))?;
    let (from, to) = (params.time("from")?, params.time("to")?);
    let currency: Option<Currency> = params.parsed("currency", CURRENCY)?;
    let after: Option<Place> = params.place()?;
    let limit = params.count("limit", 50, 500)?;
    let question = params.finish()?;
    let applied = app.cut().await?;
    let mut orders = Orders::of(&principal.organization, &sight, &applied);
    if let Some(customer) = customer {
        orders = orders.of_customer(&customer);
    }
    if let Some(status) = status {
        orders = orders.with_status(status);
    }
    if let Some(currency) = currency {
        orders = orders.in_currency(currency);
    }
    if let Some(from) = from {
        orders = orders.from(from);
    }
    if let Some(to) = to {
        orders = orders.before(to);
    }
    let page = orders.page(&*app.api.warehouse, after.as_ref(), limit + 1);
    let mut items = page.await.map_err(|error| warehouse_problem(&error))?;
    let next_cursor = cut(&mut items, limit).map(|place| question.cursor(&place));
    Ok(Json(OrderList {
        as_of: applied.as_of(),
        items,
        next_cursor,
    }))
}

/// One order.
#[utoipa::path(
    get, path = "/orders/{id}", tag = "orders",
    params(
        ("id" = String, Path, description = "the order's id, else that of the purchase's event"),
        ("customer_id" = Option<String>, Query, description = "whose it is, where several customers have an order of this id"),
        ("currency" = Option<String>, Query, description = "ISO 4217, where it was paid in several"),
    ),
    responses(
        (status = 200, description = "The order", body = OrderDetail),
        (status = 409, description = "Several orders have this id"),
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<OrderDetail>, Problem> {
    let customer = params.text("customer_id");
    let currency: Option<Currency> = params.parsed("currency", CURRENCY)?;
    params.finish()?;
    let applied = app.cut().await?;
    let all = Orders::of(&principal.organization, &sight, &applied);
    let mut orders = all.clone().with_id(&id);
    if let Some(customer) = customer {
        orders = orders.of_customer(&customer);
    }
    if let Some(currency) = currency {
        orders = orders.in_currency(currency);
    }
    let warehouse = &*app.api.warehouse;
    let failed = |error| warehouse_problem(&error);
    let mut found = orders.page(warehouse, None, 2).await.map_err(failed)?;
    if found.len() > 1 {
        let detail = "several orders have this id; name one by its customer_id and currency";
        return Err(Problem::new(ProblemKind::Conflict, detail).field("customer_id"));
    }
    let order = found.pop().ok_or_else(|| missing("order"))?;
    let lines = all.clone().lines(warehouse, &order);
    let items = lines.await.map_err(failed)?;
    let given_back = all.refunds(warehouse, &order).await.map_err(failed)?;
    Ok(Json(OrderDetail {
        as_of: applied.as_of(),
        order,
        items,
        given_back,
    }))
}
