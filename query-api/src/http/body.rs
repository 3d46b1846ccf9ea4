//! JSON bodies: read within a limit, their fields taken by name, and one that nobody took refused.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use schemas::{Problem, ProblemKind, Timestamp};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::App;

/// A JSON object in which every key comes once; a map would take the last one.
enum Once {
    Fields(Map<String, Value>),
    Twice(String),
    Other,
}

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Once;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Once, A::Error> {
                let (mut fields, mut twice) = (Map::new(), None);
                while let Some((name, value)) = pairs.next_entry::<String, Value>()? {
                    if fields.insert(name.clone(), value).is_some() {
                        twice.get_or_insert(name);
                    }
                }
                Ok(twice.map_or(Once::Fields(fields), Once::Twice))
            }
        }
        let value = <&RawValue>::deserialize(from)?.get();
        match value.starts_with('{') {
            true => serde_json::Deserializer::from_str(value)
                .deserialize_map(Object)
                .map_err(serde::de::Error::custom),
            false => Ok(Once::Other),
        }
    }
}

/// The fields of a JSON object.
pub(crate) struct Fields {
    fields: Map<String, Value>,
    known: Vec<&'static str>,
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

/// A field that cannot be as it is.
pub(crate) fn refuse(name: &str, code: &str, detail: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemKind::BadRequest, format!("{name}: {detail}"))
        .field(name)
        .with("code", Value::from(code))
}

impl Fields {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let malformed = |detail: String| Problem::new(ProblemKind::BadRequest, detail);
        let value: Once = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            malformed(format!(
                "the body is not JSON: see line {line}, column {column}"
            ))
        })?;
        match value {
            Once::Fields(fields) => Ok(Self {
                fields,
                known: Vec::new(),
            }),
            Once::Twice(name) => Err(refuse(&name, "duplicate_key", "give it once")),
            Once::Other => Err(malformed("send a JSON object".to_owned())),
        }
    }

    /// The fields of a text that was kept as it came.
    pub(crate) fn of(text: &str) -> Result<Self, Problem> {
        Self::parse(text.as_bytes())
    }

    /// Takes a yes or no that may be absent, or null to take it back.
    pub(crate) fn change_flag(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Option<bool>>, Problem> {
        self.known.push(name);
        match self.fields.shift_remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Bool(flag)) => Ok(Some(Some(flag))),
            Some(_) => Err(refuse(
                name,
                "invalid_type",
                "must be true or false, or null",
            )),
        }
    }

    /// Takes a field; null counts as absent.
    pub(crate) fn value(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.fields
            .shift_remove(name)
            .filter(|value| !value.is_null())
    }

    /// Takes a text that may be absent.
    pub(crate) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refuse(name, "invalid_type", "must be a text")),
        }
    }

    /// Takes a text that must be there.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Problem> {
        self.optional_text(name)?
            .ok_or_else(|| refuse(name, "required", "must be there"))
    }

    /// Takes a list of texts that must be there.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, Problem> {
        let list = match self.value(name) {
            None => return Err(refuse(name, "required", "must be there")),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(refuse(name, "invalid_type", "must be a list of texts")),
        };
        list.into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(refuse(name, "invalid_type", "must be a list of texts")),
            })
            .collect()
    }

    /// Takes a whole number from 1 to `most` that may be absent.
    pub(crate) fn count(
        &mut self,
        name: &'static str,
        default: usize,
        most: usize,
    ) -> Result<usize, Problem> {
        let Some(value) = self.value(name) else {
            return Ok(default);
        };
        match value.as_u64().and_then(|count| usize::try_from(count).ok()) {
            Some(count) if (1..=most).contains(&count) => Ok(count),
            _ => Err(refuse(
                name,
                "out_of_range",
                format_args!("must be a whole number from 1 to {most}"),
            )),
        }
    }

    /// Takes a yes or no that may be absent.
    pub(crate) fn optional_flag(&mut self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(refuse(name, "invalid_type", "must be true or false")),
        }
    }

    /// Takes a yes or no; no where it is absent.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        Ok(self.optional_flag(name)?.unwrap_or(false))
    }

    /// Takes a text that may be absent, or null to take it back.
    pub(crate) fn change_text(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Option<String>>, Problem> {
        self.known.push(name);
        match self.fields.shift_remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) => Ok(Some(Some(text))),
            Some(_) => Err(refuse(name, "invalid_type", "must be a text, or null")),
        }
    }

    /// Takes a text of some form that may be absent.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &mut self,
        name: &'static str,
        form: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.optional_text(name)? else {
            return Ok(None);
        };
        let parsed = text.parse().map(Some);
        parsed.map_err(|_| refuse(name, "invalid_format", form))
    }

    /// Takes a whole number that may be absent, or null to take it back.
    pub(crate) fn change(&mut self, name: &'static str) -> Result<Option<Option<u64>>, Problem> {
        self.known.push(name);
        match self.fields.shift_remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(Some(number))),
                None => Err(refuse(
                    name,
                    "invalid_type",
                    "must be a whole number from 0, or null",
                )),
            },
        }
    }

    /// Takes a time, RFC 3339 or epoch milliseconds, that may be absent.
    pub(crate) fn time(&mut self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let time = match &value {
            Value::String(text) => Timestamp::parse(text).ok(),
            value => value.as_i64().and_then(Timestamp::from_millis),
        };
        let form = "write an RFC 3339 time with its offset, or epoch milliseconds";
        time.map(Some)
            .ok_or_else(|| refuse(name, "invalid_format", form))
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => Err(refuse(
                name,
                "unknown",
                format_args!("an unknown field; known here: {}", self.known.join(", ")),
            )),
        }
    }
}

