//! The analytics module: known answers, edge cases, and the reference figures on the Complete
//! Journey data.

#![allow(clippy::unwrap_used)]

mod forecast;
mod forecast_edges;
mod journey;
mod journey_forecast;
mod journey_recommend;
mod linalg;
mod noise;
mod recommend;
