//! A quote: what is offered to a customer, at which price, and until when.

use crate::field::{Field, Type, optional, required};
use crate::form::Form;

/// What a quote is among records.
pub const RECORD: &str = "quote";
/// How far a quote may have come.
pub const STATUSES: [&str; 6] = ["draft", "sent", "viewed", "accepted", "rejected", EXPIRED];
/// The statuses of a quote that waits for an answer.
pub const OPEN: [&str; 2] = ["sent", "viewed"];
/// The status of a quote whose time is over.
pub const EXPIRED: &str = "expired";
/// Lines of one quote, at most.
pub const MOST_ITEMS: usize = 500;

static TABLE: [Field; 14] = [
    required(
        "subject",
        Type::Text { max: 500 },
        "What it is about, in a line.",
    ),
    optional(
        "description",
        Type::Text { max: 100_000 },
        "What is offered, in words.",
    ),
    required(
        "items",
        Type::Objects,
        "What is offered, 1 to 500 lines; each a `QuoteItemForm`.",
    ),
    optional(
        "subtotal",
        Type::Decimal,
        "The sum of the lines. It is computed; stated, it must be equal.",
    ),
    optional(
        "discount_rate",
        Type::Decimal,
        "Percent that are taken off the subtotal.",
    ),
    optional(
        "discount",
        Type::Decimal,
        "What is taken off the subtotal; beside a rate it must be what the rate makes.",
    ),
    optional(
        "tax_rate",
        Type::Decimal,
        "Percent that are added to the subtotal less discount.",
    ),
    optional(
        "tax",
        Type::Decimal,
        "What is added; beside a rate it must be what the rate makes.",
    ),
    optional(
        "total",
        Type::Decimal,
        "Subtotal less discount plus tax. It is computed; stated, it must be equal.",
    ),
    optional(
        "currency",
        Type::Currency,
        "ISO 4217 code; by default the organization's.",
    ),
    optional(
        "valid_until",
        Type::Time,
        "From when on it can no longer be accepted; without it, it does not expire.",
    ),
    optional(
        "payment_terms",
        Type::Text { max: 10_000 },
        "How and when it is to be paid.",
    ),
    optional(
        "delivery_terms",
        Type::Text { max: 10_000 },
        "How and when it is delivered.",
    ),
    optional("notes", Type::Text { max: 100_000 }, "Notes."),
];

/// What may be filled in of a quote.
pub const FORM: Form = Form {
    table: &TABLE,
    open: false,
};

static ITEM_TABLE: [Field; 5] = [
    optional("sku", Type::Id { max: 256 }, "Your id of the product."),
    optional(
        "description",
        Type::Text { max: 500 },
        "What it is; needed where there is no sku.",
    ),
    required("quantity", Type::Decimal, "How many; above 0."),
    required(
        "unit_price",
        Type::Decimal,
        "What one costs; below 0 for what is taken off.",
    ),
    optional(
        "total",
        Type::Decimal,
        "Quantity times unit price. It is computed; stated, it must be equal.",
    ),
];

/// One line of a quote.
pub const ITEM: Form = Form {
    table: &ITEM_TABLE,
    open: false,
};

static REJECTION_TABLE: [Field; 1] = [optional(
    "reason",
    Type::Text { max: 10_000 },
    "Why the customer does not take it.",
)];

/// What may be said with a rejection.
pub const REJECTION: Form = Form {
    table: &REJECTION_TABLE,
    open: false,
};
