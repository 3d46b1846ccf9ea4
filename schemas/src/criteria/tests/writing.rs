//! The SQL. That it finds the customers that [`Criteria::matches`] means is for tests with ClickHouse to say.

use crate::criteria::sample::Sampler;
use crate::criteria::{Criteria, SqlValue};

/// The condition, with `?` and a letter for each value, and the values.
fn sql(json: &str) -> (String, Vec<String>) {
    let mut values = Vec::new();
    let criteria = Criteria::parse(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    let sql = criteria.to_sql(&mut |value| {
        values.push(format!("{value:?}"));
        format!("?{}", value.sql_type().chars().next().unwrap())
    });
    (sql, values)
}

#[test]
fn conditions_are_those_of_the_columns() {
    for (json, expected) in [
        (
            r#"{"all":[{"field":"city","op":"eq","value":"X"},{"not":{"field":"status","op":"in","value":["lead"]}}]}"#,
            "((replaceAll(lowerUTF8(city), 'ς', 'σ') = ?S) AND NOT (status IN ?A))",
        ),
        (
            r#"{"any":[{"field":"phone","op":"starts_with","value":"+4"},{"field":"email","op":"absent"}]}"#,
            "((startsWith(phone, ?S)) OR (NOT (email != '')))",
        ),
        (
            r#"{"field":"last_order","op":"gte","value":"2026-01-01T00:00:00Z"}"#,
            "(ifNull(last_order >= ?D, 0))",
        ),
        (
            r#"{"recency":"last_order","op":"gt","days":1,"missing":true}"#,
            "(ifNull(toUnixTimestamp64Micro(last_order) <= toUnixTimestamp64Micro(?D) - ?I, 1))",
        ),
        (
            r#"{"field":"points","op":"in","value":[1]}"#,
            "(has(?A, points))",
        ),
        (
            r#"{"segment":"a"}"#,
            "(customer IN (SELECT customer FROM segment_members WHERE organization = ?S AND segment = ?S \
             GROUP BY customer HAVING argMax(is_member, version)))",
        ),
    ] {
        assert_eq!(sql(json).0, expected, "{json}");
    }
}

#[test]
fn windows_that_nothing_fulfils_are_asked_the_other_way_round() {
    let count = |op: &str, value: i64| {
        let json = format!(r#"{{"count":"orders","days":7,"op":"{op}","value":{value}}}"#);
        sql(&json).0.contains("customer NOT IN")
    };
    assert!(count("lt", 3) && count("lte", 0) && count("eq", 0) && count("gte", 0));
    assert!(!count("gte", 3) && !count("gt", 0) && !count("eq", 1) && !count("lt", 0));
    // The opposite of `eq` is the opposite of the whole.
    assert!(count("ne", 0) && !count("ne", 1));
    assert!(
        sql(r#"{"count":"orders","days":7,"op":"ne","value":1}"#)
            .0
            .starts_with("(NOT (")
    );
}

#[test]
fn money_has_a_currency_and_counts_have_none() {
    let sum = |currency: &str| {
        sql(&format!(
            r#"{{"sum":"revenue","days":7,"op":"gt","value":1{currency}}}"#
        ))
    };
    let (default, values) = sum("");
    assert!(default.contains("currency = ?S") && values.contains(&"Currency".to_owned()));
    let (stated, values) = sum(r#","currency":"EUR""#);
    assert!(stated == default && values.contains(&"Text(\"EUR\")".to_owned()));
    let (count, _) = sql(r#"{"count":"orders","days":7,"op":"gt","value":1}"#);
    assert!(!count.contains("currency ="));
}

/// Every value, `now` and the organization are parameters: what is between them is the same whatever they are.
#[test]
fn values_never_become_text() {
    for (one, other) in [
        (
            r#"{"field":"attributes.a","op":"eq","value":"x"}"#,
            r#"{"field":"attributes.') OR 1 --","op":"eq","value":"') OR 1 --"}"#,
        ),
        (
            r#"{"field":"attributes.a","op":"in","value":[1]}"#,
            r#"{"field":"attributes.'","op":"in","value":[2,3.5]}"#,
        ),
        (
            r#"{"field":"tags","op":"in","value":["a"]}"#,
            r#"{"field":"tags","op":"in","value":["'","]"]}"#,
        ),
        (r#"{"segment":"a"}"#, r#"{"segment":"'b"}"#),
        (
            r#"{"sum":"revenue","days":7,"op":"gt","value":1,"currency":"EUR"}"#,
            r#"{"sum":"revenue","days":8,"op":"gt","value":2,"currency":"JPY"}"#,
        ),
        (
            r#"{"recency":"last_seen","op":"gt","days":7}"#,
            r#"{"recency":"last_seen","op":"gt","days":8}"#,
        ),
        (
            r#"{"field":"total_refunds","op":"gt","value":1}"#,
            r#"{"field":"total_refunds","op":"gt","value":"2.5"}"#,
        ),
    ] {
        let (left, right) = (sql(one), sql(other));
        assert_eq!(left.0, right.0);
        assert_ne!(left.1, right.1);
    }
    for seed in 0..1_000 {
        let criteria = Criteria::parse(&Sampler::new(seed).criteria()).unwrap();
        let mut places = Vec::new();
        let sql = criteria.to_sql(&mut |value| {
            places.push(format!("{{p{}:{}}}", places.len(), value.sql_type()));
            places[places.len() - 1].clone()
        });
        assert!(places.iter().all(|place| sql.contains(place)), "{sql}");
        // Digits and letters beyond ASCII are in what is constant here alone.
        let mut rest = places.iter().fold(sql, |sql, place| sql.replace(place, ""));
        for constant in [
            "{1,15}",
            "{1,6}",
            "[0-9]",
            "128",
            " 6)",
            "64",
            "'ς', 'σ'",
            ", 0)",
            ", 1)",
            "> 0",
            "UTF8",
            "Date32",
            "(1)",
            "(0)",
        ] {
            rest = rest.replace(constant, "");
        }
        assert!(
            rest.is_ascii() && !rest.contains(|c: char| c.is_ascii_digit()),
            "{rest}"
        );
    }
}

#[test]
fn long_lists_travel_in_parts() {
    let values: Vec<String> = (0..1_000).map(|n| format!("{n:0>100}")).collect();
    let json = serde_json::json!({"field": "assigned_to", "op": "not_in", "value": values});
    let criteria = Criteria::parse(&json.to_string()).unwrap();
    let mut sent: Vec<String> = Vec::new();
    let mut parts = 0;
    let sql = criteria.to_sql(&mut |value| {
        let SqlValue::Texts(part) = value else {
            panic!("{value:?}");
        };
        assert!(part.iter().map(|text| text.len()).sum::<usize>() <= 32 * 1024);
        sent.extend(part.into_iter().map(str::to_owned));
        parts += 1;
        "?".to_owned()
    });
    assert_eq!(sent, values);
    let list = vec!["assigned_to IN ?"; parts].join(" OR ");
    assert!(parts > 1);
    assert_eq!(sql, format!("(NOT ({list}))"));
}
