//! A customer's state as criteria see it: the same that the columns of `customer_state` and `customer_days` say.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::RangeInclusive;

use schemas::criteria::{Facts, Measure, NumberField, TextField, TimeField};
use schemas::{Currency, Decimal, Timestamp};

use super::Memberships;
use crate::fold::{DayKey, DayTotals, State};

/// The daily buckets of a customer.
pub trait Days {
    /// Those of a day and later ones, in the order of their keys.
    fn from(&self, day: i32) -> impl Iterator<Item = (DayKey, &DayTotals)>;
}

impl Days for Vec<(DayKey, DayTotals)> {
    fn from(&self, day: i32) -> impl Iterator<Item = (DayKey, &DayTotals)> {
        let begin = self.partition_point(|(key, _)| key.day < day);
        self[begin..].iter().map(|(key, totals)| (*key, totals))
    }
}

/// City and country of the first address, read when first asked for.
#[derive(Debug, Default)]
pub(super) struct Address(OnceCell<(String, String)>);

impl Address {
    fn get(&self, state: &State) -> &(String, String) {
        self.0.get_or_init(|| {
            let (city, country) = state.profile.place();
            (city.unwrap_or_default(), country.unwrap_or_default())
        })
    }
}

/// A customer with all that criteria may ask of it.
#[derive(Debug)]
pub struct View<'a, D> {
    pub(super) state: &'a State,
    pub(super) days: &'a D,
    /// The organization's.
    pub(super) currency: Currency,
    pub(super) memberships: &'a Memberships,
    pub(super) address: &'a Address,
}

/// The text of a JSON string.
fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        false => Some(Cow::Borrowed(inner)),
        true => serde_json::from_str(json).ok().map(Cow::Owned),
    }
}

/// A count, as long as it is one that a table can be compared with.
fn count(count: u64) -> Decimal {
    Decimal::from_whole(i64::try_from(count).unwrap_or(i64::MAX))
}

fn amount(measure: Measure, totals: &DayTotals) -> Decimal {
    match measure {
        Measure::Orders => count(totals.orders),
        Measure::Revenue => totals.revenue,
        Measure::Refunds => totals.refunds,
        Measure::Activities => count(totals.activities),
        Measure::Interactions => count(totals.interactions),
    }
}

impl<D: Days> View<'_, D> {
    /// Whether a bucket is one for the measure.
    fn counts(&self, measure: Measure, currency: Option<Currency>, key: DayKey) -> bool {
        match measure {
            Measure::Revenue | Measure::Refunds => {
                key.currency == Some(currency.unwrap_or(self.currency))
            }
            Measure::Orders => key.currency.is_some(),
            Measure::Activities | Measure::Interactions => key.currency.is_none(),
        }
    }
}

impl<D: Days> Facts for View<'_, D> {
    fn text(&self, field: TextField) -> Option<Cow<'_, str>> {
        let found = match field {
            TextField::Status => Cow::Borrowed(self.state.status.as_str()),
            TextField::Tier => Cow::Borrowed(&*self.state.loyalty.tier),
            TextField::City => Cow::Borrowed(&*self.address.get(self.state).0),
            TextField::Country => Cow::Borrowed(&*self.address.get(self.state).1),
            TextField::CustomerType => match text(self.state.profile.get(field.name())?)? {
                // Two words of the sources for one thing.
                word if word == "corporate" => Cow::Borrowed("business"),
                word => word,
            },
            field => text(self.state.profile.get(field.name())?)?,
        };
        Some(found).filter(|text| !text.is_empty())
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.state.profile.attributes.get(key).map(|json| &**json)
    }

    fn any_tag(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        let Some(json) = self.state.profile.get("tags") else {
            return false;
        };
        let tags: Vec<Cow<'_, str>> = serde_json::from_str(json).unwrap_or_default();
        tags.iter().any(|tag| test(tag))
    }

    fn number(&self, field: NumberField) -> Decimal {
        match field {
            NumberField::Points => Decimal::from_whole(self.state.loyalty.points),
            NumberField::TotalOrders => count(self.state.orders),
            NumberField::TotalRevenue => self.state.money(self.currency).revenue,
            NumberField::TotalRefunds => self.state.money(self.currency).refunds,
            NumberField::Activities => count(self.state.activities),
            NumberField::Interactions => count(self.state.interactions),
        }
    }

    fn time(&self, field: TimeField) -> Option<Timestamp> {
        match field {
            TimeField::FirstSeen => Some(self.state.first_seen),
            TimeField::LastSeen => Some(self.state.last_seen),
            TimeField::LastContact => self.state.last_contact,
            TimeField::LastOrder => self.state.last_order,
            TimeField::CreatedAt => Some(self.state.created_at),
        }
    }

    fn next_day(
        &self,
        measure: Measure,
        currency: Option<Currency>,
        after: i32,
    ) -> Option<(i32, Decimal)> {
        let mut found: Option<(i32, Decimal)> = None;
        for (key, totals) in self.days.from(after.saturating_add(1)) {
            if found.is_some_and(|(day, _)| day != key.day) {
                break;
            }
            if self.counts(measure, currency, key) {
                let sum = found.map_or(Decimal::ZERO, |(_, sum)| sum);
                found = Some((key.day, sum + amount(measure, totals)));
            }
        }
        found
    }

    fn sum(
        &self,
        measure: Measure,
        currency: Option<Currency>,
        days: RangeInclusive<i32>,
    ) -> Decimal {
        let mut sum = Decimal::ZERO;
        for (key, totals) in self.days.from(*days.start()) {
            if key.day > *days.end() {
                break;
            }
            if self.counts(measure, currency, key) {
                sum += amount(measure, totals);
            }
        }
        sum
    }

    fn is_member(&self, segment: &str) -> bool {
        self.memberships.has(segment)
    }
}
