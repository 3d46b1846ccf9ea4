//! What a text must be before it is stored.

use schemas::Code;

use crate::error::ControlError;

const NAME_CHARACTERS: usize = 200;
/// RFC 5321 limits a path to 256 octets with its angle brackets.
const EMAIL_BYTES: usize = 254;

/// A name that a person typed: trimmed, 1 to 200 characters, no control characters.
pub(crate) fn name(field: &'static str, text: &str) -> Result<String, ControlError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ControlError::invalid(
            field,
            Code::Required,
            "give a name that is not empty",
        ));
    }
    if text.chars().count() > NAME_CHARACTERS {
        return Err(ControlError::invalid(
            field,
            Code::InvalidLength,
            "use at most 200 characters",
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(ControlError::invalid(
            field,
            Code::InvalidCharacter,
            "leave out control characters",
        ));
    }
    Ok(text.to_owned())
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
        assert!(
            name("name", " \t").is_err()
                && name("name", "a\0b").is_err()
                && name("name", &"x".repeat(201)).is_err()
        );
        assert_eq!(timezone("Europe/Berlin").unwrap(), "Europe/Berlin");
        assert!(timezone("Mars/Olympus").is_err() && timezone("").is_err());
    }
}
