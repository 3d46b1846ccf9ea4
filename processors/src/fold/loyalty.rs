//! Loyalty: an account of points for every customer, person or company, and the tier they give.
//!
//! The balance is the sum of the account's movements, always: what purchases and staff have it earn, what refunds take
//! back, what is redeemed, put right and expired. It is never below zero: a redemption or an adjustment beyond it is
//! refused here, where all of a customer's movements are in one order, and a refund of points that are no longer there
//! leaves them owed, to be taken from what the next purchases earn. So buying, redeeming and giving back earns nothing.
//!
//! `total_earned` counts what reached the balance by earning, less what refunds took from it. Hence at any time
//! balance = total_earned − total_redeemed − total_expired + what was adjusted.
//!
//! Points expire so many days after the day they were earned on as was defined when they were earned. Those earned
//! before anything expired count as earned on the day of the customer's first event after that. The tier follows the
//! balance, unless one was given by hand.

use compact_str::CompactString;
use schemas::definition::reached;
use schemas::event::{ManualTier, Points, PointsKind};
use schemas::{Decimal, Event, OrganizationId, Purchase, Timestamp};

use super::state::Loyalty;
use super::{Definitions, Refusal, State};

/// The reason of a movement that the balance does not cover.
pub const OVERDRAFT: &str = "overdraft";
/// The reason of a movement of no points, or in the wrong direction.
pub const INVALID_POINTS: &str = "invalid_points";

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// earn, redeem, adjust, refund or expire.
    pub kind: &'static str,
    /// What is added to the balance; negative where it is taken off.
    pub points: i64,
    /// The balance after it.
    pub balance: i64,
    /// Why, in words.
    pub reason: CompactString,
    /// What it belongs to, such as an order's id.
    pub reference: CompactString,
}

impl Loyalty {
    /// Moves points and tells what came of it; none where nothing moves. The caller has seen that the balance covers it.
    fn moved(&mut self, kind: &'static str, points: i64) -> Option<Movement> {
        let before = self.points;
        self.points = before.saturating_add(points).max(0);
        // No number holds more than the largest: then less moves than was asked for.
        let points = self.points - before;
        if points < 0 {
            self.lots.take(-points);
        }
        (points != 0).then(|| Movement {
            kind,
            points,
            balance: self.points,
            reason: CompactString::default(),
            reference: CompactString::default(),
        })
    }

    /// Points that are in no lot yet expire with those earned on this day.
    fn settle_lots(&mut self, kept_days: u32, day: i32) {
        if kept_days == 0 {
            return;
        }
        let loose = self.points.saturating_sub(self.lots.points());
        if loose > 0 {
            let kept = i32::try_from(kept_days).unwrap_or(i32::MAX);
            self.lots
                .add(day.saturating_add(kept).saturating_add(1), loose);
        }
    }

