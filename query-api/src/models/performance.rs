//! How a member of staff does with its customers.

use std::collections::BTreeMap;

use schemas::{Currency, Decimal, OrganizationId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use super::follow_ups::{MAY_BE_DUE, next_follow_up};
use super::interactions::{OPEN_FOLLOW_UP, RECORD, STATUS, time_of};
use super::records::Records;
use super::sight::Sight;
use crate::tables::rows::Rows;

/// What a member of staff has done and has to do.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Performance {
    /// Customers that are assigned to the user.
    pub(crate) customers: i64,
    /// The same by status.
    pub(crate) customers_by_status: BTreeMap<String, i64>,
    /// Net revenue of those customers so far in `currency`, a decimal text.
    pub(crate) revenue: String,
    /// The organization's currency, ISO 4217.
    pub(crate) currency: String,
    /// Interactions the user is responsible for, without cancelled ones.
    pub(crate) interactions_handled: i64,
    /// Those of them that are completed.
    pub(crate) interactions_completed: i64,
    /// Those of them that are pending.
    pub(crate) interactions_pending: i64,
    /// Mean length in minutes of the interactions with one; null without any.
    pub(crate) average_duration_minutes: Option<f64>,
    /// Follow-ups of the user that are due: of interactions, whenever they occurred, and of customers.
    pub(crate) overdue_follow_ups: i64,
}

/// How a user does, over interactions that occurred in a range; `from` is inside, `to` outside.
pub(crate) async fn performance(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    currency: Currency,
    user: &str,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    now: Timestamp,
) -> Result<Performance, WarehouseError> {
    let mut performance = of_customers(warehouse, organization, currency, user, now).await?;
    let all = || Records::of(organization, RECORD, &Sight::All).with_text("assigned_to", user);
    let mut records = all();
    if let Some(from) = from {
        records = records.from(from.kept());
    }
    if let Some(to) = to {
        records = records.before(to.kept());
    }
    let (condition, params) = records.into_condition();
    let sql = format!(
        "SELECT toInt64(countIf(status != 'cancelled')) AS c_handled, toInt64(countIf(status = 'completed')) AS c_completed, \
         toInt64(countIf(status = 'pending')) AS c_pending, avg(duration) AS c_duration FROM (\
           SELECT {STATUS} AS status, JSONExtract(fields, 'duration', 'Nullable(UInt32)') AS duration \
           FROM customer_records FINAL WHERE NOT is_deleted AND {condition})"
    );
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let number = |name: &str| -> Result<i64, WarehouseError> {
            Ok(rows.numbers(name)?.into_iter().flatten().sum())
        };
        performance.interactions_handled = number("c_handled")?;
        performance.interactions_completed = number("c_completed")?;
        performance.interactions_pending = number("c_pending")?;
        performance.average_duration_minutes =
            rows.reals("c_duration")?.into_iter().flatten().next();
    }
    let due = format!(
        "{} <= {{now:DateTime64(6, 'UTC')}}",
        time_of("follow_up_at")
    );
    let overdue = all()
        .narrowed(|params| (Some(OPEN_FOLLOW_UP.to_owned()), params))
        .and(due, "now", now);
    performance.overdue_follow_ups += overdue.count(warehouse).await?;
    Ok(performance)
}

async fn of_customers(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    currency: Currency,
    user: &str,
    now: Timestamp,
) -> Result<Performance, WarehouseError> {
    let sql = format!(
        "SELECT toString(status) AS c_status, toInt64(count()) AS c_count, \
         sum(if(currency = {{currency:String}}, revenue, toDecimal128(0, 6))) AS c_revenue, \
         toInt64(countIf({MAY_BE_DUE} AND {due} <= {{before:DateTime64(6, 'UTC')}})) AS c_due \
         FROM customer_state FINAL WHERE organization = {{organization:String}} AND assigned_to = {{user:String}} \
         AND NOT is_deleted GROUP BY status",
        due = next_follow_up(),
    );
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("currency", currency.as_str())
        .with("user", user)
        .with("before", now);
    let mut found = Performance::default();
    let mut revenue = Decimal::ZERO;
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let (statuses, counts) = (rows.texts("c_status")?, rows.numbers("c_count")?);
        for (status, count) in statuses.into_iter().zip(counts) {
            let count = count.unwrap_or_default();
            found.customers += count;
            found.customers_by_status.insert(status, count);
        }
        for part in rows.decimals("c_revenue")? {
            revenue += part;
        }
        found.overdue_follow_ups += rows.numbers("c_due")?.into_iter().flatten().sum::<i64>();
    }
    found.revenue = revenue.to_text(currency.decimals());
    found.currency = currency.to_string();
    Ok(found)
}
