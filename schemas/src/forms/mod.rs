//! What staff fill in, one file for each kind of record.

pub mod contact;
pub mod customer;
pub mod qualification;

use crate::form::Form;

/// Every form, by the name that the documentation gives it.
pub const ALL: [(&str, &Form); 6] = [
    ("CustomerForm", &customer::FORM),
    ("ContactForm", &contact::FORM),
    ("QualificationForm", &qualification::FORM),
    ("QualificationBudgetForm", &qualification::BUDGET),
    ("QualificationTimelineForm", &qualification::TIMELINE),
    ("QualificationCriterionForm", &qualification::CRITERION),
];
