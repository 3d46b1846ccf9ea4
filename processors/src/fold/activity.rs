//! Activity: counted, by customer and day.

use schemas::Event;

use super::{DayDelta, DayKey, DayTotals, State};

pub(super) fn apply(state: &mut State, event: &Event) -> DayDelta {
    state.activities += 1;
    DayDelta {
        key: DayKey {
            day: event.occurred_at.day(),
            currency: None,
        },
        add: DayTotals {
            activities: 1,
            ..DayTotals::default()
        },
    }
}
