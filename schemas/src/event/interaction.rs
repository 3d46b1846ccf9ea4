//! Interaction: something between a customer and the organization, on some channel.

use compact_str::CompactString;

use super::{Fields, OWN, Slots, table, take_text};
use crate::field::{Field, Type, optional, required};

/// Ways of being in touch.
pub const CHANNELS: [&str; 8] = [
    "email",
    "phone",
    "chat",
    "in_person",
    "whatsapp",
    "sms",
    "web",
    "other",
];
/// What it was about.
pub const KINDS: [&str; 10] = [
    "call",
    "email",
    "meeting",
    "visit",
    "support",
    "sale",
    "quote",
    "order",
    "follow_up",
    "other",
];
/// Kinds of support case.
pub const SUPPORT_CATEGORIES: [&str; 5] = [
    "profile_admin",
    "access_grant",
    "bug",
    "incident",
    "request",
];
/// How urgent it is.
pub const PRIORITIES: [&str; 4] = ["low", "medium", "high", "urgent"];
/// How far it has come.
pub const STATUSES: [&str; 3] = ["pending", "completed", "cancelled"];

/// Its own fields.
pub(crate) const FIELDS: [Field; 21] = [
    required(
        "channel",
        Type::Choice(&CHANNELS),
        "The channel it came through.",
    ),
    required("kind", Type::Choice(&KINDS), "What it was."),
    optional(
        "subject",
        Type::Text { max: 500 },
        "What it was about, in a line.",
    ),
    optional("description", Type::Text { max: 100_000 }, "What was said."),
    optional("summary", Type::Text { max: 10_000 }, "A short account."),
    optional("outcome", Type::Text { max: 10_000 }, "What came of it."),
    optional(
        "priority",
        Type::Choice(&PRIORITIES),
        "How urgent it is; medium by default.",
    ),
    optional(
        "status",
        Type::Choice(&STATUSES),
        "How far it has come; pending by default.",
    ),
    optional(
        "support_category",
        Type::Choice(&SUPPORT_CATEGORIES),
        "The kind of support case.",
    ),
    optional("opened_at", Type::Time, "When the case was opened."),
    optional(
        "first_response_at",
        Type::Time,
        "When the customer was first answered.",
    ),
    optional("resolved_at", Type::Time, "When the case was resolved."),
    optional("duration", Type::Minutes, "Length in minutes."),
    optional("contact_id", Type::Id { max: 256 }, "The contact person."),
    optional(
        "assigned_to",
        Type::Id { max: 256 },
        "The member of staff responsible.",
    ),
    optional(
        "requires_follow_up",
        Type::Bool,
        "Whether something is left to do.",
    ),
    optional("follow_up_at", Type::Time, "When it is to be followed up."),
    optional(
        "follow_up_notes",
        Type::Text { max: 10_000 },
        "What is to be done then.",
    ),
    optional(
        "related_order_id",
        Type::Id { max: 256 },
        "The order it is about.",
    ),
    optional(
        "related_quote_id",
        Type::Id { max: 256 },
        "The quote it is about.",
    ),
    optional(
        "related_item_id",
        Type::Id { max: 256 },
        "The item it is about.",
    ),
];

/// Fields of an interaction.
pub static TABLE: [Field; 25] = table(FIELDS);

/// Something between a customer and the organization.
#[derive(Debug, Clone, PartialEq)]
pub struct Interaction {
    /// One of [`CHANNELS`].
    pub channel: CompactString,
    /// One of [`KINDS`].
    pub kind: CompactString,
    /// All its fields as stated.
    pub fields: Fields,
}

impl Interaction {
    pub(super) fn take(slots: &mut Slots<'_>) -> Self {
        let fields = Fields::take(&TABLE, slots);
        Self {
            channel: take_text(&mut slots[OWN]).unwrap_or_default(),
            kind: take_text(&mut slots[OWN + 1]).unwrap_or_default(),
            fields,
        }
    }
}
