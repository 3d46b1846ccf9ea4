#![allow(clippy::unwrap_used)]

use super::*;
use crate::Decimal;

fn context() -> ParseContext {
    ParseContext {
        received_at: Timestamp::parse("2026-03-01T00:00:00Z").unwrap(),
        currency: Currency::USD,
    }
}

fn parse(kind: Kind, text: &str) -> Result<Draft, FieldError> {
    Draft::parse(kind, text, &context())
}

fn purchase(text: &str) -> Purchase {
    match parse(Kind::Purchase, text).unwrap().body {
        Body::Purchase(purchase) => purchase,
        other => panic!("{other:?}"),
    }
}

fn refused(kind: Kind, text: &str) -> (String, Code) {
    let error = parse(kind, text).unwrap_err();
    (error.field, error.code)
}

#[test]
fn a_purchase_is_read_digit_for_digit() {
    let draft = parse(
        Kind::Purchase,
        r#"{"type":"purchase","event_id":"e1","customer_id":"c","amount":"12.345678","currency":"EUR","order_id":"o",
            "occurred_at":"2026-02-28T23:00:00.1234567-01:00","shop":{"id":7},"attributes":{"till":3},
            "items":[{"product_id":"p","quantity":1.5,"unit_price":"2.10","colour":"red"},{"product_id":"q","amount":3}]}"#,
    )
    .unwrap();
    assert_eq!(draft.event_id.as_deref(), Some("e1"));
    assert_eq!(draft.occurred_at.to_string(), "2026-03-01T00:00:00.123456Z");
    assert_eq!(
        &*draft.attributes,
        r#"{"till":3,"items.0.colour":"red","shop":{"id":7}}"#.replace(
            r#""items.0.colour":"red","shop":{"id":7}"#,
            r#""shop":{"id":7},"items.0.colour":"red""#
        )
    );
    let Body::Purchase(purchase) = draft.body else {
        panic!()
    };
    assert_eq!(purchase.amount.to_string(), "12.345678");
    assert_eq!(purchase.currency.as_str(), "EUR");
    assert_eq!(purchase.items[0].amount.to_string(), "3.15");
    assert_eq!(purchase.items[1].quantity, Decimal::ONE);
}

#[test]
fn refunds_read_negative_whichever_way_they_are_stated() {
    let stated = purchase(
        r#"{"customer_id":"c","amount":5,"status":"refunded","items":[{"product_id":"p","quantity":2,"amount":5}]}"#,
    );
    assert!(stated.is_refund() && !stated.is_order());
    assert_eq!(
        (stated.amount, stated.items[0].quantity),
        (Decimal::from_whole(-5), Decimal::from_whole(-2))
    );
    let negative = purchase(r#"{"customer_id":"c","amount":-5,"product":"p"}"#);
    assert!(negative.is_refund());
    assert_eq!(negative.items[0].amount, Decimal::from_whole(-5));
    assert!(purchase(r#"{"customer_id":"c","amount":"0.00"}"#).is_order());
    assert!(!purchase(r#"{"customer_id":"c","amount":1,"status":"cancelled"}"#).counts());
}

#[test]
fn each_wrong_field_is_named() {
    let deep = format!(
        r#"{{"customer_id":"c","name":"n","properties":{{"a":{}1{}}}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    let long = format!(r#"{{"customer_id":"{}","amount":1}}"#, "x".repeat(257));
    let cases = [
        (
            Kind::Purchase,
            r#"{"amount":1}"#,
            "customer_id",
            Code::Required,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":null,"amount":1}"#,
            "customer_id",
            Code::Required,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":7,"amount":1}"#,
            "customer_id",
            Code::InvalidType,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"","amount":1}"#,
            "customer_id",
            Code::InvalidLength,
        ),
        (Kind::Purchase, &long, "customer_id", Code::InvalidLength),
        (
            Kind::Purchase,
            r#"{"customer_id":"a\tb","amount":1}"#,
            "customer_id",
            Code::InvalidCharacter,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c"}"#,
            "amount",
            Code::Required,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1e3}"#,
            "amount",
            Code::InvalidFormat,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":"ten"}"#,
            "amount",
            Code::InvalidFormat,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1234567890123456}"#,
            "amount",
            Code::OutOfRange,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1.0000001}"#,
            "amount",
            Code::OutOfRange,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":true}"#,
            "amount",
            Code::InvalidType,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":NaN}"#,
            "amount",
            Code::NotANumber,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"currency":"usd"}"#,
            "currency",
            Code::UnknownCurrency,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"amount":2}"#,
            "amount",
            Code::DuplicateKey,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"x":1,"x":2}"#,
            "x",
            Code::DuplicateKey,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"product":"p","items":[]}"#,
            "product",
            Code::Conflict,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"status":"lost"}"#,
            "status",
            Code::InvalidValue,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"items":[{"product_id":"p"},{"quantity":1}]}"#,
            "items[1].product_id",
            Code::Required,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"items":[{"product_id":"p","quantity":"x"}]}"#,
            "items[0].quantity",
            Code::InvalidFormat,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"items":[3]}"#,
            "items[0]",
            Code::InvalidType,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"occurred_at":"2026-03-02T00:00:01Z"}"#,
            "occurred_at",
            Code::OutOfRange,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"occurred_at":"1899-12-31T23:59:59Z"}"#,
            "occurred_at",
            Code::OutOfRange,
        ),
        (
            Kind::Purchase,
            r#"{"customer_id":"c","amount":1,"occurred_at":"2026-02-01"}"#,
            "occurred_at",
            Code::InvalidFormat,
        ),
        (
            Kind::Activity,
            r#"{"customer_id":"c"}"#,
            "name",
            Code::Required,
        ),
        (Kind::Activity, &deep, "properties.a", Code::TooDeep),
        (
            Kind::Activity,
            r#"{"customer_id":"c","name":"\ud800"}"#,
            "name",
            Code::LoneSurrogate,
        ),
        (
            Kind::Activity,
            r#"{"customer_id":"c","name":"n","properties":{"k":"\u0000"}}"#,
            "properties.k",
            Code::NulCharacter,
        ),
        (
            Kind::Interaction,
            r#"{"customer_id":"c","channel":"fax","kind":"call"}"#,
            "channel",
            Code::InvalidValue,
        ),
        (
            Kind::Interaction,
            r#"{"customer_id":"c","channel":"web","kind":"call","duration":1.5}"#,
            "duration",
            Code::OutOfRange,
        ),
        (
            Kind::User,
            r#"{"customer_id":"c","tags":["a",1]}"#,
            "tags[1]",
            Code::InvalidType,
        ),
        (Kind::User, r#"[]"#, "", Code::InvalidType),
        (Kind::User, r#"{"customer_id":"c""#, "", Code::Malformed),
    ];
    for (kind, text, field, code) in cases {
        assert_eq!(refused(kind, text), (field.to_owned(), code), "{text}");
    }
    let large = format!(
        r#"{{"customer_id":"c","name":"{}"}}"#,
        "x".repeat(MAX_EVENT_BYTES)
    );
    assert_eq!(refused(Kind::Activity, &large).1, Code::TooLarge);
}

