//! Orders: purchases as clients and quotes state them, by order, with what was given back of them.

use schemas::{Currency, Decimal, OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warehouse::{Params, Value, Warehouse, WarehouseError};

use super::sight::Sight;
use crate::tables::CUSTOMER;
use crate::tables::cut::Cut;
use crate::tables::rows::Rows;

/// What may be known of an order's state.
pub(crate) const STATUSES: [&str; 4] = ["completed", "partially_refunded", "refunded", "cancelled"];

const TIME: &str = "DateTime64(6, 'UTC')";
/// An order's id: the event's where none was stated.
const ID: &str = "if(order_id = '', event_id, order_id)";
/// What a refund names: the order or event given back, else its own order.
const NAMED: &str = "if(refund_of = '', order_id, refund_of)";
const IS_ORDER: &str = "(status = 'cancelled' OR status = 'completed' AND amount >= 0)";
const IS_REFUND: &str = "(status = 'refunded' OR status = 'completed' AND amount < 0)";

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderJson {
    /// The `order_id` of its purchase, or the event's id where none was stated.
    pub(crate) id: String,
    /// The client's own id of the customer.
    pub(crate) customer_id: String,
    /// When it was ordered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ordered_at: Option<Timestamp>,
    /// ISO 4217. An id with purchases in two currencies is two orders.
    pub(crate) currency: String,
    /// What was ordered for, a decimal text.
    pub(crate) amount: String,
    /// What was given back of it, positive, a decimal text.
    pub(crate) refunded: String,
    /// `amount` less `refunded`, a decimal text.
    pub(crate) net_amount: String,
    /// completed, partially_refunded, refunded or cancelled.
    pub(crate) status: String,
    /// How often something was given back.
    pub(crate) refunds: i64,
    /// When something was last given back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) refunded_at: Option<Timestamp>,
}

/// A line of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineJson {
    /// The client's own id of the product.
    pub(crate) product_id: String,
    /// Its name, where stated.
    pub(crate) name: Option<String>,
    /// Its category, where stated.
    pub(crate) category: Option<String>,
    /// How many, a decimal text.
    pub(crate) quantity: String,
    /// Price of one, a decimal text, where stated.
    pub(crate) unit_price: Option<String>,
    /// Amount of the line, a decimal text.
    pub(crate) amount: String,
}

/// Something given back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefundJson {
    /// The event that says so.
    pub(crate) event_id: String,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) occurred_at: Option<Timestamp>,
    /// How much, positive, a decimal text.
    pub(crate) amount: String,
}

/// Where a page of orders begins, newest first: the last one before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    at: Timestamp,
    customer: String,
    id: String,
    currency: String,
}

/// Orders of customers in sight, and further conditions, all of which must hold.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    /// Of every event read.
    events: Vec<String>,
    /// Of the purchases among them.
    purchases: Vec<String>,
    /// Of the orders that they make.
    orders: Vec<String>,
    params: Params,
}

fn decimals(currency: &str) -> u32 {
    Currency::parse(currency).map_or(2, |currency| currency.decimals())
}

impl Orders {
    /// All orders of an organization's customers in sight, before a cut.
    pub(crate) fn of(organization: &OrganizationId, sight: &Sight, cut: &Cut) -> Self {
        let (keys, ends): (Vec<u64>, Vec<u64>) = cut
            .next
            .iter()
            .map(|((generation, partition), next)| {
                (u64::from(*generation) << 32 | u64::from(*partition), *next)
            })
            .unzip();
        let params = Params::new()
            .with("organization", organization.as_str())
            .with("cut_keys", keys)
            .with("cut_ends", ends);
        let (condition, params) = sight.condition(params);
        // Whoever is deleted has no orders, seen by whomever.
        let known = format!(
            "{CUSTOMER} IN (SELECT {CUSTOMER} FROM customer_state FINAL \
             WHERE organization = {{organization:String}} AND NOT is_deleted)"
        );
        let applied = "offset < transform(bitShiftLeft(toUInt64(generation), 32) + partition, \
             {cut_keys:Array(UInt64)}, {cut_ends:Array(UInt64)}, toUInt64(0))";
        Self {
            events: vec![
                "organization = {organization:String}".to_owned(),
                "kind = 'purchase'".to_owned(),
                applied.to_owned(),
                condition.unwrap_or(known),
            ],
            purchases: vec![IS_ORDER.to_owned()],
            orders: vec!["1".to_owned()],
            params,
        }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params = self.params.with(name, value);
        self
    }

    /// Only those of a customer.
    pub(crate) fn of_customer(mut self, customer: &str) -> Self {
        self.events.push(format!("{CUSTOMER} = {{of:String}}"));
        self.with("of", customer)
    }

    /// Only those in a currency.
    pub(crate) fn in_currency(mut self, currency: Currency) -> Self {
        self.events.push("currency = {currency:String}".to_owned());
        self.with("currency", currency.as_str())
    }

