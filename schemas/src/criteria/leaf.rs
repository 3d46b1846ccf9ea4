//! Reads leaves.

use super::fields::{
    ATTRIBUTE, ATTRIBUTE_OPS, Measure, NumberField, ORDER_OPS, Of, Op, TimeField, WINDOW_OPS,
};
use super::node::{Leaf, Numbers, Order, Recency, Test, Texts, Times, Window};
use super::parse::{Stated, known_fields};
use super::values::{self, Rule};
use crate::error::Code;
use crate::json::ReadError;
use crate::money::Currency;

/// The longest window, in days.
pub const MAX_WINDOW_DAYS: u32 = 3_650;
/// The longest recency, in days.
pub const MAX_RECENCY_DAYS: u32 = 36_500;

/// Characters of an attribute's key, at most.
const KEY_LENGTH: usize = 256;
/// Characters of a segment's id, at most.
const SEGMENT_LENGTH: usize = 128;

/// Reads the leaf that an object of a form states; its keys are known to be of that form.
pub(super) fn read(form: &str, stated: &Stated<'_>) -> Result<Leaf, ReadError> {
    match form {
        "field" => field(stated),
        "recency" => recency(stated),
        "segment" => segment(stated),
        _ => window(form, stated),
    }
}

fn leaf(test: Test, op: Op) -> Leaf {
    Leaf {
        negated: matches!(op, Op::Ne | Op::NotIn | Op::Absent),
        test,
    }
}

fn at<T>(name: &str, result: Result<T, ReadError>) -> Result<T, ReadError> {
    result.map_err(|error| error.within(name))
}

fn field(stated: &Stated<'_>) -> Result<Leaf, ReadError> {
    let name = at("field", values::string(stated.need("field")?))?;
    let value = stated.get("value");
    if let Some(key) = name.strip_prefix(ATTRIBUTE) {
        at("field", check_key(key))?;
        let op = operator(stated, ATTRIBUTE_OPS)?;
        return Ok(leaf(at("value", attribute(key, op, value))?, op));
    }
    let Some(of) = Of::from_name(&name) else {
        let error = ReadError::rule(Code::InvalidValue, format!("no field; {}", known_fields()));
        return Err(error.within("field"));
    };
    let op = operator(stated, of.ops())?;
    let test = match of {
        Of::Text(field) => text(op, value, values::rule(field)).map(|of| Test::Text(field, of)),
        Of::Tags => tags(op, value).map(Test::Tags),
        Of::Number(field) => number(op, value, field).map(|of| Test::Number(field, of)),
        Of::Time(field) => time(op, value).map(|of| Test::Time(field, of)),
    };
    Ok(leaf(at("value", test)?, op))
}

fn operator(stated: &Stated<'_>, allowed: &[Op]) -> Result<Op, ReadError> {
    let json = stated.need("op")?;
    let name = at("op", values::string(json))?;
    let known = Op::from_name(&name).filter(|op| allowed.contains(op));
    known.ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(|op| op.name()).collect();
        ReadError::rule(
            Code::InvalidValue,
            format!("must be one of {}", names.join(", ")),
        )
        .within("op")
    })
}

fn need(value: Option<&str>) -> Result<&str, ReadError> {
    value.ok_or_else(|| ReadError::rule(Code::Required, "this operator compares; send a value"))
}

fn nothing(value: Option<&str>) -> Result<(), ReadError> {
    match value {
        None => Ok(()),
        Some(_) => Err(ReadError::rule(
            Code::InvalidValue,
            "exists and absent take no value; leave it out",
        )),
    }
}

fn text(op: Op, value: Option<&str>, rule: Rule) -> Result<Texts, ReadError> {
    match op {
        Op::Exists | Op::Absent => nothing(value).map(|()| Texts::Exists),
        Op::In | Op::NotIn => values::texts(need(value)?, rule).map(Texts::OneOf),
        Op::Contains => values::text(need(value)?, rule).map(Texts::Contains),
        Op::StartsWith => values::text(need(value)?, rule).map(Texts::StartsWith),
        _ => values::text(need(value)?, rule).map(Texts::Is),
    }
}

fn tags(op: Op, value: Option<&str>) -> Result<Texts, ReadError> {
    match op {
        Op::Contains => values::text(need(value)?, values::TAG).map(Texts::Is),
        _ => text(op, value, values::TAG),
    }
}

fn number(op: Op, value: Option<&str>, field: NumberField) -> Result<Numbers, ReadError> {
    numbers(op, need(value)?, field.is_money())
}

