//! Figures of all customers of an organization together.

use chrono::{Datelike, TimeZone, Utc};
use chrono_tz::Tz;
use schemas::{Currency, Decimal, OrganizationId, Timestamp};
use warehouse::{Params, Warehouse, WarehouseError};

use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// Customers of one type and status together.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Empty where it is not known.
    pub(crate) customer_type: String,
    pub(crate) status: String,
    pub(crate) customers: i64,
    /// Of those, since a time.
    pub(crate) new: i64,
    pub(crate) with_orders: i64,
    pub(crate) orders: i64,
    /// In one currency.
    pub(crate) revenue: Decimal,
}

/// When the month began in a time zone.
pub(crate) fn month_start(now: Timestamp, zone: &str) -> Timestamp {
    let zone: Tz = zone.parse().unwrap_or(Tz::UTC);
    let now_utc = Utc.timestamp_micros(now.micros()).single();
    let begun = now_utc.and_then(|now| {
        let local = now.with_timezone(&zone);
        let begun = zone.with_ymd_and_hms(local.year(), local.month(), 1, 0, 0, 0);
        begun.earliest()
    });
    begun.map_or(now, |begun| {
        Timestamp::from_micros(begun.timestamp_micros())
    })
}

/// Customers by type and status.
pub(crate) async fn groups(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    currency: Currency,
    since: Timestamp,
) -> Result<Vec<Group>, WarehouseError> {
    let sql = "SELECT toString(customer_type) AS c_type, toString(status) AS c_status, toInt64(count()) AS c_customers, \
         toInt64(countIf(created_at >= {since:DateTime64(6, 'UTC')})) AS c_new, toInt64(countIf(orders > 0)) AS c_with_orders, \
         toInt64(sum(orders)) AS c_orders, sumIf(revenue, currency = {currency:String}) AS c_revenue \
         FROM customer_state FINAL WHERE organization = {organization:String} AND NOT is_deleted \
         GROUP BY customer_type, status ORDER BY c_type, c_status";
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("currency", currency.as_str())
        .with("since", since);
    let mut groups = Vec::new();
    for batch in warehouse.query(sql, &params).await? {
        let rows = Rows::new(&batch);
        let number = |name: &str| rows.numbers(name);
        let (customers, new) = (number("c_customers")?, number("c_new")?);
        let (with_orders, orders) = (number("c_with_orders")?, number("c_orders")?);
        let (mut statuses, revenue) = (rows.texts("c_status")?, rows.decimals("c_revenue")?);
        for (row, customer_type) in rows.texts("c_type")?.into_iter().enumerate() {
            groups.push(Group {
                customer_type,
                status: std::mem::take(&mut statuses[row]),
                customers: customers[row].unwrap_or_default(),
                new: new[row].unwrap_or_default(),
                with_orders: with_orders[row].unwrap_or_default(),
                orders: orders[row].unwrap_or_default(),
                revenue: revenue[row],
            });
        }
    }
    Ok(groups)
}

/// Customers whose revenue is in one range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Band {
    /// Which: so many of the limits are at or below the revenue.
    pub(crate) index: usize,
    pub(crate) customers: i64,
    pub(crate) revenue: Decimal,
}

/// Customers with orders by revenue in one currency, between rising limits; and their median.
pub(crate) async fn bands(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    currency: Currency,
    limits: &[i64],
) -> Result<(Vec<Band>, Decimal), WarehouseError> {
    let from = "FROM customer_state FINAL WHERE organization = {organization:String} AND NOT is_deleted \
         AND orders > 0 AND currency = {currency:String}";
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("currency", currency.as_str());
    let sql = format!(
        "SELECT toInt64(arrayCount(limit -> toDecimal128(limit, 6) <= revenue, {{limits:Array(Int64)}})) AS c_band, \
         toInt64(count()) AS c_customers, sum(revenue) AS c_revenue {from} GROUP BY c_band ORDER BY c_band"
    );
    let mut bands = Vec::new();
    let with_limits = params.clone().with("limits", limits);
    for batch in warehouse.query(&sql, &with_limits).await? {
        let rows = Rows::new(&batch);
        let (indexes, customers) = (rows.numbers("c_band")?, rows.numbers("c_customers")?);
        for (row, revenue) in rows.decimals("c_revenue")?.into_iter().enumerate() {
            let index = indexes[row].unwrap_or_default();
            bands.push(Band {
                index: usize::try_from(index).unwrap_or_default(),
                customers: customers[row].unwrap_or_default(),
                revenue,
            });
        }
    }
    let sql = format!("SELECT quantileExactLow(0.5)(revenue) AS c_median {from}");
    let mut median = Decimal::ZERO;
    for batch in warehouse.query(&sql, &params).await? {
        let medians = Rows::new(&batch).decimals("c_median")?;
        median = medians.first().copied().unwrap_or(median);
    }
    Ok((bands, median))
}

