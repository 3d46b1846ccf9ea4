//! Rules of the customer-relationship system as pure functions: no I/O, no clock, no randomness.
//! The same input gives the same answer, and whatever is scored says why.

/// Telephone numbering plans by country.
pub mod calling_codes;
/// Pairs of customers that may be one.
pub mod duplicates;
/// How promising a lead is, and why.
pub mod lead_score;
mod legal_forms;
mod letters;
/// RFC 7396 on JSON text, digit for digit.
pub mod merge_patch;
/// Names of people and companies, folded for comparison.
pub mod names;
/// E-mail addresses and telephone numbers in one form each.
pub mod points_of_contact;
/// What a quote adds up to.
pub mod quote_math;
/// Whether a comment is praise or complaint.
pub mod sentiment;
