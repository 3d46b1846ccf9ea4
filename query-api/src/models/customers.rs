//! Customers as the warehouse's live state has them: always the newest version, without merging all of them.

use arrow::array::RecordBatch;
use schemas::{Decimal, Edits, OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// A customer as lists show it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CustomerJson {
    /// The internal id, `cus_…`.
    pub(crate) id: String,
    /// The client's own id.
    pub(crate) customer_id: String,
    /// As last stated by a user event.
    pub(crate) name: Option<String>,
    /// As last stated by a user event.
    pub(crate) email: Option<String>,
    /// As last stated by a user event.
    pub(crate) phone: Option<String>,
    /// As last stated by a user event.
    pub(crate) company_name: Option<String>,
    /// individual, business or enterprise.
    pub(crate) customer_type: Option<String>,
    /// prospect, lead, active or inactive.
    pub(crate) status: String,
    /// The member of staff responsible, `usr_…`.
    pub(crate) assigned_to: Option<String>,
    /// As last stated by a user event.
    pub(crate) city: Option<String>,
    /// As last stated by a user event.
    pub(crate) country: Option<String>,
    /// The loyalty tier.
    pub(crate) tier: String,
    /// The tier given by hand; empty where none is.
    #[serde(skip)]
    pub(crate) manual_tier: String,
    /// Loyalty points.
    pub(crate) points: i64,
    /// Completed purchases, of all currencies.
    pub(crate) total_orders: i64,
    /// Net revenue in `currency`, a decimal text.
    pub(crate) total_revenue: String,
    /// ISO 4217.
    pub(crate) currency: String,
    /// Activity events.
    pub(crate) activities: i64,
    /// Interaction events.
    pub(crate) interactions: i64,
    /// Time of the first event of any kind.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) first_seen: Option<Timestamp>,
    /// Time of the last event of any kind.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_seen: Option<Timestamp>,
    /// Time of the last interaction.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_contact: Option<Timestamp>,
    /// Time of the last purchase that counts as an order.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_order_date: Option<Timestamp>,
    /// When the customer became known: receipt of its first event.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) created_at: Option<Timestamp>,
    /// Receipt of the last event that changed the customer.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) updated_at: Option<Timestamp>,
}

/// A customer and the fold's own state of it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) customer: CustomerJson,
    pub(crate) state: Details,
}

impl Found {
    /// The account that the customer is.
    pub(crate) fn user_id(&self) -> Option<String> {
        let json = self.state.profile.fields.get("user_id")?;
        serde_json::from_str(json).ok()
    }
}

/// What is read of `customer_state.state` beside the columns. Fields it may gain are passed over.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Details {
    #[serde(default)]
    pub(crate) profile: Profile,
    #[serde(default)]
    pub(crate) status_reason: Option<String>,
    #[serde(default)]
    pub(crate) refunds: u64,
    #[serde(default)]
    pub(crate) money: Vec<Money>,
    #[serde(default)]
    pub(crate) last_order_id: Option<String>,
    #[serde(default)]
    pub(crate) edits: Edits,
    #[serde(default)]
    pub(crate) loyalty: Account,
    #[serde(default)]
    pub(crate) segments: Memberships,
}

/// What is read of a loyalty account beside its columns.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    pub(crate) manual_tier: Option<String>,
    pub(crate) owed: i64,
    pub(crate) total_earned: i64,
    pub(crate) total_redeemed: i64,
    pub(crate) total_expired: i64,
    /// Microseconds since 1970.
    pub(crate) last_activity: Option<i64>,
    /// Days since 1970 on which points expire, and how many; soonest first.
    pub(crate) lots: Vec<(i32, i64)>,
}

/// The segments of a customer.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Memberships {
    /// Those it is in, by id.
    #[serde(rename = "in", default)]
    pub(crate) members: std::collections::BTreeMap<String, Member>,
    /// What staff have decided, by id.
    #[serde(default)]
    pub(crate) held: std::collections::BTreeMap<String, bool>,
}

/// Since when, in microseconds since 1970, and by which version of the segment.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Member {
    #[serde(rename = "v")]
    pub(crate) version: u64,
    #[serde(rename = "s")]
    pub(crate) since: i64,
}

