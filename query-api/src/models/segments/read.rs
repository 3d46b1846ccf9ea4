//! Who is in segments, and who entered and left.

use std::collections::BTreeMap;

use schemas::{OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use crate::models::sight::Sight;
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

const TIME: &str = "DateTime64(6, 'UTC')";

/// A condition of those in sight, with ` AND ` before it.
fn in_sight(sight: &Sight, params: Params) -> (String, Params) {
    let (condition, params) = sight.condition(params);
    let condition = condition.map_or_else(String::new, |sql| format!(" AND {sql}"));
    (condition, params)
}

/// How many customers in sight each segment has.
pub(crate) async fn sizes(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    sight: &Sight,
) -> Result<BTreeMap<String, i64>, WarehouseError> {
    let params = Params::new().with("organization", organization.as_str());
    let (seen, params) = in_sight(sight, params);
    let sql = format!(
        "SELECT segment AS c_segment, toInt64(count()) AS c_count FROM (\
         SELECT segment, {CUSTOMER} FROM segment_members WHERE organization = {{organization:String}}{seen} \
         GROUP BY segment, {CUSTOMER} HAVING argMax(is_member, version)) GROUP BY segment"
    );
    let mut sizes = BTreeMap::new();
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let counts = rows.numbers("c_count")?;
        let segments = rows.texts("c_segment")?.into_iter();
        sizes.extend(segments.zip(counts.into_iter().map(Option::unwrap_or_default)));
    }
    Ok(sizes)
}

/// A member of a segment.
#[derive(Debug, Clone)]
pub(crate) struct MemberRow {
    pub(crate) customer: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) rule_version: i64,
}

/// The customer before a page of members.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MemberPlace(pub(crate) String);

/// Members of a segment in sight, in the order of their ids, at most `limit`.
pub(crate) async fn members(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    sight: &Sight,
    segment: &str,
    after: Option<&MemberPlace>,
    limit: usize,
) -> Result<Vec<MemberRow>, WarehouseError> {
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("segment", segment)
        .with("after", after.map_or("", |place| &place.0));
    let (seen, params) = in_sight(sight, params);
    let start = match after {
        Some(_) => format!(" AND {CUSTOMER} > {{after:String}}"),
        None => String::new(),
    };
    let sql = format!(
        "SELECT {CUSTOMER} AS c_customer, toUnixTimestamp64Micro(argMax(since, version)) AS c_since, \
         toInt64(argMax(rule_version, version)) AS c_rule_version FROM segment_members \
         WHERE organization = {{organization:String}} AND segment = {{segment:String}}{start}{seen} \
         GROUP BY {CUSTOMER} HAVING argMax(is_member, version) ORDER BY {CUSTOMER} LIMIT {limit}"
    );
    let mut found = Vec::new();
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let (since, versions) = (rows.times("c_since")?, rows.numbers("c_rule_version")?);
        for (row, customer) in rows.texts("c_customer")?.into_iter().enumerate() {
            found.push(MemberRow {
                customer,
                since: since[row],
                rule_version: versions[row].unwrap_or_default(),
            });
        }
    }
    Ok(found)
}

/// A customer that entered or left a segment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ChangeRow {
    /// The client's own id.
    pub(crate) customer_id: String,
    /// `entered` or `left`.
    pub(crate) change: String,
    /// `event`, `tick` (time passed), `rule` (the segment was changed, or everybody looked at) or `assign` (staff).
    pub(crate) cause: String,
    /// The event that was the cause; null where there was none.
    pub(crate) event_id: Option<String>,
    /// The version of the segment by which.
    pub(crate) rule_version: i64,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) at: Option<Timestamp>,
    /// `generation:partition:offset` of the record that was the cause.
    pub(crate) position: String,
}

/// Where a page of changes begins, newest first: time, position and customer of the last one before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    at: Timestamp,
    position: (u32, u32, u64),
    customer: String,
}

impl ChangeRow {
    /// Its place.
    pub(crate) fn place(&self) -> Option<Place> {
        let position: schemas::Position = self.position.parse().ok()?;
        Some(Place {
            at: self.at?,
            position: (position.generation, position.partition, position.offset),
            customer: self.customer_id.clone(),
        })
    }
}

/// Changes of a segment among customers in sight, newest first, at most `limit`.
pub(crate) async fn changes(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    sight: &Sight,
    segment: &str,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<ChangeRow>, WarehouseError> {
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("segment", segment);
    let (seen, mut params) = in_sight(sight, params);
    let mut start = String::new();
    if let Some(place) = after {
        let (generation, partition, offset) = place.position;
        start = format!(
            " AND (at, generation, partition, offset, {CUSTOMER}) < ({{at:{TIME}}}, {{generation:UInt32}}, \
             {{partition:UInt32}}, {{offset:UInt64}}, {{after:String}})"
        );
        params = params
            .with("at", place.at)
            .with("generation", generation)
            .with("partition", partition)
            .with("offset", offset)
            .with("after", place.customer.as_str());
    }
    let sql = format!(
        "SELECT {CUSTOMER} AS c_customer, toString(change) AS c_change, toString(cause) AS c_cause, event_id AS c_event, \
         toInt64(rule_version) AS c_rule_version, toUnixTimestamp64Micro(at) AS c_at, \
         concat(toString(generation), ':', toString(partition), ':', toString(offset)) AS c_position \
         FROM segment_events FINAL WHERE organization = {{organization:String}} AND segment = {{segment:String}}{start}{seen} \
         ORDER BY at DESC, generation DESC, partition DESC, offset DESC, {CUSTOMER} DESC LIMIT {limit}"
    );
    let mut found = Vec::new();
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let (mut customers, mut words) = (rows.texts("c_customer")?, rows.texts("c_change")?);
        let (mut causes, mut events) = (rows.texts("c_cause")?, rows.texts("c_event")?);
        let (versions, at) = (rows.numbers("c_rule_version")?, rows.times("c_at")?);
        let mut positions = rows.texts("c_position")?;
        let take = |texts: &mut Vec<String>, row: usize| std::mem::take(&mut texts[row]);
        for row in 0..batch.num_rows() {
            found.push(ChangeRow {
                customer_id: take(&mut customers, row),
                change: take(&mut words, row),
                cause: take(&mut causes, row),
                event_id: Some(take(&mut events, row)).filter(|id| !id.is_empty()),
                rule_version: versions[row].unwrap_or_default(),
                at: at[row],
                position: take(&mut positions, row),
            });
        }
    }
    Ok(found)
}
