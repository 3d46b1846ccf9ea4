//! What is read, and what is refused with which words.

use crate::criteria::Criteria;
use crate::error::{Code, FieldError};

fn refused(json: &str) -> FieldError {
    match Criteria::parse(json) {
        Err(error) => error,
        Ok(criteria) => panic!("{json} was read as {}", criteria.to_json()),
    }
}

#[test]
fn errors_name_the_path_and_what_is_allowed() {
    for (json, field, code, words) in [
        ("5", "", Code::InvalidType, "all, any, not"),
        ("{}", "", Code::Required, "all, any, not, field"),
        ("{\"all\":[]}", "all", Code::InvalidLength, "one condition"),
        ("{\"all\":{}}", "all", Code::InvalidType, "array"),
        (
            r#"{"all":[{"segment":"a"},5]}"#,
            "all[1]",
            Code::InvalidType,
            "object",
        ),
        (
            r#"{"all":[{"segment":"a"},{"field":"city","op":"eq","value":5}]}"#,
            "all[1].value",
            Code::InvalidType,
            "a string",
        ),
        (
            r#"{"any":[{"not":{"field":"city","op":"in","value":["x",""]}}]}"#,
            "any[0].not.value[1]",
            Code::InvalidLength,
            "1 to 500",
        ),
        (
            r#"{"field":"city","op":"gt","value":"x"}"#,
            "op",
            Code::InvalidValue,
            "starts_with",
        ),
        (
            r#"{"field":"tier","op":"contains","value":"x"}"#,
            "op",
            Code::InvalidValue,
            "eq, ne, in",
        ),
        (
            r#"{"field":"tags","op":"eq","value":"x"}"#,
            "op",
            Code::InvalidValue,
            "contains, in",
        ),
        (
            r#"{"field":"town","op":"eq","value":"x"}"#,
            "field",
            Code::InvalidValue,
            "city",
        ),
        (
            r#"{"field":"city","op":"eq"}"#,
            "value",
            Code::Required,
            "send a value",
        ),
        (
            r#"{"field":"city","value":"x"}"#,
            "op",
            Code::Required,
            "send a value",
        ),
        (
            r#"{"field":"city","op":"exists","value":true}"#,
            "value",
            Code::InvalidValue,
            "no value",
        ),
        (
            r#"{"field":"city","op":"eq","value":"x","or":1}"#,
            "or",
            Code::InvalidValue,
            "field, op, value",
        ),
        (
            r#"{"field":"status","op":"eq","value":"gone"}"#,
            "value",
            Code::InvalidValue,
            "prospect, lead",
        ),
        (
            r#"{"field":"points","op":"gte","value":1.5}"#,
            "value",
            Code::InvalidFormat,
            "whole",
        ),
        (
            r#"{"field":"total_revenue","op":"gte","value":"1e3"}"#,
            "value",
            Code::InvalidFormat,
            "12.50",
        ),
        (
            r#"{"field":"last_seen","op":"lt","value":"2026-01-01"}"#,
            "value",
            Code::InvalidFormat,
            "RFC 3339",
        ),
        (
            r#"{"field":"last_seen","op":"lt","value":"2500-01-01T00:00:00Z"}"#,
            "value",
            Code::OutOfRange,
            "2299",
        ),
        (
            r#"{"field":"attributes.","op":"exists"}"#,
            "field",
            Code::InvalidLength,
            "1 to 256",
        ),
        (
            r#"{"field":"attributes.a","op":"gt","value":"x"}"#,
            "value",
            Code::InvalidFormat,
            "decimal",
        ),
        (
            r#"{"field":"attributes.a","op":"in","value":[1,true]}"#,
            "value[1]",
            Code::InvalidType,
            "number",
        ),
        (
            r#"{"field":"city","op":"eq","op":"ne","value":"x"}"#,
            "op",
            Code::DuplicateKey,
            "once",
        ),
        (
            r#"{"all":[{"segment":"a"}],"any":[{"segment":"a"}]}"#,
            "any",
            Code::Conflict,
            "alone",
        ),
        (
            r#"{"segment":"a","not":{"segment":"a"}}"#,
            "not",
            Code::Conflict,
            "alone",
        ),
        (
            r#"{"all":[{"tags":["VIP"]}]}"#,
            "all[0]",
            Code::Required,
            "field, recency",
        ),
        (
            r#"{"recency":"created_at","op":"gt","days":1}"#,
            "recency",
            Code::InvalidValue,
            "last_order",
        ),
        (
            r#"{"recency":"last_order","op":"eq","days":1}"#,
            "op",
            Code::InvalidValue,
            "lt, lte",
        ),
        (
            r#"{"recency":"last_order","op":"gt","days":36501}"#,
            "days",
            Code::OutOfRange,
            "36500",
        ),
        (
            r#"{"recency":"last_order","op":"lt","days":1,"missing":true}"#,
            "missing",
            Code::Conflict,
            "gt or gte",
        ),
        (
            r#"{"count":"revenue","days":1,"op":"gt","value":1}"#,
            "count",
            Code::InvalidValue,
            "orders, activities",
        ),
        (
            r#"{"sum":"orders","days":1,"op":"gt","value":1}"#,
            "sum",
            Code::InvalidValue,
            "revenue, refunds",
        ),
        (
            r#"{"count":"orders","days":0,"op":"gt","value":1}"#,
            "days",
            Code::OutOfRange,
            "1 to 3650",
        ),
        (
            r#"{"count":"orders","days":3651,"op":"gt","value":1}"#,
            "days",
            Code::OutOfRange,
            "1 to 3650",
        ),
        (
            r#"{"count":"orders","days":"7","op":"gt","value":1}"#,
            "days",
            Code::InvalidType,
            "1 to 3650",
        ),
        (
            r#"{"count":"orders","days":1,"op":"in","value":[1]}"#,
            "op",
            Code::InvalidValue,
            "eq, ne",
        ),
        (
            r#"{"count":"orders","days":1,"op":"gt","value":1,"currency":"EUR"}"#,
            "currency",
            Code::InvalidValue,
            "count, days",
        ),
        (
            r#"{"sum":"revenue","days":1,"op":"gt","value":1,"currency":"eur"}"#,
            "currency",
            Code::UnknownCurrency,
            "ISO 4217",
        ),
        (
            r#"{"segment":""}"#,
            "segment",
            Code::InvalidLength,
            "1 to 128",
        ),
        (
            r#"{"segment":"a\n"}"#,
            "segment",
            Code::InvalidCharacter,
            "control",
        ),
        (
            r#"{"tags":["VIP"],"nope":["x"]}"#,
            "nope",
            Code::InvalidValue,
            "nationality",
        ),
        (
            r#"{"tags":["VIP",5]}"#,
            "tags[1]",
            Code::InvalidType,
            "a string",
        ),
        (r#"{"tags":5}"#, "tags", Code::InvalidType, "a string"),
        (r#"{"tags":[]}"#, "tags", Code::InvalidLength, "1 to 1000"),
        (
            r#"{"last_seen":["2026-01-01T00:00:00Z"]}"#,
            "last_seen",
            Code::InvalidValue,
            "gte",
        ),
        (
            r#"{"attributes.":["x"]}"#,
            "attributes.",
            Code::InvalidLength,
            "1 to 256",
        ),
        (r#"{"segment":"a"} x"#, "", Code::Malformed, "byte 16"),
        (r#"{"segment":"a""#, "", Code::Malformed, "byte 14"),
    ] {
        let error = refused(json);
        assert_eq!(
            (error.field.as_str(), error.code),
            (field, code),
            "{json}: {error}"
        );
        assert!(
            error.detail.contains(words),
            "{json}: {error} does not say {words}"
        );
    }
}

#[test]
fn sizes_are_bounded() {
    let nested = |depth: usize| {
        let close = "}".repeat(depth - 1);
        format!(
            "{}{{\"segment\":\"a\"}}{close}",
            "{\"not\":".repeat(depth - 1)
        )
    };
    assert!(Criteria::parse(&nested(16)).is_ok());
    let error = refused(&nested(17));
    assert_eq!(
        (error.field.matches("not").count(), error.code),
        (16, Code::TooDeep)
    );
    assert_eq!(refused(&nested(10_000)).code, Code::TooDeep);

    let leaves = |count: usize| {
        let leaves = vec![r#"{"segment":"a"}"#; count];
        format!("{{\"any\":[{}]}}", leaves.join(","))
    };
    assert!(Criteria::parse(&leaves(100)).is_ok());
    let error = refused(&leaves(101));
    assert_eq!(
        (error.field.as_str(), error.code),
        ("any[100]", Code::InvalidLength)
    );

    let list = |count: usize| {
        let values: Vec<String> = (0..count).map(|n| format!("\"t{n}\"")).collect();
        format!("{{\"tags\":[{}]}}", values.join(","))
    };
    assert!(Criteria::parse(&list(1_000)).is_ok());
    let error = refused(&list(1_001));
    assert_eq!(
        (error.field.as_str(), error.code),
        ("tags", Code::InvalidLength)
    );

    let text = |length: usize| {
        format!(
            r#"{{"field":"name","op":"eq","value":"{}"}}"#,
            "é".repeat(length)
        )
    };
    assert!(Criteria::parse(&text(500)).is_ok());
    assert_eq!(refused(&text(501)).code, Code::InvalidLength);
    let spaces = " ".repeat(crate::criteria::MAX_BYTES);
    assert_eq!(
        refused(&format!("{{\"segment\":\"a\"}}{spaces}")).code,
        Code::TooLarge
    );
}

#[test]
fn values_are_held_as_they_are_compared() {
    for (stated, canonical) in [
        (
            r#"{"loyalty_status":["VIP","Gold","vip"],"customer_type":"Corporate"}"#,
            r#"{"all":[{"field":"tier","op":"in","value":["gold","vip"]},{"field":"customer_type","op":"in","value":["business"]}]}"#,
        ),
        (
            r#"{"value":["+4A","+4a"],"op":"not_in","field":"phone"}"#,
            r#"{"field":"phone","op":"not_in","value":["+4A","+4a"]}"#,
        ),
        (
            r#"{"field":"city","op":"ne","value":"ΟΔΟΣ"}"#,
            r#"{"field":"city","op":"ne","value":"οδοσ"}"#,
        ),
        (
            r#"{"field":"total_revenue","op":"in","value":[2.50,"-0","1"]}"#,
            r#"{"field":"total_revenue","op":"in","value":["0","1","2.5"]}"#,
        ),
        (
            r#"{"field":"attributes.Seats","op":"eq","value":"A"}"#,
            r#"{"field":"attributes.Seats","op":"eq","value":"a"}"#,
        ),
        (
            r#"{"field":"attributes.a.b","op":"gte","value":"10"}"#,
            r#"{"field":"attributes.a.b","op":"gte","value":10}"#,
        ),
        (
            r#"{"field":"attributes.a","op":"in","value":[true,"x"]}"#,
            r#"{"field":"attributes.a","op":"in","value":["true","x"]}"#,
        ),
        (
            r#"{"field":"last_contact","op":"lt","value":1767225600000}"#,
            r#"{"field":"last_contact","op":"lt","value":"2026-01-01T00:00:00Z"}"#,
        ),
        (
            r#"{"recency":"last_order","op":"gte","days":30,"missing":false}"#,
            r#"{"recency":"last_order","op":"gte","days":30}"#,
        ),
        (
            r#"{"sum":"refunds","value":5,"op":"lt","days":7,"currency":"EUR"}"#,
            r#"{"sum":"refunds","days":7,"op":"lt","value":"5","currency":"EUR"}"#,
        ),
    ] {
        let criteria = Criteria::parse(stated).unwrap_or_else(|error| panic!("{stated}: {error}"));
        assert_eq!(criteria.to_json(), canonical);
        assert_eq!(Criteria::parse(canonical).unwrap(), criteria);
    }
}

#[test]
fn it_says_which_segments_and_days_it_needs() {
    let criteria = Criteria::parse(
        r#"{"any":[{"segment":"b"},{"not":{"segment":"a"}},{"segment":"b"},
            {"count":"orders","days":7,"op":"gt","value":1},{"sum":"revenue","days":90,"op":"gt","value":1}]}"#,
    )
    .unwrap();
    assert_eq!(criteria.segments(), ["a", "b"]);
    assert_eq!(criteria.windows(), 90);
    let plain = Criteria::parse(r#"{"tags":["x"]}"#).unwrap();
    assert!(plain.segments().is_empty() && plain.windows() == 0);
}
