//! `/stats` and `/customers/analytics`: all customers of an organization together.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemas::{Decimal, Problem, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{App, now};
use crate::http::as_of::AsOf;
use crate::http::caller::ReportReader;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::models::customer_figures::{Group, bands, conversion, groups, month_start, score_bands};
use crate::models::customer_list::{Filter, Sort, page};
use crate::models::customers::get;
use crate::routes::value::Prediction;

/// Whole amounts of revenue between which customers are counted.
const LIMITS: [i64; 5] = [1, 100, 1_000, 10_000, 100_000];
/// Customers named as those with the largest revenue.
const TOP: usize = 10;

/// How many, by a name.
type Counts = BTreeMap<String, i64>;

/// Customers by what a group has; `unknown` where it is not stated.
fn counts(groups: &[Group], of: impl Fn(&Group) -> &str) -> Counts {
    let mut counts = Counts::new();
    for group in groups {
        let name = Some(of(group)).filter(|name| !name.is_empty());
        *counts
            .entry(name.unwrap_or("unknown").to_owned())
            .or_default() += group.customers;
    }
    counts
}

fn sum(groups: &[Group], of: impl Fn(&Group) -> i64) -> i64 {
    groups.iter().map(of).sum()
}

fn revenue(groups: &[Group]) -> Decimal {
    groups.iter().map(|group| group.revenue).sum()
}

/// A share, 0 to 1, in four decimals; null of nothing.
fn share(part: i64, whole: i64) -> Option<f64> {
    let scaled = |part: i64| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0;
    (whole > 0).then(|| scaled(part))
}

/// Figures of all customers. Money is decimal text.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    as_of: AsOf,
    /// All customers.
    total_customers: i64,
    /// By individual, business, enterprise, or unknown.
    #[schema(value_type = Object)]
    by_type: Counts,
    /// By prospect, lead, active and inactive.
    #[schema(value_type = Object)]
    by_status: Counts,
    /// Customers whose status is active.
    active_customers: i64,
    /// Customers that became known since `month_start`.
    new_this_month: i64,
    /// When this month began in the organization's time zone.
    #[schema(value_type = String, format = DateTime)]
    month_start: Timestamp,
    /// The organization's currency, in which the revenue is.
    currency: String,
    /// Net revenue of all time, in `currency`.
    total_revenue: String,
    /// Completed purchases, of all currencies.
    total_orders: i64,
}

/// Customers by type and status, new ones, and their revenue.
#[utoipa::path(
    get, path = "/stats", tag = "analytics",
    responses((status = 200, description = "The figures", body = Stats))
)]
pub(crate) async fn stats(
    State(app): State<Arc<App>>,
    ReportReader(principal): ReportReader,
    params: Params,
) -> Result<Json<Stats>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let currency = principal.currency;
    let month_start = month_start(now(), &principal.timezone);
    let (warehouse, organization) = (&*app.api.warehouse, &principal.organization);
    let groups = groups(warehouse, organization, currency, month_start).await;
    let groups = groups.map_err(|error| warehouse_problem(&error))?;
    let by_status = counts(&groups, |group| &group.status);
    Ok(Json(Stats {
        as_of,
        total_customers: sum(&groups, |group| group.customers),
        by_type: counts(&groups, |group| &group.customer_type),
        active_customers: by_status.get("active").copied().unwrap_or_default(),
        by_status,
        new_this_month: sum(&groups, |group| group.new),
        month_start,
        currency: currency.to_string(),
        total_revenue: revenue(&groups).to_text(currency.decimals()),
        total_orders: sum(&groups, |group| group.orders),
    }))
}

/// Customers with orders whose revenue is in one range.
#[derive(Serialize, ToSchema)]
pub(crate) struct ValueBand {
    /// At least so much; null for all below `to`.
    from: Option<i64>,
    /// Less than this; null without end.
    to: Option<i64>,
    /// How many customers.
    customers: i64,
    /// Their revenue.
    total_revenue: String,
}

/// One of the customers with the largest revenue.
#[derive(Serialize, ToSchema)]
pub(crate) struct TopCustomer {
    /// The client's own id.
    customer_id: String,
    /// Its name.
    name: Option<String>,
    /// Its revenue.
    total_revenue: String,
    /// Completed purchases, of all currencies.
    total_orders: i64,
}

/// What customers are worth. Money is decimal text in `currency`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ValueAnalytics {
    as_of: AsOf,
    /// The organization's currency.
    currency: String,
    /// Customers with at least one completed purchase.
    customers_with_orders: i64,
    /// Net revenue of all customers.
    total_revenue: String,
    /// Completed purchases, of all currencies.
    total_orders: i64,
    /// Net revenue for each customer with orders, on average; null without any.
    average_customer_value: Option<String>,
    /// Half of the customers with orders have at most this revenue; null without any.
    median_customer_value: Option<String>,
    /// Customers with orders by their revenue.
    distribution: Vec<ValueBand>,
    /// The ten customers with the largest revenue.
    top_customers: Vec<TopCustomer>,
    prediction: Prediction,
}

