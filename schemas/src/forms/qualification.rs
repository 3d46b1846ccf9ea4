//! Qualification: what is known of a lead's budget, authority, need and timeline.

use crate::field::{Field, Type, optional, required};
use crate::form::Form;

/// What has been found out of a criterion.
pub const STATUSES: [&str; 4] = ["unknown", "no", "partly", "yes"];

/// The criteria, each an object with a form of its own.
pub const CRITERIA: [(&str, &Form); 4] = [
    ("budget", &BUDGET),
    ("authority", &CRITERION),
    ("need", &CRITERION),
    ("timeline", &TIMELINE),
];

static TABLE: [Field; 4] = [
    optional("budget", Type::Object, "Whether there is money for it."),
    optional("authority", Type::Object, "Whether the contact may decide."),
    optional("need", Type::Object, "Whether there is a clear need."),
    optional(
        "timeline",
        Type::Object,
        "Whether there is a time by which to buy.",
    ),
];

/// What may be filled in of a qualification. What is left out is unknown.
pub const FORM: Form = Form {
    table: &TABLE,
    open: false,
};

const STATUS: Field = required(
    "status",
    Type::Choice(&STATUSES),
    "What has been found out.",
);
const NOTES: Field = optional("notes", Type::Text { max: 10_000 }, "Notes.");

static CRITERION_TABLE: [Field; 3] = [
    STATUS,
    NOTES,
    optional(
        "value",
        Type::Text { max: 1_000 },
        "Who, or what, in short.",
    ),
];
static BUDGET_TABLE: [Field; 3] = [
    STATUS,
    NOTES,
    optional(
        "value",
        Type::Decimal,
        "How much, in the organization's currency.",
    ),
];
static TIMELINE_TABLE: [Field; 3] = [STATUS, NOTES, optional("value", Type::Time, "By when.")];

/// What may be filled in of authority and need.
pub const CRITERION: Form = Form {
    table: &CRITERION_TABLE,
    open: false,
};

/// What may be filled in of the budget.
pub const BUDGET: Form = Form {
    table: &BUDGET_TABLE,
    open: false,
};

/// What may be filled in of the timeline.
pub const TIMELINE: Form = Form {
    table: &TIMELINE_TABLE,
    open: false,
};
