//! Quotes as they are written: what is stated becomes fields in one form, with totals that were computed.

use schemas::form::Members;
use schemas::forms::quote::{ITEM, MOST_ITEMS};
use schemas::{Code, Currency, Decimal, FieldError, Timestamp};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::domain::quote_math::{Quote, QuoteItem, totals};

/// The text of a field, or of a number.
fn text(members: &Members, name: &str) -> Option<String> {
    let json = members.get(name)?.get();
    match json.starts_with('"') {
        true => serde_json::from_str(json).ok(),
        false => Some(json.to_owned()).filter(|json| json != "null"),
    }
}

/// A decimal that a form has read, as a number or a text.
fn decimal(members: &Members, name: &str) -> Option<Decimal> {
    Decimal::parse(text(members, name)?.as_bytes()).ok()
}

/// When the quote of these fields is no longer valid.
pub(crate) fn valid_until(fields: &Members) -> Option<Timestamp> {
    let text = text(fields, "valid_until")?;
    match text.parse().ok().and_then(Timestamp::from_millis) {
        Some(time) => Some(time),
        None => Timestamp::parse(&text).ok(),
    }
}

/// Sets a field to plain data of our own.
pub(crate) fn set<T: Serialize + ?Sized>(
    fields: &mut Members,
    name: &str,
    value: &T,
) -> Result<(), FieldError> {
    let value = to_raw_value(value)
        .map_err(|error| FieldError::new(name, Code::Malformed, error.to_string()))?;
    fields.insert(name.to_owned(), value);
    Ok(())
}

/// The lines that are stated.
fn items(fields: &Members) -> Result<Vec<Members>, FieldError> {
    let stated = fields.get("items").map_or("[]", |json| json.get());
    let stated: Vec<Box<RawValue>> = serde_json::from_str(stated)
        .map_err(|error| FieldError::new("items", Code::Malformed, error.to_string()))?;
    if stated.is_empty() || stated.len() > MOST_ITEMS {
        let detail = format!("send 1 to {MOST_ITEMS} lines");
        return Err(FieldError::new("items", Code::OutOfRange, detail));
    }
    let read = |(index, item): (usize, &Box<RawValue>)| {
        let within = |error: FieldError| error.within(&format!("items[{index}]"));
        let mut item = ITEM.read(item.get()).map_err(within)?.fields;
        item.retain(|_, json| json.get() != "null");
        let is_named = ["sku", "description"].iter().any(|name| {
            let text = text(&item, name);
            text.is_some_and(|text| !text.trim().is_empty())
        });
        match is_named {
            true => Ok(item),
            false => {
                let detail = "say what it is, by a sku or a description";
                Err(within(FieldError::new("sku", Code::Required, detail)))
            }
        }
    };
    stated.iter().enumerate().map(read).collect()
}

/// What is stated of a quote as its fields: totals computed, and checked where they were stated; money as decimal text,
/// times as RFC 3339.
///
/// # Errors
/// The first field at fault.
pub(crate) fn filled(mut fields: Members, default: Currency) -> Result<Members, FieldError> {
    fields.retain(|_, json| json.get() != "null");
    if text(&fields, "subject").is_none_or(|subject| subject.trim().is_empty()) {
        let detail = "must not be empty";
        return Err(FieldError::new("subject", Code::Required, detail));
    }
    let mut items = items(&fields)?;
    let stated = text(&fields, "currency").and_then(|code| Currency::parse(&code).ok());
    let currency = stated.unwrap_or(default);
    let line = |item: &Members| QuoteItem {
        quantity: decimal(item, "quantity").unwrap_or_default(),
        unit_price: decimal(item, "unit_price").unwrap_or_default(),
        total: decimal(item, "total"),
    };
    let made = totals(
        &Quote {
            items: items.iter().map(line).collect(),
            subtotal: decimal(&fields, "subtotal"),
            discount_rate: decimal(&fields, "discount_rate"),
            discount: decimal(&fields, "discount"),
            tax_rate: decimal(&fields, "tax_rate"),
            tax: decimal(&fields, "tax"),
            total: decimal(&fields, "total"),
        },
        currency,
    )?;
    let money = |amount: Decimal| amount.to_text(currency.decimals());
    for (item, total) in items.iter_mut().zip(&made.items) {
        let stated = line(item);
        set(item, "quantity", &stated.quantity.to_text(0))?;
        set(item, "unit_price", &money(stated.unit_price))?;
        set(item, "total", &money(*total))?;
    }
    set(&mut fields, "items", &items)?;
    for (name, amount) in [
        ("subtotal", made.subtotal),
        ("discount", made.discount),
        ("tax", made.tax),
        ("total", made.total),
    ] {
        set(&mut fields, name, &money(amount))?;
    }
    for name in ["discount_rate", "tax_rate"] {
        if let Some(rate) = decimal(&fields, name) {
            set(&mut fields, name, &rate.to_text(0))?;
        }
    }
    set(&mut fields, "currency", currency.as_str())?;
    if let Some(time) = valid_until(&fields) {
        set(&mut fields, "valid_until", &time.kept().to_string())?;
    }
    Ok(fields)
}

/// A quote with some fields stated anew: what was computed of it is computed again.
///
/// # Errors
/// The first field at fault.
pub(crate) fn patched(
    quote: &Members,
    patch: &Members,
    default: Currency,
) -> Result<Members, FieldError> {
    let mut fields = quote.clone();
    for name in ["subtotal", "total"] {
        fields.remove(name);
    }
    for (amount, rate) in [("discount", "discount_rate"), ("tax", "tax_rate")] {
        if fields.contains_key(rate) || patch.contains_key(rate) {
            fields.remove(amount);
        }
    }
    if !patch.contains_key("items") {
        let mut items = items(&fields)?;
        for item in &mut items {
            item.remove("total");
        }
        set(&mut fields, "items", &items)?;
    }
    fields.extend(
        patch
            .iter()
            .map(|(name, json)| (name.clone(), json.clone())),
    );
    filled(fields, default)
}

