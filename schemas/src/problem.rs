//! Errors over HTTP: one body everywhere, RFC 9457 problem details.

use std::borrow::Cow;

use axum_core::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

/// What went wrong, each with its stable `type`, title and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// Malformed, missing or unknown input.
    BadRequest,
    /// No key or session, or one that does not work.
    Unauthorized,
    /// Known, and not allowed.
    Forbidden,
    /// Not there, or not yours.
    NotFound,
    /// The path does not answer to this method.
    MethodNotAllowed,
    /// The client took too long to send it.
    Timeout,
    /// Uniqueness or version conflict.
    Conflict,
    /// The version in If-Match is not the current one.
    PreconditionFailed,
    /// The body is larger than allowed.
    TooLarge,
    /// A content type or coding that is not understood.
    UnsupportedMediaType,
    /// Well-formed, and against a business rule.
    Unprocessable,
    /// Headers larger than allowed.
    HeadersTooLarge,
    /// Over quota.
    TooManyRequests,
    /// Our fault.
    Internal,
    /// Cannot be taken now; may be sent again.
    Unavailable,
}

impl ProblemKind {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (
                StatusCode::BAD_REQUEST,
                "bad-request",
                "The request cannot be understood",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "A working key or session is needed",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "This key or session may not do that",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "This path does not answer to that method",
            ),
            Self::Timeout => (
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "The request took too long to arrive",
            ),
            Self::Conflict => (
                StatusCode::CONFLICT,
                "conflict",
                "It conflicts with what is there",
            ),
            Self::PreconditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "precondition-failed",
                "It has changed since you read it",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The body is too large",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The content type or coding is not understood",
            ),
            Self::Unprocessable => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "unprocessable",
                "A rule forbids it",
            ),
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "The headers are too large",
            ),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "Over quota",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Something went wrong here",
            ),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now"),
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The last part of the `type`, for labels.
    pub fn name(self) -> &'static str {
        self.parts().1
    }
}

/// A problem details body (`application/problem+json`).
#[derive(Debug, Clone, Serialize, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    #[serde(skip)]
    kind: ProblemKind,
    /// Stable URI reference that names the kind of problem.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind, for a person.
    pub title: &'static str,
    /// The HTTP status again.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: Cow<'static, str>,
    /// More members, for example `field`, `code`, `results`.
    #[serde(flatten)]
    pub more: Box<Map<String, Value>>,
    #[serde(skip)]
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem of a kind; `detail` says what happened and what to do.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let (status, name, title) = kind.parts();
        Self {
            kind,
            type_uri: format!("/problems/{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            more: Box::default(),
            retry_after: matches!(
                kind,
                ProblemKind::Unavailable | ProblemKind::TooManyRequests
            )
            .then_some(1),
        }
    }

    /// Names the field or parameter it is about.
    pub fn field(self, field: impl Into<String>) -> Self {
        self.with("field", Value::String(field.into()))
    }

    /// Adds a member.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// Says after how many seconds to try again.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Which kind it is.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.kind.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == ProblemKind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_and_headers_are_those_of_rfc_9457() {
        let problem = Problem::new(ProblemKind::Unavailable, "the log is away")
            .field("x")
            .retry_after(7);
        let body = serde_json::to_value(&problem).unwrap_or_default();
        assert_eq!(body["type"], "/problems/unavailable");
        assert_eq!(
            (body["status"].as_u64(), body["field"].as_str()),
            (Some(503), Some("x"))
        );
        let response = problem.into_response();
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.headers()["retry-after"], "7");
    }
}
