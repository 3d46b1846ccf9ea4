//! Interaction: counted, and the customer has been in touch.

use schemas::Event;

use super::{DayDelta, DayKey, DayTotals, State};

pub(super) fn apply(state: &mut State, event: &Event) -> DayDelta {
    state.interactions += 1;
    state.last_contact = state.last_contact.max(Some(event.occurred_at));
    DayDelta {
        key: DayKey {
            day: event.occurred_at.day(),
            currency: None,
        },
        add: DayTotals {
            interactions: 1,
            ..DayTotals::default()
        },
    }
}
