//! What a text must be before it is stored.

use schemas::{Code, FieldError};

use crate::error::ControlError;

const NAME_CHARACTERS: usize = 200;
/// RFC 5321 limits a path to 256 octets with its angle brackets.
const EMAIL_BYTES: usize = 254;

/// A name that a person typed: trimmed, 1 to 200 characters, no control characters.
pub(crate) fn name(field: &str, text: &str) -> Result<String, ControlError> {
    Ok(line(field, text, NAME_CHARACTERS)?)
}

/// One line of text: trimmed, 1 to `most` characters, no control characters.
pub(crate) fn line(field: &str, text: &str, most: usize) -> Result<String, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FieldError::new(
            field,
            Code::Required,
            "give a text that is not empty",
        ));
    }
    bounded(field, text, most, char::is_control)
}

/// Text of several lines: trimmed, at most `most` characters, nothing where nothing is left.
pub(crate) fn prose(field: &str, text: &str, most: usize) -> Result<Option<String>, FieldError> {
    let strange = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
    let text = bounded(field, text.trim(), most, strange)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn bounded(
    field: &str,
    text: &str,
    most: usize,
    strange: impl Fn(char) -> bool,
) -> Result<String, FieldError> {
    if text.chars().count() > most {
        let detail = format!("use at most {most} characters");
        return Err(FieldError::new(field, Code::InvalidLength, detail));
    }
    match text.chars().any(strange) {
        true => Err(FieldError::new(
            field,
            Code::InvalidCharacter,
            "leave out control characters",
        )),
        false => Ok(text.to_owned()),
    }
}

/// A text as it is compared where spellings do not matter: in lower case, trimmed, one space where there is white space.
pub(crate) fn folded(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// The id of what holds a value or number; stored as it is.
pub(crate) fn holder(id: &str) -> Result<(), ControlError> {
    let refuse = |code, detail| Err(ControlError::invalid("id", code, detail));
    match id.chars().count() {
        0 => refuse(Code::Required, "must not be empty"),
        1..=500 if id.contains('\0') => refuse(Code::NulCharacter, "leave out the character NUL"),
        1..=500 => Ok(()),
        _ => refuse(Code::InvalidLength, "use at most 500 characters"),
    }
}

/// Trims and lower-cases, so that one mailbox is one account.
pub(crate) fn normalise_email(text: &str) -> String {
    text.trim().to_lowercase()
}

/// An address with one `@` and something on both sides; whether it receives mail only mail can tell.
pub(crate) fn email(text: &str) -> Result<String, ControlError> {
    let address = normalise_email(text);
    if address.is_empty() {
        return Err(ControlError::invalid(
            "email",
            Code::Required,
            "give an e-mail address",
        ));
    }
    if address.len() > EMAIL_BYTES {
        return Err(ControlError::invalid(
            "email",
            Code::InvalidLength,
            "use at most 254 bytes",
        ));
    }
    let shaped = address.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
    });
    if !shaped
        || address
            .chars()
            .any(|letter| letter.is_whitespace() || letter.is_control())
    {
        return Err(ControlError::invalid(
            "email",
            Code::InvalidFormat,
            "write an address such as ada@example.com",
        ));
    }
    Ok(address)
}

/// 8 to 1024 characters, of any kind and exactly as typed.
pub(crate) fn password(text: &str) -> Result<(), ControlError> {
    match text.chars().take(1025).count() {
        0 => Err(ControlError::invalid(
            "password",
            Code::Required,
            "give a password",
        )),
        8..=1024 => Ok(()),
        _ => Err(ControlError::invalid(
            "password",
            Code::InvalidLength,
            "use 8 to 1024 characters",
        )),
    }
}

/// A zone of the IANA database, by its exact name.
pub(crate) fn timezone(text: &str) -> Result<String, ControlError> {
    match text.parse::<chrono_tz::Tz>() {
        Ok(zone) => Ok(zone.name().to_owned()),
        Err(_) => Err(ControlError::invalid(
            "timezone",
            Code::InvalidValue,
            "use an IANA name such as Europe/Berlin",
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_spelling_or_refused() {
        assert_eq!(email("  Ada@Example.COM ").unwrap(), "ada@example.com");
        assert_eq!(email("ÜNI@bücher.example").unwrap(), "üni@bücher.example");
        for text in [
            "",
            "  ",
            "ada",
            "@example.com",
            "ada@",
            "a@b@c",
            "a b@example.com",
            "a\0@example.com",
            "a@.com",
            "a@com.",
        ] {
            assert!(
                matches!(email(text), Err(ControlError::Invalid(error)) if error.field == "email"),
                "{text:?}"
            );
        }
        assert!(email(&format!("{}@example.com", "a".repeat(250))).is_err());
    }

    #[test]
    fn passwords_are_measured_in_characters() {
        assert!(password("1234567").is_err() && password("").is_err());
        assert!(password("пароль12").is_ok());
        assert!(password(&"x".repeat(1024)).is_ok() && password(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn names_and_zones_are_checked() {
        assert_eq!(name("name", " Ada ").unwrap(), "Ada");
        assert_eq!(
            folded(" Ada \t KING\u{a0}of  Lovelace"),
            "ada king of lovelace"
        );
        let prose = |text| prose("description", text, 5);
        assert_eq!(prose(" a\nb ").unwrap().as_deref(), Some("a\nb"));
        assert_eq!(prose("  ").unwrap(), None);
        assert!(prose("a\0b").is_err() && prose("123456").is_err());
        assert!(
            name("name", " \t").is_err()
                && name("name", "a\0b").is_err()
                && name("name", &"x".repeat(201)).is_err()
        );
        assert_eq!(timezone("Europe/Berlin").unwrap(), "Europe/Berlin");
        assert!(timezone("Mars/Olympus").is_err() && timezone("").is_err());
    }
}