    /// Only those with this id.
    pub(crate) fn with_id(mut self, id: &str) -> Self {
        self.purchases.push(format!("{ID} = {{id:String}}"));
        self.with("id", id)
    }

    /// Only those in this state.
    pub(crate) fn with_status(mut self, status: &str) -> Self {
        self.orders.push("c_status = {status:String}".to_owned());
        self.with("status", status)
    }

    /// Only those ordered from a time on.
    pub(crate) fn from(mut self, time: Timestamp) -> Self {
        self.orders.push(format!("o_at >= {{from:{TIME}}}"));
        self.with("from", time.kept())
    }

    /// Only those ordered before a time.
    pub(crate) fn before(mut self, time: Timestamp) -> Self {
        self.orders.push(format!("o_at < {{to:{TIME}}}"));
        self.with("to", time.kept())
    }

    /// The orders, newest first, at most `limit`.
    pub(crate) async fn page(
        mut self,
        warehouse: &dyn Warehouse,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<OrderJson>, WarehouseError> {
        if let Some(place) = after {
            self.orders.push(format!(
                "(o_at, o_customer, o_id, o_currency) < ({{after_at:{TIME}}}, {{after_customer:String}}, \
                 {{after_id:String}}, {{after_currency:String}})"
            ));
            self.params = self
                .params
                .with("after_at", place.at)
                .with("after_customer", place.customer.as_str())
                .with("after_id", place.id.as_str())
                .with("after_currency", place.currency.as_str());
        }
        let events = self.events.join(" AND ");
        let orders = format!(
            "SELECT {CUSTOMER} AS o_customer, {ID} AS o_id, toString(currency) AS o_currency, \
             sumIf(amount, status = 'completed') AS o_amount, countIf(status = 'completed') AS o_completed, \
             min(occurred_at) AS o_at, groupUniqArray(event_id) AS o_events \
             FROM events FINAL WHERE {events} AND {} GROUP BY o_customer, o_id, o_currency",
            self.purchases.join(" AND ")
        );
        // A refund names an order by its own id or an event's; should one id be both, it is the order's.
        let names = format!(
            "SELECT o_customer AS n_customer, o_currency AS n_currency, n_name, argMin(o_id, n_name != o_id) AS n_id \
             FROM ({orders}) AS ordered ARRAY JOIN arrayDistinct(arrayPushFront(o_events, o_id)) AS n_name \
             GROUP BY n_customer, n_currency, n_name"
        );
        let refunds = format!(
            "SELECT {CUSTOMER} AS f_customer, toString(currency) AS f_currency, {NAMED} AS f_name, \
             sum(-amount) AS f_amount, count() AS f_count, max(occurred_at) AS f_at \
             FROM events FINAL WHERE {events} AND {IS_REFUND} AND f_name != '' \
             GROUP BY f_customer, f_currency, f_name"
        );
        let sql = format!(
            "SELECT o_customer AS c_customer, o_id AS c_id, o_currency AS c_currency, o_amount AS c_amount, \
             r_amount AS c_refunded, toInt64(r_count) AS c_refunds, toUnixTimestamp64Micro(o_at) AS c_at, \
             toUnixTimestamp64Micro(r_at) AS c_refunded_at, \
             multiIf(o_completed = 0, 'cancelled', r_amount = 0, 'completed', r_amount >= o_amount, 'refunded', \
             'partially_refunded') AS c_status \
             FROM ({orders}) AS ordered LEFT JOIN (SELECT n_customer, n_currency, n_id, sum(f_amount) AS r_amount, \
             sum(f_count) AS r_count, max(f_at) AS r_at FROM ({names}) AS named INNER JOIN ({refunds}) AS refunded \
             ON n_customer = f_customer AND n_currency = f_currency AND n_name = f_name \
             GROUP BY n_customer, n_currency, n_id) AS given_back \
             ON o_customer = n_customer AND o_currency = n_currency AND o_id = n_id \
             WHERE {} ORDER BY o_at DESC, o_customer DESC, o_id DESC, o_currency DESC LIMIT {limit}",
            self.orders.join(" AND ")
        );
        let mut found = Vec::new();
        for batch in warehouse.query(&sql, &self.params).await? {
            let rows = Rows::new(&batch);
            let (mut customers, mut ids) = (rows.texts("c_customer")?, rows.texts("c_id")?);
            let (mut currencies, mut statuses) =
                (rows.texts("c_currency")?, rows.texts("c_status")?);
            let (amounts, refunded) = (rows.decimals("c_amount")?, rows.decimals("c_refunded")?);
            let (at, refunded_at) = (rows.times("c_at")?, rows.times("c_refunded_at")?);
            let refunds = rows.numbers("c_refunds")?;
            for row in 0..batch.num_rows() {
                let places = decimals(&currencies[row]);
                let refunds = refunds[row].unwrap_or_default();
                found.push(OrderJson {
                    id: std::mem::take(&mut ids[row]),
                    customer_id: std::mem::take(&mut customers[row]),
                    ordered_at: at[row],
                    amount: amounts[row].to_text(places),
                    refunded: refunded[row].to_text(places),
                    net_amount: (amounts[row] - refunded[row]).to_text(places),
                    currency: std::mem::take(&mut currencies[row]),
                    status: std::mem::take(&mut statuses[row]),
                    refunds,
                    refunded_at: refunded_at[row].filter(|_| refunds > 0),
                });
            }
        }
        Ok(found)
    }

    /// The events of purchases of one order with this id, its customer and its currency.
    fn purchases_of(self, order: &OrderJson) -> (String, Params) {
        let narrowed = self.of_order(order).with_id(&order.id);
        let conditions = [narrowed.events, narrowed.purchases].concat();
        (conditions.join(" AND "), narrowed.params)
    }

    fn of_order(mut self, order: &OrderJson) -> Self {
        self.events
            .push(format!("{CUSTOMER} = {{order_customer:String}}"));
        self.events
            .push("currency = {order_currency:String}".to_owned());
        self.with("order_customer", order.customer_id.as_str())
            .with("order_currency", order.currency.as_str())
    }

    /// What was ordered, as it was stated.
    pub(crate) async fn lines(
        self,
        warehouse: &dyn Warehouse,
        order: &OrderJson,
    ) -> Result<Vec<LineJson>, WarehouseError> {
        let (conditions, params) = self.purchases_of(order);
        let sql = format!(
            "SELECT l_product_id AS c_product_id, l_name AS c_name, l_category AS c_category, l_quantity AS c_quantity, \
             if(isNull(l_price), '', toString(l_price)) AS c_price, l_amount AS c_amount FROM events FINAL \
             ARRAY JOIN items.product_id AS l_product_id, items.name AS l_name, items.category AS l_category, \
             items.quantity AS l_quantity, items.unit_price AS l_price, items.amount AS l_amount, \
             arrayEnumerate(items.product_id) AS l_line \
             WHERE {conditions} ORDER BY generation, partition, offset, l_line LIMIT 10000"
        );
        let places = decimals(&order.currency);
        let mut lines = Vec::new();
        for batch in warehouse.query(&sql, &params).await? {
            let rows = Rows::new(&batch);
            let (mut products, mut names) = (rows.texts("c_product_id")?, rows.texts("c_name")?);
            let (mut categories, prices) = (rows.texts("c_category")?, rows.texts("c_price")?);
            let (quantities, amounts) = (rows.decimals("c_quantity")?, rows.decimals("c_amount")?);
            let stated = |text: &mut String| Some(std::mem::take(text)).filter(|t| !t.is_empty());
            for row in 0..batch.num_rows() {
                let price: Option<Decimal> = prices[row].parse().ok();
                lines.push(LineJson {
                    product_id: std::mem::take(&mut products[row]),
                    name: stated(&mut names[row]),
                    category: stated(&mut categories[row]),
                    quantity: quantities[row].to_text(0),
                    unit_price: price.map(|price| price.to_text(places)),
                    amount: amounts[row].to_text(places),
                });
            }
        }
        Ok(lines)
    }

    /// What was given back, oldest first.
    pub(crate) async fn refunds(
        self,
        warehouse: &dyn Warehouse,
        order: &OrderJson,
    ) -> Result<Vec<RefundJson>, WarehouseError> {
        let narrowed = self.of_order(order).with_id(&order.id);
        let events = narrowed.events.join(" AND ");
        let sql = format!(
            "SELECT event_id AS c_event_id, toUnixTimestamp64Micro(occurred_at) AS c_at, -amount AS c_amount \
             FROM events FINAL WHERE {events} AND {IS_REFUND} AND ({NAMED} = {{id:String}} OR {NAMED} IN \
             (SELECT event_id FROM events FINAL WHERE {events} AND {} AND event_id != '')) \
             ORDER BY occurred_at, generation, partition, offset LIMIT 10000",
            narrowed.purchases.join(" AND ")
        );
        let places = decimals(&order.currency);
        let mut refunds = Vec::new();
        for batch in warehouse.query(&sql, &narrowed.params).await? {
            let rows = Rows::new(&batch);
            let (mut ids, at) = (rows.texts("c_event_id")?, rows.times("c_at")?);
            let amounts = rows.decimals("c_amount")?;
            for row in 0..batch.num_rows() {
                refunds.push(RefundJson {
                    event_id: std::mem::take(&mut ids[row]),
                    occurred_at: at[row],
                    amount: amounts[row].to_text(places),
                });
            }
        }
        Ok(refunds)
    }
}

/// Cuts a page that was read with one order more than its limit, and tells where the next one begins.
pub(crate) fn cut(found: &mut Vec<OrderJson>, limit: usize) -> Option<Place> {
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more)?;
    Some(Place {
        at: last.ordered_at?,
        customer: last.customer_id.clone(),
        id: last.id.clone(),
        currency: last.currency.clone(),
    })
}
