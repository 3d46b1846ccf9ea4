//! What staff fill in, one file for each kind of record.

pub mod contact;
pub mod customer;
pub mod interaction;
pub mod qualification;
pub mod quote;

use crate::form::Form;

/// Every form, by the name that the documentation gives it.
pub const ALL: [(&str, &Form); 10] = [
    ("CustomerForm", &customer::FORM),
    ("ContactForm", &contact::FORM),
    ("InteractionForm", &interaction::FORM),
    ("QuoteForm", &quote::FORM),
    ("QuoteItemForm", &quote::ITEM),
    ("QuoteRejectionForm", &quote::REJECTION),
    ("QualificationForm", &qualification::FORM),
    ("QualificationBudgetForm", &qualification::BUDGET),
    ("QualificationTimelineForm", &qualification::TIMELINE),
    ("QualificationCriterionForm", &qualification::CRITERION),
];
