//! Rules of the customer-relationship system as pure functions: no I/O, no clock, no randomness.
//! The same input gives the same answer, and whatever is scored says why.

/// What a quote adds up to.
pub mod quote_math;
