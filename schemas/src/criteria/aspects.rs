//! What of a customer criteria look at, so that those whom an event does not concern need not be asked.

use super::Criteria;
use super::fields::{Measure, NumberField, TextField, TimeField};
use super::node::{Leaf, Test};

/// Aspects of a customer, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Aspects(u8);

impl Aspects {
    /// None of them.
    pub const NONE: Aspects = Aspects(0);
    /// What is known of it: name, type, address, tags, attributes, who it is assigned to.
    pub const PROFILE: Aspects = Aspects(1);
    /// Where it is in its life.
    pub const STATUS: Aspects = Aspects(2);
    /// Points and tier.
    pub const LOYALTY: Aspects = Aspects(4);
    /// Orders, revenue and refunds.
    pub const MONEY: Aspects = Aspects(8);
    /// Activities.
    pub const ACTIVITY: Aspects = Aspects(16);
    /// Interactions.
    pub const INTERACTION: Aspects = Aspects(32);
    /// When it was seen first and last, and when it was made.
    pub const SEEN: Aspects = Aspects(64);
    /// The time that is now.
    pub const TIME: Aspects = Aspects(128);
    /// All of them.
    pub const ALL: Aspects = Aspects(255);

    /// What is in either.
    #[must_use]
    pub const fn with(self, other: Aspects) -> Aspects {
        Aspects(self.0 | other.0)
    }

    /// What is in either, the other where `holds`.
    #[must_use]
    pub const fn with_if(self, holds: bool, other: Aspects) -> Aspects {
        if holds { self.with(other) } else { self }
    }

    /// Whether anything is in both.
    pub const fn meets(self, other: Aspects) -> bool {
        self.0 & other.0 != 0
    }
}

impl Criteria {
    /// What they look at beside other segments. Where nothing of it changes, [`Criteria::matches`] does not.
    pub fn aspects(&self) -> Aspects {
        let mut aspects = Aspects::NONE;
        self.0
            .each_leaf(&mut |leaf| aspects = aspects.with(of_leaf(leaf)));
        aspects
    }
}

fn of_leaf(leaf: &Leaf) -> Aspects {
    match &leaf.test {
        Test::Text(TextField::Status, _) => Aspects::STATUS,
        Test::Text(TextField::Tier, _) => Aspects::LOYALTY,
        Test::Text(..) | Test::Attribute(..) | Test::AttributeNumber(..) | Test::Tags(_) => {
            Aspects::PROFILE
        }
        Test::Number(field, _) => match field {
            NumberField::Points => Aspects::LOYALTY,
            NumberField::TotalOrders | NumberField::TotalRevenue | NumberField::TotalRefunds => {
                Aspects::MONEY
            }
            NumberField::Activities => Aspects::ACTIVITY,
            NumberField::Interactions => Aspects::INTERACTION,
        },
        Test::Time(field, _) => of_time(*field),
        Test::Recency(recency) => of_time(recency.field).with(Aspects::TIME),
        Test::Window(window) => Aspects::TIME.with(match window.measure {
            Measure::Orders | Measure::Revenue | Measure::Refunds => Aspects::MONEY,
            Measure::Activities => Aspects::ACTIVITY,
            Measure::Interactions => Aspects::INTERACTION,
        }),
        Test::Segment(_) => Aspects::NONE,
    }
}

fn of_time(field: TimeField) -> Aspects {
    match field {
        TimeField::FirstSeen | TimeField::LastSeen | TimeField::CreatedAt => Aspects::SEEN,
        TimeField::LastContact => Aspects::INTERACTION,
        TimeField::LastOrder => Aspects::MONEY,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn criteria_say_what_they_look_at() {
        for (json, aspects) in [
            (r#"{"tags":["VIP"]}"#, Aspects::PROFILE),
            (
                r#"{"all":[{"field":"status","op":"eq","value":"active"},{"field":"tier","op":"eq","value":"gold"}]}"#,
                Aspects::STATUS.with(Aspects::LOYALTY),
            ),
            (
                r#"{"not":{"recency":"last_order","op":"gt","days":30}}"#,
                Aspects::MONEY.with(Aspects::TIME),
            ),
            (
                r#"{"count":"activities","days":7,"op":"gte","value":3}"#,
                Aspects::ACTIVITY.with(Aspects::TIME),
            ),
            (r#"{"segment":"seg_1"}"#, Aspects::NONE),
        ] {
            assert_eq!(Criteria::parse(json).unwrap().aspects(), aspects, "{json}");
        }
        assert!(Aspects::ALL.meets(Aspects::TIME) && !Aspects::MONEY.meets(Aspects::SEEN));
    }
}
