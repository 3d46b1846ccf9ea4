//! What criteria mean, said a second time: slowly, from their JSON, without anything that the compiled ones use.

use serde_json::Value;

use crate::criteria::sample::{CURRENCY, Customer};
use crate::criteria::{Measure, TextField, TimeField};
use crate::money::Decimal;
use crate::time::Timestamp;

fn lower(text: &str) -> String {
    text.to_lowercase().replace('ς', "σ")
}

pub(super) fn holds(criteria: &Value, customer: &Customer, now: Timestamp) -> bool {
    let object = criteria.as_object().unwrap();
    let get = |key: &str| object.get(key);
    if let Some(nodes) = get("all") {
        let nodes = nodes.as_array().unwrap();
        return nodes
            .iter()
            .filter(|node| !holds(node, customer, now))
            .count()
            == 0;
    }
    if let Some(nodes) = get("any") {
        let nodes = nodes.as_array().unwrap();
        return nodes
            .iter()
            .filter(|node| holds(node, customer, now))
            .count()
            > 0;
    }
    if let Some(node) = get("not") {
        return !holds(node, customer, now);
    }
    if let Some(segment) = get("segment") {
        return customer.segments.contains(segment.as_str().unwrap());
    }
    let op = get("op").unwrap().as_str().unwrap();
    if let Some(name) = get("recency") {
        let Some(time) = time(customer, name.as_str().unwrap()) else {
            return get("missing") == Some(&Value::Bool(true));
        };
        let mut days = 0;
        while time.plus_micros((days + 1) * 86_400_000_000) <= now {
            days += 1;
        }
        return ordered(op, days, get("days").unwrap().as_i64().unwrap());
    }
    let measured = get("count").or(get("sum"));
    if let Some(name) = measured {
        let days = get("days").unwrap().as_i64().unwrap() as i32;
        let currency = get("currency").map_or(CURRENCY.as_str(), |code| code.as_str().unwrap());
        let sum: Decimal = (0..days)
            .flat_map(|back| {
                let day = now.day() - back;
                customer.days.range((day, None)..(day + 1, None))
            })
            .filter(|((_, of), _)| {
                get("count").is_some() || of.is_some_and(|of| of.as_str() == currency)
            })
            .map(|(_, bucket)| bucket.amount(measure(name.as_str().unwrap())))
            .sum();
        return ordered(op, sum, decimal(get("value").unwrap()));
    }
    field(
        get("field").unwrap().as_str().unwrap(),
        op,
        get("value"),
        customer,
    )
}

fn measure(name: &str) -> Measure {
    match name {
        "orders" => Measure::Orders,
        "revenue" => Measure::Revenue,
        "refunds" => Measure::Refunds,
        "activities" => Measure::Activities,
        _ => Measure::Interactions,
    }
}

fn decimal(value: &Value) -> Decimal {
    match value {
        Value::String(text) => text.parse().unwrap(),
        number => number.to_string().parse().unwrap(),
    }
}

fn ordered<T: PartialOrd>(op: &str, left: T, right: T) -> bool {
    match op {
        "eq" => left == right,
        "ne" => left != right,
        "lt" => left < right,
        "lte" => left <= right,
        "gt" => left > right,
        "gte" => left >= right,
        _ => panic!("{op} orders nothing"),
    }
}

fn time(customer: &Customer, name: &str) -> Option<Timestamp> {
    let field = match name {
        "first_seen" => TimeField::FirstSeen,
        "last_seen" => TimeField::LastSeen,
        "last_contact" => TimeField::LastContact,
        "last_order" => TimeField::LastOrder,
        "created_at" => TimeField::CreatedAt,
        _ => return None,
    };
    let found = customer.times.iter().find(|(name, _)| *name == field);
    found.map(|(_, time)| *time)
}