/// What customers are worth: in all, on average, by ranges, and the largest.
#[utoipa::path(
    get, path = "/customers/analytics/value", tag = "analytics",
    responses((status = 200, description = "The figures", body = ValueAnalytics))
)]
pub(crate) async fn value(
    State(app): State<Arc<App>>,
    ReportReader(principal): ReportReader,
    params: Params,
) -> Result<Json<ValueAnalytics>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let (warehouse, organization) = (&*app.api.warehouse, &principal.organization);
    let (currency, places) = (principal.currency, principal.currency.decimals());
    let failed = |error| warehouse_problem(&error);
    let groups = groups(warehouse, organization, currency, now()).await;
    let groups = groups.map_err(failed)?;
    let bands = bands(warehouse, organization, currency, &LIMITS).await;
    let (bands, median) = bands.map_err(failed)?;
    let sort = Sort::parse("-total_revenue")?;
    let top = page(warehouse, organization, Filter::default(), sort, None, TOP).await;
    let top: Vec<String> = top.map_err(failed)?.into_iter().map(|(id, _)| id).collect();
    let top = match top.is_empty() {
        true => Vec::new(),
        false => get(warehouse, organization, &top).await.map_err(failed)?,
    };
    let top = top.into_iter().filter(|customer| customer.total_orders > 0);
    let with_orders = sum(&groups, |group| group.with_orders);
    let total = revenue(&groups);
    let average = total.divided(with_orders.unsigned_abs(), places);
    Ok(Json(ValueAnalytics {
        as_of,
        currency: currency.to_string(),
        customers_with_orders: with_orders,
        total_revenue: total.to_text(places),
        total_orders: sum(&groups, |group| group.orders),
        average_customer_value: average.map(|average| average.to_text(places)),
        median_customer_value: (!bands.is_empty()).then(|| median.to_text(places)),
        distribution: (0..=LIMITS.len())
            .map(|index| {
                let band = bands.iter().find(|band| band.index == index);
                ValueBand {
                    from: index.checked_sub(1).map(|below| LIMITS[below]),
                    to: LIMITS.get(index).copied(),
                    customers: band.map_or(0, |band| band.customers),
                    total_revenue: band
                        .map_or(Decimal::ZERO, |band| band.revenue)
                        .to_text(places),
                }
            })
            .collect(),
        top_customers: top
            .map(|customer| TopCustomer {
                customer_id: customer.customer_id,
                name: customer.name,
                total_revenue: customer.total_revenue,
                total_orders: customer.total_orders,
            })
            .collect(),
        prediction: Prediction::none(),
    }))
}

/// Prospects and leads whose last noted score is in one range.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScoreBand {
    /// At least this score.
    from: usize,
    /// Less than this score; in the last range at most.
    to: usize,
    /// How many.
    customers: i64,
}

/// How customers have come on. A customer that was more than a lead was taken for one only if staff have made it one.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConversionJson {
    /// All customers: each began as a prospect or further on.
    prospects: i64,
    /// Are leads, or were made leads by staff.
    leads: i64,
    /// Are active, have bought, or were made active by staff.
    active: i64,
    /// Of those that are or were leads, those that became active.
    leads_to_active: i64,
    /// leads / prospects, 0 to 1; null without any.
    lead_rate: Option<f64>,
    /// leads_to_active / leads, 0 to 1; null without any.
    leads_to_active_rate: Option<f64>,
    /// active / prospects, 0 to 1; null without any.
    active_rate: Option<f64>,
}

/// Prospects, leads, and what became of them.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeadAnalytics {
    as_of: AsOf,
    /// Customers by prospect, lead, active and inactive.
    #[schema(value_type = Object)]
    by_status: Counts,
    /// Prospects and leads by the score that was noted last: when staff wrote down a qualification or a status.
    score_bands: Vec<ScoreBand>,
    /// Prospects and leads of which no score was noted.
    unscored: i64,
    conversion: ConversionJson,
}

/// Prospects and leads by status and score, and how many become active.
#[utoipa::path(
    get, path = "/customers/analytics/leads", tag = "analytics",
    responses((status = 200, description = "The figures", body = LeadAnalytics))
)]
pub(crate) async fn leads(
    State(app): State<Arc<App>>,
    ReportReader(principal): ReportReader,
    params: Params,
) -> Result<Json<LeadAnalytics>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let (warehouse, organization) = (&*app.api.warehouse, &principal.organization);
    let failed = |error| warehouse_problem(&error);
    let groups = groups(warehouse, organization, principal.currency, now()).await;
    let by_status = counts(&groups.map_err(failed)?, |group| &group.status);
    let scored = score_bands(warehouse, organization).await.map_err(failed)?;
    let come = conversion(warehouse, organization).await.map_err(failed)?;
    let of = |status: &str| by_status.get(status).copied().unwrap_or_default();
    let open = of("prospect") + of("lead");
    let bands = scored
        .iter()
        .enumerate()
        .map(|(index, customers)| ScoreBand {
            from: index * 20,
            to: (index + 1) * 20,
            customers: *customers,
        });
    Ok(Json(LeadAnalytics {
        as_of,
        score_bands: bands.collect(),
        unscored: (open - scored.iter().sum::<i64>()).max(0),
        conversion: ConversionJson {
            prospects: come.customers,
            leads: come.leads,
            active: come.won,
            leads_to_active: come.leads_won,
            lead_rate: share(come.leads, come.customers),
            leads_to_active_rate: share(come.leads_won, come.leads),
            active_rate: share(come.won, come.customers),
        },
        by_status,
    }))
}
