//! Look-ups for segments: everybody in a bucket, and the daily buckets of a day and later ones.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{Int32Type, UInt64Type};
use compact_str::CompactString;
use schemas::{Currency, CustomerRef, Decimal, OrganizationId};
use warehouse::Params;

use super::StoreError;
use super::clickhouse::{WarehouseStore, read_states};
use super::columns::{decimals, numbers, texts};
use super::find::CUSTOMERS_AT_ONCE;
use crate::engine::{Home, Needs, Recount, StoredBucket, StoredState};
use crate::fold::{DayKey, DayTotals};

/// The columns of a daily bucket, as [`read_days`] takes them.
pub(super) const DAY: &str = "customer, toInt32(day) AS day_number, currency, version, orders, revenue, refunds, \
    activities, interactions";
const NEWEST: &str = "ORDER BY version DESC LIMIT 1 BY customer, day, currency";

/// Daily buckets of an organization.
pub(super) fn read_days(
    organization: &OrganizationId,
    batch: &RecordBatch,
) -> Result<Vec<StoredBucket>, StoreError> {
    let (customers, currencies) = (texts(batch, "customer")?, texts(batch, "currency")?);
    let days = numbers::<Int32Type>(batch, "day_number")?;
    let count = |name| numbers::<UInt64Type>(batch, name);
    let (versions, orders) = (count("version")?, count("orders")?);
    let (activities, interactions) = (count("activities")?, count("interactions")?);
    let (revenue, refunds) = (decimals(batch, "revenue")?, decimals(batch, "refunds")?);
    let bucket = |row: usize| StoredBucket {
        customer: CustomerRef {
            organization: organization.clone(),
            customer_id: CompactString::new(customers.value(row)),
        },
        key: DayKey {
            day: days.value(row),
            currency: Currency::parse(currencies.value(row)).ok(),
        },
        totals: DayTotals {
            version: versions.value(row),
            orders: orders.value(row),
            revenue: Decimal::from_micros(revenue[row]),
            refunds: Decimal::from_micros(refunds[row]),
            activities: activities.value(row),
            interactions: interactions.value(row),
        },
    };
    Ok((0..batch.num_rows()).map(bucket).collect())
}

impl WarehouseStore {
    /// The latest states of everybody in the buckets asked for.
    pub(super) async fn find_homes(&self, needs: &Needs) -> Result<Vec<StoredState>, StoreError> {
        let sql = "SELECT bucket, organization, customer, state FROM customer_state@ \
            WHERE organization = {organization:String} AND bucket IN {buckets:Array(UInt64)} \
            ORDER BY version DESC LIMIT 1 BY customer";
        let mut found = Vec::new();
        for (organization, homes) in by_organization(&needs.homes) {
            for batch in self.query(sql, &of(organization, &homes)).await? {
                found.extend(read_states(&batch)?.into_iter().map(|(_, state)| state));
            }
        }
        Ok(found)
    }

    /// The latest buckets of the windows and homes asked for.
    pub(super) async fn find_windows(
        &self,
        needs: &Needs,
    ) -> Result<Vec<StoredBucket>, StoreError> {
        let mut found = Vec::new();
        let of_homes = format!(
            "SELECT {DAY} FROM customer_days@ WHERE organization = {{organization:String}} \
             AND bucket IN {{buckets:Array(UInt64)}} AND toInt32(day) >= {{from:Int32}} {NEWEST}"
        );
        for (organization, homes) in by_organization(&needs.homes) {
            let Some(from) = homes.iter().filter_map(|home| home.from).min() else {
                continue;
            };
            let params = of(organization, &homes).with("from", from);
            for batch in self.query(&of_homes, &params).await? {
                found.extend(read_days(organization, &batch)?);
            }
        }
        let of_customers = format!(
            "SELECT {DAY} FROM customer_days@ WHERE organization = {{organization:String}} \
             AND customer IN {{customers:Array(String)}} AND toInt32(day) >= {{from:Int32}} {NEWEST}"
        );
        let mut asked: BTreeMap<&OrganizationId, Vec<(&str, i32)>> = BTreeMap::new();
        for (_, customer, from) in &needs.windows {
            asked
                .entry(&customer.organization)
                .or_default()
                .push((&customer.customer_id, *from));
        }
        for (organization, windows) in asked {
            for windows in windows.chunks(CUSTOMERS_AT_ONCE) {
                let (customers, days): (Vec<&str>, Vec<i32>) = windows.iter().copied().unzip();
                let params = Params::new()
                    .with("organization", organization.as_str())
                    .with("customers", customers)
                    .with("from", days.into_iter().min().unwrap_or_default());
                for batch in self.query(&of_customers, &params).await? {
                    found.extend(read_days(organization, &batch)?);
                }
            }
        }
        Ok(found)
    }

    /// The buckets of some customers as the events up to a version fill them. The fold counts the same way.
    pub(super) async fn count_again(
        &self,
        recounts: &[Recount],
    ) -> Result<Vec<StoredBucket>, StoreError> {
        let sql = "SELECT customer, toInt32(toDate32(occurred_at)) AS day_number, toString(events.currency) AS currency, \
            max(at_version) AS version, countIf(kind = 'purchase' AND status = 'completed' AND amount >= 0) AS orders, \
            sum(amount) AS revenue, \
            sumIf(-amount, status = 'refunded' OR status = 'completed' AND amount < 0) AS refunds, \
            countIf(kind = 'activity') AS activities, countIf(kind = 'interaction') AS interactions \
            FROM (SELECT *, bitShiftLeft(toUInt64(generation), 48) + offset AS at_version FROM events \
                WHERE organization = {organization:String} AND customer = {customer:String} \
                AND toInt32(toDate32(occurred_at)) >= {from:Int32} AND at_version <= {version:UInt64} \
                AND (kind IN ('activity', 'interaction') OR kind = 'purchase' AND status != 'cancelled') \
                LIMIT 1 BY at_version) AS events \
            GROUP BY customer, day_number, currency";
        let mut found = Vec::new();
        for recount in recounts {
            let organization = &recount.customer.organization;
            let params = Params::new()
                .with("organization", organization.as_str())
                .with("customer", recount.customer.customer_id.as_str())
                .with("from", recount.from)
                .with("version", recount.version);
            for batch in self.query(sql, &params).await? {
                found.extend(read_days(organization, &batch)?);
            }
        }
        Ok(found)
    }
}

fn by_organization(homes: &[Home]) -> BTreeMap<&OrganizationId, Vec<&Home>> {
    let mut found: BTreeMap<&OrganizationId, Vec<&Home>> = BTreeMap::new();
    for home in homes {
        found.entry(&home.organization).or_default().push(home);
    }
    found
}

fn of(organization: &OrganizationId, homes: &[&Home]) -> Params {
    let buckets: Vec<u64> = homes.iter().map(|home| u64::from(home.bucket)).collect();
    Params::new()
        .with("organization", organization.as_str())
        .with("buckets", buckets)
}
