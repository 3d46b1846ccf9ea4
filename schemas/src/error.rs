//! Why an event is refused: one field, one stable code, one sentence that says what to do.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Stable names of what can be wrong with a field. Clients may switch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A field that must be there is not, or is null.
    Required,
    /// The value is of another JSON type.
    InvalidType,
    /// The value is of the right type and means nothing here.
    InvalidValue,
    /// The text does not have the form it must have.
    InvalidFormat,
    /// The text is empty or too long.
    InvalidLength,
    /// The text holds a control character.
    InvalidCharacter,
    /// The number or time is beyond what is kept.
    OutOfRange,
    /// Not an ISO 4217 code.
    UnknownCurrency,
    /// Two fields that exclude each other.
    Conflict,
    /// One key twice in one object.
    DuplicateKey,
    /// Objects and arrays nested over 64 deep.
    TooDeep,
    /// Half of a UTF-16 surrogate pair.
    LoneSurrogate,
    /// The character NUL.
    NulCharacter,
    /// NaN or an infinity.
    NotANumber,
    /// More than one megabyte.
    TooLarge,
    /// Not JSON.
    Malformed,
    /// Nothing wrong with the event: it could not be made durable, send it again.
    Unavailable,
}

impl Code {
    /// As it is written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Required => "required",
            Code::InvalidType => "invalid_type",
            Code::InvalidValue => "invalid_value",
            Code::InvalidFormat => "invalid_format",
            Code::InvalidLength => "invalid_length",
            Code::InvalidCharacter => "invalid_character",
            Code::OutOfRange => "out_of_range",
            Code::UnknownCurrency => "unknown_currency",
            Code::Conflict => "conflict",
            Code::DuplicateKey => "duplicate_key",
            Code::TooDeep => "too_deep",
            Code::LoneSurrogate => "lone_surrogate",
            Code::NulCharacter => "nul_character",
            Code::NotANumber => "not_a_number",
            Code::TooLarge => "too_large",
            Code::Malformed => "malformed",
            Code::Unavailable => "unavailable",
        }
    }
}

/// What is wrong with one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct FieldError {
    /// Path of the field, for example `items[2].quantity`; empty for the event as a whole.
    pub field: String,
    /// The stable code.
    pub code: Code,
    /// What to do, for a person.
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// An error at a field.
    pub fn new(field: impl Into<String>, code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: field.into(),
            code,
            detail: detail.into(),
        }
    }

    /// The same error below a parent: `quantity` in `items[2]` is `items[2].quantity`, `[2]` in `items` is `items[2]`.
    pub fn within(mut self, parent: &str) -> Self {
        self.field = match self.field.as_bytes().first() {
            None => parent.to_owned(),
            Some(b'[') => format!("{parent}{}", self.field),
            Some(_) => format!("{parent}.{}", self.field),
        };
        self
    }
}