fn numbers(op: Op, value: &str, decimals: bool) -> Result<Numbers, ReadError> {
    match (op, Order::from_op(op)) {
        (Op::In | Op::NotIn, _) => values::numbers(value, decimals).map(Numbers::OneOf),
        (_, Some(order)) => {
            values::number(value, decimals).map(|number| Numbers::Order(order, number))
        }
        _ => values::number(value, decimals).map(Numbers::Is),
    }
}

fn time(op: Op, value: Option<&str>) -> Result<Times, ReadError> {
    match Order::from_op(op) {
        Some(order) => values::time(need(value)?).map(|time| Times::Order(order, time)),
        None => nothing(value).map(|()| Times::Exists),
    }
}

/// Checks the key of an attribute.
pub(super) fn check_key(key: &str) -> Result<(), ReadError> {
    values::length(key, KEY_LENGTH)
}

/// A test of the attribute of this key.
pub(super) fn attribute(key: &str, op: Op, value: Option<&str>) -> Result<Test, ReadError> {
    let key = key.into();
    let as_number = match op {
        Op::Exists | Op::Absent | Op::Contains | Op::StartsWith => false,
        Op::Lt | Op::Lte | Op::Gt | Op::Gte => true,
        _ => values::is_numeric(need(value)?),
    };
    Ok(match as_number {
        true => Test::AttributeNumber(key, numbers(op, need(value)?, true)?),
        false => Test::Attribute(key, text(op, value, values::ATTRIBUTE)?),
    })
}

fn recency(stated: &Stated<'_>) -> Result<Leaf, ReadError> {
    let name = at("recency", values::string(stated.need("recency")?))?;
    let names = TimeField::RECENT.map(TimeField::name);
    let Some(field) = TimeField::RECENT
        .into_iter()
        .find(|field| field.name() == name)
    else {
        return Err(one_of(&names).within("recency"));
    };
    let op = operator(stated, ORDER_OPS)?;
    let days = at(
        "days",
        values::whole(stated.need("days")?, 0, MAX_RECENCY_DAYS),
    )?;
    let missing = match stated.get("missing") {
        Some(json) => at("missing", values::boolean(json))?,
        None => false,
    };
    if missing && matches!(op, Op::Lt | Op::Lte) {
        return Err(ReadError::rule(
            Code::Conflict,
            "a customer without that time is long ago at most; use it with gt or gte",
        )
        .within("missing"));
    }
    // The operators allowed are orders, all of them.
    let order = Order::from_op(op).unwrap_or(Order::Gte);
    let test = Test::Recency(Recency {
        field,
        order,
        days,
        missing,
    });
    Ok(leaf(test, op))
}

fn one_of(names: &[&str]) -> ReadError {
    ReadError::rule(
        Code::InvalidValue,
        format!("must be one of {}", names.join(", ")),
    )
}

fn window(form: &str, stated: &Stated<'_>) -> Result<Leaf, ReadError> {
    let name = at(form, values::string(stated.need(form)?))?;
    let measures: &[Measure] = match form {
        "sum" => &Measure::SUMMED,
        _ => &Measure::COUNTED,
    };
    let Some(measure) = measures.iter().find(|measure| measure.name() == name) else {
        let names: Vec<&str> = measures.iter().map(|measure| measure.name()).collect();
        return Err(one_of(&names).within(form));
    };
    let days = at(
        "days",
        values::whole(stated.need("days")?, 1, MAX_WINDOW_DAYS),
    )?;
    let op = operator(stated, WINDOW_OPS)?;
    let value = stated.need("value")?;
    let numbers = at("value", numbers(op, value, measure.is_money()))?;
    let currency = match stated.get("currency") {
        None => None,
        Some(json) => {
            let code = at("currency", values::string(json))?;
            Some(Currency::parse(&code).map_err(|error| {
                ReadError::rule(Code::UnknownCurrency, error.to_string()).within("currency")
            })?)
        }
    };
    let test = Test::Window(Window {
        measure: *measure,
        currency,
        days,
        numbers,
    });
    Ok(leaf(test, op))
}

fn segment(stated: &Stated<'_>) -> Result<Leaf, ReadError> {
    let json = stated.need("segment")?;
    let id = at("segment", values::string(json))?;
    at("segment", values::length(&id, SEGMENT_LENGTH))?;
    if id.chars().any(char::is_control) {
        let error = ReadError::rule(Code::InvalidCharacter, "must not hold control characters");
        return Err(error.within("segment"));
    }
    Ok(leaf(Test::Segment(id.as_ref().into()), Op::Eq))
}
