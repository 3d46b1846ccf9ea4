//! Loyalty: points for revenue in the organization's currency, taken back by refunds, and the tier they give.

use compact_str::CompactString;
use schemas::{Decimal, OrganizationId, Purchase, Tier};

use super::{Definitions, Loyalty};

/// Counts a purchase in. What is earned is kept with its fraction, and whole points derive from the sum, so that ten
/// purchases of 0.10 give the point that one of 1.00 gives.
pub(super) fn earn(
    definitions: &Definitions,
    loyalty: &mut Loyalty,
    organization: &OrganizationId,
    purchase: &Purchase,
) {
    if purchase.currency != definitions.currency(organization) {
        return;
    }
    let rate = i128::from(definitions.points_per_unit(organization));
    // A table may give so many points for so much money that no number holds them: then they stay at the largest.
    let earned = purchase.amount.micros().saturating_mul(rate);
    let earned = loyalty.earned.micros().saturating_add(earned);
    loyalty.earned = Decimal::from_micros(earned.max(-i128::MAX));
    let whole = loyalty.earned.micros().div_euclid(Decimal::ONE.micros());
    loyalty.points = i64::try_from(whole.max(0)).unwrap_or(i64::MAX);
    let tier = tier(definitions.tiers(organization), loyalty.points);
    if loyalty.tier != tier {
        loyalty.tier = CompactString::from(tier);
    }
}

/// The highest tier reached with so many points; the lowest where none is.
fn tier(tiers: &[Tier], points: i64) -> &str {
    let reached = tiers.iter().rev().find(|tier| tier.from <= points);
    reached
        .or(tiers.first())
        .map_or(schemas::definition::NEW_TIER, |tier| &tier.name)
}
