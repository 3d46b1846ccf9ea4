//! Who is calling: an API key as `Authorization: Bearer …` or `X-Api-Key`.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use control::{AuthError, Principal};
use schemas::{Problem, ProblemKind};

use crate::Ingest;

/// A caller whose key works. Scopes are checked by the handler.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Arc<Principal>);

impl FromRequestParts<Ingest> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Ingest) -> Result<Self, Problem> {
        let token = token(parts).ok_or_else(|| {
            Problem::new(
                ProblemKind::Unauthorized,
                "send your API key as Authorization: Bearer … or X-Api-Key",
            )
        })?;
        match state.authenticator.authenticate(token).await {
            Ok(principal) => Ok(Self(principal)),
            Err(error @ AuthError::Unknown) => {
                Err(Problem::new(ProblemKind::Unauthorized, error.to_string()))
            }
            Err(error @ AuthError::Unavailable) => {
                Err(Problem::new(ProblemKind::Unavailable, error.to_string()))
            }
        }
    }
}

fn token(parts: &Parts) -> Option<&str> {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim());
    }
    parts.headers.get("x-api-key")?.to_str().ok().map(str::trim)
}
