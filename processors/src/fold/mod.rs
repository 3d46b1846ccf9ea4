//! The folds: (state, event) -> (state, outputs), pure. One file for each kind of event.
//!
//! No clock, no configuration, no other customer: definitions and time come from the log, so a replay
//! and a second processor compute the same rows.

mod activity;
mod days;
mod definitions;
mod interaction;
mod loyalty;
mod micros;
mod purchase;
mod state;
mod tick;
mod user;

pub use days::{DayDelta, DayKey, DayTotals};
pub use definitions::{Definitions, UnknownFold};
pub use state::{Loyalty, Money, Profile, State, Status, StatusReason};
pub use tick::tick;

use schemas::{Body, Event};

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

/// What one event adds, beside the new state: at most one daily bucket.
pub type Applied = Option<DayDelta>;

/// A fold of client events. There is one, [`apply`]; tests put business rules around it.
pub type Fold = fn(&Definitions, &mut State, &Event) -> Result<Applied, Refusal>;

/// Folds an event into its customer's state. On a refusal the state's content is to be thrown away.
///
/// The version is the caller's: it stamps it after this returns.
///
/// # Errors
/// When the event breaks a business rule. None of the four client kinds does so today.
pub fn apply(
    definitions: &Definitions,
    state: &mut State,
    event: &Event,
) -> Result<Applied, Refusal> {
    state.first_seen = state.first_seen.min(event.occurred_at);
    state.last_seen = state.last_seen.max(event.occurred_at);
    state.updated_at = event.received_at;
    let delta = match &event.body {
        Body::User(user) => {
            user::apply(state, user, &event.attributes);
            None
        }
        Body::Purchase(purchase) => purchase::apply(definitions, state, event, purchase),
        Body::Activity(_) => Some(activity::apply(state, event)),
        Body::Interaction(_) => Some(interaction::apply(state, event)),
    };
    if let Some(delta) = &delta {
        state.latest_day = state.latest_day.max(delta.key.day);
    }
    Ok(delta)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
