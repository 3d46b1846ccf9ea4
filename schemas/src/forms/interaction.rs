//! An interaction, as staff write it down: the fields of the event, of which other ones must be there.

use crate::event::interaction::FIELDS;
use crate::field::{Field, Type, optional};
use crate::form::{Form, joined};

/// What staff may say of an interaction beside the fields of the event.
const BESIDE: [Field; 2] = [
    optional(
        "customer_id",
        Type::Id { max: 256 },
        "Whose it is; where the path names the customer it may be left out. It never changes.",
    ),
    optional(
        "occurred_at",
        Type::Time,
        "When it happens or has happened, at most 24 hours ahead; by default now.",
    ),
];

static TABLE: [Field; 23] = stated_by_staff();

const fn stated_by_staff() -> [Field; 23] {
    let mut all: [Field; 23] = joined(FIELDS, BESIDE);
    let mut index = 0;
    while index < all.len() {
        all[index].required = is(all[index].name, "subject");
        if is(all[index].name, "channel") {
            all[index].doc = "The channel it came through; by default what goes with its kind: phone for a call, email \
                for an email, in_person for a meeting or visit, other for the rest.";
        }
        if is(all[index].name, "kind") {
            all[index].doc = "What it was; by default support where a support category is stated, call or email on that \
                channel, else other.";
        }
        index += 1;
    }
    all
}

const fn is(name: &str, other: &str) -> bool {
    let (name, other) = (name.as_bytes(), other.as_bytes());
    if name.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < name.len() {
        if name[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// What may be filled in of an interaction.
pub const FORM: Form = Form {
    table: &TABLE,
    open: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_subject_must_be_there() {
        assert!(FORM.read(r#"{"subject":"a"}"#).is_ok());
        let missing = FORM.read(r#"{"channel":"phone","kind":"call"}"#);
        assert_eq!(
            missing.err().map(|error| error.field),
            Some("subject".into())
        );
        let unknown = FORM.read(r#"{"subject":"a","kind":"phone"}"#);
        assert_eq!(unknown.err().map(|error| error.field), Some("kind".into()));
    }
}
