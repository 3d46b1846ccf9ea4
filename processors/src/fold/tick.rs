//! Tick: it is now at least so late, and timers up to then are due.

use schemas::{OrganizationId, Timestamp};

use super::{Applied, Definitions, State, loyalty, quote};

/// When the earliest timer of a customer is due.
pub fn next_due(state: &State) -> Option<Timestamp> {
    [own_due(state), state.segments.due()]
        .into_iter()
        .flatten()
        .min()
}

/// When the earliest timer is due that is not a segment's.
fn own_due(state: &State) -> Option<Timestamp> {
    let points = loyalty::next_due(&state.loyalty);
    [state.next_due, quote::next_due(state), points]
        .into_iter()
        .flatten()
        .min()
}

/// Fires the customer's timers that are due at `now`. Returns what that adds, or none where none was due. Segments are looked
/// at by who knows them.
pub fn tick(
    definitions: &Definitions,
    organization: &OrganizationId,
    state: &mut State,
    now: Timestamp,
) -> Option<Applied> {
    if own_due(state).is_none_or(|due| due > now) {
        return None;
    }
    let mut applied = Applied {
        points: loyalty::expire(definitions, organization, &mut state.loyalty, now),
        ..Applied::default()
    };
    if state.next_due.is_some_and(|due| due <= now) {
        state.next_due = None;
        state.follow_up_due = true;
    }
    quote::expire(state, now, &mut applied);
    Some(applied)
}
