//! All that happened with one customer, in one order.

use schemas::form::Members;
use schemas::{Currency, OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// The types of entries.
pub(crate) const TYPES: [&str; 9] = [
    "interaction",
    "quote",
    "feedback",
    "purchase",
    "refund",
    "cancellation",
    "activity",
    "status",
    "edit",
];

/// Something that happened with a customer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    /// interaction, quote, feedback, purchase, refund, cancellation, activity, status or edit.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Of the record or the event; of an edit its position in the log.
    pub(crate) id: String,
    /// What it was, in a line.
    pub(crate) title: String,
    /// What is known of it: fields of a record; order_id, refund_of, status, items, amount and currency of a purchase; name,
    /// properties and attributes of an activity; action, record, id, author, before and after of an edit.
    #[schema(value_type = Object)]
    pub(crate) detail: Members,
}

/// Where a page begins, newest first: after this entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    at: Timestamp,
    kind: String,
    id: String,
}

impl Entry {
    /// Where the page after it begins.
    pub(crate) fn place(&self) -> Place {
        Place {
            at: self.at,
            kind: self.kind.clone(),
            id: self.id.clone(),
        }
    }
}

/// Records, as they are now.
const RECORDS: &str = "SELECT at AS time, toString(record) AS type, id AS entry, \
    multiIf(JSONExtractString(fields, 'subject') != '', JSONExtractString(fields, 'subject'), \
      JSONExtractString(fields, 'kind') != '', JSONExtractString(fields, 'kind'), toString(record)) AS title, \
    fields AS detail, toDecimal128(0, 6) AS money, '' AS code \
    FROM customer_records FINAL WHERE organization = {organization:String} AND NOT is_deleted \
    AND record IN ('interaction', 'quote', 'feedback') AND CUSTOMER = {customer:String}";

/// What clients sent. A row may be there twice until it is merged.
const EVENTS: &str = "SELECT occurred_at AS time, multiIf(kind = 'activity', 'activity', status = 'cancelled', 'cancellation', \
      status = 'refunded' OR amount < 0, 'refund', 'purchase') AS type, event_id AS entry, \
    if(kind = 'activity', JSONExtractString(fields, 'name'), arrayStringConcat(arrayMap((name, id) -> if(name = '', id, name), \
      items.name, items.product_id), ', ')) AS title, \
    if(kind = 'activity', \
      concat('{\"name\":', toJSONString(JSONExtractString(fields, 'name')), \
        ',\"properties\":', if(JSONHas(fields, 'properties'), JSONExtractRaw(fields, 'properties'), 'null'), \
        ',\"attributes\":', if(attributes = '', 'null', attributes), '}'), \
      concat('{\"order_id\":', if(order_id = '', 'null', toJSONString(order_id)), \
        ',\"refund_of\":', if(refund_of = '', 'null', toJSONString(refund_of)), \
        ',\"status\":', toJSONString(toString(status)), \
        ',\"items\":', toJSONString(arrayMap((id, name, quantity) -> map('product_id', id, 'name', name, 'quantity', toString(quantity)), \
          items.product_id, items.name, items.quantity)), \
        ',\"attributes\":', if(attributes = '', 'null', attributes), '}')) AS detail, \
    amount AS money, toString(currency) AS code \
    FROM events WHERE organization = {organization:String} AND CUSTOMER = {customer:String} AND kind IN ('purchase', 'activity') \
    LIMIT 1 BY generation, partition, `offset`";

/// What was changed, but for the making of records, which stand there themselves.
const EDITS: &str = "SELECT at AS time, if(JSONExtractString(before, 'status') NOT IN ('', JSONExtractString(after, 'status')) \
      AND record = 'customer' AND after != '', 'status', 'edit') AS type, \
    concat(toString(generation), ':', toString(partition), ':', toString(`offset`), ':', toString(ordinal)) AS entry, \
    if(type = 'status', concat(JSONExtractString(before, 'status'), ' → ', JSONExtractString(after, 'status')), toString(action)) AS title, \
    concat('{\"action\":', toJSONString(toString(action)), ',\"record\":', toJSONString(toString(record)), \
      ',\"id\":', if(id = '', 'null', toJSONString(id)), ',\"author\":', toJSONString(author), \
      ',\"before\":', if(before = '', 'null', before), ',\"after\":', if(after = '', 'null', after), '}') AS detail, \
    toDecimal128(0, 6) AS money, '' AS code \
    FROM edits WHERE organization = {organization:String} AND CUSTOMER = {customer:String} \
    AND NOT (before = '' AND record IN ('interaction', 'quote', 'feedback')) \
    LIMIT 1 BY generation, partition, `offset`, ordinal";

/// The entries of a customer, newest first, at most `limit`; perhaps of one type.
pub(crate) async fn page(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    customer: &str,
    kind: Option<&str>,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Entry>, WarehouseError> {
    let mut params = Params::new()
        .with("organization", organization.as_str())
        .with("customer", customer);
    let mut conditions = vec!["true".to_owned()];
    if let Some(kind) = kind {
        conditions.push("type = {type:String}".to_owned());
        params = params.with("type", kind);
    }
    if let Some(place) = after {
        conditions.push(
            "(time, type, entry) < ({after_time:DateTime64(6, 'UTC')}, {after_type:String}, {after_entry:String})"
                .to_owned(),
        );
        params = params
            .with("after_time", place.at)
            .with("after_type", place.kind.as_str())
            .with("after_entry", place.id.as_str());
    }
    let all =
        [RECORDS, EVENTS, EDITS].map(|part| format!("({})", part.replace("CUSTOMER", CUSTOMER)));
    let sql = format!(
        "SELECT toUnixTimestamp64Micro(time) AS c_time, type AS c_type, entry AS c_entry, title AS c_title, \
         detail AS c_detail, money AS c_money, code AS c_code FROM ({}) WHERE {} \
         ORDER BY time DESC, type DESC, entry DESC LIMIT {limit}",
        all.join(" UNION ALL "),
        conditions.join(" AND "),
    );
    let mut page = Vec::new();
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let (times, money) = (rows.times("c_time")?, rows.decimals("c_money")?);
        let (mut kinds, mut ids) = (rows.texts("c_type")?, rows.texts("c_entry")?);
        let (mut titles, details) = (rows.texts("c_title")?, rows.texts("c_detail")?);
        let codes = rows.texts("c_code")?;
        for row in 0..batch.num_rows() {
            let wrong = |error| WarehouseError::Answer(format!("an entry of a timeline: {error}"));
            let mut detail: Members = serde_json::from_str(&details[row]).map_err(wrong)?;
            if let Ok(currency) = Currency::parse(&codes[row]) {
                let amount = money[row].to_text(currency.decimals());
                for (name, value) in [("amount", amount.as_str()), ("currency", currency.as_str())]
                {
                    let value = serde_json::value::to_raw_value(value).map_err(wrong)?;
                    detail.insert(name.to_owned(), value);
                }
            }
            page.push(Entry {
                at: times[row].unwrap_or_default(),
                kind: std::mem::take(&mut kinds[row]),
                id: std::mem::take(&mut ids[row]),
                title: std::mem::take(&mut titles[row]),
                detail,
            });
        }
    }
    Ok(page)
}