/// Only plain JSON is understood.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported =
        |detail: &'static str| Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let essence =
        text(header::CONTENT_TYPE).map(|value| value.split(';').next().unwrap_or_default().trim());
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case("application/json") => {}
        _ => return unsupported("send Content-Type: application/json"),
    }
    match text(header::CONTENT_ENCODING) {
        None | Some("identity" | "") => Ok(()),
        Some(_) => unsupported("send the body without Content-Encoding"),
    }
}

/// The bytes of a body, as far as the limit allows.
async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let bytes = axum::body::to_bytes(body, limit).await;
    bytes.map_err(|error| {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(inner) = source {
            if inner.to_string().contains("length limit exceeded") {
                let detail = format!("send at most {limit} bytes");
                return Problem::new(ProblemKind::TooLarge, detail);
            }
            source = inner.source();
        }
        Problem::new(
            ProblemKind::BadRequest,
            "the body broke off; send the request again",
        )
    })
}

impl FromRequest<Arc<App>> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, app: &Arc<App>) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = read(request.into_body(), app.api.limits.body_bytes).await?;
        if bytes.is_empty() {
            // As an object without fields: those that must be there are named.
            return Self::parse(b"{}");
        }
        check_type(&headers)?;
        Self::parse(&bytes)
    }
}

/// The JSON text of a body that may be absent: for what must keep every digit as it was written.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) Option<String>);

impl FromRequest<Arc<App>> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, app: &Arc<App>) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = read(request.into_body(), app.api.limits.body_bytes).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        check_type(&headers)?;
        let text = String::from_utf8(bytes.into())
            .map_err(|_| Problem::new(ProblemKind::BadRequest, "the body is not UTF-8"))?;
        Ok(Self(Some(text)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_and_named() {
        let mut fields =
            Fields::parse(br#"{"name":"a","scopes":["read"],"limit":3,"x":null,"y":1}"#).unwrap();
        assert_eq!(fields.text("name").unwrap(), "a");
        assert_eq!(fields.texts("scopes").unwrap(), ["read"]);
        assert_eq!(fields.count("limit", 1, 10).unwrap(), 3);
        assert_eq!(fields.optional_text("x").unwrap(), None);
        assert_eq!(fields.change("limit").unwrap(), None, "it has been taken");
        assert_eq!(fields.text("email").unwrap_err().more["code"], "required");
        assert_eq!(fields.finish().unwrap_err().more["field"], "y");
    }

    #[test]
    fn malformed_bodies_name_the_place_and_never_the_content() {
        let problem = Fields::parse(b"{\"password\":\"hunter22\",\n oops}").unwrap_err();
        assert!(problem.detail.contains("line 2") && !problem.detail.contains("hunter22"));
        assert!(Fields::parse(b"[]").is_err() && Fields::parse(b"").is_err());
        let fields = Fields::parse(br#"{"password":"hunter22"}"#).unwrap();
        assert_eq!(format!("{fields:?}"), r#"{"password"}"#);
    }
}
