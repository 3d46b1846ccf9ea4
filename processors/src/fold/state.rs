//! What is known of one customer: a pure function of the records of its partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use schemas::definition::NEW_TIER;
use schemas::{Currency, Decimal, Edits, Timestamp};
use serde::{Deserialize, Serialize};

use super::quote::OpenQuote;
use super::segments::Memberships;
use super::{Lots, micros};

/// Everything the fold knows of a customer. Kept compact in memory and as JSON in `customer_state.state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of the last record folded in: generation << 48 | offset.
    pub version: u64,
    /// The profile as client events stated it. Shared, so that copying a state is cheap.
    pub profile: Arc<Profile>,
    /// Where the customer is in its life.
    pub status: Status,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<StatusReason>,
    /// Earliest `occurred_at` of its events.
    #[serde(with = "micros")]
    pub first_seen: Timestamp,
    /// Latest `occurred_at` of its events.
    #[serde(with = "micros")]
    pub last_seen: Timestamp,
    /// Latest `occurred_at` of its interactions.
    #[serde(
        with = "micros::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub last_contact: Option<Timestamp>,
    /// `received_at` of its first event.
    #[serde(with = "micros")]
    pub created_at: Timestamp,
    /// `received_at` of its last event in the log.
    #[serde(with = "micros")]
    pub updated_at: Timestamp,
    /// Completed purchases of all currencies.
    pub orders: u64,
    /// Refunds of all currencies.
    pub refunds: u64,
    /// Money by currency, in the order the currencies were first used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub money: Vec<Money>,
    /// Latest `occurred_at` of its orders.
    #[serde(
        with = "micros::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub last_order: Option<Timestamp>,
    /// `order_id` of that order, where stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_order_id: Option<CompactString>,
    /// Activity events.
    pub activities: u64,
    /// Interaction events.
    pub interactions: u64,
    /// Points and tier.
    pub loyalty: Loyalty,
    /// When the follow-up that the profile names is due. See [`next_due`](super::next_due) for all timers.
    #[serde(
        with = "micros::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub next_due: Option<Timestamp>,
    /// Whether the follow-up the profile names is due.
    #[serde(default)]
    pub follow_up_due: bool,
    /// Latest day (UTC, since 1970) with a bucket in `customer_days`: later days need no look-up.
    pub latest_day: i32,
    /// What was edited, and in which order.
    #[serde(default, skip_serializing_if = "Edits::is_none")]
    pub edits: Edits,
    /// Whether staff have removed the customer and nothing has come of it since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_deleted: bool,
    /// Quotes that wait for an answer until a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotes: Vec<OpenQuote>,
    /// The segments it is in.
    #[serde(default, skip_serializing_if = "Memberships::is_none")]
    pub segments: Memberships,
}

/// What came in and went back in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Money {
    /// The currency.
    pub currency: Currency,
    /// Net revenue: refunds are taken off.
    pub revenue: Decimal,
    /// Money given back, positive.
    pub refunds: Decimal,
    /// Completed purchases.
    pub orders: u64,
}

/// Profile fields and further attributes, each with its JSON as last stated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// Fields of the user event that were stated and not cleared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<CompactString, Box<str>>,
    /// Anything else that user events held.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<CompactString, Box<str>>,
}

impl Profile {
    /// The JSON of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|json| &**json)
    }

    /// The text of a field that holds a string.
    pub fn text(&self, name: &str) -> Option<CompactString> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// City and country of the first address.
    pub fn place(&self) -> (Option<String>, Option<String>) {
        let addresses = self
            .get("addresses")
            .and_then(|json| serde_json::from_str::<Vec<serde_json::Value>>(json).ok());
        let first = addresses.as_ref().and_then(|addresses| addresses.first());
        let part = |name: &str| Some(first?.get(name)?.as_str()?.to_owned());
        (part("city"), part("country"))
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        let bytes = |map: &BTreeMap<CompactString, Box<str>>| {
            map.values().map(|json| json.len() + 64).sum::<usize>()
        };
        bytes(&self.fields) + bytes(&self.attributes)
    }
}

/// Where a customer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Known, has bought nothing.
    Prospect,
    /// Qualified by staff.
    Lead,
    /// Has bought something.
    Active,
    /// Deactivated by staff.
    Inactive,
}

impl Status {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Prospect => "prospect",
            Status::Lead => "lead",
            Status::Active => "active",
            Status::Inactive => "inactive",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Prospect, Self::Lead, Self::Active, Self::Inactive]
            .into_iter()
            .find(|status| status.as_str() == name)
    }

    /// Where staff may move a customer from here: onward, or back into business.
    pub fn next(self) -> &'static [Status] {
        match self {
            Status::Prospect => &[Status::Lead, Status::Active, Status::Inactive],
            Status::Lead => &[Status::Active, Status::Inactive],
            Status::Active => &[Status::Inactive],
            Status::Inactive => &[Status::Active],
        }
    }

    /// Whether staff may move a customer there, or leave it where it is.
    pub fn leads_to(self, to: Status) -> bool {
        self == to || self.next().contains(&to)
    }
}

