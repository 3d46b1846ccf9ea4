//! Forecasts and recommendations as pure functions over slices: no I/O, no clock, no randomness.
//! The same input gives the same answer, and every model is shown beside a naive baseline.

pub mod forecast;
pub mod linalg;
pub mod recommend;
