//! Failures in ClickHouse's HTTP form: a status, a code in a header, and a text.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use crate::error::WarehouseError;

/// A failure with ClickHouse's code.
#[derive(Debug)]
pub(super) struct HttpError {
    pub(super) code: i32,
    pub(super) message: String,
}

impl HttpError {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A parameter or body that cannot be read: BAD_ARGUMENTS.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(36, message)
    }

    /// As ClickHouse writes it.
    pub(super) fn text(&self) -> String {
        format!("Code: {}. DB::Exception: {}\n", self.code, self.message)
    }

    /// The status that ClickHouse's HTTP interface gives each code.
    fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            // Users, passwords and roles.
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            // What cannot be parsed, and what does not fit.
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167
            | 168 | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            // Unknown tables, functions, settings and the like.
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => {
                StatusCode::NOT_FOUND
            }
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            159 => StatusCode::REQUEST_TIMEOUT,
            76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn into_response(self, query_id: Option<&str>) -> Response {
        let mut response = Response::new(Body::from(self.text()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        super::respond::common(headers, query_id);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=UTF-8"),
        );
        headers.insert("x-clickhouse-exception-code", HeaderValue::from(self.code));
        if self.code == 194 {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"ClickHouse server HTTP API\""),
            );
        }
        response
    }
}

impl From<WarehouseError> for HttpError {
    fn from(error: WarehouseError) -> Self {
        match error {
            WarehouseError::Exception { code, message } => {
                Self::new(if code == 0 { 1002 } else { code }, message)
            }
            // UNKNOWN_EXCEPTION, and ABORTED while it closes.
            WarehouseError::Closed => Self::new(236, "the warehouse is closing"),
            other => Self::new(1002, other.to_string()),
        }
    }
}
