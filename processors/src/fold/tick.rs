//! Tick: it is now at least so late, and timers up to then are due.

use schemas::Timestamp;

use super::State;

/// When the earliest timer of a customer is due.
pub fn next_due(state: &State) -> Option<Timestamp> {
    [state.next_due, state.segments.due()]
        .into_iter()
        .flatten()
        .min()
}

/// Fires the customer's timer if it is due at `now`. Returns whether anything changed.
pub fn tick(state: &mut State, now: Timestamp) -> bool {
    match state.next_due {
        Some(due) if due <= now => {
            state.next_due = None;
            state.follow_up_due = true;
            true
        }
        _ => false,
    }
}
