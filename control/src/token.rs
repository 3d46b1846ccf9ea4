//! Tokens: random, shown once, kept only as their SHA-256.

use std::fmt;

use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};

const KEY_PREFIX: &str = "mr_live_";
const SESSION_PREFIX: &str = "mr_sess_";
/// 43 letters and digits carry 256 bits, and with its prefix a token still fits one block of SHA-256.
const RANDOM_CHARACTERS: usize = 43;

/// What a token opens, told by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TokenKind {
    Key,
    Session,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            TokenKind::Key => KEY_PREFIX,
            TokenKind::Session => SESSION_PREFIX,
        }
    }

    /// The kind of a token that this crate could have made; anything else need not be looked up.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let (kind, random) = match (
            token.strip_prefix(KEY_PREFIX),
            token.strip_prefix(SESSION_PREFIX),
        ) {
            (Some(random), _) => (TokenKind::Key, random),
            (_, Some(random)) => (TokenKind::Session, random),
            _ => return None,
        };
        let shaped = random.len() == RANDOM_CHARACTERS
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        shaped.then_some(kind)
    }
}

/// A new token: 256 bits from a generator seeded by the operating system.
pub(crate) fn generate(kind: TokenKind) -> String {
    let mut token = String::with_capacity(kind.prefix().len() + RANDOM_CHARACTERS);
    token.push_str(kind.prefix());
    Alphanumeric.append_string(&mut rand::rng(), &mut token, RANDOM_CHARACTERS);
    token
}

/// What may be shown of a key later: prefix and last four characters.
pub(crate) fn hint(token: &str) -> String {
    let tail = token
        .get(token.len().saturating_sub(4)..)
        .unwrap_or_default();
    format!("{KEY_PREFIX}…{tail}")
}

/// The SHA-256 of a token, all that is ever kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub(crate) [u8; 32]);

/// A text that is not a SHA-256 in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the sha-256 of the key as 64 hexadecimal digits")]
pub struct TokenHashError;

impl TokenHash {
    /// Hashes a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, TokenHashError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(TokenHashError);
        }
        let mut hash = [0u8; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |index: usize| char::from(pair[index]).to_digit(16).ok_or(TokenHashError);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Ok(Self(hash))
    }

    /// 64 lower-case hexadecimal digits, as it is stored.
    pub fn to_hex(self) -> String {
        use fmt::Write;
        self.0
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a log; the hash itself is what the database trusts.
        write!(f, "{:02x}{:02x}{:02x}…", self.0[0], self.0[1], self.0[2])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_their_kind_and_never_repeat() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let key = generate(TokenKind::Key);
            assert_eq!(TokenKind::of(&key), Some(TokenKind::Key));
            assert!(
                hint(&key).len() < 20
                    && key.ends_with(&hint(&key)[KEY_PREFIX.len() + '…'.len_utf8()..])
            );
            assert!(seen.insert(key));
        }
        assert_eq!(
            TokenKind::of(&generate(TokenKind::Session)),
            Some(TokenKind::Session)
        );
        for token in [
            "",
            "mr_live_",
            "mr_live_short",
            "x",
            &format!("mr_live_{}", "é".repeat(43)),
        ] {
            assert_eq!(TokenKind::of(token), None, "{token}");
        }
    }

    #[test]
    fn hashes_are_the_known_ones() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(TokenHash::of("abc").to_hex(), abc);
        assert_eq!(
            TokenHash::from_hex(&abc.to_uppercase()).unwrap(),
            TokenHash::of("abc")
        );
        assert!(
            TokenHash::from_hex("abc").is_err() && TokenHash::from_hex(&"g".repeat(64)).is_err()
        );
        assert!(format!("{:?}", TokenHash::of("abc")).len() < 12);
    }
}
