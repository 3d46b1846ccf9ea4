//! Rejections of one organization: found by filters, in pages that stay where they are while more come in.

mod claims;
mod rows;
mod sending;

use control::Principal;
use schemas::{Position, Timestamp};
use serde::{Deserialize, Serialize};
use warehouse::{Params, Value, Warehouse, WarehouseError};

pub(crate) use claims::{Next, holder, next_sendings};
pub(crate) use rows::{Payload, Rejection};
pub(crate) use sending::{Refused, Sent, Verdict, send, verdicts, wait_applied};

use crate::tables::cut::Cut;

/// The reason of a rejection whose event id counts already.
pub(crate) const DUPLICATE: &str = "duplicate";

const TIME: &str = "DateTime64(6, 'UTC')";

/// The tenant's rejections before a cut, and further conditions, all of which must hold.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    conditions: Vec<String>,
    params: Params,
}

impl Filter {
    /// Everything the caller may see. What names no organization is nobody's: the operator of the installation sees it.
    pub(crate) fn of(principal: &Principal, cut: &Cut) -> Self {
        let mut organizations = vec![principal.organization.as_str()];
        if principal.operator {
            organizations.push("");
        }
        let (applied, params) = cut.condition(Params::new());
        Self {
            conditions: vec![
                "organization IN {organizations:Array(String)}".to_owned(),
                applied,
            ],
            params: params.with("organizations", organizations.as_slice()),
        }
    }

    fn add(&mut self, condition: impl Into<String>, name: &str, value: impl Into<Value>) {
        self.conditions.push(condition.into());
        self.params = std::mem::take(&mut self.params).with(name, value);
    }

    /// A column has this value.
    pub(crate) fn equals(&mut self, column: &'static str, value: &str) {
        let name = format!("is_{column}");
        self.add(format!("{column} = {{{name}:String}}"), &name, value);
    }

    /// It was sent with this key, or by this user.
    pub(crate) fn source(&mut self, key: &str) {
        // Only the record itself says so.
        let condition = "JSONExtractString(payload, 'source') = {source:String}";
        self.add(condition, "source", key);
    }

    /// It was received in a range; `from` is inside, `to` outside.
    pub(crate) fn received(&mut self, from: Option<Timestamp>, to: Option<Timestamp>) {
        for (name, operator, time) in [("from", ">=", from), ("to", "<", to)] {
            if let Some(time) = time {
                let condition = format!("received_at {operator} {{{name}:{TIME}}}");
                self.add(condition, name, time.kept());
            }
        }
    }

    /// It is no repeat of an event that counts.
    pub(crate) fn without_duplicates(&mut self) {
        self.add("reason != {duplicate:String}", "duplicate", DUPLICATE);
    }

    /// It is at this position.
    pub(crate) fn at(&mut self, position: Position) {
        let condition = "generation = {at_generation:UInt32} AND partition = {at_partition:UInt32} AND offset = {at_offset:UInt64}";
        self.add(condition, "at_generation", position.generation);
        let params = std::mem::take(&mut self.params);
        self.params = params
            .with("at_partition", position.partition)
            .with("at_offset", position.offset);
    }

    /// Only what comes after a place in an order.
    fn after(&mut self, order: Order, place: &Place) {
        let Position {
            generation,
            partition,
            offset,
        } = place.position;
        let condition = match order {
            Order::Newest => format!(
                "(received_at, generation, partition, offset) < ({{after:{TIME}}}, {{after_generation:UInt32}}, {{after_partition:UInt32}}, {{after_offset:UInt64}})"
            ),
            Order::Log => "(generation, partition, offset) > ({after_generation:UInt32}, {after_partition:UInt32}, {after_offset:UInt64})".to_owned(),
        };
        self.add(condition, "after", place.received_at);
        let params = std::mem::take(&mut self.params);
        self.params = params
            .with("after_generation", generation)
            .with("after_partition", partition)
            .with("after_offset", offset);
    }
}

/// In which order pages follow each other. In both, a rejection never changes its place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// The last received first, to be looked through: without payloads.
    Newest,
    /// As in the log, partition by partition, the order of the table: with payloads.
    Log,
}

/// A page with payloads ends after so many bytes of them: one may have a megabyte, and a record of others more.
const PAGE_BYTES: usize = 8 << 20;

/// Where a page begins: the last rejection of the page before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    received_at: Timestamp,
    position: Position,
}

impl Place {
    /// The place of a rejection.
    pub(crate) fn of(rejection: &Rejection) -> Self {
        Self {
            received_at: rejection.received_at,
            position: rejection.position,
        }
    }
}

/// At most `limit` rejections after a place; fewer where their payloads are large, none only where there are no more.
pub(crate) async fn page(
    warehouse: &dyn Warehouse,
    mut filter: Filter,
    order: Order,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Rejection>, WarehouseError> {
    if let Some(place) = after {
        filter.after(order, place);
    }
    let sorted = match order {
        Order::Newest => "received_at DESC, generation DESC, partition DESC, offset DESC",
        Order::Log => "generation, partition, offset",
    };
    // The page is found in a few narrow columns, and only its own rows are read whole.
    let found = format!(
        "FROM rejections WHERE (generation, partition, offset) IN (\
           SELECT generation, partition, offset FROM rejections WHERE {conditions} \
           ORDER BY {sorted} LIMIT 1 BY generation, partition, offset LIMIT {limit}\
         ) ORDER BY {sorted} LIMIT 1 BY generation, partition, offset",
        conditions = filter.conditions.join(" AND "),
    );
    let columns = rows::COLUMNS;
    let sql = match order {
        Order::Newest => format!("SELECT {columns}, {} {found}", rows::WITHOUT_PAYLOAD),
        Order::Log => format!(
            "SELECT {columns}, {} FROM (\
               SELECT *, sum(length(payload)) OVER (ORDER BY {sorted} ROWS UNBOUNDED PRECEDING) AS so_far \
               FROM (SELECT * {found})\
             ) WHERE so_far - length(payload) < {PAGE_BYTES} ORDER BY {sorted}",
            rows::WITH_PAYLOAD
        ),
    };
    let mut found = Vec::new();
    for batch in warehouse.query(&sql, &filter.params).await? {
        found.extend(rows::read(&batch)?);
    }
    Ok(found)
}

/// How many there are.
pub(crate) async fn count(
    warehouse: &dyn Warehouse,
    mut filter: Filter,
    after: Option<&Place>,
) -> Result<u64, WarehouseError> {
    if let Some(place) = after {
        filter.after(Order::Log, place);
    }
    let sql = format!(
        "SELECT uniqExact(generation, partition, offset) AS c_count FROM rejections WHERE {}",
        filter.conditions.join(" AND ")
    );
    let mut found = 0;
    for batch in warehouse.query(&sql, &filter.params).await? {
        let counts = crate::tables::rows::Rows::new(&batch).numbers("c_count")?;
        found += counts.into_iter().flatten().sum::<i64>().unsigned_abs();
    }
    Ok(found)
}

/// The rejection at a position, if the caller may see it.
pub(crate) async fn at(
    warehouse: &dyn Warehouse,
    mut filter: Filter,
    position: Position,
) -> Result<Option<Rejection>, WarehouseError> {
    filter.at(position);
    Ok(page(warehouse, filter, Order::Log, None, 1).await?.pop())
}
