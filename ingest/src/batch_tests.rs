#![allow(clippy::unwrap_used)]

use schemas::{Currency, Timestamp};

use super::*;

fn context() -> ParseContext {
    ParseContext {
        received_at: Timestamp::parse("2026-03-01T00:00:00Z").unwrap(),
        currency: Currency::USD,
    }
}

fn verdicts(format: Format, body: &str) -> Result<Vec<Option<Code>>, Problem> {
    let batch = many(
        Bytes::copy_from_slice(body.as_bytes()),
        format,
        5,
        &context(),
    )?;
    Ok(batch
        .events
        .iter()
        .map(|event| event.draft.as_ref().err().map(|error| error.code))
        .collect())
}

const GOOD: &str = r#"{"type":"activity","customer_id":"c","name":"login"}"#;

#[test]
fn a_bad_event_costs_only_itself() {
    let deep = format!(
        r#"{{"type":"activity","customer_id":"c","name":"n","x":{}{}}}"#,
        "[".repeat(3000),
        "]".repeat(3000)
    );
    let body = format!(r#"[{GOOD}, 3, {{"type":"activity","name":NaN}}, {deep}, {GOOD}]"#);
    let expected = vec![
        None,
        Some(Code::InvalidType),
        Some(Code::NotANumber),
        Some(Code::TooDeep),
        None,
    ];
    assert_eq!(verdicts(Format::Json, &body).unwrap(), expected);
    let wrapped = format!(r#" {{"events": [{GOOD},{GOOD}] }} "#);
    assert_eq!(verdicts(Format::Json, &wrapped).unwrap(), vec![None, None]);
}

#[test]
fn a_body_that_is_not_json_is_refused_whole_and_says_where() {
    for (body, place) in [
        (format!("[{GOOD},{{]"), "item 1, byte"),
        (format!("[{GOOD} {GOOD}]"), "item 1, byte"),
        (format!("[{GOOD}"), "item 1, byte"),
        (format!("[{GOOD}]x"), "byte"),
        ("nonsense".to_owned(), "item 0, byte 0"),
        ("null".to_owned(), "not null"),
    ] {
        let problem = verdicts(Format::Json, &body).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::BadRequest);
        assert!(problem.detail.contains(place), "{body}: {}", problem.detail);
    }
}

#[test]
fn lines_are_refused_alone_and_blank_ones_not_counted() {
    let body = format!("{GOOD}\r\n\n  \n{{oops\n{GOOD} trailing\n{GOOD}");
    assert_eq!(
        verdicts(Format::Lines, &body).unwrap(),
        vec![None, Some(Code::Malformed), Some(Code::Malformed), None]
    );
    let batch = many(
        Bytes::from(vec![b'"', 0xff, b'"']),
        Format::Lines,
        5,
        &context(),
    )
    .unwrap();
    assert_eq!(
        batch.events[0].draft.as_ref().unwrap_err().code,
        Code::Malformed
    );
}

#[test]
fn the_bytes_of_each_event_are_found() {
    let body = format!("\n {GOOD} \n\n{GOOD}\n");
    let batch = many(Bytes::from(body), Format::Lines, 5, &context()).unwrap();
    for event in &batch.events {
        assert_eq!(&batch.body[event.at.clone()], GOOD.as_bytes());
    }
}

#[test]
fn empty_and_overfull_batches_are_refused() {
    for (format, body) in [
        (Format::Json, ""),
        (Format::Json, "[]"),
        (Format::Json, "{}"),
        (Format::Lines, "\n\n"),
    ] {
        assert_eq!(
            verdicts(format, body).unwrap_err().kind(),
            ProblemKind::BadRequest,
            "{body:?}"
        );
    }
    let six = [GOOD; 6];
    assert_eq!(
        verdicts(Format::Lines, &six.join("\n")).unwrap_err().kind(),
        ProblemKind::TooLarge
    );
    assert_eq!(
        verdicts(Format::Json, &format!("[{}]", six.join(",")))
            .unwrap_err()
            .kind(),
        ProblemKind::TooLarge
    );
    for body in ["3", "{\"type\":\"user\"}", "{\"events\":3}"] {
        assert_eq!(
            verdicts(Format::Json, body).unwrap_err().kind(),
            ProblemKind::BadRequest,
            "{body}"
        );
    }
}

#[test]
fn a_single_event_needs_no_type() {
    let body = Bytes::from_static(br#" {"customer_id":"c","name":"login"} "#);
    assert!(
        one(body, Kind::Activity, &context()).unwrap().events[0]
            .draft
            .is_ok()
    );
    for body in ["", "{", "{} x"] {
        let problem = one(
            Bytes::copy_from_slice(body.as_bytes()),
            Kind::Activity,
            &context(),
        )
        .unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::BadRequest, "{body}");
    }
}
