//! What criteria ask of a customer.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::fields::{Measure, NumberField, TextField, TimeField};
use crate::money::{Currency, Decimal};
use crate::time::Timestamp;

/// A customer as criteria see it, in whatever form it is held.
///
/// The answers must be those that the rows of `customer_state` and `customer_days` give, for the same criteria also
/// run there as SQL.
pub trait Facts {
    /// A text as it was stated; an empty one is none.
    fn text(&self, field: TextField) -> Option<Cow<'_, str>>;

    /// The JSON of an attribute as it was stated, without space around it; never `null`.
    fn attribute(&self, key: &str) -> Option<&str>;

    /// Whether `test` holds of one of the customer's tags.
    fn any_tag(&self, test: &mut dyn FnMut(&str) -> bool) -> bool;

    /// A number; money is in the organization's currency.
    fn number(&self, field: NumberField) -> Decimal;

    /// A time, where the customer has it.
    fn time(&self, field: TimeField) -> Option<Timestamp>;

    /// The first day after `after` on which the customer has a bucket for the measure, and what is in it.
    ///
    /// Days are whole ones since 1970, UTC. `currency` is of money alone; `None` is the organization's.
    fn next_day(
        &self,
        measure: Measure,
        currency: Option<Currency>,
        after: i32,
    ) -> Option<(i32, Decimal)>;

    /// What the buckets of these days add up to.
    fn sum(
        &self,
        measure: Measure,
        currency: Option<Currency>,
        days: RangeInclusive<i32>,
    ) -> Decimal {
        let mut sum = Decimal::ZERO;
        let mut after = days.start().saturating_sub(1);
        while let Some((day, amount)) = self.next_day(measure, currency, after) {
            if day > *days.end() {
                break;
            }
            sum += amount;
            after = day;
        }
        sum
    }

    /// Whether the customer is in a segment.
    fn is_member(&self, segment: &str) -> bool;
}
