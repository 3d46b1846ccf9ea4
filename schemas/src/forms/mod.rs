//! What staff fill in, one file for each kind of record.

pub mod contact;
pub mod customer;

use crate::form::Form;

/// Every form, by the name that the documentation gives it.
pub const ALL: [(&str, &Form); 2] = [
    ("CustomerForm", &customer::FORM),
    ("ContactForm", &contact::FORM),
];