/// Fields and attributes, each as the JSON it was stated in.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Profile {
    #[serde(default)]
    pub(crate) fields: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) attributes: std::collections::BTreeMap<String, String>,
}

/// Money in one currency.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Money {
    pub(crate) currency: String,
    pub(crate) revenue: Decimal,
    pub(crate) refunds: Decimal,
    pub(crate) orders: u64,
}

/// The JSON that a text of the state holds, digit for digit; null if it is none.
pub(crate) fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned())
        .or_else(|_| RawValue::from_string("null".to_owned()))
        .unwrap_or_default()
}

/// The columns of [`CustomerJson`], in types that [`Rows`] reads.
fn columns() -> String {
    let texts = [
        "name",
        "email",
        "phone",
        "company_name",
        "customer_type",
        "status",
        "city",
        "country",
        "tier",
        "manual_tier",
        "currency",
        "assigned_to",
    ];
    let numbers = ["points", "orders", "activities", "interactions"];
    let times = [
        "first_seen",
        "last_seen",
        "last_contact",
        "last_order",
        "created_at",
        "updated_at",
    ];
    let mut columns = vec![
        "toString(customer_key) AS c_id".to_owned(),
        format!("{CUSTOMER} AS c_customer_id"),
        "revenue AS c_revenue".to_owned(),
    ];
    columns.extend(texts.map(|name| format!("toString({name}) AS c_{name}")));
    columns.extend(numbers.map(|name| format!("toInt64({name}) AS c_{name}")));
    columns.extend(times.map(|name| format!("toUnixTimestamp64Micro({name}) AS c_{name}")));
    columns.join(", ")
}

fn read(batch: &RecordBatch) -> Result<Vec<CustomerJson>, WarehouseError> {
    let rows = Rows::new(batch);
    let text = |name: &str| rows.texts(name);
    let optional = |name: &str| -> Result<Vec<Option<String>>, WarehouseError> {
        Ok(rows
            .texts(name)?
            .into_iter()
            .map(|text| Some(text).filter(|text| !text.is_empty()))
            .collect())
    };
    let number = |name: &str| -> Result<Vec<i64>, WarehouseError> {
        Ok(rows
            .numbers(name)?
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect())
    };
    let (mut id, mut customer_id) = (text("c_id")?, text("c_customer_id")?);
    let (mut status, mut tier, mut currency) =
        (text("c_status")?, text("c_tier")?, text("c_currency")?);
    let (mut name, mut email, mut phone) = (
        optional("c_name")?,
        optional("c_email")?,
        optional("c_phone")?,
    );
    let (mut company_name, mut customer_type) =
        (optional("c_company_name")?, optional("c_customer_type")?);
    let (mut city, mut country) = (optional("c_city")?, optional("c_country")?);
    let (mut assigned_to, mut manual_tier) = (optional("c_assigned_to")?, text("c_manual_tier")?);
    let (points, orders) = (number("c_points")?, number("c_orders")?);
    let (activities, interactions) = (number("c_activities")?, number("c_interactions")?);
    let revenue = rows.decimals("c_revenue")?;
    let (first_seen, last_seen) = (rows.times("c_first_seen")?, rows.times("c_last_seen")?);
    let (last_contact, last_order) = (rows.times("c_last_contact")?, rows.times("c_last_order")?);
    let (created_at, updated_at) = (rows.times("c_created_at")?, rows.times("c_updated_at")?);
    let take = |column: &mut Vec<String>, row: usize| std::mem::take(&mut column[row]);
    Ok((0..batch.num_rows())
        .map(|row| {
            let places =
                schemas::Currency::parse(&currency[row]).map_or(2, schemas::Currency::decimals);
            CustomerJson {
                id: take(&mut id, row),
                customer_id: take(&mut customer_id, row),
                name: name[row].take(),
                email: email[row].take(),
                phone: phone[row].take(),
                company_name: company_name[row].take(),
                customer_type: customer_type[row].take(),
                status: take(&mut status, row),
                assigned_to: assigned_to[row].take(),
                city: city[row].take(),
                country: country[row].take(),
                tier: take(&mut tier, row),
                manual_tier: take(&mut manual_tier, row),
                points: points[row],
                total_orders: orders[row],
                total_revenue: revenue[row].to_text(places),
                currency: take(&mut currency, row),
                activities: activities[row],
                interactions: interactions[row],
                first_seen: first_seen[row],
                last_seen: last_seen[row],
                last_contact: last_contact[row],
                last_order_date: last_order[row],
                created_at: created_at[row],
                updated_at: updated_at[row],
            }
        })
        .collect())
}