    /// What the audit tells of it, as a JSON object.
    pub(super) fn shown(&self) -> Box<str> {
        let tier = match &self.manual_tier {
            // A text always serialises.
            Some(tier) => serde_json::to_string(tier.as_str()).unwrap_or_default(),
            None => "null".to_owned(),
        };
        let points = self.points;
        format!(r#"{{"points":{points},"manual_tier":{tier}}}"#).into()
    }

    /// Whether the account was ever used.
    fn is_used(&self) -> bool {
        self.last_activity.is_some()
    }

    /// The tier that is given by hand, or the one the balance reaches.
    fn set_tier(&mut self, definitions: &Definitions, organization: &OrganizationId) {
        let tier = match &self.manual_tier {
            Some(tier) => tier.as_str(),
            None if self.is_used() => reached(definitions.tiers(organization), self.points),
            None => schemas::definition::NEW_TIER,
        };
        if self.tier != tier {
            self.tier = CompactString::from(tier);
        }
    }
}

/// What holds before an event is counted: points of old are in a lot.
pub(super) fn before(definitions: &Definitions, state: &mut State, event: &Event) {
    if state.loyalty.points > 0 {
        let kept = definitions.points_expire_days(&event.organization);
        state.loyalty.settle_lots(kept, event.received_at.day());
    }
}

/// What holds after an event is counted: points that are new are in a lot of their day, and the tier is that of the
/// definitions in force.
pub(super) fn after(definitions: &Definitions, state: &mut State, event: &Event) {
    if state.loyalty.points > 0 {
        let kept = definitions.points_expire_days(&event.organization);
        state.loyalty.settle_lots(kept, event.occurred_at.day());
    }
    state.loyalty.set_tier(definitions, &event.organization);
}

/// Counts a purchase in. What is earned is kept with its fraction, and whole points derive from the sum, so that ten
/// purchases of 0.10 give the point that one of 1.00 gives.
pub(super) fn purchase(
    definitions: &Definitions,
    loyalty: &mut Loyalty,
    event: &Event,
    purchase: &Purchase,
) -> Option<Movement> {
    let organization = &event.organization;
    if purchase.currency != definitions.currency(organization) {
        return None;
    }
    loyalty.last_activity = loyalty.last_activity.max(Some(event.occurred_at));
    let rate = i128::from(definitions.points_per_unit(organization));
    // A table may give so many points for so much money that no number holds them: then they stay at the largest.
    let earned = purchase.amount.micros().saturating_mul(rate);
    let earned = loyalty.earned.micros().saturating_add(earned);
    let earned = Decimal::from_micros(earned.max(-i128::MAX));
    let change = whole(earned).saturating_sub(whole(loyalty.earned));
    loyalty.earned = earned;
    let movement = if change >= 0 {
        let paid = change.min(loyalty.owed);
        loyalty.owed -= paid;
        loyalty.moved("earn", change - paid)
    } else {
        let taken = change.saturating_neg().min(loyalty.points);
        let missing = change.saturating_neg() - taken;
        loyalty.owed = loyalty.owed.saturating_add(missing);
        loyalty.moved("refund", -taken)
    };
    movement.map(|movement| {
        loyalty.total_earned = loyalty.total_earned.saturating_add(movement.points);
        let original = purchase.refund_of.as_ref().filter(|_| change < 0);
        let reference = original.or(purchase.order_id.as_ref());
        Movement {
            reference: reference.cloned().unwrap_or_default(),
            ..movement
        }
    })
}

/// Whole points, rounded down.
fn whole(earned: Decimal) -> i64 {
    let whole = earned.micros().div_euclid(Decimal::ONE.micros());
    i64::try_from(whole.clamp(i128::from(-i64::MAX), i128::from(i64::MAX))).unwrap_or_default()
}

/// Moves points as staff state.
pub(super) fn staff(
    loyalty: &mut Loyalty,
    stated: &Points,
    at: Timestamp,
) -> Result<Option<Movement>, Refusal> {
    let refusal = |reason, detail: String| Refusal {
        reason,
        field: "points".to_owned(),
        detail,
    };
    let points = match stated.kind {
        PointsKind::Earn | PointsKind::Redeem if stated.points <= 0 => {
            let detail = "points are earned and redeemed in positive whole numbers";
            return Err(refusal(INVALID_POINTS, detail.to_owned()));
        }
        PointsKind::Adjust if stated.points == 0 => {
            let detail = "an adjustment moves at least one point";
            return Err(refusal(INVALID_POINTS, detail.to_owned()));
        }
        PointsKind::Redeem => -stated.points,
        PointsKind::Earn | PointsKind::Adjust => stated.points,
    };
    if loyalty.points.saturating_add(points) < 0 {
        let balance = loyalty.points;
        return Err(refusal(
            OVERDRAFT,
            format!("the account has {balance} points; take at most those"),
        ));
    }
    loyalty.last_activity = loyalty.last_activity.max(Some(at));
    let movement = loyalty.moved(stated.kind.as_str(), points);
    let moved = movement.as_ref().map_or(0, |movement| movement.points);
    match stated.kind {
        PointsKind::Earn => loyalty.total_earned = loyalty.total_earned.saturating_add(moved),
        PointsKind::Redeem => loyalty.total_redeemed = loyalty.total_redeemed.saturating_sub(moved),
        PointsKind::Adjust => {}
    }
    Ok(movement.map(|movement| Movement {
        reason: stated.reason.clone(),
        reference: stated.reference.clone(),
        ..movement
    }))
}

/// Gives a tier by hand, or takes that back.
pub(super) fn give_tier(loyalty: &mut Loyalty, tier: &ManualTier) {
    loyalty.manual_tier.clone_from(&tier.to);
}

/// Empties the account of a customer that is removed, so that its movements still sum to what is left.
pub(super) fn close(loyalty: &mut Loyalty) -> Option<Movement> {
    let movement = loyalty.moved("expire", -loyalty.points)?;
    Some(Movement {
        reason: CompactString::const_new("the customer was deleted"),
        ..movement
    })
}

/// When points expire next.
pub(super) fn next_due(loyalty: &Loyalty) -> Option<Timestamp> {
    loyalty.lots.first().map(|(due, _)| due)
}

/// Takes off what has expired by now.
pub(super) fn expire(
    definitions: &Definitions,
    organization: &OrganizationId,
    loyalty: &mut Loyalty,
    now: Timestamp,
) -> Option<Movement> {
    let expired = loyalty.lots.expire(now);
    // What is left in later lots stays there: these points are out of theirs already.
    let later = std::mem::take(&mut loyalty.lots);
    let movement = loyalty.moved("expire", -expired);
    loyalty.lots = later;
    let moved = movement.as_ref().map_or(0, |movement| movement.points);
    loyalty.total_expired = loyalty.total_expired.saturating_sub(moved);
    loyalty.set_tier(definitions, organization);
    movement
}
