//! Purchase: revenue, orders, refunds, points; the first order converts a prospect.

use schemas::{Decimal, Event, Purchase};

use super::state::{Status, StatusReason};
use super::{Applied, DayDelta, DayKey, DayTotals, Definitions, State, loyalty};

pub(super) fn apply(
    definitions: &Definitions,
    state: &mut State,
    event: &Event,
    purchase: &Purchase,
) -> Applied {
    if !purchase.counts() {
        return Applied::default();
    }
    let given_back = if purchase.is_refund() {
        -purchase.amount
    } else {
        Decimal::ZERO
    };
    let order = u64::from(purchase.is_order());

    let money = state.money_mut(purchase.currency);
    money.revenue += purchase.amount;
    money.refunds += given_back;
    money.orders += order;
    state.orders += order;
    state.refunds += u64::from(purchase.is_refund());
    let points = loyalty::purchase(definitions, &mut state.loyalty, event, purchase);

    if purchase.is_order() {
        // Of two orders at the same time the later in the log is the last.
        if state
            .last_order
            .is_none_or(|last| last <= event.occurred_at)
        {
            state.last_order = Some(event.occurred_at);
            state.last_order_id.clone_from(&purchase.order_id);
        }
        if matches!(state.status, Status::Prospect | Status::Lead) {
            state.status = Status::Active;
            state.status_reason = Some(StatusReason::Converted);
        }
    }
    let day = DayDelta {
        key: DayKey {
            day: event.occurred_at.day(),
            currency: Some(purchase.currency),
        },
        add: DayTotals {
            orders: order,
            revenue: purchase.amount,
            refunds: given_back,
            ..DayTotals::default()
        },
    };
    Applied {
        day: Some(day),
        points,
        ..Applied::default()
    }
}
