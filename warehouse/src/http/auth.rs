//! Who asks: Basic credentials, ClickHouse's headers, or URL parameters.

use http::request::Parts;
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;

use super::error::HttpError;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// SELECT, SHOW, DESCRIBE and the like.
    Read,
    /// Everything.
    Write,
}

/// The users of the HTTP interface. Without one, nobody gets in.
#[derive(Clone, Default)]
pub struct HttpAuth {
    users: Vec<User>,
}

#[derive(Clone)]
struct User {
    name: String,
    password: String,
    access: Access,
}

impl std::fmt::Debug for HttpAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users = self.users.iter().map(|user| (&user.name, user.access));
        f.debug_map().entries(users).finish()
    }
}

impl HttpAuth {
    /// No users.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user. The name `default` is the one of requests that name none.
    pub fn with(
        mut self,
        name: impl Into<String>,
        password: impl Into<String>,
        access: Access,
    ) -> Self {
        self.users.push(User {
            name: name.into(),
            password: password.into(),
            access,
        });
        self
    }

    /// What the user of a request may do.
    pub(super) fn access(&self, parts: &Parts) -> Result<Access, HttpError> {
        let (name, password) = credentials(parts)?;
        let name = name.unwrap_or_else(|| "default".to_owned());
        let given = password.clone().unwrap_or_default();
        // Every user is compared, so that the time taken tells nothing.
        let mut found = None;
        for user in &self.users {
            let same_name = user.name.as_bytes().ct_eq(name.as_bytes());
            let same_password = user.password.as_bytes().ct_eq(given.as_bytes());
            if bool::from(same_name & same_password) {
                found = Some(user.access);
            }
        }
        found.ok_or_else(|| {
            let code = if password.is_none() { 194 } else { 516 };
            HttpError::new(
                code,
                format!("{name}: Authentication failed: password is incorrect, or there is no user with such name."),
            )
        })
    }
}

type Credentials = (Option<String>, Option<String>);

fn credentials(parts: &Parts) -> Result<Credentials, HttpError> {
    let header = |name: &str| -> Result<Option<String>, HttpError> {
        // Bytes as they are, which may be more than ASCII.
        let value = parts
            .headers
            .get(name)
            .map(|value| String::from_utf8(value.as_bytes().to_vec()));
        value
            .transpose()
            .map_err(|_| HttpError::bad(format!("the header {name} is not UTF-8")))
    };
    let (user, key) = (header("x-clickhouse-user")?, header("x-clickhouse-key")?);
    if user.is_some() || key.is_some() {
        return Ok((user, key));
    }
    if let Some(value) = header("authorization")? {
        let encoded = value
            .strip_prefix("Basic ")
            .ok_or_else(|| HttpError::new(516, "only Basic authorization is understood"))?;
        let decoded = base64(encoded.trim())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| {
                HttpError::new(
                    516,
                    "the Basic authorization is not base64 of user:password",
                )
            })?;
        let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
        return Ok((Some(user.to_owned()), Some(password.to_owned())));
    }
    let mut found = (None, None);
    for pair in parts.uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = || {
            let spaced = value.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        match name {
            "user" => found.0 = Some(decoded()),
            "password" => found.1 = Some(decoded()),
            _ => {}
        }
    }
    Ok(found)
}

/// Decodes standard base64, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFF_FFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        assert_eq!(base64("dXNlcjpwYXNz"), Some(b"user:pass".to_vec()));
        assert_eq!(base64("dTpw4pyT"), Some("u:p✓".as_bytes().to_vec()));
        assert_eq!(base64("YQ=="), Some(b"a".to_vec()));
        assert_eq!(base64("a b"), None);
    }
}