fn field(name: &str, op: &str, value: Option<&Value>, customer: &Customer) -> bool {
    if let Some(key) = name.strip_prefix("attributes.") {
        return attribute(customer.attributes.get(key), op, value);
    }
    if name.ends_with("_seen")
        || name.ends_with("_at")
        || matches!(name, "last_contact" | "last_order")
    {
        let found = time(customer, name);
        return match (op, found) {
            ("exists", found) => found.is_some(),
            ("absent", found) => found.is_none(),
            (_, None) => false,
            (op, Some(found)) => {
                let value = Timestamp::parse(value.unwrap().as_str().unwrap());
                ordered(op, found, value.unwrap())
            }
        };
    }
    let whole = |number: i128| Decimal::from_micros(number * 1_000_000);
    let number = match name {
        "points" => Some(whole(i128::from(customer.points))),
        "total_orders" => Some(whole(i128::from(customer.orders))),
        "total_revenue" => Some(customer.revenue),
        "total_refunds" => Some(customer.refunds),
        "activities" => Some(whole(i128::from(customer.activities))),
        "interactions" => Some(whole(i128::from(customer.interactions))),
        _ => None,
    };
    if let Some(number) = number {
        return numeric(Some(number), op, value.unwrap());
    }
    if name == "tags" {
        let tags: Vec<String> = customer.tags.iter().map(|tag| lower(tag)).collect();
        let has = |value: &Value| tags.contains(&lower(value.as_str().unwrap()));
        return match op {
            "contains" => has(value.unwrap()),
            "in" => value.unwrap().as_array().unwrap().iter().any(has),
            "not_in" => !value.unwrap().as_array().unwrap().iter().any(has),
            "exists" => !tags.is_empty(),
            _ => tags.is_empty(),
        };
    }
    let texts = [
        ("name", TextField::Name),
        ("email", TextField::Email),
        ("phone", TextField::Phone),
        ("company_name", TextField::CompanyName),
        ("customer_type", TextField::CustomerType),
        ("status", TextField::Status),
        ("city", TextField::City),
        ("country", TextField::Country),
        ("tier", TextField::Tier),
        ("loyalty_status", TextField::Tier),
        ("assigned_to", TextField::AssignedTo),
        ("nationality", TextField::Nationality),
        ("region", TextField::Region),
        ("language", TextField::Language),
        ("industry", TextField::Industry),
        ("source", TextField::Source),
    ];
    let field = texts.iter().find(|(known, _)| *known == name).unwrap().1;
    let text = customer.texts.iter().find(|(name, _)| *name == field);
    let text = text.map(|(_, text)| text.clone());
    let exact = matches!(name, "phone" | "assigned_to");
    textual(text, op, value, |text| match lower(text).as_str() {
        _ if exact => text.to_owned(),
        "corporate" if name == "customer_type" => "business".to_owned(),
        lower => lower.to_owned(),
    })
}

fn attribute(json: Option<&String>, op: &str, value: Option<&Value>) -> bool {
    let json = json.map(String::as_str);
    let text = json.and_then(|json| match json.chars().next() {
        Some('"') => Some(serde_json::from_str::<String>(json).unwrap()),
        Some('[' | '{') => None,
        _ => Some(json.to_owned()),
    });
    let numbers = match value {
        Some(Value::Array(values)) => values[0].is_number(),
        Some(value) => value.is_number() || matches!(op, "lt" | "lte" | "gt" | "gte"),
        None => {
            let stated = json.is_some_and(|json| json != "\"\"");
            return stated == (op == "exists");
        }
    };
    match numbers {
        true => {
            let number = text.and_then(|text| text.parse::<Decimal>().ok());
            numeric(number, op, value.unwrap())
        }
        false => textual(text, op, value, lower),
    }
}

fn numeric(number: Option<Decimal>, op: &str, value: &Value) -> bool {
    let within = |number| {
        let values = value.as_array().unwrap();
        values.iter().any(|value| decimal(value) == number)
    };
    match (op, number) {
        ("in", number) => number.is_some_and(within),
        ("not_in", number) => !number.is_some_and(within),
        ("ne", None) => true,
        (_, None) => false,
        (op, Some(number)) => ordered(op, number, decimal(value)),
    }
}

fn textual(
    text: Option<String>,
    op: &str,
    value: Option<&Value>,
    form: impl Fn(&str) -> String,
) -> bool {
    let text = text.filter(|text| !text.is_empty()).map(|text| form(&text));
    let wanted = |value: &Value| match value {
        Value::Bool(value) => value.to_string(),
        value => form(value.as_str().unwrap()),
    };
    let is = |value: &Value| text.as_ref() == Some(&wanted(value));
    match op {
        "exists" => text.is_some(),
        "absent" => text.is_none(),
        "eq" => is(value.unwrap()),
        "ne" => !is(value.unwrap()),
        "in" => value.unwrap().as_array().unwrap().iter().any(is),
        "not_in" => !value.unwrap().as_array().unwrap().iter().any(is),
        "contains" => text.is_some_and(|text| text.contains(&wanted(value.unwrap()))),
        _ => text.is_some_and(|text| text.starts_with(&wanted(value.unwrap()))),
    }
}
