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

/// A definition that holds from its place in the log on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Define {
    /// From here on records are folded by this version; a process that does not know it stops.
    Fold {
        /// See [`FOLD_VERSION`].
        version: u32,
    },
    /// An organization's loyalty table: tiers with rising `from`, and points earned per whole currency unit.
    Loyalty {
        /// Whose.
        organization: OrganizationId,
        /// Tiers, lowest first.
        tiers: Vec<Tier>,
        /// Points per unit of the organization's currency.
        points_per_unit: i64,
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
