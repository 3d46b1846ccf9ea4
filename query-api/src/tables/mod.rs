//! The tables a caller's queries see: its own organization's rows, cut at positions that the answer states.
//!
//! Tenant filter and cut are inside the tables themselves ([`events`], [`live`]), below everything a
//! query can say, so no query can reach around them.

mod barrier;
pub(crate) mod customers;
pub(crate) mod cut;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod hot;
pub(crate) mod live;
mod pushdown;
pub(crate) mod rows;
pub(crate) mod session;

/// The warehouse's column of the client's own id for a customer.
pub(crate) const CUSTOMER: &str = "customer";
