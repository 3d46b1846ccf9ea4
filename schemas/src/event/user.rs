//! User: a new customer, or news of one. Sent again it updates what it names.

use super::{Fields, Slots, table};
use crate::field::{Field, Type, optional};

/// What a customer may be. `corporate` is read as `business`.
pub const CUSTOMER_TYPES: [&str; 4] = ["individual", "business", "enterprise", "corporate"];

/// Fields of a user event: the profile.
pub static TABLE: [Field; 24] = table(PROFILE);

/// The profile.
pub const PROFILE: [Field; 20] = [
    optional("name", Type::Text { max: 500 }, "The customer's name."),
    optional("email", Type::Text { max: 320 }, "E-mail address."),
    optional("phone", Type::Text { max: 64 }, "Telephone number."),
    optional(
        "company_name",
        Type::Text { max: 500 },
        "Company, for business customers.",
    ),
    optional(
        "customer_type",
        Type::Choice(&CUSTOMER_TYPES),
        "individual, business or enterprise.",
    ),
    optional(
        "contact_name",
        Type::Text { max: 500 },
        "Person to talk to.",
    ),
    optional("website", Type::Text { max: 2_000 }, "Web site."),
    optional("industry", Type::Text { max: 200 }, "Industry."),
    optional("nationality", Type::Text { max: 100 }, "Nationality."),
    optional("region", Type::Text { max: 200 }, "Region."),
    optional(
        "language",
        Type::Text { max: 35 },
        "Language, a BCP 47 tag.",
    ),
    optional(
        "addresses",
        Type::Objects,
        "Addresses: label, street, city, state, postal_code, country.",
    ),
    optional(
        "source",
        Type::Text { max: 200 },
        "How the customer found the organization.",
    ),
    optional("tags", Type::Texts, "Words to find the customer by."),
    optional("notes", Type::Text { max: 100_000 }, "Notes."),
    optional(
        "preferences",
        Type::Object,
        "Preferences: communication, product, cultural and others.",
    ),
    optional(
        "assigned_to",
        Type::Id { max: 256 },
        "The member of staff responsible.",
    ),
    optional(
        "user_id",
        Type::Id { max: 256 },
        "The customer's account in your application.",
    ),
    optional("next_follow_up", Type::Time, "When to be in touch next."),
    optional("is_active", Type::Bool, "Whether the customer is active."),
];

/// News of a customer: for each field named, its JSON as stated, or `None` to clear it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct User {
    /// The profile fields stated.
    pub fields: Fields,
}

impl User {
    pub(super) fn take(slots: &mut Slots<'_>) -> Self {
        Self {
            fields: Fields::take(&TABLE, slots),
        }
    }
}
