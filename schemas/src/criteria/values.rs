//! Reads the values of leaves and prepares them for comparing.

use std::borrow::Cow;

use super::fields::{Compared, TextField};
use super::folding::fold;
use crate::error::Code;
use crate::json::{Peek, ReadError, Reader};
use crate::money::{Decimal, DecimalError};
use crate::time::Timestamp;

/// Values of a list, at most.
pub const MAX_VALUES: usize = 1_000;
/// Characters of a text that is compared with, at most.
pub const MAX_TEXT: usize = 500;

/// What a text may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    compared: Compared,
    /// The only words there are.
    words: Option<&'static [&'static str]>,
    /// Whether a boolean stands for its name.
    booleans: bool,
}

/// Of tags.
pub(super) const TAG: Rule = Rule {
    compared: Compared::Folded,
    words: None,
    booleans: false,
};

/// Of attributes.
pub(super) const ATTRIBUTE: Rule = Rule {
    compared: Compared::Folded,
    words: None,
    booleans: true,
};

/// Of a field.
pub(super) fn rule(field: TextField) -> Rule {
    Rule {
        compared: field.compared(),
        words: field.words(),
        booleans: false,
    }
}

fn wrong_type(wanted: &str, found: Peek) -> ReadError {
    ReadError::rule(
        Code::InvalidType,
        format!("must be {wanted}, not {}", found.name()),
    )
}

/// A string.
pub(super) fn string(json: &str) -> Result<Cow<'_, str>, ReadError> {
    let mut reader = Reader::new(json);
    match reader.peek()? {
        Peek::Text => reader.string(),
        found => Err(wrong_type("a string", found)),
    }
}

/// Requires 1 to `max` characters.
pub(super) fn length(text: &str, max: usize) -> Result<(), ReadError> {
    match !text.is_empty() && (text.len() <= max || text.chars().count() <= max) {
        true => Ok(()),
        false => Err(ReadError::rule(
            Code::InvalidLength,
            format!("must have 1 to {max} characters"),
        )),
    }
}

/// A text to compare with, in the form it is compared in.
pub(super) fn text(json: &str, rule: Rule) -> Result<Box<str>, ReadError> {
    let text = match Reader::new(json).peek()? {
        Peek::Bool if rule.booleans => Cow::Borrowed(json.trim()),
        _ => string(json)?,
    };
    length(&text, MAX_TEXT)?;
    let Some(words) = rule.words else {
        return Ok(match rule.compared {
            Compared::Folded => fold(&text),
            Compared::Exactly => text.as_ref().into(),
        });
    };
    let word = fold(&text);
    match &*word {
        // The customer's is held so, too.
        "corporate" if words.contains(&"business") => Ok("business".into()),
        known if words.contains(&known) => Ok(word),
        _ => Err(ReadError::rule(
            Code::InvalidValue,
            format!("must be one of {}", words.join(", ")),
        )),
    }
}

/// The JSON of each value of a list, of which there must be 1 to [`MAX_VALUES`].
fn list<T: Ord>(
    json: &str,
    mut read: impl FnMut(&str) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let mut reader = Reader::new(json);
    match reader.peek()? {
        Peek::Array => reader.enter_array()?,
        found => return Err(wrong_type("an array", found)),
    }
    let mut values = Vec::new();
    while reader.element(values.is_empty())? {
        if values.len() == MAX_VALUES {
            values.clear();
            break;
        }
        let value = read(reader.checked_value()?);
        values.push(value.map_err(|error| error.within(&format!("[{}]", values.len())))?);
    }
    if values.is_empty() {
        return Err(ReadError::rule(
            Code::InvalidLength,
            format!("must have 1 to {MAX_VALUES} values"),
        ));
    }
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

/// A list of texts, sorted, each once.
pub(super) fn texts(json: &str, rule: Rule) -> Result<Vec<Box<str>>, ReadError> {
    list(json, |json| text(json, rule))
}

/// A list of numbers, sorted, each once.
pub(super) fn numbers(json: &str, decimals: bool) -> Result<Vec<Decimal>, ReadError> {
    list(json, |json| number(json, decimals))
}

/// Whether a value, or the first of a list, is a JSON number.
pub(super) fn is_numeric(json: &str) -> bool {
    let inner = json.trim_start().trim_start_matches('[').trim_start();
    Reader::new(inner)
        .peek()
        .is_ok_and(|found| found == Peek::Number)
}

/// A number, as one or as a decimal string; a whole one unless it may have `decimals`.
pub(super) fn number(json: &str, decimals: bool) -> Result<Decimal, ReadError> {
    let mut reader = Reader::new(json);
    let digits = match reader.peek()? {
        Peek::Number => Cow::Borrowed(reader.number()?),
        Peek::Text => reader.string()?,
        found => return Err(wrong_type("a number or a decimal string", found)),
    };
    let number = Decimal::parse(digits.as_bytes()).map_err(|error| {
        let code = match error {
            DecimalError::Malformed => Code::InvalidFormat,
            DecimalError::OutOfRange => Code::OutOfRange,
        };
        ReadError::rule(code, error.to_string())
    })?;
    match decimals || number.micros() % Decimal::ONE.micros() == 0 {
        true => Ok(number),
        false => Err(ReadError::rule(
            Code::InvalidFormat,
            "must be a whole number",
        )),
    }
}

/// A whole number in a range.
pub(super) fn whole(json: &str, least: u32, most: u32) -> Result<u32, ReadError> {
    let mut reader = Reader::new(json);
    let range = || format!("a whole number from {least} to {most}");
    match reader.peek()? {
        Peek::Number => {
            let number = reader.number()?.parse::<u32>().ok();
            let number = number.filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| ReadError::rule(Code::OutOfRange, format!("must be {}", range())))
        }
        found => Err(wrong_type(&range(), found)),
    }
}

/// true or false.
pub(super) fn boolean(json: &str) -> Result<bool, ReadError> {
    let mut reader = Reader::new(json);
    match reader.peek()? {
        Peek::Bool => reader.boolean(),
        found => Err(wrong_type("true or false", found)),
    }
}

/// A time that a table keeps: an RFC 3339 text, or epoch milliseconds.
pub(super) fn time(json: &str) -> Result<Timestamp, ReadError> {
    let mut reader = Reader::new(json);
    let time = match reader.peek()? {
        Peek::Text => Timestamp::parse(&reader.string()?)
            .map_err(|error| ReadError::rule(Code::InvalidFormat, error.to_string()))?,
        Peek::Number => {
            let number = reader.number()?;
            let millis = number.parse::<i64>().ok().and_then(Timestamp::from_millis);
            millis.ok_or_else(|| {
                ReadError::rule(Code::InvalidFormat, "epoch milliseconds are a whole number")
            })?
        }
        found => {
            return Err(wrong_type(
                "an RFC 3339 string or epoch milliseconds",
                found,
            ));
        }
    };
    match time.kept() == time {
        true => Ok(time),
        false => Err(ReadError::rule(
            Code::OutOfRange,
            "must be a time from 1900 to 2299",
        )),
    }
}
