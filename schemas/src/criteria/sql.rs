//! Criteria as a condition of ClickHouse's SQL, over the newest row of each customer.
//!
//! What is written here must say what `matching.rs` does: every leaf is 0 or 1, never NULL.

use super::fields::{Compared, Measure, NumberField, TextField};
use super::node::{Leaf, Node, Numbers, Recency, Test, Texts, Times, Window};
use crate::money::{Currency, Decimal};
use crate::time::Timestamp;

/// A value of the condition, which travels beside it.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue<'a> {
    /// The organization's id, a `String`.
    Organization,
    /// The organization's currency, a `String`.
    Currency,
    /// The time that is now, a `DateTime64(6, 'UTC')`.
    Now,
    /// A `String`.
    Text(&'a str),
    /// An `Array(String)`.
    Texts(Vec<&'a str>),
    /// An `Int64`.
    Integer(i64),
    /// An `Array(Int64)`.
    Integers(Vec<i64>),
    /// A `Decimal(38, 6)`.
    Decimal(Decimal),
    /// An `Array(String)` of decimals.
    Decimals(Vec<Decimal>),
    /// A `DateTime64(6, 'UTC')`.
    Time(Timestamp),
}

impl SqlValue<'_> {
    /// The type of its parameter: `{name:TYPE}`.
    pub fn sql_type(&self) -> &'static str {
        match self {
            Self::Organization | Self::Currency | Self::Text(_) => "String",
            Self::Now | Self::Time(_) => "DateTime64(6, 'UTC')",
            Self::Texts(_) | Self::Decimals(_) => "Array(String)",
            Self::Integer(_) => "Int64",
            Self::Integers(_) => "Array(Int64)",
            Self::Decimal(_) => "Decimal(38, 6)",
        }
    }
}

/// Bytes of texts in one parameter: a server takes 128 KiB for one, in a form that may need three bytes for each.
const MAX_PARAMETER: usize = 32 * 1024;
const DAY: i64 = 86_400 * 1_000_000;
const TAGS: &str =
    "JSONExtract(JSONExtractString(state, 'profile', 'fields', 'tags'), 'Array(String)')";
/// What [`Decimal::parse`] reads.
const DIGITS: &str = "'^-?[0-9]{1,15}([.][0-9]{1,6})?$'";

type Params<'p> = dyn FnMut(SqlValue<'_>) -> String + 'p;

pub(super) fn condition(node: &Node, params: &mut Params<'_>) -> String {
    match node {
        Node::All(nodes) => joined(nodes, " AND ", params),
        Node::Any(nodes) => joined(nodes, " OR ", params),
        Node::Not(node) => format!("NOT {}", condition(node, params)),
        Node::Leaf(leaf) => leaf_condition(leaf, params),
    }
}

fn joined(nodes: &[Node], with: &str, params: &mut Params<'_>) -> String {
    let conditions: Vec<String> = nodes.iter().map(|node| condition(node, params)).collect();
    format!("({})", conditions.join(with))
}

fn leaf_condition(leaf: &Leaf, params: &mut Params<'_>) -> String {
    let condition = match &leaf.test {
        Test::Text(field, texts) => text(&column(*field), texts, field.compared(), params),
        Test::Attribute(key, Texts::Exists) => {
            format!("{} NOT IN ('', '\"\"')", attribute(key, params))
        }
        Test::Attribute(key, texts) => {
            let stated = plain(&attribute(key, params));
            text(&stated, texts, Compared::Folded, params)
        }
        Test::AttributeNumber(key, of) => {
            let stated = plain(&attribute(key, params));
            let digits = format!("if(match({stated}, {DIGITS}), {stated}, '')");
            let number = format!("toDecimal128OrNull({digits}, 6)");
            format!("ifNull({}, 0)", numbers(&number, of, true, params))
        }
        Test::Tags(texts) => {
            let one = text("tag", texts, Compared::Folded, params);
            format!("arrayExists(tag -> {one}, {TAGS})")
        }
        Test::Number(field, of) => numbers(number(*field), of, field.is_money(), params),
        Test::Time(field, Times::Exists) => format!("isNotNull({})", field.name()),
        Test::Time(field, Times::Order(order, time)) => {
            let value = params(SqlValue::Time(*time));
            format!("ifNull({} {} {value}, 0)", field.name(), order.sign())
        }
        Test::Recency(recency) => recency_condition(recency, params),
        Test::Window(window) => window_condition(window, params),
        Test::Segment(segment) => {
            let (organization, segment) = (
                params(SqlValue::Organization),
                params(SqlValue::Text(segment)),
            );
            format!(
                "customer IN (SELECT customer FROM segment_members \
                 WHERE organization = {organization} AND segment = {segment} \
                 GROUP BY customer HAVING argMax(is_member, version))"
            )
        }
    };
    match leaf.negated {
        true => format!("(NOT ({condition}))"),
        false => format!("({condition})"),
    }
}

fn folded(text: &str) -> String {
    format!("replaceAll(lowerUTF8({text}), 'ς', 'σ')")
}

fn column(field: TextField) -> String {
    match field.profile_only() {
        // The state keeps a field's JSON as text.
        true => format!(
            "JSONExtractString(JSONExtractString(state, 'profile', 'fields', '{}'))",
            field.name()
        ),
        false => field.name().to_owned(),
    }
}

/// The JSON of an attribute.
fn attribute(key: &str, params: &mut Params<'_>) -> String {
    let key = params(SqlValue::Text(key));
    format!("JSONExtractString(state, 'profile', 'attributes', {key})")
}

