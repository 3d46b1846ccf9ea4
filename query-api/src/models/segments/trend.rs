//! A segment over time: how many customers it had, and what they brought.

use std::collections::BTreeMap;

use schemas::{Currency, Decimal, OrganizationId};
use serde::Serialize;
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// Days, weeks from Monday, or months, all UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    Day,
    Week,
    Month,
}

impl Period {
    /// The first day of the period of a day.
    fn of(self, day: &str) -> String {
        match self {
            Period::Day => format!("toDate32({day})"),
            Period::Week => format!("toDate32(toMonday({day}))"),
            Period::Month => format!("toDate32(toStartOfMonth({day}))"),
        }
    }
}

/// A segment in one period.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TrendRow {
    /// Its first day.
    #[schema(format = Date)]
    period: String,
    /// Customers who entered.
    entered: i64,
    /// Customers who left.
    left: i64,
    /// Customers in it when the period ended.
    size: i64,
    /// Net revenue of the days at whose end a customer was in it, a decimal text in the currency asked for.
    revenue: String,
}

/// The periods in which anything happened, in order.
pub(crate) async fn trend(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    segment: &str,
    period: Period,
    currency: Currency,
) -> Result<Vec<TrendRow>, WarehouseError> {
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("segment", segment)
        .with("currency", currency.as_str());
    let mut found: BTreeMap<String, (i64, i64, Decimal)> = BTreeMap::new();
    let moves = format!(
        "SELECT toString({}) AS c_period, toInt64(countIf(change = 'entered')) AS c_entered, \
         toInt64(countIf(change = 'left')) AS c_left FROM segment_events FINAL \
         WHERE organization = {{organization:String}} AND segment = {{segment:String}} GROUP BY c_period",
        period.of("at")
    );
    for batch in warehouse.query(&moves, &params).await? {
        let rows = Rows::new(&batch);
        let (entered, left) = (rows.numbers("c_entered")?, rows.numbers("c_left")?);
        for (row, period) in rows.texts("c_period")?.into_iter().enumerate() {
            let entry = found.entry(period).or_default();
            entry.0 += entered[row].unwrap_or_default();
            entry.1 += left[row].unwrap_or_default();
        }
    }
    let revenue = format!(
        "SELECT toString({}) AS c_period, sum(d.revenue) AS c_revenue FROM (\
           SELECT {CUSTOMER}, day, argMax(revenue, version) AS revenue, \
           toDateTime64(day + 1, 6, 'UTC') AS until FROM customer_days \
           WHERE organization = {{organization:String}} AND currency = {{currency:String}} \
           AND {CUSTOMER} IN (SELECT {CUSTOMER} FROM segment_members \
             WHERE organization = {{organization:String}} AND segment = {{segment:String}}) \
           GROUP BY {CUSTOMER}, day) AS d \
         ASOF INNER JOIN (SELECT {CUSTOMER}, at, change FROM segment_events FINAL \
           WHERE organization = {{organization:String}} AND segment = {{segment:String}}) AS e \
         ON d.{CUSTOMER} = e.{CUSTOMER} AND d.until > e.at WHERE e.change = 'entered' GROUP BY c_period",
        period.of("d.day")
    );
    for batch in warehouse.query(&revenue, &params).await? {
        let rows = Rows::new(&batch);
        let amounts = rows.decimals("c_revenue")?;
        for (row, period) in rows.texts("c_period")?.into_iter().enumerate() {
            found.entry(period).or_default().2 += amounts[row];
        }
    }
    let mut size = 0;
    let rows = found.into_iter().map(|(period, (entered, left, revenue))| {
        size += entered - left;
        TrendRow {
            period,
            entered,
            left,
            size,
            revenue: revenue.to_text(currency.decimals()),
        }
    });
    Ok(rows.collect())
}
