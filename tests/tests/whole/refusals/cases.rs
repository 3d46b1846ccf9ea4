//! One event for each rule that it breaks: the event, the field and the code that are to be named.

use schemas::event::MAX_EVENT_BYTES;

/// An event that is refused: its JSON, the field that is named and the code.
pub(super) type Case = (String, &'static str, &'static str);

pub(super) fn with(kind: &str, fields: &str) -> String {
    format!(r#"{{"type":"{kind}","event_id":"bad","customer_id":"c",{fields}}}"#)
}

pub(super) fn purchase(fields: &str) -> String {
    with("purchase", fields)
}

pub(super) fn ids() -> Vec<Case> {
    let of = |fields: &str| format!(r#"{{"type":"activity","name":"login",{fields}}}"#);
    let long = |length| "x".repeat(length);
    vec![
        (of(r#""event_id":"bad""#), "customer_id", "required"),
        (of(r#""customer_id":null"#), "customer_id", "required"),
        (of(r#""customer_id":"""#), "customer_id", "invalid_length"),
        (
            of(&format!(r#""customer_id":"{}""#, long(257))),
            "customer_id",
            "invalid_length",
        ),
        (of(r#""customer_id":7"#), "customer_id", "invalid_type"),
        (of(r#""customer_id":["c"]"#), "customer_id", "invalid_type"),
        (
            of(r#""customer_id":"a\nb""#),
            "customer_id",
            "invalid_character",
        ),
        (
            of(r#""customer_id":"a\u007f""#),
            "customer_id",
            "invalid_character",
        ),
        (
            of(r#""customer_id":"a\u0085""#),
            "customer_id",
            "invalid_character",
        ),
        (
            of(r#""customer_id":"c","event_id":"""#),
            "event_id",
            "invalid_length",
        ),
        (
            of(&format!(r#""customer_id":"c","event_id":"{}""#, long(129))),
            "event_id",
            "invalid_length",
        ),
        (
            of(r#""customer_id":"c","event_id":5"#),
            "event_id",
            "invalid_type",
        ),
        (
            of(r#""customer_id":"c","event_id":"\t""#),
            "event_id",
            "invalid_character",
        ),
        (
            of(r#""customer_id":"a\u0000""#),
            "customer_id",
            "nul_character",
        ),
        (
            of(r#""customer_id":"\ud800""#),
            "customer_id",
            "lone_surrogate",
        ),
    ]
}

pub(super) fn amounts() -> Vec<Case> {
    let mut cases = vec![
        (purchase(r#""currency":"USD""#), "amount", "required"),
        (purchase(r#""amount":null"#), "amount", "required"),
    ];
    for text in [
        r#""much""#,
        "1e3",
        r#""1e3""#,
        "1E400",
        r#""1,50""#,
        r#""+1""#,
        r#"" 1""#,
        r#""""#,
        r#""NaN""#,
        r#""1.""#,
        r#"".5""#,
        r#""0x10""#,
        r#""٣""#,
    ] {
        cases.push((
            purchase(&format!(r#""amount":{text}"#)),
            "amount",
            "invalid_format",
        ));
    }
    for text in [
        "1000000000000000",
        r#""1000000000000000""#,
        "-1000000000000000",
        "0.0000001",
        r#""12345678901234567890""#,
        &"9".repeat(400),
    ] {
        cases.push((
            purchase(&format!(r#""amount":{text}"#)),
            "amount",
            "out_of_range",
        ));
    }
    for text in ["true", "[]", "{}", "[1]"] {
        cases.push((
            purchase(&format!(r#""amount":{text}"#)),
            "amount",
            "invalid_type",
        ));
    }
    for text in ["NaN", "Infinity", "-Infinity"] {
        cases.push((
            purchase(&format!(r#""amount":{text}"#)),
            "amount",
            "not_a_number",
        ));
    }
    for text in [r#""usd""#, r#""ZZZ""#, r#""US""#, r#""$""#, r#""""#] {
        let fields = format!(r#""amount":1,"currency":{text}"#);
        cases.push((purchase(&fields), "currency", "unknown_currency"));
    }
    cases.push((
        purchase(r#""amount":1,"currency":840"#),
        "currency",
        "invalid_type",
    ));
    cases
}

pub(super) fn purchases() -> Vec<Case> {
    let of = |fields: &str| purchase(&format!(r#""amount":"1.00",{fields}"#));
    vec![
        (of(r#""status":"paid""#), "status", "invalid_value"),
        (of(r#""status":1"#), "status", "invalid_type"),
        (of(r#""order_id":"""#), "order_id", "invalid_length"),
        (of(r#""product":"tea","items":[]"#), "product", "conflict"),
        (of(r#""items":{}"#), "items", "invalid_type"),
        (
            of(r#""items":[{"product_id":"p"},5]"#),
            "items[1]",
            "invalid_type",
        ),
        (of(r#""items":[{}]"#), "items[0].product_id", "required"),
        (
            of(r#""items":[{"product_id":"p","quantity":"many"}]"#),
            "items[0].quantity",
            "invalid_format",
        ),
        (
            of(
                r#""items":[{"product_id":"p"},{"product_id":"p"},{"product_id":"p","amount":"0.0000001"}]"#,
            ),
            "items[2].amount",
            "out_of_range",
        ),
        (
            of(r#""items":[{"product_id":"p","quantity":"999999999","unit_price":"999999999"}]"#),
            "items[0].amount",
            "out_of_range",
        ),
        (
            of(r#""items":[{"product_id":"p","product_id":"q"}]"#),
            "items[0].product_id",
            "duplicate_key",
        ),
        (of(r#""refund_of":7"#), "refund_of", "invalid_type"),
    ]
}

pub(super) fn times() -> Vec<Case> {
    let ahead = (chrono::Utc::now() + chrono::Duration::hours(25)).to_rfc3339();
    let mut cases = Vec::new();
    for (value, code) in [
        (r#""2026-03-01T12:30:00""#, "invalid_format"),
        (r#""2026-03-01""#, "invalid_format"),
        (r#""2026-02-30T00:00:00Z""#, "invalid_format"),
        (r#""yesterday""#, "invalid_format"),
        (r#""""#, "invalid_format"),
        ("1.5", "invalid_format"),
        ("1e12", "invalid_format"),
        (r#""1899-12-31T23:59:59.999999Z""#, "out_of_range"),
        (r#""1900-01-01T00:00:00+00:01""#, "out_of_range"),
        (r#""0001-01-01T00:00:00Z""#, "out_of_range"),
        (r#""9999-12-31T23:59:59Z""#, "out_of_range"),
        ("99999999999999", "out_of_range"),
        ("-99999999999999", "out_of_range"),
        ("9223372036854775807", "out_of_range"),
        ("true", "invalid_type"),
        ("{}", "invalid_type"),
        (&format!("\"{ahead}\""), "out_of_range"),
    ] {
        let fields = format!(r#""amount":1,"occurred_at":{value}"#);
        cases.push((purchase(&fields), "occurred_at", code));
    }
    cases
}

pub(super) fn kinds() -> Vec<Case> {
    let interaction = |fields: &str| with("interaction", fields);
    let talk = |fields: &str| {
        with(
            "interaction",
            &format!(r#""channel":"phone","kind":"call",{fields}"#),
        )
    };
    vec![
        (
            r#"{"customer_id":"c","event_id":"bad"}"#.into(),
            "type",
            "required",
        ),
        (with("sale", r#""amount":1"#), "type", "invalid_value"),
        (
            r#"{"type":7,"customer_id":"c"}"#.into(),
            "type",
            "invalid_type",
        ),
        ("5".into(), "", "invalid_type"),
        (r#""event""#.into(), "", "invalid_type"),
        ("null".into(), "", "invalid_type"),
        ("[]".into(), "", "invalid_type"),
        (with("user", r#""email":5"#), "email", "invalid_type"),
        (
            with("user", r#""customer_type":"alien""#),
            "customer_type",
            "invalid_value",
        ),
        (with("user", r#""tags":"vip""#), "tags", "invalid_type"),
        (
            with("user", r#""tags":["vip",5]"#),
            "tags[1]",
            "invalid_type",
        ),
        (
            with("user", r#""addresses":["Main Street"]"#),
            "addresses[0]",
            "invalid_type",
        ),
        (with("activity", r#""properties":{}"#), "name", "required"),
        (with("activity", r#""name":"""#), "name", "invalid_length"),
        (
            with("activity", r#""name":"login","properties":[]"#),
            "properties",
            "invalid_type",
        ),
        (interaction(r#""kind":"call""#), "channel", "required"),
        (interaction(r#""channel":"phone""#), "kind", "required"),
        (
            interaction(r#""channel":"pigeon","kind":"call""#),
            "channel",
            "invalid_value",
        ),
        (
            interaction(r#""channel":"phone","kind":"gossip""#),
            "kind",
            "invalid_value",
        ),
        (talk(r#""duration":-1"#), "duration", "out_of_range"),
        (talk(r#""duration":"long""#), "duration", "invalid_type"),
        (talk(r#""priority":"asap""#), "priority", "invalid_value"),
        (talk(r#""opened_at":"noon""#), "opened_at", "invalid_format"),
        (
            talk(r#""requires_follow_up":1"#),
            "requires_follow_up",
            "invalid_type",
        ),
    ]
}

/// An activity whose JSON is nested so deep, the event itself counted.
pub(super) fn nested(depth: usize) -> String {
    let (open, close) = ("[".repeat(depth - 2), "]".repeat(depth - 2));
    with(
        "activity",
        &format!(r#""name":"login","attributes":{{"a":{open}{close}}}"#),
    )
}

pub(super) fn json_rules() -> Vec<Case> {
    let of = |fields: &str| with("activity", &format!(r#""name":"login",{fields}"#));
    vec![
        (of(r#""event_id":"again""#), "event_id", "duplicate_key"),
        (of(r#""x":1,"x":1"#), "x", "duplicate_key"),
        (of(r#""x":1,"\u0078":1"#), "x", "duplicate_key"),
        (
            of(r#""attributes":{"a":1,"a":2}"#),
            "attributes.a",
            "duplicate_key",
        ),
        (of(r#""attributes":[]"#), "attributes", "invalid_type"),
        (of(r#""x":"\ud83d""#), "x", "lone_surrogate"),
        (of(r#""x":"\ude00\ud83d""#), "x", "lone_surrogate"),
        (of(r#""x":"a\u0000b""#), "x", "nul_character"),
        (of(r#""x":[1,NaN]"#), "x", "not_a_number"),
        (of(r#""x":{"y":-Infinity}"#), "x.y", "not_a_number"),
        (nested(65), "attributes.a", "too_deep"),
        (nested(100_000), "attributes.a", "too_deep"),
        (
            of(&format!(r#""x":"{}""#, "y".repeat(MAX_EVENT_BYTES))),
            "",
            "too_large",
        ),
        (
            of(&format!(r#""x":"{}""#, "y".repeat(10_000_000))),
            "",
            "too_large",
        ),
    ]
}
