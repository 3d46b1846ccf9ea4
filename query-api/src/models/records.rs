//! Records of customers as they are now: contacts, interactions and what else there is.

use schemas::form::Members;
use schemas::{OrganizationId, Problem, ProblemKind, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warehouse::{Params, Value, Warehouse, WarehouseError};

use super::sight::Sight;
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// A record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordJson {
    /// Its id.
    pub(crate) id: String,
    /// Whose it is: the client's own id of the customer.
    pub(crate) customer_id: String,
    /// Its fields.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub(crate) fields: Members,
    /// When it was last edited.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) updated_at: Option<Timestamp>,
    /// Who edited it last: a user, or the key of a client.
    pub(crate) updated_by: String,
    /// The number of its last edit: what its ETag holds.
    pub(crate) edit: u64,
    /// What it is.
    #[serde(skip)]
    pub(crate) record: String,
    /// What lists are ordered by.
    #[serde(skip)]
    pub(crate) at: Option<Timestamp>,
}

impl RecordJson {
    /// The text of a field that is one.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.fields.get(name)?.get()).ok()
    }
}

/// Where a page of records begins, newest first: the time and id of the last one before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    at: Timestamp,
    customer: String,
    id: String,
}

/// Records of one kind, and further conditions, all of which must hold.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    conditions: Vec<String>,
    params: Params,
}

const TIME: &str = "DateTime64(6, 'UTC')";

impl Records {
    /// All records of a kind that belong to customers in sight.
    pub(crate) fn of(organization: &OrganizationId, record: &str, sight: &Sight) -> Self {
        let params = Params::new()
            .with("organization", organization.as_str())
            .with("record", record);
        let (condition, params) = sight.condition(params);
        let mut conditions = vec![
            "organization = {organization:String}".to_owned(),
            "record = {record:String}".to_owned(),
        ];
        conditions.extend(condition);
        Self { conditions, params }
    }

    /// All records of every kind, for those who delete them.
    pub(crate) fn of_any(organization: &OrganizationId) -> Self {
        Self {
            conditions: vec!["organization = {organization:String}".to_owned()],
            params: Params::new().with("organization", organization.as_str()),
        }
    }

    /// A condition with its parameter.
    pub(crate) fn and(
        mut self,
        condition: impl Into<String>,
        name: &str,
        value: impl Into<Value>,
    ) -> Self {
        self.conditions.push(condition.into());
        self.params = self.params.with(name, value);
        self
    }

    /// A condition, if there is one, with the parameters it adds.
    pub(crate) fn narrowed(mut self, by: impl FnOnce(Params) -> (Option<String>, Params)) -> Self {
        let (condition, params) = by(self.params);
        self.conditions.extend(condition);
        self.params = params;
        self
    }

    /// All conditions as one, and what they need.
    pub(crate) fn into_condition(self) -> (String, Params) {
        (self.conditions.join(" AND "), self.params)
    }

    /// Only those of a customer.
    pub(crate) fn of_customer(self, customer: &str) -> Self {
        self.and(
            format!("{CUSTOMER} = {{customer:String}}"),
            "customer",
            customer,
        )
    }

    /// Only this one.
    pub(crate) fn with_id(self, id: &str) -> Self {
        self.and("id = {id:String}", "id", id)
    }

    /// Only those whose text field has this value.
    pub(crate) fn with_text(self, field: &str, value: &str) -> Self {
        let name = format!("is_{field}");
        self.and(
            format!("JSONExtractString(fields, '{field}') = {{{name}:String}}"),
            &name,
            value,
        )
    }

    /// Only those from a time on.
    pub(crate) fn from(self, time: Timestamp) -> Self {
        self.and(format!("at >= {{from:{TIME}}}"), "from", time)
    }

    /// Only those before a time.
    pub(crate) fn before(self, time: Timestamp) -> Self {
        self.and(format!("at < {{before:{TIME}}}"), "before", time)
    }

    /// The records, newest first, at most `limit`.
    pub(crate) async fn page(
        mut self,
        warehouse: &dyn Warehouse,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<RecordJson>, WarehouseError> {
        if let Some(place) = after {
            self.conditions.push(format!(
                "(at, {CUSTOMER}, id) < ({{after_at:{TIME}}}, {{after_customer:String}}, {{after_id:String}})"
            ));
            self.params = self
                .params
                .with("after_at", place.at)
                .with("after_customer", place.customer.as_str())
                .with("after_id", place.id.as_str());
        }
        let sql = format!(
            "SELECT {CUSTOMER} AS c_customer, id AS c_id, toInt64(edit) AS c_edit, \
             toUnixTimestamp64Micro(at) AS c_at, toUnixTimestamp64Micro(updated_at) AS c_updated_at, \
             updated_by AS c_updated_by, toString(record) AS c_record, fields AS c_fields FROM customer_records FINAL WHERE NOT is_deleted AND {} \
             ORDER BY at DESC, {CUSTOMER} DESC, id DESC LIMIT {limit}",
            self.conditions.join(" AND ")
        );
        let mut found = Vec::new();
        for batch in warehouse.query(&sql, &self.params).await? {
            let rows = Rows::new(&batch);
            let (mut customers, mut ids) = (rows.texts("c_customer")?, rows.texts("c_id")?);
            let (edits, fields) = (rows.numbers("c_edit")?, rows.texts("c_fields")?);
            let (at, updated_at) = (rows.times("c_at")?, rows.times("c_updated_at")?);
            let mut updated_by = rows.texts("c_updated_by")?;
            let mut records = rows.texts("c_record")?;
            for row in 0..batch.num_rows() {
                let fields = serde_json::from_str(&fields[row])
                    .map_err(|error| WarehouseError::Answer(format!("a record: {error}")))?;
                found.push(RecordJson {
                    record: std::mem::take(&mut records[row]),
                    id: std::mem::take(&mut ids[row]),
                    customer_id: std::mem::take(&mut customers[row]),
                    fields,
                    updated_at: updated_at[row],
                    updated_by: std::mem::take(&mut updated_by[row]),
                    edit: edits[row].unwrap_or_default().unsigned_abs(),
                    at: at[row],
                });
            }
        }
        Ok(found)
    }

    /// The only record there is, or that there is none.
    pub(crate) async fn one(
        self,
        warehouse: &dyn Warehouse,
    ) -> Result<Option<RecordJson>, WarehouseError> {
        Ok(self.page(warehouse, None, 1).await?.pop())
    }

    /// How many there are.
    pub(crate) async fn count(self, warehouse: &dyn Warehouse) -> Result<i64, WarehouseError> {
        let sql = format!(
            "SELECT toInt64(count()) AS c_count FROM customer_records FINAL WHERE NOT is_deleted AND {}",
            self.conditions.join(" AND ")
        );
        let mut count = 0;
        for batch in warehouse.query(&sql, &self.params).await? {
            count += Rows::new(&batch)
                .numbers("c_count")?
                .into_iter()
                .flatten()
                .sum::<i64>();
        }
        Ok(count)
    }
}

/// Cuts a page that was read with one record more than its limit, and tells where the next one begins.
pub(crate) fn cut(found: &mut Vec<RecordJson>, limit: usize) -> Option<Place> {
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more)?;
    Some(Place {
        at: last.at?,
        customer: last.customer_id.clone(),
        id: last.id.clone(),
    })
}

/// The answer where there is no such record in sight.
pub(crate) fn missing(what: &str) -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        format!("there is no such {what} that you may see"),
    )
}
