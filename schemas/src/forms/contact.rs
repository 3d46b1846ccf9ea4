//! A contact: a person to talk to at a customer.

use crate::field::{Field, Type, optional, required};
use crate::form::Form;

static TABLE: [Field; 10] = [
    required("first_name", Type::Text { max: 200 }, "First name."),
    required("last_name", Type::Text { max: 200 }, "Last name."),
    optional(
        "title",
        Type::Text { max: 200 },
        "Position, such as head of purchasing.",
    ),
    optional("email", Type::Text { max: 320 }, "E-mail address."),
    optional("phone", Type::Text { max: 64 }, "Telephone number."),
    optional("mobile", Type::Text { max: 64 }, "Mobile number."),
    optional("department", Type::Text { max: 200 }, "Department."),
    optional(
        "is_primary",
        Type::Bool,
        "Whether this is the one to turn to first; of several only one is.",
    ),
    optional("notes", Type::Text { max: 100_000 }, "Notes."),
    optional(
        "is_active",
        Type::Bool,
        "Whether the person is still there; true at first.",
    ),
];

/// What may be filled in of a contact.
pub const FORM: Form = Form {
    table: &TABLE,
    open: false,
};