#[test]
fn times_may_be_epoch_milliseconds() {
    let draft = parse(
        Kind::Activity,
        r#"{"customer_id":"c","name":"login","occurred_at":1767225600000}"#,
    )
    .unwrap();
    assert_eq!(draft.occurred_at.to_string(), "2026-01-01T00:00:00Z");
}

#[test]
fn a_profile_keeps_what_was_stated_and_what_was_cleared() {
    let draft = parse(
        Kind::User,
        r#"{"customer_id":"c","name":"N","email":null,"vip":true}"#,
    )
    .unwrap();
    let Body::User(user) = draft.body else {
        panic!()
    };
    assert_eq!(user.fields.to_json(), r#"{"name":"N","email":null}"#);
    assert_eq!(&*draft.attributes, r#"{"vip":true}"#);
}

#[test]
fn attributes_win_over_unknown_fields_of_the_same_name() {
    let draft = parse(
        Kind::Activity,
        r#"{"customer_id":"c","name":"n","a":1,"b":2,"attributes":{ "a" : 9 }}"#,
    )
    .unwrap();
    assert_eq!(&*draft.attributes, r#"{ "a" : 9,"b":2}"#);
    let none = parse(
        Kind::Activity,
        r#"{"customer_id":"c","name":"n","attributes":{ }}"#,
    )
    .unwrap();
    assert_eq!(&*none.attributes, "");
}

#[test]
fn the_kind_is_found_wherever_type_stands() {
    assert_eq!(peek_kind(r#"{"type":"user"}"#).unwrap(), Kind::User);
    assert_eq!(
        peek_kind(r#"{"x":{"type":"user"},"type":"purchase"}"#).unwrap(),
        Kind::Purchase
    );
    for text in [r#"{}"#, r#"{"type":1}"#, r#"{"type":"sale"}"#, "3"] {
        assert!(matches!(peek_kind(text), Err(ReadError::Rule(_))), "{text}");
    }
    // On an endpoint of one kind, another `type` is an unknown field like any other.
    let draft = parse(
        Kind::Activity,
        r#"{"customer_id":"c","name":"n","type":"click"}"#,
    )
    .unwrap();
    assert_eq!(&*draft.attributes, r#"{"type":"click"}"#);
}
