//! HTTP out: sessions and keys, customers, reports, forecasts, recommendations and read-only SQL.
//!
//! [`router()`] makes the routes of one [`QueryApi`]. A handler reaches data only with the principal
//! that its extractor demands, and every table it reads is made for that principal's organization
//! and cut at the positions that the answer states in `as_of`.

pub mod analytics;
mod api;
pub mod domain;
mod http;
mod metrics;
mod models;
mod openapi;
mod reports;
mod router;
mod routes;
mod tables;
mod throttle;

pub use api::{Admin, History, Limits, QueryApi, Readiness, RenderMetrics, ReplayRequest};
pub use http::as_of::AsOf;
pub use openapi::openapi;
pub use router::{method_not_allowed, not_found, router};
