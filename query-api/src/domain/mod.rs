//! Rules of the customer-relationship system as pure functions: no I/O, no clock, no randomness.
//! The same input gives the same answer, and whatever is scored says why.

/// How promising a lead is, and why.
pub mod lead_score;
