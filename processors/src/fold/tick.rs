//! Tick: it is now at least so late, and timers up to then are due.

use schemas::Timestamp;

use super::{Applied, State, quote};

/// When the earliest timer of a customer is due.
pub fn next_due(state: &State) -> Option<Timestamp> {
    [state.next_due, quote::next_due(state)]
        .into_iter()
        .flatten()
        .min()
}

/// Fires the customer's timers that are due at `now`. Returns what that adds, or none where none was due.
pub fn tick(state: &mut State, now: Timestamp) -> Option<Applied> {
    if next_due(state).is_none_or(|due| due > now) {
        return None;
    }
    let mut applied = Applied::default();
    if state.next_due.is_some_and(|due| due <= now) {
        state.next_due = None;
        state.follow_up_due = true;
    }
    quote::expire(state, now, &mut applied);
    Some(applied)
}