/// The text of an attribute's JSON: what is in a string, or what is stated; empty for objects and arrays.
fn plain(json: &str) -> String {
    format!(
        "multiIf(startsWith({json}, '\"'), JSONExtractString({json}), \
         startsWith({json}, '{{') OR startsWith({json}, '['), '', {json})"
    )
}

fn text(stated: &str, texts: &Texts, compared: Compared, params: &mut Params<'_>) -> String {
    let held = match compared {
        Compared::Folded => folded(stated),
        Compared::Exactly => stated.to_owned(),
    };
    match texts {
        Texts::Exists => format!("{stated} != ''"),
        Texts::Is(value) => format!("{held} = {}", params(SqlValue::Text(value))),
        Texts::Contains(value) => {
            format!("position({held}, {}) > 0", params(SqlValue::Text(value)))
        }
        Texts::StartsWith(value) => {
            format!("startsWith({held}, {})", params(SqlValue::Text(value)))
        }
        Texts::OneOf(values) => {
            let lists: Vec<String> = chunks(values)
                .into_iter()
                .map(|values| format!("{held} IN {}", params(SqlValue::Texts(values))))
                .collect();
            lists.join(" OR ")
        }
    }
}

/// The values in lists that fit into a parameter each.
fn chunks(values: &[Box<str>]) -> Vec<Vec<&str>> {
    let mut chunks: Vec<Vec<&str>> = Vec::new();
    let mut bytes = MAX_PARAMETER;
    for value in values {
        bytes += value.len() + 3;
        match chunks.last_mut() {
            Some(chunk) if bytes <= MAX_PARAMETER => chunk.push(value),
            _ => {
                bytes = value.len() + 3;
                chunks.push(vec![value]);
            }
        }
    }
    chunks
}

/// The number of a customer, in a type that compares with its values.
fn number(field: NumberField) -> &'static str {
    match field {
        NumberField::Points => "points",
        NumberField::TotalOrders => "orders",
        NumberField::TotalRevenue => "revenue",
        NumberField::TotalRefunds => {
            "toDecimal128OrZero(JSONExtractString(arrayFirst(money -> JSONExtractString(money, 'currency') = currency, \
             JSONExtractArrayRaw(state, 'money')), 'refunds'), 6)"
        }
        NumberField::Activities => "activities",
        NumberField::Interactions => "interactions",
    }
}

fn numbers(number: &str, of: &Numbers, decimals: bool, params: &mut Params<'_>) -> String {
    match of {
        Numbers::Is(value) => format!("{number} = {}", one(*value, decimals, params)),
        Numbers::Order(order, value) => {
            format!(
                "{number} {} {}",
                order.sign(),
                one(*value, decimals, params)
            )
        }
        Numbers::OneOf(values) if decimals => format!(
            "has(arrayMap(value -> toDecimal128(value, 6), {}), {number})",
            params(SqlValue::Decimals(values.clone()))
        ),
        Numbers::OneOf(values) => {
            let values = values.iter().map(|value| whole(*value)).collect();
            format!("has({}, {number})", params(SqlValue::Integers(values)))
        }
    }
}

fn one(value: Decimal, decimals: bool, params: &mut Params<'_>) -> String {
    params(match decimals {
        true => SqlValue::Decimal(value),
        false => SqlValue::Integer(whole(value)),
    })
}

/// Values have 15 digits before the point at most.
fn whole(value: Decimal) -> i64 {
    (value.micros() / Decimal::ONE.micros()) as i64
}

fn recency_condition(recency: &Recency, params: &mut Params<'_>) -> String {
    let (days, holds_from) = recency.threshold();
    let column = recency.field.name();
    let sign = if holds_from { "<=" } else { ">" };
    let missing = u8::from(recency.missing);
    if days == 0 {
        // A time ahead of now is no days back.
        return match holds_from {
            true if recency.missing => "1".to_owned(),
            true => format!("isNotNull({column})"),
            false => "0".to_owned(),
        };
    }
    let now = params(SqlValue::Now);
    let back = params(SqlValue::Integer(i64::from(days) * DAY));
    format!(
        "ifNull(toUnixTimestamp64Micro({column}) {sign} toUnixTimestamp64Micro({now}) - {back}, {missing})"
    )
}

fn window_condition(window: &Window, params: &mut Params<'_>) -> String {
    let Window {
        measure,
        currency,
        days,
        numbers: of,
    } = window;
    let organization = params(SqlValue::Organization);
    let now = params(SqlValue::Now);
    let days = params(SqlValue::Integer(i64::from(*days)));
    let currency = match (measure.is_money(), currency) {
        (false, _) => String::new(),
        (true, None) => format!(" AND currency = {}", params(SqlValue::Currency)),
        (true, Some(currency)) => {
            let code = params(SqlValue::Text(Currency::as_str(currency)));
            format!(" AND currency = {code}")
        }
    };
    let holds = numbers("sum(bucket_sum)", of, Measure::is_money(*measure), params);
    // Customers without a row are found by none: so where nothing fulfils it, look for those that do not.
    let (is_in, having) = match of.hold(Decimal::ZERO) {
        true => ("NOT IN", format!("NOT ({holds})")),
        false => ("IN", holds),
    };
    format!(
        "customer {is_in} (SELECT customer FROM (\
         SELECT customer, argMax({column}, version) AS bucket_sum FROM customer_days \
         WHERE organization = {organization} AND day > toDate32({now}) - {days} AND day <= toDate32({now}){currency} \
         GROUP BY customer, day, currency) \
         GROUP BY customer HAVING {having})",
        column = measure.name()
    )
}