/// How far customers have come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Conversion {
    pub(crate) customers: i64,
    /// Were leads, or are.
    pub(crate) leads: i64,
    /// Of those, were active, or are.
    pub(crate) leads_won: i64,
    /// Were active, or are.
    pub(crate) won: i64,
}

/// How far customers have come: from what they are, and from what staff have made of them.
pub(crate) async fn conversion(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
) -> Result<Conversion, WarehouseError> {
    let moved = |to: &str| {
        format!(
            "{CUSTOMER} IN (SELECT {CUSTOMER} FROM edits WHERE organization = {{organization:String}} \
             AND record = 'customer' AND JSONExtractString(after, 'status') = '{to}')"
        )
    };
    let sql = format!(
        "SELECT toInt64(count()) AS c_customers, toInt64(countIf(is_lead)) AS c_leads, \
         toInt64(countIf(is_lead AND is_won)) AS c_leads_won, toInt64(countIf(is_won)) AS c_won FROM (\
           SELECT (status = 'lead' OR {}) AS is_lead, (status = 'active' OR orders > 0 OR {}) AS is_won \
           FROM customer_state FINAL WHERE organization = {{organization:String}} AND NOT is_deleted)",
        moved("lead"),
        moved("active"),
    );
    let params = Params::new().with("organization", organization.as_str());
    let mut found = Conversion::default();
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let first = |name: &str| -> Result<i64, WarehouseError> {
            Ok(rows
                .numbers(name)?
                .into_iter()
                .flatten()
                .next()
                .unwrap_or_default())
        };
        found = Conversion {
            customers: first("c_customers")?,
            leads: first("c_leads")?,
            leads_won: first("c_leads_won")?,
            won: first("c_won")?,
        };
    }
    Ok(found)
}

/// Prospects and leads by their last noted score: in each fifth of the scale, from 0 to 20 up to 80 to 100.
pub(crate) async fn score_bands(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
) -> Result<[i64; 5], WarehouseError> {
    let sql = format!(
        "SELECT toInt64(least(intDiv(score, 20), 4)) AS c_band, toInt64(count()) AS c_customers FROM (\
           SELECT argMax(JSONExtractInt(fields, 'score'), (at, id)) AS score FROM customer_records FINAL \
           WHERE organization = {{organization:String}} AND record = 'lead_score' AND NOT is_deleted \
           AND {CUSTOMER} IN (SELECT {CUSTOMER} FROM customer_state FINAL WHERE organization = {{organization:String}} \
             AND NOT is_deleted AND status IN ('prospect', 'lead')) GROUP BY {CUSTOMER}) GROUP BY c_band"
    );
    let params = Params::new().with("organization", organization.as_str());
    let mut bands = [0; 5];
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let customers = rows.numbers("c_customers")?;
        for (row, band) in rows.numbers("c_band")?.into_iter().enumerate() {
            let band = band.and_then(|band| usize::try_from(band).ok());
            if let Some(band) = band.and_then(|band| bands.get_mut(band)) {
                *band += customers[row].unwrap_or_default();
            }
        }
    }
    Ok(bands)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_local_midnight() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let now = at("2026-03-01T02:00:00Z");
        assert_eq!(month_start(now, "UTC"), at("2026-03-01T00:00:00Z"));
        assert_eq!(
            month_start(now, "Europe/Berlin"),
            at("2026-02-28T23:00:00Z")
        );
        assert_eq!(
            month_start(now, "America/New_York"),
            at("2026-02-01T05:00:00Z")
        );
        assert_eq!(month_start(now, "Mars"), at("2026-03-01T00:00:00Z"));
    }
}
