//! `/reports`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use schemas::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::caller::ReportReader;
use crate::http::params::{Params, refuse};
use crate::models::names::customer_names;
use crate::reports::sales::{self, Group, SalesQuery};
use crate::reports::{Calendar, Grain};
use crate::tables::cut::Cut;

/// A report that can be asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReportInfo {
    /// Its name in the path.
    name: &'static str,
    /// Where it is.
    path: &'static str,
    /// What it tells, for people.
    description: &'static str,
    /// What it can be asked for.
    parameters: &'static [&'static str],
}

/// The reports there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReportList {
    as_of: AsOf,
    /// All reports.
    items: Vec<ReportInfo>,
    /// Absent: there is one page.
    next_cursor: Option<String>,
}

/// A row of the sales report. Money and units are decimal texts.
#[derive(Serialize, ToSchema)]
pub(crate) struct SalesRow {
    /// The period's first day in `tz`. Weeks start on Monday.
    #[schema(value_type = String, format = Date)]
    period: String,
    /// Product id, category or customer id; only with `group_by`. Null: what purchases' amounts have beyond their items
    /// (and, by category, items without one).
    group: Option<String>,
    /// Name of the product or customer, where one is known.
    name: Option<String>,
    #[serde(flatten)]
    figures: SalesTotals,
}

/// The figures of a row, or of everything.
#[derive(Serialize, ToSchema)]
pub(crate) struct SalesTotals {
    /// Net revenue.
    #[schema(example = "1234.50")]
    revenue: String,
    /// Money given back, positive.
    refunds: String,
    /// Completed purchases; in a group's row those that hold it.
    orders: u64,
    /// Net quantity.
    units: String,
    /// Customers with a completed purchase in the row.
    customers: u64,
    /// (revenue + refunds) / orders, half up to the currency's decimals; null without orders.
    average_order: Option<String>,
}

/// The sales report.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the answer, which is written row by row"
)]
pub(crate) struct SalesReport {
    as_of: AsOf,
    /// ISO 4217.
    currency: String,
    /// One for each period and group, in the order of time.
    rows: Vec<SalesRow>,
    totals: SalesTotals,
    /// Where the next page begins, if `limit` cut the rows.
    next_cursor: Option<String>,
}

/// List the reports.
#[utoipa::path(
    get, path = "/reports", tag = "reports",
    responses((status = 200, description = "The reports", body = ReportList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _reader: ReportReader,
    params: Params,
) -> Result<Json<ReportList>, Problem> {
    params.finish()?;
    let sales = ReportInfo {
        name: "sales",
        path: "/api/v1/reports/sales",
        description: "revenue, refunds, orders, units and customers by period, product, category or customer",
        parameters: &[
            "period", "from", "to", "group_by", "currency", "tz", "limit", "cursor",
        ],
    };
    Ok(Json(ReportList {
        as_of: app.cut().await?.as_of(),
        items: vec![sales],
        next_cursor: None,
    }))
}

const GRAINS: [(&str, Grain); 3] = [
    ("day", Grain::Day),
    ("week", Grain::Week),
    ("month", Grain::Month),
];
const GROUPS: [(&str, Group); 3] = [
    ("product", Group::Product),
    ("category", Group::Category),
    ("customer", Group::Customer),
];
const MOST_ROWS: usize = 10_000;

/// Sales of one currency, computed over every event up to `as_of`.
///
/// Without `period` the rows are by day; with `group_by` and without `period` all of the range is one period, named by its
/// first day (`from`, or the first day with sales). Rows are ordered by period, then revenue, the largest first.
#[utoipa::path(
    get, path = "/reports/sales", tag = "reports",
    params(
        ("period" = Option<String>, Query, description = "day, week or month"),
        ("from" = Option<String>, Query, description = "first day inside, in tz, such as 2026-03-01"),
        ("to" = Option<String>, Query, description = "first day outside, in tz"),
        ("group_by" = Option<String>, Query, description = "product, category or customer"),
        ("currency" = Option<String>, Query, description = "ISO 4217; by default the organization's"),
        ("tz" = Option<String>, Query, description = "IANA time zone; by default the organization's"),
        ("limit" = Option<usize>, Query, description = "most rows, up to 10,000; by default all"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "The report", body = SalesReport))
)]
pub(crate) async fn sales(
    State(app): State<Arc<App>>,
    ReportReader(principal): ReportReader,
    mut params: Params,
) -> Result<Response, Problem> {
    let grain = params.choice("period", &GRAINS)?;
    let (from, to) = (params.date("from")?, params.date("to")?);
    let group = params.choice("group_by", &GROUPS)?.unwrap_or(Group::None);
    let currency = params.currency(principal.currency)?;
    let zone = params.timezone(&principal.timezone)?;
    let limit = params.parsed("limit", "a whole number from 1 to 10000")?;
    let place: Option<(usize, Cut)> = params.place()?;
    let question = params.finish()?;
    if limit.is_some_and(|limit| !(1..=MOST_ROWS).contains(&limit)) {
        return Err(refuse("limit", "a whole number from 1 to 10000"));
    }
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(refuse("to", "must not be before from"));
    }
    let grain = grain.unwrap_or(match group {
        Group::None => Grain::Day,
        _ => Grain::Whole,
    });
    // Rows have no keys to go on after: later pages are of the same cut, in which they have their places.
    let (offset, earlier) = place.map_or((0, None), |(offset, cut)| (offset, Some(cut)));
    let query = SalesQuery {
        calendar: Calendar { grain, zone },
        from,
        to,
        group,
        currency,
        offset,
        limit,
        earlier,
    };
    let report = sales::run(&app, &principal.organization, query).await?;
    let next = report
        .more
        .then(|| question.cursor(&(offset + limit.unwrap_or_default(), &report.cut)));
    let names = match group {
        Group::Customer => {
            customer_names(&app, &principal.organization, &report.customers()).await?
        }
        _ => HashMap::new(),
    };
    Ok(report.into_response(currency, group, names, next))
}
