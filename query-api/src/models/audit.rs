//! The audit: who changed what of a customer, newest first. Nothing here writes.

use control::AuditEntry;
use schemas::{OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use warehouse::{Params, Value, Warehouse, WarehouseError};

use super::customers::raw;
use crate::tables::CUSTOMER;
use crate::tables::cut::Cut;
use crate::tables::rows::Rows;

const TIME: &str = "DateTime64(6, 'UTC')";

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditJson {
    /// When it was stated.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) at: Option<Timestamp>,
    /// Who stated it: a user, `usr_…`, or a key, `key_…`.
    pub(crate) actor: String,
    /// The address it came from, where known.
    pub(crate) origin: Option<String>,
    /// What was done, such as `customer.update`.
    pub(crate) action: String,
    /// What it was done to: customer, contact, interaction, …
    pub(crate) record: String,
    /// Which one; of a customer its id.
    pub(crate) record_id: String,
    /// The customer it belongs to.
    pub(crate) customer_id: Option<String>,
    /// What it was, as far as it was changed; null where there was nothing.
    #[schema(value_type = Option<Object>)]
    pub(crate) before: Option<Box<RawValue>>,
    /// What it is since; null where nothing is left.
    #[schema(value_type = Option<Object>)]
    pub(crate) after: Option<Box<RawValue>>,
    #[serde(skip)]
    pub(crate) place: Place,
}

impl From<AuditEntry> for AuditJson {
    fn from(entry: AuditEntry) -> Self {
        let json = |value: serde_json::Value| raw(&value.to_string());
        let customer = (entry.record == "customer").then(|| entry.record_id.clone());
        Self {
            at: Some(entry.at),
            actor: entry.actor,
            origin: entry.origin,
            action: entry.action,
            record: entry.record,
            record_id: entry.record_id,
            customer_id: customer,
            before: entry.before.map(json),
            after: entry.after.map(json),
            place: Place::default(),
        }
    }
}

/// Where a page begins: the last change before it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Place {
    at: Timestamp,
    generation: u32,
    partition: u32,
    offset: u64,
    customer: String,
    ordinal: u32,
}

/// Changes of one organization before a cut, and further conditions, all of which must hold.
#[derive(Debug)]
pub(crate) struct Changes {
    conditions: Vec<String>,
    params: Params,
}

impl Changes {
    pub(crate) fn of(organization: &OrganizationId, cut: &Cut) -> Self {
        let (applied, params) = cut.condition(Params::new());
        Self {
            conditions: vec!["organization = {organization:String}".to_owned(), applied],
            params: params.with("organization", organization.as_str()),
        }
    }

    fn and(&mut self, condition: String, name: &str, value: impl Into<Value>) {
        self.conditions.push(condition);
        self.params = std::mem::take(&mut self.params).with(name, value);
    }

    /// A column has this value.
    pub(crate) fn equals(&mut self, column: &'static str, value: &str) {
        self.and(
            format!("{column} = {{is_{column}:String}}"),
            &format!("is_{column}"),
            value,
        );
    }

    /// Only from a time on.
    pub(crate) fn from(&mut self, time: Timestamp) {
        self.and(format!("at >= {{from:{TIME}}}"), "from", time);
    }

    /// Only before a time.
    pub(crate) fn before(&mut self, time: Timestamp) {
        self.and(format!("at < {{before:{TIME}}}"), "before", time);
    }

    /// The changes, newest first, at most `limit`.
    pub(crate) async fn page(
        mut self,
        warehouse: &dyn Warehouse,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<AuditJson>, WarehouseError> {
        if let Some(place) = after {
            self.conditions.push(format!(
                "(at, generation, partition, offset, {CUSTOMER}, ordinal) < ({{after_at:{TIME}}}, {{after_generation:UInt32}}, \
                 {{after_partition:UInt32}}, {{after_offset:UInt64}}, {{after_customer:String}}, {{after_ordinal:UInt32}})"
            ));
            self.params = self
                .params
                .with("after_at", place.at)
                .with("after_generation", place.generation)
                .with("after_partition", place.partition)
                .with("after_offset", place.offset)
                .with("after_customer", place.customer.as_str())
                .with("after_ordinal", place.ordinal);
        }
        let sql = format!(
            "SELECT toUnixTimestamp64Micro(at) AS c_at, toInt64(generation) AS c_generation, \
             toInt64(partition) AS c_partition, toInt64(offset) AS c_offset, toInt64(ordinal) AS c_ordinal, \
             author AS c_author, origin AS c_origin, toString(action) AS c_action, toString(record) AS c_record, \
             id AS c_id, {CUSTOMER} AS c_customer, before AS c_before, after AS c_after \
             FROM edits WHERE {} ORDER BY at DESC, generation DESC, partition DESC, offset DESC, {CUSTOMER} DESC, ordinal DESC \
             LIMIT 1 BY at, generation, partition, offset, {CUSTOMER}, ordinal LIMIT {limit}",
            self.conditions.join(" AND ")
        );
        let mut found = Vec::new();
        for batch in warehouse.query(&sql, &self.params).await? {
            let rows = Rows::new(&batch);
            let at = rows.times("c_at")?;
            let number = |name: &str| rows.numbers(name);
            let (generations, partitions) = (number("c_generation")?, number("c_partition")?);
            let (offsets, ordinals) = (number("c_offset")?, number("c_ordinal")?);
            let text = |name: &str| rows.texts(name);
            let (authors, origins) = (text("c_author")?, text("c_origin")?);
            let (actions, records) = (text("c_action")?, text("c_record")?);
            let (ids, customers) = (text("c_id")?, text("c_customer")?);
            let (before, after) = (text("c_before")?, text("c_after")?);
            let small =
                |number: Option<i64>| u32::try_from(number.unwrap_or_default()).unwrap_or_default();
            let stated = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
            for row in 0..batch.num_rows() {
                let whole = records[row] == "customer";
                found.push(AuditJson {
                    at: at[row],
                    actor: authors[row].clone(),
                    origin: stated(&origins[row]),
                    action: actions[row].clone(),
                    record: records[row].clone(),
                    record_id: if whole { &customers[row] } else { &ids[row] }.clone(),
                    customer_id: stated(&customers[row]),
                    before: stated(&before[row]).map(|json| raw(&json)),
                    after: stated(&after[row]).map(|json| raw(&json)),
                    place: Place {
                        at: at[row].unwrap_or_default(),
                        generation: small(generations[row]),
                        partition: small(partitions[row]),
                        offset: offsets[row].unwrap_or_default().unsigned_abs(),
                        customer: customers[row].clone(),
                        ordinal: small(ordinals[row]),
                    },
                });
            }
        }
        Ok(found)
    }
}