/// A customer by its external id, or else by its internal one.
pub(crate) async fn find(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    id: &str,
) -> Result<Option<Found>, WarehouseError> {
    if let Some(found) = find_by(warehouse, organization, CUSTOMER, id).await? {
        return Ok(Some(found));
    }
    match id.starts_with("cus_") {
        true => find_by(warehouse, organization, "customer_key", id).await,
        false => Ok(None),
    }
}

/// A customer from its row of `customer_state`.
pub(crate) fn from_row(row: &RecordBatch) -> Result<Option<Found>, WarehouseError> {
    let columns = row.schema();
    let named = columns.fields().iter().zip(row.columns());
    let named = named.map(|(field, column)| {
        let name = match field.name().as_str() {
            "customer_key" => "c_id".to_owned(),
            CUSTOMER => "c_customer_id".to_owned(),
            name => format!("c_{name}"),
        };
        (name, column.clone())
    });
    let row = RecordBatch::try_from_iter(named)
        .map_err(|error| WarehouseError::Answer(error.to_string()))?;
    with_state(&row)
}

fn with_state(batch: &RecordBatch) -> Result<Option<Found>, WarehouseError> {
    let state = Rows::new(batch)
        .texts("c_state")?
        .into_iter()
        .next()
        .unwrap_or_default();
    let state = serde_json::from_str(&state)
        .map_err(|error| WarehouseError::Answer(format!("the state of a customer: {error}")))?;
    let customer = read(batch)?.into_iter().next();
    Ok(customer.map(|customer| Found { customer, state }))
}

async fn find_by(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    column: &str,
    id: &str,
) -> Result<Option<Found>, WarehouseError> {
    let sql = format!(
        "SELECT * FROM (SELECT {}, toString(state) AS c_state, is_deleted AS c_deleted FROM customer_state \
         WHERE organization = {{organization:String}} AND {column} = {{id:String}} ORDER BY version DESC LIMIT 1) \
         WHERE NOT c_deleted",
        columns()
    );
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("id", id);
    let batches = warehouse.query(&sql, &params).await?;
    match batches.iter().find(|batch| batch.num_rows() > 0) {
        Some(batch) => with_state(batch),
        None => Ok(None),
    }
}

/// These customers, in this order.
pub(crate) async fn get(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    ids: &[String],
) -> Result<Vec<CustomerJson>, WarehouseError> {
    let sql = format!(
        "SELECT {} FROM customer_state WHERE organization = {{organization:String}} \
         AND {CUSTOMER} IN {{ids:Array(String)}} ORDER BY {CUSTOMER}, version DESC LIMIT 1 BY {CUSTOMER}",
        columns()
    );
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("ids", ids.to_vec());
    let mut found = std::collections::HashMap::new();
    for batch in warehouse.query(&sql, &params).await? {
        found.extend(
            read(&batch)?
                .into_iter()
                .map(|customer| (customer.customer_id.clone(), customer)),
        );
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// These customers with their states, in this order.
pub(crate) async fn get_with_state(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    ids: &[String],
) -> Result<Vec<Found>, WarehouseError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {}, toString(state) AS c_state FROM customer_state WHERE organization = {{organization:String}} \
         AND {CUSTOMER} IN {{ids:Array(String)}} ORDER BY {CUSTOMER}, version DESC LIMIT 1 BY {CUSTOMER}",
        columns()
    );
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("ids", ids.to_vec());
    let mut found = std::collections::HashMap::new();
    for batch in warehouse.query(&sql, &params).await? {
        let states = Rows::new(&batch).texts("c_state")?;
        for (customer, state) in read(&batch)?.into_iter().zip(states) {
            let state = serde_json::from_str(&state).map_err(|error| {
                WarehouseError::Answer(format!("the state of a customer: {error}"))
            })?;
            found.insert(customer.customer_id.clone(), Found { customer, state });
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}
