#![allow(clippy::unwrap_used)]

use super::*;

fn check(text: &str) -> Read<&str> {
    let mut reader = Reader::new(text);
    let value = reader.checked_value()?;
    reader.finish()?;
    Ok(value)
}

fn code(text: &str) -> Option<Code> {
    match check(text) {
        Err(ReadError::Rule(error)) => Some(error.code),
        _ => None,
    }
}

#[test]
fn json_is_kept_as_written() {
    for text in [
        r#"{"a":[1,2.50,-0,1e9],"b":{"c":null}}"#,
        "\"é\\n\\u00e9\\ud83d\\ude00\"",
        "[]",
        "{}",
        "true",
    ] {
        assert_eq!(check(text).unwrap(), text);
    }
    assert_eq!(Reader::new(r#""a\u0041\n""#).string().unwrap(), "aA\n");
    assert_eq!(
        Reader::new(r#""0123456789abcdef\\g""#).string().unwrap(),
        "0123456789abcdef\\g"
    );
}

#[test]
fn what_is_not_json_is_a_syntax_error_with_its_place() {
    for (text, at) in [
        ("{", 1),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("{\"a\" 1}", 5),
        ("01", 2),
        ("\"a\nb\"", 2),
        ("nul", 0),
        ("1 x", 2),
        ("{\"a\":1,}", 7),
        ("", 0),
        ("1.", 2),
        ("\"\\x\"", 2),
    ] {
        assert!(
            matches!(check(text), Err(ReadError::Syntax { at: found, .. }) if found == at),
            "{text}: {:?}",
            check(text)
        );
        if text != "1 x" {
            assert!(Reader::new(text).skip_value().is_err(), "{text}");
        }
    }
}

#[test]
fn rules_are_told_apart_from_syntax() {
    let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
    let allowed = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    assert!(check(&allowed).is_ok());
    for (text, expected) in [
        (r#"{"a":1,"\u0061":2}"#, Code::DuplicateKey),
        (deep.as_str(), Code::TooDeep),
        (r#""\ud800""#, Code::LoneSurrogate),
        (r#""\udc00x""#, Code::LoneSurrogate),
        (r#""\ud800\u0041""#, Code::LoneSurrogate),
        (r#""a\u0000b""#, Code::NulCharacter),
        ("[NaN]", Code::NotANumber),
        ("-Infinity", Code::NotANumber),
    ] {
        assert_eq!(code(text), Some(expected), "{text}");
        let mut reader = Reader::new(text);
        reader.skip_value().unwrap();
        reader.finish().unwrap();
    }
}

#[test]
fn a_million_levels_are_skipped_without_a_stack() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let mut reader = Reader::new(&deep);
    reader.skip_value().unwrap();
    reader.finish().unwrap();
}

#[test]
fn many_keys_cost_little_and_a_late_repeat_is_found() {
    let mut text: String = (0..50_000).map(|n| format!("\"k{n}\":1,")).collect();
    text = format!("{{{text}\"k7\":2}}");
    assert_eq!(code(&text), Some(Code::DuplicateKey));
}
