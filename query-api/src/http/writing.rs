//! What a request that writes says beside its body: If-Match, Idempotency-Key, Prefer, and where it comes from.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use schemas::{Problem, ProblemKind};
use xxhash_rust::xxh3::xxh3_128;

/// The headers of a request that writes, as they matter to what is written.
#[derive(Debug)]
pub(crate) struct Writing {
    /// The edits of which one must be the current one.
    if_match: Option<Vec<u64>>,
    /// Names the request: sent again with the same key it is done once.
    key: Option<String>,
    /// The method and the path, which a key belongs to.
    target: String,
    /// Whether the caller does not wait for the verdict.
    pub(crate) respond_async: bool,
    /// Where it comes from.
    pub(crate) origin: Option<IpAddr>,
}

/// Longest Idempotency-Key, in characters.
const LONGEST_KEY: usize = 255;

impl Writing {
    fn read(parts: &Parts) -> Result<Self, Problem> {
        let bad = |name: &str, detail: &str| {
            Problem::new(ProblemKind::BadRequest, format!("{name}: {detail}")).field(name)
        };
        let headers = &parts.headers;
        let text = |name: &'static str| match headers.get(name).map(HeaderValue::to_str) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text.trim())),
            Some(Err(_)) => Err(bad(name, "send printable ASCII characters only")),
        };
        let key = text("idempotency-key")?;
        if key.is_some_and(|key| key.is_empty() || key.len() > LONGEST_KEY) {
            return Err(bad("idempotency-key", "send 1 to 255 characters"));
        }
        let if_match = match text("if-match")? {
            None | Some("*") => None,
            Some(tags) => Some(
                tags.split(',')
                    .map(edit)
                    .collect::<Option<Vec<u64>>>()
                    .ok_or_else(|| bad("if-match", "send the ETag of what you have read"))?,
            ),
        };
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self {
            if_match,
            key: key.map(str::to_owned),
            target: format!("{} {}", parts.method, parts.uri.path()),
            respond_async: respond_async(headers),
            origin: info.map(|ConnectInfo(address)| address.ip()),
        })
    }

    /// Whether the caller names what it has read.
    pub(crate) fn is_conditional(&self) -> bool {
        self.if_match.is_some()
    }

    /// Passes where what the caller has read is what is there.
    pub(crate) fn check(&self, edit: u64) -> Result<(), Problem> {
        match &self.if_match {
            Some(tags) if !tags.contains(&edit) => Err(stale().with("etag", tag(edit).into())),
            _ => Ok(()),
        }
    }

    /// Whether the caller named the request.
    pub(crate) fn is_named(&self) -> bool {
        self.key.is_some()
    }

    /// An id for what this request makes: the same one if the same caller sends it again under its Idempotency-Key.
    pub(crate) fn id(&self, prefix: &str, caller: &str) -> String {
        let unique = match &self.key {
            Some(key) => xxh3_128(format!("{caller}\n{}\n{key}", self.target).as_bytes()),
            None => uuid::Uuid::now_v7().as_u128(),
        };
        format!("{prefix}_{unique:032x}")
    }
}

/// The refusal of an edit of what was edited meanwhile.
pub(crate) fn stale() -> Problem {
    let detail = "it was edited since you read it; read it again and send its ETag as If-Match";
    Problem::new(ProblemKind::PreconditionFailed, detail)
}

/// The ETag of an edit.
pub(crate) fn tag(edit: u64) -> String {
    format!("\"{edit}\"")
}

/// The header that tells an edit.
pub(crate) fn etag(edit: u64) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, tag(edit))]
}

fn edit(tag: &str) -> Option<u64> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// Whether the caller does not want to wait for verdicts.
pub(crate) fn respond_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

impl<S: Send + Sync> FromRequestParts<S> for Writing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(parts)
    }
}

/// Where the connection comes from, where the server says so.
pub(crate) struct Client(pub(crate) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(info.map(|ConnectInfo(address)| address.ip())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn writing(headers: &[(&'static str, &'static str)]) -> Result<Writing, Problem> {
        let mut request = Request::builder().method("PUT").uri("/customers/a?x=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Writing::read(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn conditions_are_read() {
        let one = writing(&[("if-match", "\"3\", W/\"5\"")]).unwrap();
        assert!(one.check(3).is_ok() && one.check(5).is_ok());
        let problem = one.check(4).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::PreconditionFailed);
        assert!(writing(&[("if-match", "*")]).unwrap().check(4).is_ok());
        for bad in ["3", "\"x\"", "\"3", ""] {
            let problem = writing(&[("if-match", bad)]).unwrap_err();
            assert_eq!(problem.more["field"], "if-match", "{bad}");
        }
    }

    #[test]
    fn a_named_request_makes_the_same_again() {
        let named = || writing(&[("idempotency-key", "k1")]).unwrap();
        assert_eq!(named().id("con", "usr_1"), named().id("con", "usr_1"));
        assert_ne!(named().id("con", "usr_1"), named().id("con", "usr_2"));
        let unnamed = writing(&[]).unwrap();
        assert_ne!(unnamed.id("con", "usr_1"), unnamed.id("con", "usr_1"));
        assert!(writing(&[("idempotency-key", "")]).is_err());
    }
}
