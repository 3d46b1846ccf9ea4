//! A customer, as staff write it down.

use crate::event::user::PROFILE;
use crate::field::{Field, Type, optional, required};
use crate::form::{Form, joined};

/// Where a customer may be in its life.
pub const STATUSES: [&str; 4] = ["prospect", "lead", "active", "inactive"];
/// Why it is there.
pub const STATUS_REASONS: [&str; 4] = ["converted", "qualified", "churned", "deactivated"];

/// What staff may say of a customer beside its profile.
const BESIDE: [Field; 5] = [
    optional(
        "customer_id",
        Type::Id { max: 256 },
        "Your id of the customer; made by the server if absent. It never changes.",
    ),
    optional(
        "status",
        Type::Choice(&STATUSES),
        "Where the customer is in its life; prospect at first.",
    ),
    optional(
        "status_reason",
        Type::Choice(&STATUS_REASONS),
        "Why the status is what it is.",
    ),
    optional(
        "value_override",
        Type::Decimal,
        "What the customer is worth by staff's own judgement, in the organization's currency; not negative.",
    ),
    optional(
        "attributes",
        Type::Object,
        "Anything else you want kept of the customer.",
    ),
];

static TABLE: [Field; 25] = joined(PROFILE, BESIDE);

/// What may be filled in of a customer. Other fields become attributes.
pub const FORM: Form = Form {
    table: &TABLE,
    open: true,
};

static STEP_TABLE: [Field; 2] = [
    required(
        "status",
        Type::Choice(&STATUSES),
        "Where the customer goes.",
    ),
    optional("reason", Type::Choice(&STATUS_REASONS), "Why."),
];

/// A step in a customer's life.
pub const STEP: Form = Form {
    table: &STEP_TABLE,
    open: false,
};
