//! What a role without the query API answers to probes and scrapers.

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use query_api::{Readiness, RenderMetrics};
use schemas::{Problem, ProblemKind};
use serde_json::json;

/// The Prometheus text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/health`, `/ready` and `/metrics`.
pub(crate) fn operations(readiness: Arc<dyn Readiness>, metrics: RenderMetrics) -> Router {
    Router::new()
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/ready", get(move || ready(readiness.clone())))
        .route(
            "/metrics",
            get(move || async move { ([(CONTENT_TYPE, METRICS)], metrics()) }),
        )
        .method_not_allowed_fallback(query_api::method_not_allowed)
}

async fn ready(readiness: Arc<dyn Readiness>) -> Response {
    match readiness.ready().await {
        Ok(()) => Json(json!({"status": "ready"})).into_response(),
        Err(missing) => Problem::new(ProblemKind::Unavailable, missing).into_response(),
    }
}