/// The id of the order that a quote becomes, and of the event that says so.
pub(crate) fn order_id(quote: &str) -> String {
    format!("ord_{}", quote.strip_prefix("quo_").unwrap_or(quote))
}

/// Longest id of a product.
const LONGEST_ID: usize = 256;

/// A purchase, as it is stated in an event.
#[derive(Serialize)]
struct Purchase<'a> {
    customer_id: &'a str,
    event_id: &'a str,
    occurred_at: Option<&'a RawValue>,
    order_id: &'a str,
    amount: Option<&'a RawValue>,
    currency: Option<&'a RawValue>,
    items: Vec<Line<'a>>,
    attributes: Origin<'a>,
}

#[derive(Serialize)]
struct Line<'a> {
    product_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a RawValue>,
    quantity: Option<&'a RawValue>,
    unit_price: Option<&'a RawValue>,
    amount: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Origin<'a> {
    quote_id: &'a str,
    quote_number: Option<&'a RawValue>,
}

/// The purchase that a converted quote is: always the same of the same quote.
///
/// # Errors
/// Where the quote is none.
pub(crate) fn purchase(
    customer: &str,
    quote: &str,
    fields: &Members,
) -> Result<String, FieldError> {
    let order = order_id(quote);
    let items = items(fields)?;
    let raw = |members, name| Members::get(members, name).map(|json| &**json);
    let line = |item| {
        let name = text(item, "sku").or_else(|| text(item, "description"));
        let id = name.unwrap_or_default().replace(char::is_control, " ");
        Line {
            product_id: id.chars().take(LONGEST_ID).collect(),
            name: raw(item, "description"),
            quantity: raw(item, "quantity"),
            unit_price: raw(item, "unit_price"),
            amount: raw(item, "total"),
        }
    };
    let purchase = Purchase {
        customer_id: customer,
        event_id: &order,
        occurred_at: raw(fields, "converted_at"),
        order_id: &order,
        amount: raw(fields, "total"),
        currency: raw(fields, "currency"),
        items: items.iter().map(line).collect(),
        attributes: Origin {
            quote_id: quote,
            quote_number: raw(fields, "number"),
        },
    };
    serde_json::to_string(&purchase)
        .map_err(|error| FieldError::new("", Code::Malformed, error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn members(text: &str) -> Members {
        serde_json::from_str(text).unwrap()
    }

    fn shown(fields: &Members) -> serde_json::Value {
        serde_json::to_value(fields).unwrap()
    }

    const QUOTE: &str = r#"{"subject":"s","items":[{"sku":"a","quantity":2,"unit_price":"9.99"},{"description":"b c","quantity":"0.5","unit_price":3}],
        "discount_rate":10,"tax_rate":"20","notes":null,"valid_until":1767225600000}"#;

    #[test]
    fn totals_are_computed_and_written_in_one_form() {
        let fields = shown(&filled(members(QUOTE), Currency::USD).unwrap());
        // 19.98 + 1.50 = 21.48; 2.15 off; 20% of 19.33 is 3.87.
        assert_eq!(fields["items"][1]["total"], "1.50");
        assert_eq!(
            [
                &fields["subtotal"],
                &fields["discount"],
                &fields["tax"],
                &fields["total"]
            ],
            ["21.48", "2.15", "3.87", "23.20"]
        );
        assert_eq!(fields["items"][1]["unit_price"], "3.00");
        assert_eq!(fields["valid_until"], "2026-01-01T00:00:00Z");
        assert_eq!(
            (&fields["currency"], fields.get("notes")),
            (&"USD".into(), None)
        );
    }

    #[test]
    fn a_patch_computes_again_what_was_computed() {
        let quote = filled(members(QUOTE), Currency::USD).unwrap();
        let patch = |text: &str| patched(&quote, &members(text), Currency::USD);
        let less = shown(&patch(r#"{"discount_rate":null}"#).unwrap());
        assert_eq!(
            (&less["discount"], &less["total"]),
            (&"0.00".into(), &"25.78".into())
        );
        let yen = shown(&patch(r#"{"currency":"JPY"}"#).unwrap());
        assert_eq!(
            (&yen["items"][1]["total"], &yen["total"]),
            (&"2".into(), &"24".into())
        );
        assert_eq!(patch(r#"{"total":"1"}"#).unwrap_err().field, "total");
        assert_eq!(patch(r#"{"items":[]}"#).unwrap_err().field, "items");
        let unnamed = patch(
            r#"{"items":[{"sku":"a","quantity":1,"unit_price":1},{"quantity":1,"unit_price":1}]}"#,
        );
        assert_eq!(unnamed.unwrap_err().field, "items[1].sku");
    }

    #[test]
    fn a_purchase_has_the_lines_of_its_quote() {
        let fields = filled(members(QUOTE), Currency::USD).unwrap();
        let stated = purchase("c", "quo_1", &fields).unwrap();
        assert_eq!(purchase("c", "quo_1", &fields).unwrap(), stated);
        let stated: serde_json::Value = serde_json::from_str(&stated).unwrap();
        assert_eq!(
            (&stated["order_id"], &stated["amount"]),
            (&"ord_1".into(), &"23.20".into())
        );
        assert_eq!(stated["items"][1]["product_id"], "b c");
    }
}
