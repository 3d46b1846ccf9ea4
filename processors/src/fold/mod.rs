//! The folds: (state, event) -> (state, outputs), pure. One file for each kind of event.
//!
//! No clock, no configuration, no other customer: definitions and time come from the log, so a replay
//! and a second processor compute the same rows.

mod activity;
pub mod change;
mod days;
mod definitions;
mod interaction;
mod lots;
mod loyalty;
mod micros;
mod purchase;
pub mod quote;
pub mod segments;
mod state;
mod tick;
mod user;

pub use days::{DayDelta, DayKey, DayTotals};
pub use definitions::{Definitions, UnknownFold};
pub use lots::Lots;
pub use loyalty::{INVALID_POINTS, Movement, OVERDRAFT};
pub use segments::{Cause, SegmentChange};
pub use state::{Loyalty, Money, Profile, State, Status, StatusReason};
pub use tick::{next_due, tick};

use compact_str::CompactString;
use schemas::{Body, Event, Timestamp};

/// Why a fold does not apply an event: it becomes a rejection and changes no state.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Stable name of the reason.
    pub reason: &'static str,
    /// The field at fault, empty for the event as a whole.
    pub field: String,
    /// What is wrong, for a person.
    pub detail: String,
}

/// What one event adds, beside the new state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Applied {
    /// To a daily bucket; at most one.
    pub day: Option<DayDelta>,
    /// To the customer's records.
    pub records: Vec<RecordRow>,
    /// To the audit.
    pub edits: Vec<Edited>,
    /// To the customer's loyalty account; at most one.
    pub points: Option<Movement>,
}

impl From<Option<DayDelta>> for Applied {
    fn from(day: Option<DayDelta>) -> Self {
        Self {
            day,
            ..Self::default()
        }
    }
}

/// A record of a customer as it is from a position on.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordRow {
    /// What it is: contact, interaction, …
    pub record: CompactString,
    /// Which one.
    pub id: CompactString,
    /// The number of the edit among the customer's, 0 for what clients sent.
    pub edit: u64,
    /// What lists are ordered by.
    pub at: Timestamp,
    /// Its fields as a JSON object; none where it is deleted.
    pub fields: Option<Box<str>>,
}

/// A row of the audit: what somebody changed of a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// What was changed: customer, contact, …
    pub record: CompactString,
    /// Which one; empty for the customer itself.
    pub id: CompactString,
    /// What was done.
    pub action: CompactString,
    /// The address it came from, where known.
    pub origin: Option<CompactString>,
    /// A JSON object; empty where there was nothing.
    pub before: Box<str>,
    /// A JSON object; empty where nothing is left.
    pub after: Box<str>,
}

/// A fold of events. There is one, [`apply`]; tests put business rules around it.
pub type Fold = fn(&Definitions, &mut State, &Event) -> Result<Applied, Refusal>;

/// Folds an event into its customer's state. On a refusal the state's content is to be thrown away.
///
/// The version is the caller's: it stamps it after this returns.
///
/// # Errors
/// When the event breaks a business rule. Only changes by staff can.
pub fn apply(
    definitions: &Definitions,
    state: &mut State,
    event: &Event,
) -> Result<Applied, Refusal> {
    // What staff write down is not the customer's doing.
    if !matches!(event.body, Body::Change(_)) {
        if state.is_deleted {
            // Of whom something comes again begins anew.
            state.is_deleted = false;
            state.first_seen = event.occurred_at;
            state.last_seen = event.occurred_at;
            state.created_at = event.received_at;
        }
        state.first_seen = state.first_seen.min(event.occurred_at);
        state.last_seen = state.last_seen.max(event.occurred_at);
    }
    state.updated_at = event.received_at;
    loyalty::before(definitions, state, event);
    let applied = match &event.body {
        Body::User(user) => user::apply(state, user, &event.attributes),
        Body::Purchase(purchase) => purchase::apply(definitions, state, event, purchase),
        Body::Activity(_) => Some(activity::apply(state, event)).into(),
        Body::Interaction(interaction) => interaction::apply(state, event, interaction),
        Body::Change(change) => change::apply(state, event, change)?,
    };
    loyalty::after(definitions, state, event);
    if let Some(delta) = &applied.day {
        state.latest_day = state.latest_day.max(delta.key.day);
    }
    Ok(applied)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod loyalty_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