/// Why a customer's status changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusReason {
    /// Bought for the first time.
    Converted,
    /// Judged worth pursuing.
    Qualified,
    /// Lost.
    Churned,
    /// Switched off by staff.
    Deactivated,
}

impl StatusReason {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            StatusReason::Converted => "converted",
            StatusReason::Qualified => "qualified",
            StatusReason::Churned => "churned",
            StatusReason::Deactivated => "deactivated",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Converted,
            Self::Qualified,
            Self::Churned,
            Self::Deactivated,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == name)
    }
}

/// A loyalty account: points, and the tier they give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loyalty {
    /// What purchases earned less what refunds took back, with its fraction, so that cents never get lost. May be negative.
    pub earned: Decimal,
    /// Whole points held, never below zero: the sum of the ledger.
    pub points: i64,
    /// Name of the tier.
    pub tier: CompactString,
    /// The tier that staff have given, whatever the points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual_tier: Option<CompactString>,
    /// Points that refunds should have taken back and that were not there any more: the next purchases pay them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub owed: i64,
    /// Points that reached the balance by earning, less what refunds took from it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total_earned: i64,
    /// Points redeemed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total_redeemed: i64,
    /// Points expired.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total_expired: i64,
    /// When the account was last used, by a purchase or by staff; none before that.
    #[serde(
        with = "micros::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub last_activity: Option<Timestamp>,
    /// Points that will expire.
    #[serde(default, skip_serializing_if = "Lots::is_empty")]
    pub lots: Lots,
}

impl Loyalty {
    /// An account that was never used.
    fn new() -> Self {
        Self {
            earned: Decimal::ZERO,
            points: 0,
            tier: CompactString::const_new(NEW_TIER),
            manual_tier: None,
            owed: 0,
            total_earned: 0,
            total_redeemed: 0,
            total_expired: 0,
            last_activity: None,
            lots: Lots::default(),
        }
    }
}

fn is_zero(points: &i64) -> bool {
    *points == 0
}

impl State {
    /// A customer at its first event.
    pub fn new(occurred_at: Timestamp, received_at: Timestamp) -> Self {
        Self {
            version: 0,
            profile: Arc::default(),
            status: Status::Prospect,
            status_reason: None,
            first_seen: occurred_at,
            last_seen: occurred_at,
            last_contact: None,
            created_at: received_at,
            updated_at: received_at,
            orders: 0,
            refunds: 0,
            money: Vec::new(),
            last_order: None,
            last_order_id: None,
            activities: 0,
            interactions: 0,
            loyalty: Loyalty::new(),
            next_due: None,
            follow_up_due: false,
            latest_day: i32::MIN,
            edits: Edits::default(),
            is_deleted: false,
            quotes: Vec::new(),
            segments: Memberships::default(),
        }
    }

    /// Whether nothing is known of the customer.
    pub fn is_new(&self) -> bool {
        self.version == 0 || self.is_deleted
    }

    /// Forgets everything of the customer but what keeps it in order: its edits, which days have buckets, and the
    /// segments that it is still to leave.
    pub(super) fn delete(&mut self) {
        *self = Self {
            version: self.version,
            edits: std::mem::take(&mut self.edits),
            latest_day: self.latest_day,
            segments: std::mem::take(&mut self.segments),
            is_deleted: true,
            ..Self::new(self.updated_at, self.updated_at)
        };
    }

    /// Money in one currency.
    pub fn money(&self, currency: Currency) -> Money {
        let nothing = Money {
            currency,
            revenue: Decimal::ZERO,
            refunds: Decimal::ZERO,
            orders: 0,
        };
        self.money
            .iter()
            .find(|money| money.currency == currency)
            .copied()
            .unwrap_or(nothing)
    }

    pub(super) fn money_mut(&mut self, currency: Currency) -> &mut Money {
        let index = match self
            .money
            .iter()
            .position(|money| money.currency == currency)
        {
            Some(index) => index,
            None => {
                self.money.push(self.money(currency));
                self.money.len() - 1
            }
        };
        &mut self.money[index]
    }

    /// Bytes held, roughly, for bounding memory.
    pub fn weight(&self) -> usize {
        std::mem::size_of::<Self>()
            + self.money.len() * std::mem::size_of::<Money>()
            + self.profile.weight()
            + self.edits.weight()
            + self.quotes.iter().map(OpenQuote::weight).sum::<usize>()
            + self.loyalty.lots.len() * std::mem::size_of::<(i32, i64)>()
            + self.segments.weight()
    }
}
