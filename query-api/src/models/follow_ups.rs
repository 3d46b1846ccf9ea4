//! What is to be followed up: interactions with something left to do, and customers who are to be contacted again.

use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use super::interactions::{ASSIGNED_TO, Circle, OPEN_FOLLOW_UP, PRIORITY, time_of};
use super::sight::Sight;
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

const TIME: &str = "DateTime64(6, 'UTC')";

/// When the customer of a row of `customer_state` is to be contacted again, or null.
pub(crate) fn next_follow_up() -> String {
    // The state keeps a field's JSON as text: a text in it is quoted once more.
    let json = "JSONExtractString(state, 'profile', 'fields', 'next_follow_up')";
    format!(
        "ifNull(parseDateTime64BestEffortOrNull(JSONExtractString({json}), 6, 'UTC'), \
         toDateTime64(fromUnixTimestamp64Milli(toInt64OrNull({json}), 'UTC'), 6, 'UTC'))"
    )
}

/// Holds for rows of `customer_state` with a time that may have come by `before`: the timer is set or has gone off.
pub(crate) const MAY_BE_DUE: &str =
    "(next_due <= {before:DateTime64(6, 'UTC')} OR position(state, '\"follow_up_due\":true') > 0)";

/// Something that is to be followed up.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FollowUp {
    /// `interaction`, or `customer` where the customer itself is to be contacted again.
    pub(crate) kind: String,
    /// The client's own id of the customer.
    pub(crate) customer_id: String,
    /// The customer's name, if one is known.
    pub(crate) customer_name: Option<String>,
    /// The interaction; null for a customer.
    pub(crate) interaction_id: Option<String>,
    /// Its subject; null for a customer.
    pub(crate) subject: Option<String>,
    /// What is to be done, where that was said.
    pub(crate) notes: Option<String>,
    /// How urgent it is; null for a customer.
    pub(crate) priority: Option<String>,
    /// Who is responsible, `usr_…`.
    pub(crate) assigned_to: Option<String>,
    /// When it is due.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) due_at: Timestamp,
}

/// Where a page begins: after this one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    due_at: Timestamp,
    kind: String,
    customer: String,
    id: String,
}

impl FollowUp {
    /// Where the page after it begins.
    pub(crate) fn place(&self) -> Place {
        Place {
            due_at: self.due_at,
            kind: self.kind.clone(),
            customer: self.customer_id.clone(),
            id: self.interaction_id.clone().unwrap_or_default(),
        }
    }
}

/// What is due by a time, the oldest first, at most `limit`; names of customers are not looked up.
pub(crate) async fn page(
    warehouse: &dyn Warehouse,
    (circle, sight): (&Circle, &Sight),
    before: Timestamp,
    assigned_to: Option<&str>,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<FollowUp>, WarehouseError> {
    let (of_interactions, params) = circle.records().into_condition();
    let mut params = params.with("before", before);
    // The same parameters as for interactions.
    let (in_sight, _) = sight.condition(Params::new());
    let in_sight = in_sight.map_or_else(String::new, |condition| format!(" AND {condition}"));
    let mut conditions = vec![format!("due <= {{before:{TIME}}}")];
    if let Some(user) = assigned_to {
        conditions.push("responsible = {responsible:String}".to_owned());
        params = params.with("responsible", user);
    }
    if let Some(place) = after {
        conditions.push(format!(
            "(assumeNotNull(due), what, whose, which) > \
             ({{after_due:{TIME}}}, {{after_kind:String}}, {{after_customer:String}}, {{after_id:String}})"
        ));
        params = params
            .with("after_due", place.due_at)
            .with("after_kind", place.kind.as_str())
            .with("after_customer", place.customer.as_str())
            .with("after_id", place.id.as_str());
    }
    let sql = format!(
        "SELECT what AS c_kind, whose AS c_customer, which AS c_id, \
         toUnixTimestamp64Micro(assumeNotNull(due)) AS c_due, subject AS c_subject, notes AS c_notes, \
         priority AS c_priority, responsible AS c_responsible FROM (\
           SELECT 'interaction' AS what, {CUSTOMER} AS whose, id AS which, {follow_up_at} AS due, \
             JSONExtractString(fields, 'subject') AS subject, JSONExtractString(fields, 'follow_up_notes') AS notes, \
             {PRIORITY} AS priority, {ASSIGNED_TO} AS responsible \
           FROM customer_records FINAL WHERE NOT is_deleted AND {of_interactions} AND {OPEN_FOLLOW_UP} \
           UNION ALL \
           SELECT 'customer' AS what, {CUSTOMER} AS whose, '' AS which, {next_follow_up} AS due, \
             '' AS subject, '' AS notes, '' AS priority, assigned_to AS responsible \
           FROM customer_state FINAL WHERE organization = {{organization:String}} AND NOT is_deleted AND {MAY_BE_DUE}{in_sight}\
         ) WHERE {conditions} ORDER BY due, what, whose, which LIMIT {limit}",
        follow_up_at = time_of("follow_up_at"),
        next_follow_up = next_follow_up(),
        conditions = conditions.join(" AND "),
    );
    let mut page = Vec::new();
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let (kinds, customers) = (rows.texts("c_kind")?, rows.texts("c_customer")?);
        let mut optional = [
            "c_id",
            "c_subject",
            "c_notes",
            "c_priority",
            "c_responsible",
        ]
        .into_iter()
        .map(|name| Ok(rows.texts(name)?.into_iter()))
        .collect::<Result<Vec<_>, WarehouseError>>()?;
        let due = rows.times("c_due")?;
        for ((kind, customer_id), due_at) in kinds.into_iter().zip(customers).zip(due) {
            let mut next = optional
                .iter_mut()
                .map(|texts| texts.next().filter(|text| !text.is_empty()));
            let mut take = || next.next().flatten();
            page.push(FollowUp {
                kind,
                customer_id,
                customer_name: None,
                interaction_id: take(),
                subject: take(),
                notes: take(),
                priority: take(),
                assigned_to: take(),
                due_at: due_at.unwrap_or_default(),
            });
        }
    }
    Ok(page)
}
