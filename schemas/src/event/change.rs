//! Change: what somebody of the organization states of a customer and its records. It holds whole or not at all.
//!
//! Written by Millrace only, never taken from clients. Who writes it has checked it against what the warehouse showed;
//! `guards` name what those checks rest on, and the fold refuses the change where one of them was edited since.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Fields, OWN, Slots, table};
use crate::error::Code;
use crate::field::{Field, Type, required};
use crate::json::ReadError;
use crate::time::Timestamp;

/// Fields of a change.
pub static TABLE: [Field; 5] = table([required(
    "change",
    Type::Object,
    "What is done, and what it rests on.",
)]);

/// The guard of a customer's profile, status and assignment.
pub const PROFILE: &str = "profile";
/// A record that is computed beside a change: it is nobody's edit, and the audit does not tell it.
pub const LEAD_SCORE: &str = "lead_score";
/// The guard of what staff do with a customer's loyalty account.
pub const LOYALTY: &str = "loyalty";

/// JSON as it was stated, digit for digit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The JSON of plain data.
    ///
    /// # Errors
    /// Where it does not serialise: maps with keys that are no texts.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// A change of one customer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    /// What was done, for the audit: `contact.update`.
    pub action: CompactString,
    /// The address it came from, for the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<CompactString>,
    /// The customer must not be known yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub creates: bool,
    /// The customer is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletes: bool,
    /// How many edits of the customer its author had seen.
    #[serde(default)]
    pub seen: u64,
    /// What must not have been edited since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<CompactString>,
    /// Fields of the profile; null clears one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profile: BTreeMap<CompactString, Json>,
    /// Further attributes; null clears one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<CompactString, Json>,
    /// Where the customer goes in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Move>,
    /// Records of the customer, each edited by this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordEdit>,
    /// A movement on the customer's loyalty account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Points>,
    /// The loyalty tier given by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<ManualTier>,
    /// Segments that the customer is put into or kept out of. Where there are any, all segments are looked at again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assign: Vec<Assign>,
}

/// How staff move points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointsKind {
    /// Given.
    Earn,
    /// Spent; never more than there are.
    Redeem,
    /// Put right, up or down; never below zero.
    Adjust,
}

impl PointsKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            PointsKind::Earn => "earn",
            PointsKind::Redeem => "redeem",
            PointsKind::Adjust => "adjust",
        }
    }
}

/// A movement of points by staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Points {
    /// How.
    pub kind: PointsKind,
    /// How many: positive, in an adjustment also negative.
    pub points: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub reason: CompactString,
    /// What it belongs to, such as an order's id.
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub reference: CompactString,
}

/// A tier given by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManualTier {
    /// Its name; none for the one that points give.
    pub to: Option<CompactString>,
}

/// Whether a customer is in a segment, whatever its criteria say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    /// The segment.
    pub segment: CompactString,
    /// In it or not, until taken back; none takes it back, and the criteria decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<bool>,
}

/// A step in a customer's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// prospect, lead, active or inactive.
    pub to: CompactString,
    /// converted, qualified, churned or deactivated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CompactString>,
}

/// A record of a customer as it is from now on. Its guards are `record/id`, and `record` for all of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordEdit {
    /// What it is: contact, interaction, …
    pub record: CompactString,
    /// Which one.
    pub id: CompactString,
    /// What its lists are ordered by; by default when the change was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// An object as it was, for the audit; none where there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    /// An object as it is; none where it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
}

impl RecordEdit {
    /// The guard of one record.
    pub fn guard(record: &str, id: &str) -> CompactString {
        compact_str::format_compact!("{record}/{id}")
    }
}

/// What somebody of the organization states of a customer and its records.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What is done.
    pub effects: Effects,
    /// `change` as stated.
    pub fields: Fields,
}

impl Change {
    pub(super) fn take(slots: &mut Slots<'_>) -> Result<Self, ReadError> {
        let fields = Fields::take(&TABLE, slots);
        Self::read(fields)
            .map_err(|error| ReadError::rule(Code::Malformed, error).within(TABLE[OWN].name))
    }

    /// A change whose field `change` is kept as it was stated.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(fields: Fields) -> Result<Self, String> {
        let json = fields.get(TABLE[OWN].name).unwrap_or("{}");
        let effects = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(Self { effects, fields })
    }
}
