//! Opaque cursors: where the next page begins, as text that clients only hand back.

use schemas::{Problem, ProblemKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The cursor that stands for `place`. Readable to whoever wants to: it holds only what the page itself showed.
pub(crate) fn encode<T: Serialize>(place: &T) -> String {
    // Plain data always serialises.
    let bytes = serde_json::to_vec(place).unwrap_or_default();
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    text
}

/// The place a cursor stands for.
pub(crate) fn decode<T: DeserializeOwned>(cursor: &str) -> Result<T, Problem> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = cursor
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
            _ => None,
        })
        .collect();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(foreign)
}

/// The answer to a cursor that is none, or one of another question.
pub(crate) fn foreign() -> Problem {
    let detail = "give the next_cursor of the page before, with the same other parameters";
    Problem::new(ProblemKind::BadRequest, detail).field("cursor")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_round_trip_and_junk_is_refused() {
        let place = ("name".to_owned(), Some("é\"".to_owned()), 3_u64);
        let text = encode(&place);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(
            decode::<(String, Option<String>, u64)>(&text).unwrap(),
            place
        );
        for bad in ["", "zz", "7", "7b", "é", &text[2..]] {
            assert!(
                decode::<(String, Option<String>, u64)>(bad).is_err(),
                "{bad}"
            );
        }
    }
}
