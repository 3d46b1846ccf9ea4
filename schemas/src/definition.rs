//! What folds go by beside the events: definitions, which enter the log as control records so that a
//! replay and a zombie compute from the same ones.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::ids::OrganizationId;

/// The version of the fold this program knows. A log that asks for a later one stops it.
pub const FOLD_VERSION: u32 = 1;

/// A loyalty tier: from how many points it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Lower-case name.
    pub name: String,
    /// Points from which the tier is held.
    pub from: i64,
}

/// Customers without any loyalty movement have this tier.
pub const NEW_TIER: &str = "new";

/// Above all tiers that points reach: given by hand, and by default the only such one.
pub const VIP_TIER: &str = "vip";

/// Bronze from 0, silver from 1,000, gold from 5,000, platinum from 10,000 points.
pub fn default_tiers() -> Vec<Tier> {
    [
        ("bronze", 0),
        ("silver", 1_000),
        ("gold", 5_000),
        ("platinum", 10_000),
    ]
    .map(|(name, from)| Tier {
        name: name.to_owned(),
        from,
    })
    .to_vec()
}

/// The highest tier reached with so many points; the lowest where none is.
pub fn reached(tiers: &[Tier], points: i64) -> &str {
    let reached = tiers.iter().rev().find(|tier| tier.from <= points);
    reached
        .or(tiers.first())
        .map_or(NEW_TIER, |tier| &tier.name)
}

fn is_zero(days: &u32) -> bool {
    *days == 0
}

/// A definition that holds from its place in the log on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Define {
    /// From here on records are folded by this version; a process that does not know it stops.
    Fold {
        /// See [`FOLD_VERSION`].
        version: u32,
    },
    /// An organization's loyalty table: tiers with rising `from`, points earned per whole currency unit, and how long they last.
    Loyalty {
        /// Whose.
        organization: OrganizationId,
        /// Tiers, lowest first.
        tiers: Vec<Tier>,
        /// Points per unit of the organization's currency.
        points_per_unit: i64,
        /// Whole days that points earned from here on are kept; 0 for ever.
        #[serde(default, skip_serializing_if = "is_zero")]
        points_expire_days: u32,
    },
    /// An organization's currency: revenue in it is what lists show.
    Organization {
        /// Whose.
        organization: OrganizationId,
        /// ISO 4217.
        currency: crate::Currency,
    },
    /// A segment as it is from here on, for the customers that something happens to; who is in it already is told by
    /// [`Control::Evaluate`](crate::Control::Evaluate).
    Segment {
        /// Whose.
        organization: OrganizationId,
        /// Its id.
        id: CompactString,
        /// Rises with each change; a lower one than known is passed over.
        version: u64,
        /// Canonical JSON, or [`MANUAL`].
        criteria: String,
        /// Whether it has members at all; a segment that is deleted has none.
        is_active: bool,
    },
}

/// The criteria of a segment whose members are those that staff put into it.
pub const MANUAL: &str = r#"{"manual":true}"#;
